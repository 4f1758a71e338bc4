"""DG003."""

from collections.abc import Iterator

from validators.examples import dense, edit_node, example
from validators.order import shortest_cycle
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DG003",
    stage="graph",
    severity="error",
    message="block `{block}`: each of these nodes waits for the next, and the last for the first: {cycle}",
    hint="take one of these inputs away; state for the next step goes through a link with loop: true",
    sources=("chakra: src/converter/pytorch_converter.py:538-600",),
    knowledge="dag-document.md#acyclic-without-loop-edges",
    settles=("X14",),
    requires=frozenset({"DG001", "DG002"}),
    passes=lambda: [example("loop edges are links, not inputs", dense)],
    fails=lambda: [
        example("gate_up waits for down", lambda: edit_node(dense(), "ffn.gate_up", inputs=["reduce"])),
    ],
)
def cycle(subject: Subject) -> Iterator[Hit]:
    """Without loop edges the graph is acyclic, so that it can run."""
    for index, block in enumerate(subject.dag.blocks):
        found = shortest_cycle(subject.reads(block))
        if found:
            place = next(n for n, node in enumerate(block.nodes) if node.id == found[0])
            yield Hit(f"/blocks/{index}/nodes/{place}/inputs", block=block.name, cycle=" -> ".join(found[:20]))
