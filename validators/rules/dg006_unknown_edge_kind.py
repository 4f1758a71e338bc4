"""DG006."""

from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DG006",
    stage="schema",
    severity="error",
    message="there is no edge kind `{kind}`",
    hint="use data for tensors, pipeline from a send to its recv, sync for order or state",
    sources=("S1 §8.2",),
    knowledge="dag-document.md#edge-kinds",
    settles=("X4",),
)
def unknown_edge_kind(_subject: Subject) -> tuple[Hit, ...]:
    """Edges carry data, order, or a tensor to the next stage; the reader of documents decides it."""
    return ()
