"""RL005."""

from collections.abc import Iterator

from validators.examples import beside, example, moe
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RL005",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("vllm: distributed/parallel_state.py:2328-2338", "sglang: distributed/parallel_state.py moe_ep groups"),
    knowledge="rank-layout.md#expert-groups",
    passes=lambda: [
        example("ep over a stage", lambda: beside(moe(tp=1, dp=4, ep=4), layout={"groups": {"ep": [[0, 1, 2, 3]]}}))
    ],
    fails=lambda: [
        example(
            "ep strided where it is contiguous",
            lambda: beside(moe(tp=1, dp=4, ep=2, moe_tp=1), layout={"groups": {"ep": [[0, 2], [1, 3]]}}),
        )
    ],
)
def expert_groups_of_other_ranks(subject: Subject) -> Iterator[Hit]:
    """An ep group is a block of the expert mesh of one stage, in the declared order of the mesh."""
    yield from layout_hits(subject, "RL005")
