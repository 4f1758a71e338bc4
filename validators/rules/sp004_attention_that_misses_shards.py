"""SP004."""

from collections.abc import Iterator

from validators.examples import dense, edit_node, example
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP004",
    stage="typing",
    severity="error",
    message="block `{block}`, {phase}: `{node}` needs {needed} and gets {found}",
    hint="bring K and V of all cp ranks to `{node}`: all_gather over cp with role kv, the remaining hops of the ring, or all_to_all with role scatter_heads",
    sources=("vllm: v1/attention/ops/pcp.py:13-60", "aiconfigurator: sdk/models/base.py _cp_attn_comm_ops"),
    knowledge="sequence-parallelism.md#gathered-keys-and-values",
    passes=lambda: [
        example(
            "K and V gathered over cp",
            lambda: dense(tp=2, pp=1, cp=2, sp_kind="cp_allgather", cp_decode_use="batch_shard"),
        )
    ],
    fails=lambda: [example("a ring that stops one hop early", _short_ring)],
)
def attention_that_misses_shards(subject: Subject) -> Iterator[Hit]:
    """Under context parallelism a query meets K and V of every earlier position: gathered, passed round, or traded for heads."""
    return typed(subject, "SP004")


def _short_ring() -> Subject:
    base = dense(tp=1, pp=1, cp=3, sp_kind="cp_ring", cp_decode_use="replicate")
    cut = edit_node(base, "attention_prefill.attend", inputs=["attend_0", "attend_1", "sync:kv"])
    nodes = [n for n in cut.dag.blocks[1].nodes if n.id != "attend_2"]
    block = cut.dag.blocks[1].model_copy(update={"nodes": tuple(nodes)})
    blocks = (cut.dag.blocks[0], block, *cut.dag.blocks[2:])
    return Subject(cut.dag.model_copy(update={"blocks": blocks}), cut.model)
