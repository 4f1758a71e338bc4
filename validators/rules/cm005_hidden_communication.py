"""CM005."""

from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CM005",
    stage="schema",
    severity="error",
    message="`{key}` hides communication in a node",
    hint="delete it and write the collective as a node of its own, with its axis",
    sources=("S1 §7.3 and §6.4.1, against S1 TP §3.4",),
    knowledge="dag-document.md#communication-is-explicit",
    settles=("X3", "X4"),
)
def hidden_communication(_subject: Subject) -> tuple[Hit, ...]:
    """Every collective is a node; no field of the format lets another node communicate, and the reader of documents says so."""
    return ()
