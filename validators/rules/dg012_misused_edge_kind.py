"""DG012."""

from collections.abc import Iterator

from strategy.dag import Edge, edges
from strategy.ops import op_kind
from validators.examples import dense, edit, edit_node, example
from validators.links import carries_kv, carries_token, joined_links
from validators.registry import Hit, rule
from validators.subject import Place, Subject


@rule(
    code="DG012",
    stage="graph",
    severity="error",
    message="the {kind} edge from `{source}` ({source_op}) to `{target}` ({target_op}) should be {right}",
    hint="{repair}",
    sources=("S1 §8.2, §3.4, §4.3",),
    knowledge="dag-document.md#edge-kinds",
    settles=("X4",),
    requires=frozenset({"DG001", "DG002", "DG003", "DG007", "PH007", "PH008"}),
    passes=lambda: [example("send to recv by pipeline, cache to attention by sync", dense)],
    fails=lambda: [
        example(
            "pipeline between two nodes of a stage", lambda: edit_node(dense(), "ffn.act", inputs=["pipeline:gate_up"])
        ),
        example("recv that reads data", lambda: edit_node(dense(), "boundary.recv", inputs=["send"])),
        example("sync between two computations", lambda: edit_node(dense(), "ffn.down", inputs=["act", "sync:norm"])),
        example("the sampled token as order only", lambda: edit(dense(), "/links/3/kind", "sync")),
    ],
)
def misused_edge_kind(subject: Subject) -> Iterator[Hit]:
    """Pipeline edges join a send to its recv, sync edges order or carry state and touch communication or control, data is the rest."""
    for place in subject.places:
        for index, edge in enumerate(edges(place.node)):
            source = subject.by_name.get((place.block.name, edge.source))
            source_op = "residual stream" if source is None else source.node.op
            right = _right_kind(edge, source_op, place.node.op)
            if right:
                repair = f"write `{edge.source if right == 'data' else f'{right}:{edge.source}'}`"
                yield _hit(f"{place.path}/inputs/{index}", edge, source_op, place, right, repair)
    for joined in joined_links(subject):
        right = "sync" if carries_kv(joined) else "data" if carries_token(joined) else ""
        if right and joined.link.kind != right:
            source = joined.source.place
            edge = Edge(source.node.id, joined.link.kind)
            yield _hit(f"{joined.path}/kind", edge, source.node.op, joined.target.place, right, f"set kind: {right}")


def _right_kind(edge: Edge, source_op: str, target_op: str) -> str:
    """The kind that an edge should have, or an empty string when it has it."""
    if target_op == "recv" and source_op == "send":
        return "" if edge.kind == "pipeline" else "pipeline"
    if edge.kind == "pipeline":
        return "" if target_op == "recv" else "data"  # CM004 speaks of a recv that reads no send
    if edge.kind == "sync" and source_op == "residual stream":
        return "data"
    touched = {op_kind(source_op), op_kind(target_op)}
    return "data" if edge.kind == "sync" and touched == {"compute"} else ""


def _hit(path: str, edge: Edge, source_op: str, target: Place, right: str, repair: str) -> Hit:
    return Hit(
        path,
        kind=edge.kind,
        source=edge.source,
        source_op=source_op,
        target=target.node.id,
        target_op=target.node.op,
        right=right,
        repair=repair,
    )
