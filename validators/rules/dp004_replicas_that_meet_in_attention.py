"""DP004."""

from collections.abc import Iterator

from validators.block_graph import BlockGraph, collective_axis, feeds_cache, graphs, replica_axes, weight_of
from validators.examples import insert, moe
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject

_ATTENTION_WEIGHTS = frozenset(
    {"qkv", "qkv_a", "q", "kv_a", "q_b", "kv_b", "w_uk", "w_uv", "attention_out", "linear_in", "linear_out"}
)


@rule(
    code="DP004",
    stage="graph",
    severity="error",
    message="`{node}` ({op} over {axis}) joins attention of {replicas} replicas, which serve different sequences",
    hint="remove `{node}`, or give it axis tp: only experts, a gathered dense FFN, a gathered head and step_sync cross replicas",
    sources=(
        "S2 Understanding replica coordination",
        "vllm: docs/serving/data_parallel_deployment.md",
        "sglang: layers/dp_attention.py:1046-1120",
    ),
    knowledge="data-parallel-attention.md#what-may-cross-replicas",
    settles=("X5",),
    passes=lambda: named("only experts cross replicas", moe),
    fails=lambda: named(
        "attention outputs summed over replicas",
        lambda: insert(moe(), "attention.o", id="mix", op="all_reduce", axis="dp", inputs=["o"]),
    ),
)
def replicas_that_meet_in_attention(subject: Subject) -> Iterator[Hit]:
    """Attention replicas share experts and step boundaries, never attention: their sequences and caches have nothing to do with each other."""
    for graph in graphs(subject):
        crossing = replica_axes(subject.pools_of(graph.block.name))
        attention = _attention_nodes(graph)
        for node in graph.block.nodes if crossing else ():
            axis = collective_axis(node)
            if (
                axis is not None
                and axis in crossing
                and graph.near(node.id, attention)
                and not feeds_cache(graph, node.id)
            ):
                yield Hit(graph.path_of(node), node=node.id, op=node.op, axis=axis, replicas=crossing[axis])


def _attention_nodes(graph: BlockGraph) -> frozenset[str]:
    """Nodes that compute attention, or project into it or out of it."""
    chosen = (
        n for n in graph.block.nodes if n.op in ("attention", "kv_cache_update") or weight_of(n) in _ATTENTION_WEIGHTS
    )
    return frozenset(n.id for n in chosen)
