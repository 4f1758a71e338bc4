"""AT008."""

from collections.abc import Iterator

from validators.block_graph import BlockGraph, graphs
from validators.examples_moe import DEEPSEEK_V3, named, planned, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="AT008",
    stage="graph",
    severity="error",
    message="`{node}` of block `{block}`: dcp_size={dcp} splits its cache by positions, yet no query is gathered before it and no output combined after it",
    hint="add an all_gather of heads over tp before `{node}` and a reduce_scatter of heads over tp after it, or set dcp_size to 1",
    sources=("vllm: v1/attention/ops/dcp.py:436-500", "vllm: v1/worker/cp_utils.py:47-54"),
    knowledge="decode-context-parallelism.md#the-exchange",
    requires=frozenset({"AT006", "AT007"}),
    passes=lambda: named("TP8, no DCP", lambda: planned(DEEPSEEK_V3, tp=8, ep=8, ep_lowering="replicated")),
    fails=lambda: named(
        "DCP8 without an exchange",
        lambda: with_pool(planned(DEEPSEEK_V3, tp=8, ep=8, ep_lowering="replicated"), dcp_size=8),
    ),
)
def decode_context_without_exchange(subject: Subject) -> Iterator[Hit]:
    """A rank that holds some positions of every head sees a part of each softmax, so queries go to all and partial outputs are merged."""
    decode = subject.dag.strategy.pool_for("decode")
    if decode.dcp_size == 1:
        return
    for graph in graphs(subject):
        if graph.block.name not in subject.block_names("decode"):
            continue
        for node in graph.of_op("attention"):
            if not _exchanges(graph, node.id):
                yield Hit(graph.path_of(node), node=node.id, block=graph.block.name, dcp=decode.dcp_size)


def _exchanges(graph: BlockGraph, attention: str) -> bool:
    """Whether heads are gathered before attention and its outputs merged after it."""
    before = any(n.op == "all_gather" and n.dim == "heads" for n in graph.upstream(attention, "all_gather"))
    after = bool(graph.downstream(attention, "reduce_scatter", "all_to_all"))
    return before and after
