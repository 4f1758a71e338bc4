"""TP012."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP012",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S3 TP groups",),
    knowledge="tensor-parallelism.md#one-size-everywhere",
    passes=lambda: [
        example(
            "the groups of TP2 x PP2",
            lambda: beside(dense(tp=2, pp=2), layout={"groups": {"tp": [[0, 1], [2, 3]], "pp": [[0, 2], [1, 3]]}}),
        )
    ],
    fails=lambda: [
        example("a rank left out", lambda: beside(dense(tp=2, pp=1, replicas=1), layout={"groups": {"tp": [[0]]}}))
    ],
)
def tp_groups_that_are_no_partition(subject: Subject) -> Iterator[Hit]:
    """Every rank of a stage is in exactly one tp group, and these are equally large."""
    yield from layout_hits(subject, "TP012")
