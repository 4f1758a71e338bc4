"""DG000."""

from collections.abc import Iterator

from strategy.dag import MAX_NODES
from validators.examples import dense, edit, example
from validators.links import layer_shapes
from validators.registry import Hit, rule
from validators.subject import Subject

MAX_LAYERS = 10_000
MAX_LAYER_NODES = 200_000


@rule(
    code="DG000",
    stage="schema",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("DAG document format version 1",),
    knowledge="dag-document.md#strategy-dag-document",
    passes=lambda: [example("27 nodes", dense)],
    fails=lambda: [
        example("a layer that repeats its blocks beyond all bounds", _repeated),
        example("layers without blocks", lambda: edit(dense(), "/branches/prefill/layers/0/blocks", [])),
    ],
)
def unreadable_shape(subject: Subject) -> Iterator[Hit]:
    """A document has the keys, the kinds of values and the size of its format; keys and kinds are decided when it is read."""
    nodes = subject.dag.num_nodes
    if nodes > MAX_NODES:
        what = f"the document has {nodes:,} nodes; at most {MAX_NODES:,} are judged"
        yield Hit("/blocks", what=what, repair="write what layers share as one block")
    if subject.model.num_layers > MAX_LAYERS:
        what = f"the model has {subject.model.num_layers:,} layers; at most {MAX_LAYERS:,} are judged"
        yield Hit("/model", what=what, repair="correct num_layers")
    yield from _without_blocks(subject)
    sizes = {block.name: len(block.nodes) for block in subject.dag.blocks}
    for phase, branch, path in subject.branches():
        total = sum(sizes.get(name, 0) for shape in layer_shapes(branch, path) for name in shape.blocks)
        if total > MAX_LAYER_NODES:
            what = f"the different layers of {phase} have {total:,} nodes; at most {MAX_LAYER_NODES:,} are judged"
            yield Hit(f"{path}/layers", what=what, repair="let equal layers share one stamp")


def _without_blocks(subject: Subject) -> Iterator[Hit]:
    """Layers that name no block, though the model has attention, a recurrence or an FFN there."""
    for _, branch, path in subject.branches():
        for index, stamp in enumerate(branch.layers):
            layers = range(stamp.range[0], min(stamp.range[1], subject.model.num_layers))
            if stamp.blocks or all(subject.model.layer_kind(layer) == ("none", "none") for layer in layers):
                continue
            what = (
                f"layers {stamp.range[0]} to {stamp.range[1] - 1} have no blocks, which {subject.model.name} has there"
            )
            yield Hit(f"{path}/layers/{index}/blocks", what=what, repair="name the blocks of these layers")


def _repeated() -> Subject:
    nodes = [{"id": f"n{i}", "op": "activation", "inputs": ["in"]} for i in range(4_000)]
    big = edit(edit(dense(), "/blocks/2/nodes", nodes), "/blocks/2/output", "n0")
    return edit(big, "/branches/prefill/layers/0/blocks", ["ffn"] * 64)
