"""TP010."""

from collections.abc import Iterator

from strategy.dag import AnyNode
from validators.block_graph import BlockGraph, collective_axis, graphs, pools_of
from validators.examples_moe import LLAMA_8B, named, planned, with_node_after
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP010",
    stage="graph",
    severity="warning",
    message="`{node}` ({op} over tp) lies between the column-split `{column}` and the row-split `{row}`, which need nothing between them",
    hint="remove `{node}` and let its reader take its input directly",
    sources=("S3 Tensor parallelism: each half further goes through the down projection",),
    knowledge="tensor-parallelism.md#column-then-row",
    passes=lambda: named("gate_up, activation, down", lambda: planned(LLAMA_8B, tp=4)),
    fails=lambda: named(
        "an all_gather before down",
        lambda: with_node_after(
            planned(LLAMA_8B, tp=4), "ffn", "act", "gather", "all_gather", axis="tp", dim="hidden"
        ),
    ),
)
def collective_inside_a_matrix_pair(subject: Subject) -> Iterator[Hit]:
    """A column-split matrix yields exactly the shard that the row-split one after it takes: a collective between them is cost only."""
    for graph in graphs(subject):
        if any(pool.dcp_size > 1 for pool in pools_of(subject, graph.block.name)):
            continue  # dcp exchanges heads and partial outputs over tp ranks (AT008)
        for node in graph.block.nodes:
            if collective_axis(node) != "tp":
                continue
            column, row = _pair_around(graph, node)
            if column and row:
                yield Hit(graph.path_of(node), node=node.id, op=node.op, column=column, row=row)


def _pair_around(graph: BlockGraph, node: AnyNode) -> tuple[str | None, str | None]:
    """Nearest linear before and after `node`, when they are a column-split and a row-split one."""
    before = next((n for n in graph.upstream(node.id) if n.op == "linear"), None)
    after = next((n for n in graph.downstream(node.id) if n.op == "linear"), None)
    column = before.id if before is not None and getattr(before, "split", "") == "column" else None
    row = after.id if after is not None and getattr(after, "split", "") == "row" else None
    return column, row
