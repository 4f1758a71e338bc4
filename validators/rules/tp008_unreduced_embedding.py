"""TP008."""

from collections.abc import Iterator

from validators.examples import dense, drop
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP008",
    stage="typing",
    severity="error",
    message="`{producer}` leaves a Partial sum over {axis}, which is not reduced at `{node}` ({op})",
    hint="insert {repair} after `{producer}` (or reduce_scatter now and all_gather later)",
    sources=(
        "S3 Tensor parallelism: all-reduce after embedding",
        "vllm: model_executor/layers/vocab_parallel_embedding.py:557-563",
    ),
    knowledge="tensor-parallelism.md#collectives-per-layer",
    settles=("X27",),
    passes=lambda: named("all_reduce after the embedding", lambda: dense(tp=4)),
    fails=lambda: named("no all_reduce after the embedding", lambda: drop(dense(tp=4), "embed.reduce")),
)
def unreduced_embedding(subject: Subject) -> Iterator[Hit]:
    """A rank that does not hold a token's row looks up zeros, so the ranks' rows have to be summed."""
    return typed(subject, "TP008")
