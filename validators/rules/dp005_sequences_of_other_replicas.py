"""DP005."""

from collections.abc import Iterator

from validators.examples import drop, example, moe
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DP005",
    stage="typing",
    severity="error",
    message="block `{block}`, {phase}: `{node}` samples sequences of other attention replicas: it should be {needed} and is {found}",
    hint="give each replica its own rows before `{node}`: chunk over dp what was gathered over dp",
    sources=("S0 Constraints and Failure-prone",),
    knowledge="data-parallelism.md#one-sequence-one-replica",
    passes=lambda: [example("rows gathered for the head and given back", lambda: moe(tp=2, dp=2, lm_head="gathered"))],
    fails=lambda: [
        example(
            "rows of all replicas sampled", lambda: drop(moe(tp=2, dp=2, lm_head="gathered"), "head_decode.own_rows")
        )
    ],
)
def sequences_of_other_replicas(subject: Subject) -> Iterator[Hit]:
    """Data parallelism spreads whole sequences: a replica samples the next tokens of its own, in both phases."""
    return typed(subject, "DP005")
