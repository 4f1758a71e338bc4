"""The accepted run, one small committed file for each suite: every sample's scores, without its output."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals.log import Config, Entry, Log, SuiteLog
from evals.suite import Better, Kind

BASELINE = Path(__file__).parent / "baseline"
DIGEST_CHARACTERS = 6
DIGITS = 5
"""Significant digits kept: far below what counts as a move."""


@dataclass(frozen=True)
class Column:
    """What one scorer said of every sample, in the order of the samples; None where it had nothing to say."""

    kind: Kind
    better: Better
    unit: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Accepted:
    """One suite's accepted scores."""

    suite: str
    proposer: str
    seed: int
    commit: str
    started: str
    samples: tuple[str, ...]
    passed: tuple[int, ...]
    """Whether each sample passed as a whole."""
    inputs: tuple[str, ...]
    """Digest of each sample's input: scores of another input under the same name are not compared."""
    scorers: dict[str, Column]

    @property
    def input_of(self) -> dict[str, str]:
        """Digests by sample."""
        return dict(zip(self.samples, self.inputs, strict=True))

    def values(self, scorer: str) -> dict[str, float]:
        """What a scorer said, by sample."""
        column = self.scorers.get(scorer)
        if column is None:
            return {}
        pairs = zip(self.samples, column.values, strict=True)
        return {name: value for name, value in pairs if value is not None}


def accepted_of(suite: SuiteLog, config: Config) -> Accepted:
    """A suite's run as the baseline keeps it."""
    return Accepted(
        suite=suite.name,
        proposer=config.proposer,
        seed=config.seed,
        commit=config.commit,
        started=config.started,
        samples=tuple(entry.sample for entry in suite.entries),
        passed=tuple(int(entry.passed) for entry in suite.entries),
        inputs=tuple(input_digest(entry) for entry in suite.entries),
        scorers=_columns(suite),
    )


def input_digest(entry: Entry) -> str:
    """What went in, in a few characters."""
    text = json.dumps(entry.input, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARACTERS]


def _columns(suite: SuiteLog) -> dict[str, Column]:
    said = [{score.scorer: score for score in entry.scores} for entry in suite.entries]
    found: dict[str, Column] = {}
    for name in dict.fromkeys(name for row in said for name in row):
        one = next(row[name] for row in said if name in row)
        values = tuple(_rounded(row[name].value) if name in row else None for row in said)
        found[name] = Column(one.kind, one.better, one.unit, values)
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def accept(log: Log, folder: Path = BASELINE) -> list[Path]:
    """Make a run the baseline of its suites, those that were skipped apart."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_written(accepted_of(suite, log.config), folder) for suite in log.suites if suite.entries]


def _written(accepted: Accepted, folder: Path) -> Path:
    path = folder / f"{accepted.suite}.json"
    path.write_text(_text(accepted), encoding="utf-8")
    return path


def _text(accepted: Accepted) -> str:
    """JSON with a line for each column, so that a change of the baseline can be read in a diff."""
    row = asdict(accepted)
    lines = [f'  "{key}": {_short(value)}' for key, value in row.items() if key != "scorers"]
    columns = ",\n".join(f'    "{name}": {_short(column)}' for name, column in row["scorers"].items())
    return "{\n" + ",\n".join([*lines, f'  "scorers": {{\n{columns}\n  }}']) + "\n}\n"


def _short(value: Any) -> str:
    return json.dumps(_whole(value), separators=(",", ":"), ensure_ascii=False)


def _whole(value: Any) -> Any:
    """1 instead of 1.0, all the way down."""
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e9 else value


def accepted_suites(folder: Path = BASELINE) -> dict[str, Accepted]:
    """The baseline, by suite; empty where none was accepted."""
    return {one.suite: one for one in _read_all(sorted(folder.glob("*.json")))}


def _read_all(paths: Iterable[Path]) -> Iterator[Accepted]:
    for path in paths:
        row = json.loads(path.read_text(encoding="utf-8"))
        columns = {name: Column(**{**one, "values": tuple(one["values"])}) for name, one in row["scorers"].items()}
        listed = {name: tuple(row[name]) for name in ("samples", "passed", "inputs")}
        yield Accepted(**{**row, **listed, "scorers": columns})
