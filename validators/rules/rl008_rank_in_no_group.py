"""RL008."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RL008",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("vllm: distributed/parallel_state.py",),
    knowledge="rank-layout.md#one-group-per-axis",
    passes=lambda: [
        example(
            "the groups of TP2 x PP2",
            lambda: beside(dense(tp=2, pp=2), layout={"groups": {"tp": [[0, 1], [2, 3]], "pp": [[0, 2], [1, 3]]}}),
        )
    ],
    fails=lambda: [
        example("one pipeline left out", lambda: beside(dense(tp=2, pp=2), layout={"groups": {"pp": [[0, 2]]}}))
    ],
)
def rank_in_no_group(subject: Subject) -> Iterator[Hit]:
    """Each rank is in exactly one group of every axis."""
    yield from layout_hits(subject, "RL008")
