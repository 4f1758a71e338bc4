"""DG000."""

from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DG000",
    stage="schema",
    severity="error",
    message="`{key}` is not part of the format, is missing, or holds a value of another kind",
    hint="write the key and value that the format has there",
    sources=("DAG document format version 1",),
    knowledge="dag-document.md#strategy-dag-document",
)
def unreadable_shape(_subject: Subject) -> tuple[Hit, ...]:
    """A document has the keys and kinds of values of its format; the reader of documents decides it and names the nearest key."""
    return ()
