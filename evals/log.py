"""A run's log: one JSON line for the run, one for each sample, so that it can be read, compared and scored again without a model."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals.suite import Score


@dataclass(frozen=True)
class RunHeader:
    """What was run."""

    suite: str
    proposer: str
    version: str
    samples: int


@dataclass(frozen=True)
class Entry:
    """One solved and scored sample."""

    sample: str
    output: dict[str, Any]
    scores: tuple[Score, ...]
    ms: float
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether every scorer that spoke gave full marks, and at least one spoke."""
        return not self.error and bool(self.scores) and all(score.value == 1 for score in self.scores)


@dataclass(frozen=True)
class Log:
    """One suite's run."""

    header: RunHeader
    entries: tuple[Entry, ...]

    @property
    def passed(self) -> bool:
        """Whether every sample passed; a run without samples has shown nothing and fails."""
        return bool(self.entries) and all(entry.passed for entry in self.entries)


def write(log: Log, folder: Path) -> Path:
    """Write `<folder>/<suite>.jsonl` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{log.header.suite}.jsonl"
    lines = [json.dumps({"run": asdict(log.header)}), *(json.dumps({"entry": asdict(entry)}) for entry in log.entries)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> Log:
    """Read a log back."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return Log(RunHeader(**rows[0]["run"]), tuple(_entries(row["entry"] for row in rows[1:])))


def _entries(rows: Iterable[dict[str, Any]]) -> Iterator[Entry]:
    for row in rows:
        yield Entry(**{**row, "scores": tuple(Score(**score) for score in row["scores"])})
