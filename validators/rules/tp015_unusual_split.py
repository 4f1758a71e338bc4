"""TP015."""

from collections.abc import Iterator

from validators.examples import dense, edit_node
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP015",
    stage="typing",
    severity="error",
    message="`{node}` splits `{weight}` by {found}",
    hint="set split of `{node}` to {needed}",
    sources=(
        "S1 TP Applicable operators",
        "S3 Tensor parallelism: KEY",
        "vllm: model_executor/layers/linear.py",
    ),
    knowledge="tensor-parallelism.md#column-then-row",
    passes=lambda: named("qkv by columns, attention_out by rows", lambda: dense(tp=4)),
    fails=lambda: named(
        "the output projection by columns", lambda: edit_node(dense(tp=4), "attention.o", split="column")
    ),
)
def unusual_split(subject: Subject) -> Iterator[Hit]:
    """The first matrix of a pair is cut by columns and the second by rows; another cut computes another function, or the same one on every rank."""
    return typed(subject, "TP015")
