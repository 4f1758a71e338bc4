"""RL006."""

from collections.abc import Iterator

from validators.examples import beside, example, moe
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RL006",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("sglang: distributed/parallel_state.py moe_ep and moe_tp groups", "tensorrt-llm: mapping.py"),
    knowledge="rank-layout.md#expert-mesh-order",
    passes=lambda: [
        example(
            "ep strided, expert tp contiguous",
            lambda: beside(moe(tp=1, dp=4, ep=2, moe_tp=2), layout={"groups": {"ep": [[0, 2], [1, 3]]}}),
        )
    ],
    fails=lambda: [
        example(
            "the other order",
            lambda: beside(moe(tp=1, dp=4, ep=2, moe_tp=2), layout={"groups": {"ep": [[0, 1], [2, 3]]}}),
        )
    ],
)
def expert_groups_of_the_other_order(subject: Subject) -> Iterator[Hit]:
    """Whether ep or expert tp runs fastest is declared (moe_layout), and the groups follow it."""
    yield from layout_hits(subject, "RL006")
