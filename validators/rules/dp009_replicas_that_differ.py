"""DP009."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DP009",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("vllm: config/parallel.py:906-960",),
    knowledge="data-parallelism.md#identical-replicas",
    passes=lambda: [
        example("alike", lambda: beside(dense(tp=2, pp=1, replicas=2), layout={"groups": {"tp": [[0, 1], [2, 3]]}}))
    ],
    fails=lambda: [
        example(
            "tp 2 in one replica, 1 in the other",
            lambda: beside(dense(tp=2, pp=1, replicas=2), layout={"groups": {"tp": [[0, 1], [2], [3]]}}),
        )
    ],
)
def replicas_that_differ(subject: Subject) -> Iterator[Hit]:
    """Replicas of a pool are alike in every degree."""
    yield from layout_hits(subject, "DP009")
