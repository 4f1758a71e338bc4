"""What a suite is: samples, a way to solve one, and scorers. One file in `evals/suites/` each, discovered.

An output is JSON-ready. The report knows some of its keys: `summary` (the outcome in a line), `dag` (a DAG, drawn beside a sample that went
wrong), `findings` (what was said against it), `usage` (tokens) and `facts` (named values, a row of the suite's table).
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

Kind = Literal["check", "measure"]
Better = Literal["higher", "lower", "same", "none"]


@dataclass(frozen=True)
class Sample:
    """One case: what goes in and what is known about the right answer."""

    id: str
    input: Any
    target: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """What one scorer says of one output: a check (1 is right, 0 is wrong, a sample passes when all are 1), or a measured number."""

    scorer: str
    value: float
    detail: str = ""
    kind: Kind = "check"
    better: Better = "higher"
    """Of a measure. same: any move is told as drift; none: shown and never compared (times, for instance)."""
    unit: str = ""


def measure(scorer: str, value: float, *, better: Better = "none", unit: str = "", detail: str = "") -> Score:
    """A number that decides nothing by itself and is compared with the baseline."""
    return Score(scorer, float(value), detail, "measure", better, unit)


Solver = Callable[[Sample, str], Awaitable[dict[str, Any]]]
"""Takes a sample and the proposer's name; returns a JSON-ready output."""
Scorer = Callable[[Sample, dict[str, Any]], Score | None]
"""None when the scorer has nothing to say about this sample."""


def no_samples(_seed: int) -> Sequence[Sample]:
    """For suites that chance has no part in."""
    return ()


def nothing_needed(_proposer: str) -> str:
    """For suites that run anywhere."""
    return ""


@dataclass(frozen=True)
class Suite:
    """Samples, how they are solved and how the outputs are scored."""

    name: str
    about: str
    samples: Callable[[], Sequence[Sample]]
    solve: Solver
    scorers: tuple[Scorer, ...]
    drawn: Callable[[int], Sequence[Sample]] = no_samples
    """Samples that chance decides, from a seed: the same seed, the same samples."""
    absent: Callable[[str], str] = nothing_needed
    """What the suite needs and this machine or proposer lacks, in words; empty when it can run. It is then skipped, and said to be."""
    usual: int | None = None
    """Samples of a usual run, chosen by the seed; `--full` runs all."""
    campaign: Callable[[], Sequence[Sample]] = tuple
    """Samples that take so long that only `--full` runs them."""
    by_name: str = ""
    """Why `run all` leaves the suite out (it takes an hour, say); it is then run by its name only, and said to be."""
    alone: bool = False
    """Nothing else runs beside its samples: it loads or times a whole machine."""

    def usual_samples(self, seed: int) -> tuple[Sample, ...]:
        """Fixed samples, then drawn ones."""
        return (*self.samples(), *self.drawn(seed))

    def all_samples(self, seed: int) -> tuple[Sample, ...]:
        """Usual samples, then the campaign's. Raises ValueError when two have one id."""
        found = (*self.usual_samples(seed), *self.campaign())
        ids = [sample.id for sample in found]
        repeated = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
        if repeated:
            raise ValueError(f"suite `{self.name}` has two samples with the id `{repeated[0]}`")
        return found


@cache
def suites() -> dict[str, Suite]:
    """Every `Suite` value found in a module of `evals/suites/`, by name."""
    package = importlib.import_module("evals.suites")
    found: dict[str, Suite] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"evals.suites.{info.name}")
        found.update({value.name: value for value in vars(module).values() if isinstance(value, Suite)})
    return found
