"""PP006."""

from collections.abc import Iterator

from strategy.dag import Send
from validators.examples import dense, edit_node, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP006",
    stage="graph",
    severity="error",
    message="block `{block}`: `{node}` sends {offset} stages ahead",
    hint="leave `stage_offset` out, or set it to 1: each stage hands over to the next",
    sources=("S1 §4.3",),
    knowledge="pipeline-parallelism.md#no-skipped-or-backward-edges",
    requires=frozenset({"DG001"}),
    passes=lambda: [
        example("to the next stage", dense),
        example("said", lambda: edit_node(dense(), "boundary.send", stage_offset=1)),
    ],
    fails=lambda: [
        example("past the next stage", lambda: edit_node(dense(tp=1, pp=4), "boundary.send", stage_offset=2))
    ],
)
def skipped_stage(subject: Subject) -> Iterator[Hit]:
    """Layers run in order, so no edge passes a stage over."""
    for place in subject.places:
        if isinstance(place.node, Send) and place.node.stage_offset not in (None, 1):
            yield Hit(
                f"{place.path}/stage_offset", block=place.block.name, node=place.node.id, offset=place.node.stage_offset
            )
