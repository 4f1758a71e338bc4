"""DP002."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DP002",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S3 DP groups",),
    knowledge="data-parallelism.md#replicas-of-gpu-sets",
    settles=("X23",),
    passes=lambda: [
        example(
            "two whole replicas",
            lambda: beside(dense(tp=2, pp=1, replicas=2), layout={"groups": {"replica": [[0, 1], [2, 3]]}}),
        )
    ],
    fails=lambda: [
        example(
            "a rank in both",
            lambda: beside(dense(tp=2, pp=1, replicas=2), layout={"groups": {"replica": [[0, 1], [1, 2]]}}),
        )
    ],
)
def replicas_that_overlap(subject: Subject) -> Iterator[Hit]:
    """Replicas are disjoint, equally large, and together all ranks."""
    yield from layout_hits(subject, "DP002")
