"""DP010."""

from collections.abc import Iterator

from validators.block_graph import collective_axis, graphs
from validators.examples import dense, insert
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DP010",
    stage="graph",
    severity="warning",
    message="`{node}` ({op} over {axis}) moves sampled tokens between GPUs",
    hint="remove `{node}`: hosts collect the answers of all replicas",
    sources=("S0 Communication: optional output gathering",),
    knowledge="data-parallelism.md#gathering-outputs",
    passes=lambda: named("sampling ends the head", dense),
    fails=lambda: named(
        "tokens broadcast after sampling",
        lambda: insert(dense(), "head_decode.sample", id="collect", op="broadcast", axis="tp", inputs=["sample"]),
    ),
)
def collective_after_sampling(subject: Subject) -> Iterator[Hit]:
    """Answers leave the GPUs anyway, so gathering them there is work for nothing."""
    for graph in graphs(subject):
        for node in graph.block.nodes:
            axis = collective_axis(node)
            if axis is not None and graph.upstream(node.id, "sample"):
                yield Hit(graph.path_of(node), node=node.id, op=node.op, axis=axis)
