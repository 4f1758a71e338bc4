"""A suite's entries as a few numbers: for each scorer its mean, its 95 % interval and how many samples it spoke about."""

from dataclasses import dataclass
from statistics import fmean, median

from evals.log import Log, SuiteLog, Writer
from evals.stats import Interval, bootstrap, wilson
from evals.suite import Better, Kind, Score


@dataclass(frozen=True)
class Summary:
    """One scorer over a suite."""

    scorer: str
    kind: Kind
    better: Better
    unit: str
    count: int
    mean: float
    median: float
    interval: Interval
    """Of the mean: Wilson's for checks, bootstrapped for measures."""
    values: tuple[float, ...]


def summaries(suite: SuiteLog) -> tuple[Summary, ...]:
    """Every scorer of a suite, checks first, in the order in which they spoke."""
    said: dict[str, list[float]] = {}
    first: dict[str, Score] = {}
    for entry in suite.entries:
        for score in entry.scores:
            said.setdefault(score.scorer, []).append(score.value)
            first.setdefault(score.scorer, score)
    found = [_summary(name, first[name].kind, first[name].better, first[name].unit, said[name]) for name in said]
    return tuple(sorted(found, key=lambda one: one.kind != "check"))


def _summary(name: str, kind: Kind, better: Better, unit: str, values: list[float]) -> Summary:
    interval = wilson(sum(values), len(values)) if kind == "check" else bootstrap(values)
    return Summary(name, kind, better, unit, len(values), fmean(values), median(values), interval, tuple(values))


def write_summaries(log: Log, writer: Writer) -> None:
    """Append the mean and interval of every scorer of every suite to a log."""
    for suite in log.suites:
        for one in summaries(suite):
            told = {"kind": one.kind, "mean": one.mean, "low": one.interval[0], "high": one.interval[1]}
            writer.scores(suite.name, one.scorer, {**told, "samples": one.count, "unit": one.unit})


def passed_share(suite: SuiteLog) -> tuple[int, int, Interval]:
    """Samples that passed, samples, and the interval of the share."""
    passed = sum(entry.passed for entry in suite.entries)
    return passed, len(suite.entries), wilson(passed, len(suite.entries))


def number(value: float, unit: str = "") -> str:
    """A value as people read it, with its unit."""
    if unit == "share":
        return f"{value:.1%}"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {unit}".strip()


def within(interval: Interval, unit: str = "") -> str:
    """An interval as people read it."""
    low = number(interval[0], unit if unit == "share" else "")
    return f"{low} to {number(interval[1], unit)}"
