"""EP017."""

from collections.abc import Iterator

from strategy.dag import AnyNode
from strategy.ops import COLLECTIVES
from strategy.placement import refine
from strategy.strategy import Pool
from validators.block_graph import collective_axis, graphs, role_of
from validators.examples import edit_node, moe
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject

MOST_EXPERTS = 16
"""A layer has one expert node; of a block with many, the first ones are looked at here, and all of them by the typing pass."""


@rule(
    code="EP017",
    stage="graph",
    severity="error",
    message="dispatch of `{expert}` goes over {sent}, combine over {returned}: not the same ranks take part in both",
    hint="give both collectives the axes {sent}",
    sources=("vllm: v1/engine/core.py:2503-2507", "S2 Synchronization: all replicas must be present"),
    knowledge="expert-parallelism.md#every-rank-takes-part",
    settles=("X18",),
    passes=lambda: named("both over ep", moe),
    fails=lambda: named("dispatch over ep, combine over tp", lambda: edit_node(moe(), "moe.combine", axis="tp")),
)
def partial_expert_group(subject: Subject) -> Iterator[Hit]:
    """Every rank of an EP group enters dispatch and combine in every step, or the others wait for it for ever."""
    for graph in graphs(subject):
        for expert in graph.of_op("expert")[:MOST_EXPERTS]:
            dispatch = _with_role(graph.upstream(expert.id, *COLLECTIVES), "dispatch")
            combine = _with_role(graph.downstream(expert.id, *COLLECTIVES), "combine")
            differ = any(_ranks(pool, dispatch) != _ranks(pool, combine) for pool in subject.pools_of(graph.block.name))
            if dispatch and combine and differ:
                yield Hit(
                    f"{graph.path_of(combine[0])}/axis",
                    expert=expert.id,
                    sent=_axes(dispatch),
                    returned=_axes(combine),
                )


def _with_role(nodes: list[AnyNode], role: str) -> list[AnyNode]:
    return [node for node in nodes if role_of(node) == role]


def _axes(nodes: list[AnyNode]) -> str:
    return " and ".join(axis for node in nodes if (axis := collective_axis(node)))


def _ranks(pool: Pool, nodes: list[AnyNode]) -> frozenset[int]:
    """The digits of a rank's place that these collectives together run over: equal digits are equal groups, whatever the axis is called."""
    digits = refine(pool)
    axes = [axis for node in nodes if (axis := collective_axis(node))]
    return frozenset() if digits is None else frozenset(d for axis in axes for d in digits.of(axis))
