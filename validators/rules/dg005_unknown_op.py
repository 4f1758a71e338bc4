"""DG005."""

from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DG005",
    stage="schema",
    severity="error",
    message="there is no op `{op}`",
    hint="use one of the ops of the format",
    sources=("S1 §8.1, extended", "chakra: schema/protobuf/et_def.proto NodeType, CollectiveCommType"),
    knowledge="dag-document.md#closed-set-of-ops",
    settles=("X9",),
)
def unknown_op(_subject: Subject) -> tuple[Hit, ...]:
    """Ops come from one closed table; the reader of documents decides it and names the nearest op."""
    return ()
