"""DG001."""

from collections.abc import Iterator

from strategy.dag import RESIDUAL
from validators.examples import dense, edit, edit_node, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DG001",
    stage="schema",
    severity="error",
    message="{what} `{name}` occurs more than once{where}",
    hint="rename one of them; a name stands for one thing",
    sources=("chakra: src/converter/pytorch_converter.py:655-671",),
    knowledge="dag-document.md#unique-names-and-known-endpoints",
    passes=lambda: [example("each node id once in its block, `norm` in several blocks", dense)],
    fails=lambda: [
        example("two nodes `norm` in one block", lambda: edit_node(dense(), "attention.qkv", id="norm")),
        example("two blocks `attention`", lambda: edit(dense(), "/blocks/2/name", "attention")),
        example("a node named as the residual stream", lambda: edit_node(dense(), "ffn.act", id=RESIDUAL)),
    ],
)
def repeated_name(subject: Subject) -> Iterator[Hit]:
    """References are by name, so blocks differ by name, nodes differ by id inside a block, and `in` is taken by the residual stream."""
    blocks: set[str] = set()
    for b, block in enumerate(subject.dag.blocks):
        if block.name in blocks:
            yield Hit(f"/blocks/{b}/name", what="block", name=block.name, where="")
        blocks.add(block.name)
        ids = {RESIDUAL}
        for n, node in enumerate(block.nodes):
            if node.id in ids:
                where = (
                    f" in block `{block.name}`"
                    if node.id != RESIDUAL
                    else ", as the stream entering a block and as a node"
                )
                yield Hit(f"/blocks/{b}/nodes/{n}/id", what="id", name=node.id, where=where)
            ids.add(node.id)
