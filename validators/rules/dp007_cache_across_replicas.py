"""DP007."""

from collections.abc import Iterator

from validators.block_graph import collective_axis, feeds_cache, graphs, replica_axes
from validators.examples import insert, moe
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DP007",
    stage="graph",
    severity="error",
    message="`{node}` ({op} over {axis}) brings K and V of {replicas} replicas into one cache",
    hint="remove `{node}`, or give it axis cp: a cache holds the sequences of its own replica",
    sources=("S0 Key properties and Communication", "vllm: docs/serving/data_parallel_deployment.md"),
    knowledge="data-parallel-attention.md#what-may-cross-replicas",
    passes=lambda: named("a cache for each replica", moe),
    fails=lambda: named("K and V gathered over replicas", _gathered),
)
def cache_across_replicas(subject: Subject) -> Iterator[Hit]:
    """Each replica caches the sequences it serves and no others."""
    for graph in graphs(subject):
        crossing = replica_axes(subject.pools_of(graph.block.name))
        for node in graph.block.nodes if crossing else ():
            axis = collective_axis(node)
            if axis is not None and axis in crossing and feeds_cache(graph, node.id):
                yield Hit(graph.path_of(node), node=node.id, op=node.op, axis=axis, replicas=crossing[axis])


def _gathered() -> Subject:
    fields = {"axis": "dp", "dim": "tokens", "role": "kv"}
    subject = insert(moe(), "attention.qkv", id="all", op="all_gather", inputs=["qkv"], **fields)
    block = subject.dag.block("attention")
    assert block is not None
    nodes = [
        n.model_copy(update={"inputs": tuple("qkv" if i == "all" else i for i in n.inputs)})
        if n.op == "attention"
        else n
        for n in block.nodes
    ]
    fixed = block.model_copy(update={"nodes": tuple(nodes)})
    blocks = tuple(fixed if b.name == "attention" else b for b in subject.dag.blocks)
    return Subject(subject.dag.model_copy(update={"blocks": blocks}), subject.model)
