"""DG004."""

from collections.abc import Iterator

from strategy.dag import Block
from validators.examples import dense, edit, example
from validators.links import end_of, split_reference
from validators.order import reached
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DG004",
    stage="graph",
    severity="error",
    message="block `{block}`: `{node}` {what}",
    hint="{repair}",
    sources=("S1 §8.1 and §9: every part of the program takes part in its result",),
    knowledge="dag-document.md#connected-branches",
    requires=frozenset({"CM004", "DG001", "DG002", "DG003", "PH007", "PH008", "PH009", "PP008"}),
    passes=lambda: [example("every value is used", dense)],
    fails=lambda: [
        example(
            "a collective that nobody reads",
            lambda: edit(
                dense(), "/blocks/2/nodes/-", {"id": "again", "op": "all_reduce", "axis": "tp", "inputs": ["down"]}
            ),
        ),
        example(
            "a linear that reads nothing",
            lambda: edit(
                dense(), "/blocks/2/nodes/1", {"id": "gate_up", "op": "linear", "weight": "gate_up", "split": "column"}
            ),
        ),
    ],
)
def dangling_node(subject: Subject) -> Iterator[Hit]:
    """Every node lies between what enters a block and what leaves it: the block's output, or a link to another phase or step."""
    linked = _linked(subject)
    for index, block in enumerate(subject.dag.blocks):
        useful = reached(subject.reads(block), [block.output, *linked.get(block.name, ())])
        yield from _hits(subject.reads(block), index, block, useful)
    yield from _unused_links(subject)


def _unused_links(subject: Subject) -> Iterator[Hit]:
    for index, link in enumerate(subject.dag.links):
        for key, text in (("source", link.source), ("target", link.target)):
            phase, block, node = split_reference(text) or ("", "", "")
            if (block, node) in subject.by_name and end_of(subject, text) is None:
                what = f"is joined by a link to {phase}, whose branch does not use the block"
                repair = "name a block of the branch, or delete the link"
                yield Hit(f"/links/{index}/{key}", block=block, node=node, what=what, repair=repair)


def _hits(reads: dict[str, list[str]], index: int, block: Block, useful: set[str]) -> Iterator[Hit]:
    """The ends of what leads nowhere, and what starts from nothing."""
    read_in_vain = {source for name, names in reads.items() if name not in useful for source in names}
    for place, node in enumerate(block.nodes):
        path = f"/blocks/{index}/nodes/{place}"
        if node.id not in useful and node.id not in read_in_vain:
            yield Hit(
                path,
                block=block.name,
                node=node.id,
                what="has a value that nothing uses",
                repair="let a node read it, or delete it",
            )
        elif node.id in useful and not node.inputs and node.op != "ingress":
            yield Hit(path, block=block.name, node=node.id, what="reads nothing", repair="give it `inputs`")


def _linked(subject: Subject) -> dict[str, set[str]]:
    """Nodes by block whose value leaves through a link."""
    found: dict[str, set[str]] = {}
    for link in subject.dag.links:
        parts = split_reference(link.source)
        if parts is not None:
            found.setdefault(parts[1], set()).add(parts[2])
    return found
