"""What a suite is: samples, a way to solve one, and scorers. One file in `evals/suites/` each, discovered."""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One case: what goes in and what is known about the right answer."""

    id: str
    input: Any
    target: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """What one scorer says of one output: 1 is right, 0 is wrong."""

    scorer: str
    value: float
    detail: str = ""


Solver = Callable[[Sample, str], Awaitable[dict[str, Any]]]
"""Takes a sample and the proposer's name; returns a JSON-ready output."""
Scorer = Callable[[Sample, dict[str, Any]], Score | None]
"""None when the scorer has nothing to say about this sample."""


@dataclass(frozen=True)
class Suite:
    """Samples, how they are solved and how the outputs are scored."""

    name: str
    about: str
    samples: Callable[[], Sequence[Sample]]
    solve: Solver
    scorers: tuple[Scorer, ...]


def suites() -> dict[str, Suite]:
    """Every `Suite` value found in a module of `evals/suites/`, by name."""
    package = importlib.import_module("evals.suites")
    found: dict[str, Suite] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"evals.suites.{info.name}")
        found.update({value.name: value for value in vars(module).values() if isinstance(value, Suite)})
    return found
