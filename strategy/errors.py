"""What can go wrong, as a tree.

MeshwrightError
├── InputError            the caller gave something that cannot be used (names the place, the value and the allowed ones)
│   ├── UnknownNameError  a model, GPU, rule or format nobody knows; carries the nearest names
│   ├── UnplannableModelError  a model that is known and that the domain cannot hold; says why
│   └── UnreadableError   a document that does not parse; carries line and column
├── ProposalError         a proposer could not answer (model unreachable, refused, over budget)
├── KnowledgeError        our own data is broken
└── ExecutionError        the proof met a DAG it cannot run; carries the node

A rejected strategy is a result, never an exception.
"""

from collections.abc import Sequence


class MeshwrightError(Exception):
    """Root of every error that people may read."""


class InputError(MeshwrightError):
    """Input that cannot be used as it stands."""

    def __init__(self, message: str, *, pointer: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer
        self.hint = hint


class UnknownNameError(InputError):
    """A name that is not in the catalogue; `nearest` holds what it may have been meant to be."""

    def __init__(self, kind: str, name: str, nearest: Sequence[str], *, pointer: str = "") -> None:
        hint = f"did you mean {', '.join(f'`{n}`' for n in nearest)}?" if nearest else ""
        super().__init__(f"unknown {kind} `{name[:120]}`", pointer=pointer, hint=hint)
        self.nearest = tuple(nearest)


class UnplannableModelError(InputError):
    """A model that is known and that the domain cannot hold."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="give another model: of this one no plan would be right")


class UnreadableError(InputError):
    """A document that does not parse."""

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.column = column


class ProposalError(MeshwrightError):
    """A proposer could not give a proposal."""


class KnowledgeError(MeshwrightError):
    """A catalogue or knowledge file of ours is broken."""


class ExecutionError(MeshwrightError):
    """The proof met a node it cannot run; `node` is its reference (`branch.block.node`)."""

    def __init__(self, message: str, *, node: str = "") -> None:
        super().__init__(message)
        self.node = node


def plainly(message: str) -> str:
    """What pydantic says, without the `Value error, ` that it puts before words of ours."""
    return message.removeprefix("Value error, ")
