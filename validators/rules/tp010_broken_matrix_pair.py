"""TP010."""

from collections.abc import Iterator

from validators.examples import dense, insert
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP010",
    stage="typing",
    severity="error",
    message="`{node}` reads {found}, needs {needed}",
    hint="let `{node}` read the output of a column-split linear directly: remove the collective between the two, or split the weight before `{node}` by columns",
    sources=("S3 Tensor parallelism: each half further goes through the down projection",),
    knowledge="tensor-parallelism.md#column-then-row",
    passes=lambda: named("gate_up, activation, down", lambda: dense(tp=4)),
    fails=lambda: named(
        "an all_gather before the down projection",
        lambda: insert(dense(tp=4), "ffn.act", id="gather", op="all_gather", axis="tp", dim="hidden", inputs=["act"]),
    ),
)
def broken_matrix_pair(subject: Subject) -> Iterator[Hit]:
    """A column-split matrix yields exactly the shard that the row-split one after it takes, so a collective or a replicated matrix between them feeds it the wrong features."""
    return typed(subject, "TP010")
