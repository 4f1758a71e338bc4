"""SP013."""

from collections.abc import Iterator

from validators.examples import dense, drop, example
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP013",
    stage="typing",
    severity="error",
    message="block `{block}`, {phase}: `{node}` stores {found}, and needs {needed}",
    hint="put {repair} in front of `{node}`",
    sources=("vllm: v1/attention/ops/pcp.py:13-24",),
    knowledge="sequence-parallelism.md#gathered-keys-and-values",
    passes=lambda: [
        example(
            "K and V gathered before they are stored",
            lambda: dense(tp=2, pp=1, cp=2, sp_kind="cp_allgather", cp_decode_use="batch_shard"),
        )
    ],
    fails=lambda: [
        example(
            "each cp rank stores its own shard",
            lambda: drop(
                dense(tp=2, pp=1, cp=2, sp_kind="cp_allgather", cp_decode_use="batch_shard"), "attention.kv_gather"
            ),
        )
    ],
)
def cache_of_part_of_the_prompt(subject: Subject) -> Iterator[Hit]:
    """Whoever decodes a sequence needs K and V of all its positions: the cache takes them from every cp rank."""
    return typed(subject, "SP013")
