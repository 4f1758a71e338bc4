"""DG008."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DG008",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("tensorrt-llm: mapping.py MappingBase.rank", "astra-sim: workload/Workload.cc:604-608"),
    knowledge="dag-document.md#ranks-and-groups",
    passes=lambda: [
        example(
            "the groups of TP2 x PP2",
            lambda: beside(dense(tp=2, pp=2), layout={"groups": {"tp": [[0, 1], [2, 3]], "pp": [[0, 2], [1, 3]]}}),
        )
    ],
    fails=lambda: [
        example("rank 8 of four ranks", lambda: beside(dense(tp=2, pp=2), layout={"groups": {"tp": [[0, 1], [2, 8]]}}))
    ],
)
def rank_that_does_not_exist(subject: Subject) -> Iterator[Hit]:
    """Ranks are whole numbers below the world size, and no other."""
    yield from layout_hits(subject, "DG008")
