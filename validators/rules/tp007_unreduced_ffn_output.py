"""TP007."""

from collections.abc import Iterator

from validators.examples import dense, drop
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP007",
    stage="typing",
    severity="error",
    message="`{producer}` leaves a Partial sum over {axis}, which is not reduced at `{node}` ({op})",
    hint="insert {repair} after `{producer}` (or reduce_scatter now and all_gather later)",
    sources=(
        "S3 Tensor parallelism",
        "vllm: model_executor/layers/linear.py:1817",
    ),
    knowledge="tensor-parallelism.md#reduce-before-anything-non-linear",
    settles=("X3",),
    passes=lambda: named("all_reduce after the down projection", lambda: dense(tp=4)),
    fails=lambda: named("no all_reduce after the down projection", lambda: drop(dense(tp=4), "ffn.reduce")),
)
def unreduced_ffn_output(subject: Subject) -> Iterator[Hit]:
    """A row-split down projection leaves each rank a part of the sum."""
    return typed(subject, "TP007")
