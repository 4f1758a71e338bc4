"""DG007."""

from collections.abc import Iterator

from strategy.dag import Link, edges
from validators.examples import dense, edit, edit_node, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DG007",
    stage="graph",
    severity="error",
    message="the {kind} edge from `{source}` to `{target}` {what}",
    hint="delete it",
    sources=("S1 §8.2",),
    knowledge="dag-document.md#inputs-are-edges",
    requires=frozenset({"DG001"}),
    passes=lambda: [example("data and sync from one node are two edges", dense)],
    fails=lambda: [
        example("a node that reads itself", lambda: edit_node(dense(), "ffn.add", inputs=["in", "reduce", "sync:add"])),
        example("the same input twice", lambda: edit_node(dense(), "ffn.add", inputs=["reduce", "in", "in"])),
        example("the same link twice", lambda: edit(dense(), "/links/-", dense().dag.links[0].model_dump())),
    ],
)
def repeated_edge(subject: Subject) -> Iterator[Hit]:
    """An edge joins two different nodes, and is written once."""
    for place in subject.places:
        seen = set()
        for index, edge in enumerate(edges(place.node)):
            itself = edge.source == place.node.id
            if itself or edge in seen:
                path, what = f"{place.path}/inputs/{index}", "joins a node to itself" if itself else "is written twice"
                yield Hit(path, kind=edge.kind, source=edge.source, target=place.node.id, what=what)
            seen.add(edge)
    known: set[Link] = set()
    for index, link in enumerate(subject.dag.links):
        if link in known or link.source == link.target:
            what = "is written twice" if link in known else "joins a node to itself"
            yield Hit(f"/links/{index}", kind=link.kind, source=link.source, target=link.target, what=what)
        known.add(link)
