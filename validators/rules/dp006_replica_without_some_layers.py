"""DP006."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DP006",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S0 Key properties", "S3 DP"),
    knowledge="data-parallelism.md#replicas-of-gpu-sets",
    passes=lambda: [
        example(
            "two stages twice",
            lambda: beside(dense(tp=1, pp=2, replicas=2), layout={"layers": [[0, 2], [2, 4], [0, 2], [2, 4]]}),
        )
    ],
    fails=lambda: [
        example(
            "the second replica lacks layer 3",
            lambda: beside(dense(tp=1, pp=2, replicas=2), layout={"layers": [[0, 2], [2, 4], [0, 2], [2, 3]]}),
        )
    ],
)
def replica_without_some_layers(subject: Subject) -> Iterator[Hit]:
    """Each replica holds all layers: its ranks hold those of their stage."""
    yield from layout_hits(subject, "DP006")
