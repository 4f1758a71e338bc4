"""DP003."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DP003",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S0 Communication", "S3 DP groups"),
    knowledge="data-parallelism.md#independent-replicas-do-not-communicate",
    passes=lambda: [
        example(
            "groups inside replicas",
            lambda: beside(dense(tp=2, pp=1, replicas=2), layout={"groups": {"tp": [[0, 1], [2, 3]]}}),
        )
    ],
    fails=lambda: [
        example(
            "tp over both replicas",
            lambda: beside(dense(tp=2, pp=1, replicas=2), layout={"groups": {"tp": [[0, 2], [1, 3]]}}),
        )
    ],
)
def group_across_replicas(subject: Subject) -> Iterator[Hit]:
    """Independent replicas serve different requests and never communicate."""
    yield from layout_hits(subject, "DP003")
