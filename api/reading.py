"""Files and standard input, read within limits, with errors that name the file, the line and the column."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from api.errors import ShapeError
from api.service import fit
from strategy.errors import UnreadableError
from validators.documents import pointer_positions, read_data

T = TypeVar("T")
STDIN = "-"


@dataclass(frozen=True)
class Source:
    """A text and where it comes from."""

    name: str
    text: str

    @property
    def folder(self) -> Path:
        """Where paths inside the text start."""
        return Path() if self.name == STDIN else Path(self.name).parent


def read_source(name: str, limit: int) -> Source:
    """A file, or standard input for `-`. Raises `UnreadableError`."""
    data = _read_bytes(name, limit)
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableError(f"{name}:{line}: not UTF-8 text (byte {error.start})", line=line) from None


def read_lines(name: str, limit: int) -> Iterator[tuple[int, str]]:
    """Non-empty lines of a file with their numbers."""
    for number, line in enumerate(read_source(name, limit).text.split("\n"), start=1):
        if line.strip():
            yield number, line


def data_of(source: Source) -> Any:
    """Plain data of a YAML or JSON text. Raises `UnreadableError` that names the file, line and column."""
    try:
        return read_data(source.text, strict_json=source.name.endswith(".json"))
    except UnreadableError as error:
        raise named(error, source.name) from None


def fit_source(kind: type[T], data: object, source: Source, what: str) -> T:
    """`data`, which came from `source`, as a value of `kind`; what does not fit is told with line and column."""
    try:
        return fit(kind, data, what)
    except ShapeError as error:
        positions = dict(pointer_positions(source.text))
        places = []
        for place in error.places:
            line, column = positions.get(_known(place.pointer, positions), (1, 1))
            places.append(place.model_copy(update={"line": line, "column": column}))
        message = f"{source.name}:{places[0].line}:{places[0].column}: {error}"
        raise ShapeError(message, places) from None


def with_model_file(data: Any, source: Source, limit: int) -> Any:
    """A request whose `model` is the path of a `config.json`, with the file's content in its place."""
    name = data.get("model") if isinstance(data, dict) else None
    if not isinstance(name, str) or not name.endswith(".json"):
        return data
    path = next((p for p in (source.folder / name, Path(name)) if p.is_file()), Path(name))
    return {**data, "model": data_of(read_source(str(path), limit))}


def named(error: UnreadableError, name: str) -> UnreadableError:
    """The error with its place in front, as compilers write it: `file:line:column: message`."""
    parts = [name, *(str(n) for n in (error.line, error.column) if n is not None)]
    message = f"{':'.join(parts)}: {error}"
    return UnreadableError(message, line=error.line, column=error.column, hint=error.hint)


def _known(pointer: str, positions: dict[str, Any]) -> str:
    """The pointer, or its nearest parent that stands in the text."""
    while pointer and pointer not in positions:
        pointer = pointer.rpartition("/")[0]
    return pointer


def _read_bytes(name: str, limit: int) -> bytes:
    try:
        if name == STDIN:
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise UnreadableError(f"{name}: {error.strerror or error}") from None
    except ValueError as error:
        raise UnreadableError(f"{name[:200]!r}: {error}") from None
    if len(data) > limit:
        hint = "raise MESHWRIGHT_MAX_DOCUMENT_BYTES if that is meant"
        raise UnreadableError(f"{name}: larger than {limit:,} bytes", hint=hint)
    return data
