"""A run as one HTML page that needs nothing beside itself: the verdict, a board of suites, what moved, the worst samples, every suite."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from evals.baseline import Accepted
from evals.compare import Change, Comparison
from evals.details import suite_part, worst_part, worst_samples
from evals.drawing import change_bar, share_bar
from evals.log import Log, SuiteLog
from evals.markup import sample_links, suite_link, table, tag
from evals.report import Standing, marks_of, standing, title, verdict
from evals.summary import number, passed_share, summaries, within

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
ORDER = ("regression", "drift", "improved", "noise", "gone", "new", "same")
STANDINGS: tuple[Standing, ...] = ("failed", "regression", "drift", "improved", "same", "no baseline", "skipped")
"""Suites by how much they ask to be looked at."""
HEADLINES = 2
"""Measures of a suite that its line on the board shows."""
Shown = frozenset[tuple[str, str]]
"""(suite, sample) of which the page has a part."""


def to_html(log: Log, comparison: Comparison, accepted: Mapping[str, Accepted] | None = None) -> str:
    """The page. `accepted` draws the baseline into the plots."""
    tone = "good" if comparison.passed else "bad"
    known = accepted or {}
    suites = sorted(log.suites, key=lambda suite: STANDINGS.index(standing(suite, comparison)))
    ran = [suite for suite in suites if not suite.skipped]
    shown = frozenset((suite.name, entry.sample) for suite in ran for entry in worst_samples(suite, comparison))
    body = [
        _head(log, comparison, tone),
        _moved(comparison, shown),
        _board(suites, comparison, known),
        worst_part(ran, comparison),
        "<h2>Suite by suite</h2>",
        *(suite_part(suite, comparison, known.get(suite.name)) for suite in ran),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>evals: {tone}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{"".join(body)}</body></html>\n'
    )


# --- the verdict ---------------------------------------------------------------------------------------------------------------------


def _head(log: Log, comparison: Comparison, tone: str) -> str:
    text = verdict(comparison)
    sign = "✓" if comparison.passed else "✗"
    return (
        f'<header class="verdict {tone}"><h1><span class="sign">{sign}</span>{escape(text[0].upper() + text[1:])}</h1>'
        f'<p>{escape(_run_line(log))}</p></header><div class="tiles">{"".join(_tiles(log, comparison))}</div>{_notes(comparison)}'
    )


def _run_line(log: Log) -> str:
    config = log.config
    size = ", every sample" if config.full else ""
    size = f", {config.samples} samples of each suite" if config.samples is not None else size
    return f"{title(log)}{size}, started {config.started}, Python {config.python} on {config.cpus} cores"


def _tiles(log: Log, comparison: Comparison) -> Iterator[str]:
    """The run in six numbers; those that are zero are pale."""
    entries = [entry for suite in log.suites for entry in suite.entries]
    passed = sum(entry.passed for entry in entries)
    marks = {mark: sum(change.mark == mark for change in comparison.changes) for mark in ORDER}
    look = marks["drift"] + len(comparison.replaced)
    yield _tile("plain", f"{passed / len(entries):.1%}" if entries else "0", f"{passed} of {len(entries)} samples pass")
    yield _tile("regression", marks["regression"], "▼ scorers regressed")
    yield _tile("regression", len(comparison.new_failures), "▼ samples newly fail")
    yield _tile("drift", look, "◆ to look at and accept")
    yield _tile("improved", marks["improved"], "▲ scorers improved")
    yield _tile("noise", marks["noise"], "≈ moved within noise")
    yield _tile("same", marks["same"], "= scorers as they were")


def _tile(mark: str, value: str | int, words: str) -> str:
    pale = " pale" if value == 0 else ""
    return f'<div class="tile {mark}{pale}"><b>{value}</b><span>{words}</span></div>'


def _notes(comparison: Comparison) -> str:
    notes = [f"no baseline yet: {', '.join(comparison.unknown)}"] if comparison.unknown else []
    notes += [f"in the baseline but not run: {', '.join(comparison.not_run)}"] if comparison.not_run else []
    notes += [f"without a sample: {', '.join(comparison.empty)}"] if comparison.empty else []
    return f'<p class="soft">{escape("; ".join(notes))}</p>' if notes else ""


# --- the board -----------------------------------------------------------------------------------------------------------------------


def _board(suites: Sequence[SuiteLog], comparison: Comparison, known: Mapping[str, Accepted]) -> str:
    head = (
        "",
        "suite",
        "samples that pass",
        "of",
        "against the baseline",
        "measures, with their 95 % interval",
        "time",
    )
    rows = [_board_row(suite, comparison, known.get(suite.name)) for suite in suites if not suite.skipped]
    skipped = [(escape(suite.name), escape(suite.skipped)) for suite in suites if suite.skipped]
    left_out = "; ".join(f"<b>{name}</b> ({reason})" for name, reason in skipped)
    told = f'<p class="soft small">Skipped: {left_out}</p>' if skipped else ""
    return f'<h2>Suites</h2><div class="board">{table(head, rows, (6,))}</div>{told}'


def _board_row(suite: SuiteLog, comparison: Comparison, accepted: Accepted | None) -> Sequence[str]:
    found = standing(suite, comparison)
    dot = f'<span class="dot {found.replace(" ", "-")}" title="{found}"></span>'
    about = f'<div class="soft small about">{escape(suite.about)}</div>'
    passed, count, interval = passed_share(suite)
    before = sum(accepted.passed) / len(accepted.passed) if accepted and accepted.passed else None
    bar = share_bar(passed / count if count else 0.0, interval, before)
    share = f'<b>{passed}</b> of {count}<div class="soft small">{within(interval, "share")}</div>'
    time = f'{suite.seconds:.1f} s<div class="soft small">{suite.cpu_seconds:.1f} s of CPU</div>'
    return (
        dot,
        suite_link(suite.name) + about,
        bar,
        share,
        _marks(suite, comparison),
        _headlines(suite, comparison),
        time,
    )


def _marks(suite: SuiteLog, comparison: Comparison) -> str:
    if suite.name in comparison.unknown:
        return '<span class="soft">no baseline</span>'
    return " ".join(tag(mark, f"{count} {words}") for mark, count, words in marks_of(suite, comparison)) or tag("same")


def _headlines(suite: SuiteLog, comparison: Comparison) -> str:
    """The first measures that have a good side."""
    marks = {change.scorer: change.mark for change in comparison.changes if change.suite == suite.name}
    told = [one for one in summaries(suite) if one.kind == "measure" and one.better in ("higher", "lower")]
    lines = [
        f'<div><span class="soft">{escape(one.scorer)}</span> <b class="{marks.get(one.scorer, "same")}">{number(one.mean, one.unit)}</b> '
        f'<span class="soft small">({within(one.interval, one.unit if one.unit == "share" else "")})</span></div>'
        for one in told[:HEADLINES]
    ]
    return "".join(lines)


# --- what moved ----------------------------------------------------------------------------------------------------------------------


def _moved(comparison: Comparison, shown: Shown) -> str:
    """New failures, other samples, and every scorer that did not stay the same, worst first."""
    rows = [*_failure_rows(comparison, shown), *_change_rows(comparison, shown), *_replaced_rows(comparison)]
    if not rows:
        return ""
    head = ("", "suite", "scorer", "before", "now", "worse ← mean change, 95 % → better", "samples")
    return f"<h2>Against the baseline</h2>{table(head, rows, (3, 4))}"


def _linked(shown: Shown, suite: str) -> frozenset[str]:
    return frozenset(sample for name, sample in shown if name == suite)


def _failure_rows(comparison: Comparison, shown: Shown) -> Iterator[Sequence[str]]:
    by_suite: dict[str, list[str]] = {}
    for suite, sample in comparison.new_failures:
        by_suite.setdefault(suite, []).append(sample)
    for suite, names in by_suite.items():
        links = sample_links(suite, names, _linked(shown, suite))
        yield tag("regression", "new failure"), suite_link(suite), "whole sample", "", f"{len(names)} fail", "", links


def _change_rows(comparison: Comparison, shown: Shown) -> Iterator[Sequence[str]]:
    moved = [change for change in comparison.changes if change.mark not in ("same", "new")]
    for change in sorted(moved, key=lambda one: ORDER.index(one.mark)):
        links = sample_links(change.suite, change.worse or change.better, _linked(shown, change.suite))
        yield (
            tag(change.mark),
            suite_link(change.suite),
            escape(change.scorer),
            *(
                (_value(change, change.before), _value(change, change.after), _change(change))
                if change.count
                else ("",) * 3
            ),
            links,
        )


def _value(change: Change, value: float) -> str:
    return number(value, "share" if change.kind == "check" else "")


def _change(change: Change) -> str:
    mean, interval = change.relative
    tone = change.mark if change.mark in ("regression", "improved", "drift") else "noise"
    return f'<div class="move">{change_bar(mean, interval, tone)}<span class="soft small">{mean:+.1%} ({interval[0]:+.1%} to {interval[1]:+.1%})</span></div>'


def _replaced_rows(comparison: Comparison) -> Iterator[Sequence[str]]:
    for one in comparison.replaced:
        told = [(one.changed, "other input"), (one.new, "new"), (one.gone, "gone")]
        counts = ", ".join(f"{len(names)} {words}" for names, words in told if names)
        names = sample_links(one.suite, (*one.changed, *one.new, *one.gone), frozenset())
        yield tag("drift", "other samples"), suite_link(one.suite), escape(counts), "", "", "", names
