"""SP013."""

from collections.abc import Iterator

from strategy.strategy import AttentionMesh
from validators.examples import dense, insert
from validators.examples_moe import named, with_pool
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP013",
    stage="typing",
    severity="error",
    message="`{node}` stores {found}, needs {needed}",
    hint="insert {repair} before `{node}`",
    sources=("vllm: v1/attention/ops/pcp.py:13-24",),
    knowledge="sequence-parallelism.md#gathered-keys-and-values",
    passes=lambda: named("no cp ranks", lambda: dense(tp=4)),
    fails=lambda: named("each cp rank caches its own shard", _uncached_shards),
)
def cache_of_a_part_of_the_prompt(subject: Subject) -> Iterator[Hit]:
    """Ranks that will decode a sequence need the keys of all its positions in their cache."""
    return typed(subject, "SP013")


def _uncached_shards() -> Subject:
    """Prompts split over cp ranks: the head gathers the tokens, attention does not gather K and V."""
    whole = insert(
        dense(tp=2, pp=1), "head_prefill.norm", id="whole", op="all_gather", axis="cp", dim="tokens", inputs=["norm"]
    )
    mesh = AttentionMesh(tp_size=2, cp_size=2)
    return with_pool(whole, attention=mesh, sp_kind="cp_allgather", cp_decode_use="replicate")
