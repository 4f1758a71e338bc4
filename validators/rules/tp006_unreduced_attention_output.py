"""TP006."""

from collections.abc import Iterator

from validators.examples import dense, drop
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP006",
    stage="typing",
    severity="error",
    message="`{producer}` leaves a Partial sum over {axis}, which is not reduced at `{node}` ({op})",
    hint="insert {repair} after `{producer}` (or reduce_scatter now and all_gather later)",
    sources=(
        "S1 TP Communication",
        "S3 Tensor parallelism",
        "vllm: model_executor/layers/linear.py:1817-1818",
    ),
    knowledge="tensor-parallelism.md#reduce-before-anything-non-linear",
    settles=("X3",),
    passes=lambda: named("all_reduce after the output projection", lambda: dense(tp=4)),
    fails=lambda: named("no all_reduce after the output projection", lambda: drop(dense(tp=4), "attention.reduce")),
)
def unreduced_attention_output(subject: Subject) -> Iterator[Hit]:
    """A row-split output projection leaves each rank a part of the sum, and nothing but an add of parts may read a part."""
    return typed(subject, "TP006")
