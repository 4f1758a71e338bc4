"""SP008."""

from collections.abc import Iterator

from validators.examples import dense, drop, example
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP008",
    stage="typing",
    severity="error",
    message="block `{block}`, {phase}: `{node}` should be {needed} and is {found}",
    hint="gather the last positions over cp in prefill; keep the shards of the batch in decode",
    sources=("S1 §3.1",),
    knowledge="sequence-parallelism.md#last-positions-before-the-head",
    passes=lambda: [
        example(
            "last positions gathered over cp",
            lambda: dense(tp=2, pp=1, cp=2, sp_kind="cp_allgather", cp_decode_use="batch_shard"),
        )
    ],
    fails=lambda: [
        example(
            "only the owner of the last position samples",
            lambda: drop(
                dense(tp=2, pp=1, cp=2, sp_kind="cp_allgather", cp_decode_use="batch_shard"), "head_prefill.last_gather"
            ),
        )
    ],
)
def rows_of_other_context_ranks(subject: Subject) -> Iterator[Hit]:
    """Token shards are disjoint and together all tokens: a rank ends a step with the sequences it owns."""
    return typed(subject, "SP008")
