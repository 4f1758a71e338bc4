"""A DAG file and what was said about it: what `validate` prints, whatever the format."""

from collections.abc import Iterable
from dataclasses import dataclass

from api.reading import named, read_source
from api.service import Judgement, judge, resolve_request
from strategy.dag import Dag
from strategy.errors import InputError, UnreadableError
from strategy.request import Problem
from strategy.result import Finding
from validators.documents import Document, Position, read_document


@dataclass(frozen=True)
class Judged:
    """One file with its verdict."""

    document: Document
    judgement: Judgement

    @property
    def name(self) -> str:
        """The file, as the user named it."""
        return self.document.name

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found in this file."""
        return self.judgement.findings

    def position(self, pointer: str) -> Position:
        """Line and column of a finding's place."""
        return self.document.position(pointer)


def open_document(name: str, limit: int) -> Document:
    """A DAG file. Raises `UnreadableError` that names the file when there is no DAG document in it at all."""
    source = read_source(name, limit)
    try:
        return read_document(source.text, name=name)
    except UnreadableError as error:
        raise named(error, name) from None
    except InputError as error:
        raise InputError(f"{name}: {error}", pointer=error.pointer, hint=error.hint) from None


def dag_of(document: Document) -> Dag:
    """The DAG of a document that keeps to the format. Raises `InputError` with line and column where it does not."""
    if document.dag is not None:
        return document.dag
    first = document.findings[0]
    line, column = document.position(first.path)
    where = f"{document.name or 'the document'}:{line}:{column}"
    raise InputError(f"{where}: {first.code} {first.message}", pointer=first.path, hint=first.hint)


def judge_document(document: Document, *, prove: bool) -> Judgement:
    """Findings of the format, or of the rules and the proof when the format holds."""
    if document.dag is None:
        return Judgement(valid=False, findings=document.findings, proof=None)
    problem: Problem | None = None if document.request is None else resolve_request(document.request)
    return judge(document.dag, problem, prove=prove, claims=document.claims)


def summary(files: Iterable[Judged]) -> str:
    """What a run over files amounts to, in a line."""
    judged = list(files)
    found = [finding for file in judged for finding in file.findings]
    errors = sum(finding.severity == "error" for finding in found)
    valid = sum(file.judgement.valid for file in judged)
    others = len(found) - errors
    return f"{valid} of {len(judged)} valid; {_counted(errors, 'error')}, {_counted(others, 'other finding')}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
