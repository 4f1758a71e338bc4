"""A run in the terminal: a line for each suite, then what changed against the baseline, then the samples that failed."""

from collections.abc import Iterator
from typing import Literal, cast

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from evals.compare import Change, Comparison, Mark
from evals.log import Log, SuiteLog
from evals.summary import number, passed_share

SHOWN = 12
"""Failing samples and changes listed in the terminal; the page has all."""
Standing = Literal["failed", "regression", "drift", "improved", "same", "no baseline", "skipped"]
WORDS: dict[Mark, str] = {
    "regression": "regression",
    "drift": "drift",
    "improved": "improved",
    "noise": "within noise",
    "gone": "scorer gone",
}
COLOURS = {"regression": "bold red", "drift": "yellow", "improved": "green"}


def show(log: Log, comparison: Comparison, console: Console | None = None) -> None:
    """Print the report of a run."""
    (console or Console()).print(Group(*_parts(log, comparison)))


def _parts(log: Log, comparison: Comparison) -> Iterator[RenderableType]:
    yield _suites(log, comparison)
    moved = [change for change in comparison.changes if change.mark in COLOURS]
    if moved:
        yield _changes(moved)
    yield from _failures(log, comparison)
    yield Text(verdict(comparison), "bold green" if comparison.passed else "bold red")


def verdict(comparison: Comparison) -> str:
    """The run in a sentence."""
    told = [
        _count(len(comparison.regressions), "regression"),
        _count(len(comparison.new_failures), "new failure"),
        _count(len(comparison.empty), "suite without samples", "suites without samples"),
        _count(comparison.unfinished, "sample not run", "samples not run"),
    ]
    bad = [text for text in told if text]
    other = sum(len(one.new + one.changed + one.gone) for one in comparison.replaced)
    moved = [_count(len(comparison.drifts), "drift"), _count(other, "other sample")]
    drift = ", ".join(text for text in moved if text)
    if bad:
        return f"failed: {', '.join(bad)}{_in_suites(comparison)}" + (f"; {drift}" if drift else "")
    return "passed: nothing got worse" + (f"; {drift}, look and accept" if drift else "")


def _in_suites(comparison: Comparison) -> str:
    """Where it got worse."""
    names = [change.suite for change in comparison.regressions] + [suite for suite, _ in comparison.new_failures]
    return f" in {', '.join(dict.fromkeys(names))}" if names else ""


def _count(number_of: int, one: str, many: str | None = None) -> str:
    return "" if not number_of else f"{number_of} {one if number_of == 1 else many or one + 's'}"


def _suites(log: Log, comparison: Comparison) -> Table:
    table = Table(title=title(log), title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in ("suite", "passed", "of", "95 % interval", "against the baseline", "seconds"):
        table.add_column(name, justify="right" if name in ("passed", "of", "seconds") else "left")
    for suite in log.suites:
        table.add_row(*_row(suite, comparison))
    return table


def title(log: Log) -> str:
    """What was run."""
    config = log.config
    took = f", {log.seconds:.0f} s on {config.jobs} processes" if log.seconds is not None else ", not finished"
    return f"proposer {config.proposer}, seed {config.seed}, meshwright {config.version} {config.commit or config.code}{took}"


def _row(suite: SuiteLog, comparison: Comparison) -> tuple[RenderableType, ...]:
    if suite.skipped:
        return suite.name, "", "", Text(f"skipped: {suite.skipped}", "dim"), "", ""
    passed, count, (low, high) = passed_share(suite)
    style = "green" if suite.passed else "red"
    told = Text(against(suite, comparison))
    return suite.name, Text(str(passed), style), str(count), f"{low:.1%} to {high:.1%}", told, f"{suite.seconds:.1f}"


def standing(suite: SuiteLog, comparison: Comparison) -> Standing:
    """How a suite stands to the baseline, in a word: the worst that there is to say."""
    if suite.skipped:
        return "skipped"
    if suite.name in comparison.empty or any(name == suite.name for name, _ in comparison.new_failures):
        return "failed"
    marks = [mark for mark, _, _ in marks_of(suite, comparison)]
    found = next((mark for mark in ("regression", "drift", "improved") if mark in marks), "same")
    return "no baseline" if suite.name in comparison.unknown else cast("Standing", found)


def marks_of(suite: SuiteLog, comparison: Comparison) -> list[tuple[Mark, int, str]]:
    """What there is to say of a suite: the mark, how often, and of what."""
    mine = [change for change in comparison.changes if change.suite == suite.name]
    failed = sum(name == suite.name for name, _ in comparison.new_failures)
    other = sum(len(one.new + one.changed + one.gone) for one in comparison.replaced if one.suite == suite.name)
    said: list[tuple[Mark, int, str]] = [("regression", failed, "new failure" if failed == 1 else "new failures")]
    for mark, words in WORDS.items():
        count = sum(change.mark == mark for change in mine)
        said.append((mark, count, words if count == 1 or mark in ("improved", "noise") else f"{words}s"))
    said.append(("drift", other, "other sample" if other == 1 else "other samples"))
    return [one for one in said if one[1]]


def against(suite: SuiteLog, comparison: Comparison) -> str:
    """How a suite stands to the baseline, in a few words."""
    if suite.name in comparison.unknown:
        return "no baseline"
    return ", ".join(f"{count} {words}" for _, count, words in marks_of(suite, comparison)) or "same"


def _changes(moved: list[Change]) -> Table:
    table = Table(title="moved", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in ("", "suite", "scorer", "before", "after", "samples"):
        table.add_column(name)
    for change in moved[:SHOWN]:
        table.add_row(
            Text(change.mark, COLOURS[change.mark]),
            change.suite,
            change.scorer,
            number(change.before),
            number(change.after),
            samples_of(change),
        )
    return table


def samples_of(change: Change, shown: int = 3) -> str:
    """The samples behind a change: those that got worse, or better where none did."""
    names = change.worse or change.better
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _failures(log: Log, comparison: Comparison) -> Iterator[RenderableType]:
    fresh = set(comparison.new_failures)
    failed = [(suite.name, entry) for suite in log.suites for entry in suite.failures]
    for name, entry in failed[:SHOWN]:
        mark = "FAILED" if (name, entry.sample) in fresh else "failed before"
        why = entry.error or "; ".join(
            f"{s.scorer}: {s.detail}" for s in entry.scores if s.kind == "check" and s.value < 1
        )
        yield Text(f"{mark} {name} {entry.sample}: {why or 'no scorer spoke'}", "red" if mark == "FAILED" else "dim")
    if len(failed) > SHOWN:
        yield Text(f"... and {len(failed) - SHOWN} more", "dim")
