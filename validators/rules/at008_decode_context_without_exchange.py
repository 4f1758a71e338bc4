"""AT008."""

from collections.abc import Iterator

from strategy.strategy import Pool
from validators.block_graph import BlockGraph, collective_axis, graphs
from validators.examples import mla
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
    requires=frozenset({"AT006", "AT007", "AT012"}),
    passes=lambda: [
        *named("TP8, no DCP", lambda: planned(DEEPSEEK_V3, tp=8, ep=8, ep_lowering="replicated")),
        *named("TP8, DCP8", lambda: planned(DEEPSEEK_V3, tp=8, ep=8, ep_lowering="replicated", dcp_size=8)),
        *named("the cp ranks of the prompt keep their part of it", _context_ranks),
    ],
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
            if not _exchanges(graph, node.id, decode):
                yield Hit(graph.path_of(node), node=node.id, block=graph.block.name, dcp=decode.dcp_size)


def _exchanges(graph: BlockGraph, attention: str, pool: Pool) -> bool:
    """Whether heads are gathered before attention, where tp ranks have some each, and its outputs merged after it."""
    gathered = any(n.op == "all_gather" and n.dim == "heads" for n in graph.upstream(attention, "all_gather"))
    scattered = bool(graph.downstream(attention, "reduce_scatter", "all_to_all"))
    summed = any(collective_axis(n) in ("cp", "dcp") for n in graph.downstream(attention, "all_reduce"))
    return (gathered or pool.attention.tp_size == 1) and (scattered or summed)


def _context_ranks() -> Subject:
    return mla(tp=1, dp=1, cp=2, ep=2, sp_kind="cp_allgather", cp_decode_use="dcp", dcp_size=2)
