"""EP017."""

from collections.abc import Iterator

from strategy.dag import AnyNode
from validators.block_graph import BlockGraph, collective_axis, graphs, role_of
from validators.examples import edit_node, moe
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP017",
    stage="graph",
    severity="error",
    message="dispatch of `{expert}` goes over {sent}, combine over {returned}: not the same ranks take part in both",
    hint="give both collectives the axes {sent}",
    sources=("vllm: v1/engine/core.py:2503-2507", "S2 Synchronization: all replicas must be present"),
    knowledge="expert-parallelism.md#every-rank-takes-part",
    settles=("X18",),
    passes=lambda: named("both over ep", lambda: moe()),
    fails=lambda: named("dispatch over ep, combine over tp", lambda: edit_node(moe(), "moe.combine", axis="tp")),
)
def partial_expert_group(subject: Subject) -> Iterator[Hit]:
    """Every rank of an EP group enters dispatch and combine in every step, or the others wait for it for ever."""
    for graph in graphs(subject):
        for expert in graph.of_op("expert"):
            sent = _axes(graph.upstream(expert.id), "dispatch")
            returned = _axes(graph.downstream(expert.id), "combine")
            if sent and returned and sorted(sent) != sorted(returned):
                yield Hit(
                    _first_combine(graph, expert),
                    expert=expert.id,
                    sent=" and ".join(sent),
                    returned=" and ".join(returned),
                )


def _axes(nodes: list[AnyNode], role: str) -> list[str]:
    return [axis for node in nodes if role_of(node) == role and (axis := collective_axis(node))]


def _first_combine(graph: BlockGraph, expert: AnyNode) -> str:
    combine = next(node for node in graph.downstream(expert.id) if role_of(node) == "combine")
    return f"{graph.path_of(combine)}/axis"
