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
    requires=frozenset({"DG001", "DG002", "DG007", "PH007", "PH008"}),
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
            if source is not None and (right := _right_kind(edge, source, place)):
                yield _hit(f"{place.path}/inputs/{index}", edge.kind, source.node, place.node, right)
            elif edge.source == RESIDUAL and edge.kind != "data":
                yield _hit(f"{place.path}/inputs/{index}", edge.kind, None, place.node, "data")
    for joined in joined_links(subject):
        right = "sync" if carries_kv(joined) else "data" if carries_token(joined) else ""
        if right and joined.link.kind != right:
            yield _hit(f"{joined.path}/kind", joined.link.kind, joined.source.place, joined.target.place, right)


def _right_kind(edge: Edge, source: Place, target: Place) -> str:
    """The kind that an edge should have, or an empty string when it has it."""
    crossing = source.node.op == "send" and target.node.op == "recv"
    if crossing:
        return "" if edge.kind == "pipeline" else "pipeline"
    if edge.kind == "pipeline":
        return "data"
    touched = {op_kind(source.node.op), op_kind(target.node.op)}
    return "data" if edge.kind == "sync" and touched == {"compute"} else ""


def _hit(path: str, kind: str, source: Place, target: Place, right: str) -> Hit:
    written = source.node.id if right == "data" else f"{right}:{source.node.id}"
    repair = f"set kind: {right}" if path.startswith("/links") else f"write `{written}`"
    return Hit(path, kind=kind, source=source.node.id, source_op=source.node.op, target=target.node.id, target_op=target.node.op,
               right=right, repair=repair)  # fmt: skip
