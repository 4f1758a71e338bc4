"""TP013."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP013",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("vllm: config/parallel.py:964-968",),
    knowledge="tensor-parallelism.md#one-size-everywhere",
    passes=lambda: [
        example(
            "the groups of TP2 x PP2",
            lambda: beside(dense(tp=2, pp=2), layout={"groups": {"tp": [[0, 1], [2, 3]], "pp": [[0, 2], [1, 3]]}}),
        )
    ],
    fails=lambda: [
        example(
            "two ranks in a stage, one and one in the next",
            lambda: beside(dense(tp=2, pp=2), layout={"groups": {"tp": [[0, 1], [2], [3]]}}),
        )
    ],
)
def tp_sizes_that_differ(subject: Subject) -> Iterator[Hit]:
    """One tp size holds for all stages."""
    yield from layout_hits(subject, "TP013")
