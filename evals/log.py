"""A run's log: one file, one JSON line for each thing as it happens.

A run that ends early can go on where it stopped, and a finished one can be read, compared and scored again without a model. Lines: `run` (the configuration), `suite` (its samples, or why it is skipped), `entry` (a solved and scored sample), `scores` (a scorer's mean over a
suite with its interval), `end`.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evals.suite import Score
from strategy.errors import UnreadableError

Json = dict[str, Any]


@dataclass(frozen=True)
class Config:
    """What was run, with what, on what."""

    suites: tuple[str, ...]
    proposer: str
    seed: int = 0
    samples: int | None = None
    """Samples of each suite at most; None runs the usual number."""
    full: bool = False
    """Every sample of every suite, however long it takes."""
    everything: bool = False
    """Run by `all`, not by the names of the suites."""
    jobs: int = 1
    started: str = ""
    """UTC, ISO 8601."""
    version: str = ""
    commit: str = ""
    code: str = ""
    """Digest of the sources."""
    python: str = ""
    cpus: int = 0

    @property
    def usual(self) -> bool:
        """Whether each suite runs its usual samples, as the baseline does."""
        return self.samples is None and not self.full

    @property
    def repeatable(self) -> bool:
        """Whether the same run gives the same scores: only a model's answers are left to chance."""
        return self.proposer != "llm"


@dataclass(frozen=True)
class Entry:
    """One solved and scored sample."""

    sample: str
    output: Json
    scores: tuple[Score, ...]
    ms: float
    error: str = ""
    input: Any = None
    cpu_ms: float = 0.0
    """Processor time of the worker and of the processes that it waited for; unlike `ms` it does not depend on what else the machine does."""

    @property
    def passed(self) -> bool:
        """Whether every check gave full marks, and at least one scorer spoke."""
        checks = [score for score in self.scores if score.kind == "check"]
        return not self.error and bool(self.scores) and all(score.value == 1 for score in checks)

    @property
    def usage(self) -> Json:
        """Tokens spent, as the output tells them."""
        told = self.output.get("usage") or (self.output.get("result") or {}).get("usage") or {}
        return {name: int(told.get(name) or 0) for name in ("input_tokens", "output_tokens", "calls")}


@dataclass(frozen=True)
class SuiteLog:
    """One suite of a run."""

    name: str
    about: str
    samples: tuple[str, ...]
    """Ids of what was to be run."""
    skipped: str = ""
    entries: tuple[Entry, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every sample has its entry."""
        return {entry.sample for entry in self.entries} >= set(self.samples)

    @property
    def passed(self) -> bool:
        """Whether every sample passed; a suite without samples has shown nothing and fails."""
        return bool(self.entries) and self.complete and all(entry.passed for entry in self.entries)

    @property
    def failures(self) -> tuple[Entry, ...]:
        """Samples that did not pass."""
        return tuple(entry for entry in self.entries if not entry.passed)

    @property
    def seconds(self) -> float:
        """Time in solvers, over all processes."""
        return sum(entry.ms for entry in self.entries) / 1e3

    @property
    def cpu_seconds(self) -> float:
        """Processor time of solvers, over all processes."""
        return sum(entry.cpu_ms for entry in self.entries) / 1e3


@dataclass(frozen=True)
class Log:
    """One run."""

    config: Config
    suites: tuple[SuiteLog, ...] = ()
    seconds: float | None = None
    """From start to end; None while the run has not ended."""
    path: Path | None = field(default=None, compare=False)

    def suite(self, name: str) -> SuiteLog | None:
        """A suite by name."""
        return next((suite for suite in self.suites if suite.name == name), None)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to run."""
        return self.seconds is not None and all(suite.skipped or suite.complete for suite in self.suites)


class Writer:
    """Appends lines to a log and flushes each, so that what is done stays done."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, config: Config) -> None:
        """Begin a file of its own."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("", encoding="utf-8")
        self._append("run", asdict(config))

    def suite(self, suite: SuiteLog) -> None:
        """What is to be run of a suite."""
        row = asdict(suite)
        del row["entries"]
        self._append("suite", row)

    def entry(self, suite: str, entry: Entry) -> None:
        """A sample is done."""
        self._append("entry", {"suite": suite, **asdict(entry)})

    def scores(self, suite: str, scorer: str, row: Json) -> None:
        """What a scorer said of a suite in all, for readers of the file; reading it back works from the entries."""
        self._append("scores", {"suite": suite, "scorer": scorer, **row})

    def end(self, seconds: float) -> None:
        """All is done."""
        self._append("end", {"seconds": seconds})

    def _append(self, kind: str, row: Json) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({kind: row}) + "\n")


def write(log: Log, path: Path) -> Path:
    """Write a whole log."""
    writer = Writer(path)
    writer.start(log.config)
    for suite in log.suites:
        writer.suite(suite)
        for entry in suite.entries:
            writer.entry(suite.name, entry)
    if log.seconds is not None:
        writer.end(log.seconds)
    return path


def read(path: Path) -> Log:
    """Read a log back; a last line that was cut off is left out. Raises `UnreadableError` for what is no log."""
    rows = list(_rows(path))
    if not rows or "run" not in rows[0]:
        raise UnreadableError(f"`{path}` is not the log of a run", hint="python -m evals run writes them")
    config = Config(**{**rows[0]["run"], "suites": tuple(rows[0]["run"]["suites"])})
    ends = [row["end"]["seconds"] for row in rows if "end" in row]
    return Log(config, tuple(_suites(rows)), ends[-1] if ends else None, path)


def _rows(path: Path) -> Iterator[Json]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UnreadableError(f"`{path}` cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            if number < len(lines):
                raise UnreadableError(f"line {number} of `{path}` is not JSON", line=number) from None


def _suites(rows: Iterable[Json]) -> Iterator[SuiteLog]:
    """Suites with their entries in the order of their samples; the later of two entries of a sample counts."""
    rows = list(rows)
    for told in (row["suite"] for row in rows if "suite" in row):
        mine = [row["entry"] for row in rows if "entry" in row and row["entry"]["suite"] == told["name"]]
        found = {row["sample"]: entry_of(row) for row in mine}
        order = tuple(told["samples"])
        entries = tuple(found[name] for name in order if name in found)
        yield SuiteLog(told["name"], told["about"], order, told["skipped"], entries)


def entry_of(row: Json) -> Entry:
    """An entry from its JSON."""
    kept = {key: value for key, value in row.items() if key != "suite"}
    return Entry(**{**kept, "scores": tuple(Score(**score) for score in row["scores"])})
