"""CM008."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CM008",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S1 §6.2.4, §6.2.6, §6.3.3", "vllm: distributed/parallel_state.py:2328-2338"),
    knowledge="collectives.md#not-across-stages",
    passes=lambda: [
        example(
            "the groups of TP2 x PP2",
            lambda: beside(dense(tp=2, pp=2), layout={"groups": {"tp": [[0, 1], [2, 3]], "pp": [[0, 2], [1, 3]]}}),
        )
    ],
    fails=lambda: [
        example(
            "a tp group over both stages",
            lambda: beside(dense(tp=2, pp=2), layout={"groups": {"tp": [[0, 2], [1, 3]]}}),
        )
    ],
)
def collective_over_two_stages(subject: Subject) -> Iterator[Hit]:
    """Stages of a pipeline meet in send and recv only, so no group holds ranks of two stages."""
    yield from layout_hits(subject, "CM008")
