"""EP008."""

from collections.abc import Iterator

from validators.examples import beside, example, moe
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP008",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S1 §6.2.6, §6.3.3", "vllm: distributed/parallel_state.py:2324-2338"),
    knowledge="expert-parallelism.md#the-group-stays-in-one-stage",
    passes=lambda: [
        example(
            "one group a stage",
            lambda: beside(
                moe(tp=2, dp=1, ep=2, pp=2, ep_lowering="replicated"), layout={"groups": {"ep": [[0, 1], [2, 3]]}}
            ),
        )
    ],
    fails=lambda: [
        example(
            "one group for both",
            lambda: beside(
                moe(tp=2, dp=1, ep=2, pp=2, ep_lowering="replicated"), layout={"groups": {"ep": [[0, 1, 2, 3]]}}
            ),
        )
    ],
)
def expert_group_over_two_stages(subject: Subject) -> Iterator[Hit]:
    """Tokens of a layer meet their experts inside the stage that holds the layer; the group may span attention replicas."""
    yield from layout_hits(subject, "EP008")
