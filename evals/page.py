"""A run as one HTML page that needs nothing beside itself: the verdict, what moved, every suite, its plots and its worst samples."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from evals.baseline import Accepted
from evals.compare import Change, Comparison
from evals.drawing import dag_picture, histogram, share_bar
from evals.log import Entry, Log, SuiteLog
from evals.report import against, samples_of, title, verdict
from evals.summary import Summary, number, passed_share, summaries, within

WORST = 6
"""Samples of a suite that are shown with their DAG."""
INPUT_CHARACTERS = 2000
STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
ORDER = ("regression", "drift", "improved", "noise", "gone", "new", "same")
MEANING = {
    "regression": "worse, and by more than its interval",
    "drift": "a number that should stay moved: look, then accept",
    "improved": "better, and by more than its interval",
    "noise": "moved, but within its interval",
    "gone": "no longer scored",
    "new": "not in the baseline",
}


def to_html(log: Log, comparison: Comparison, accepted: Mapping[str, Accepted] | None = None) -> str:
    """The page. `accepted` draws the baseline into the plots."""
    tone = "good" if comparison.passed else "bad"
    body = [
        f'<header class="verdict {tone}"><h1>{escape(_sentence(comparison))}</h1><p class="soft">{escape(_run_line(log))}</p></header>',
        _moved(comparison),
        "<h2>Suites</h2>",
        _suites(log, comparison),
        *(_suite(suite, comparison, (accepted or {}).get(suite.name)) for suite in log.suites if not suite.skipped),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>evals: {tone}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{"".join(body)}</body></html>\n'
    )


def _sentence(comparison: Comparison) -> str:
    text = verdict(comparison)
    return text[0].upper() + text[1:]


def _run_line(log: Log) -> str:
    config = log.config
    subset = f", {config.samples} samples of each suite" if config.samples is not None else ""
    return f"{title(log)}{subset}, started {config.started}, Python {config.python} on {config.cpus} cores"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table of ready HTML cells; columns in `numeric` are set to the right."""
    kind = ['class="n"' if index in numeric else "" for index in range(len(head))]
    top = "".join(f"<th {kind[i]}>{name}</th>" for i, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td {kind[i]}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _tag(mark: str, text: str | None = None) -> str:
    return f'<span class="tag {mark}" title="{escape(MEANING.get(mark, ""))}">{escape(text or mark)}</span>'


# --- what moved ----------------------------------------------------------------------------------------------------------------------


def _moved(comparison: Comparison) -> str:
    """New failures and every scorer that did not stay the same, worst first."""
    rows = [*_failure_rows(comparison), *_change_rows(comparison)]
    notes = _notes(comparison)
    if not rows:
        return f'<p class="soft">{notes}</p>' if notes else ""
    head = ("", "suite", "scorer", "before", "now", "mean change (95 %)", "samples")
    return f'<h2>Against the baseline</h2>{_table(head, rows, (3, 4))}<p class="soft">{notes}</p>'


def _failure_rows(comparison: Comparison) -> Iterator[Sequence[str]]:
    by_suite: dict[str, list[str]] = {}
    for suite, sample in comparison.new_failures:
        by_suite.setdefault(suite, []).append(sample)
    for suite, names in by_suite.items():
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        yield _tag("regression", "new failure"), escape(suite), "whole sample", "", f"{len(names)}", "", escape(shown)


def _change_rows(comparison: Comparison) -> Iterator[Sequence[str]]:
    moved = [change for change in comparison.changes if change.mark not in ("same", "new")]
    for change in sorted(moved, key=lambda one: ORDER.index(one.mark)):
        yield (
            _tag(change.mark),
            escape(change.suite),
            escape(change.scorer),
            number(change.before) if change.count else "",
            number(change.after) if change.count else "",
            within(change.interval) if change.count else "",
            escape(samples_of(change, 4)),
        )


def _notes(comparison: Comparison) -> str:
    notes = [f"no baseline yet: {', '.join(comparison.unknown)}"] if comparison.unknown else []
    notes += [f"in the baseline but not run: {', '.join(comparison.not_run)}"] if comparison.not_run else []
    same = sum(change.mark == "same" for change in comparison.changes)
    notes += [f"{same} scorers are as they were"] if same else []
    return escape("; ".join(notes))


# --- suites --------------------------------------------------------------------------------------------------------------------------


def _suites(log: Log, comparison: Comparison) -> str:
    rows = [_suite_row(suite, comparison) for suite in log.suites]
    return _table(("suite", "", "passed", "95 % interval", "against the baseline", "seconds", "about"), rows, (2, 5))


def _suite_row(suite: SuiteLog, comparison: Comparison) -> Sequence[str]:
    about = f'<span class="soft">{escape(suite.about)}</span>'
    if suite.skipped:
        return escape(suite.name), _tag("skip", "skipped"), "", escape(suite.skipped), "", "", about
    passed, count, interval = passed_share(suite)
    bar = share_bar(passed / count if count else 0.0, interval, "good" if suite.passed else "bad")
    told = escape(against(suite, comparison))
    name = f'<a href="#{escape(suite.name)}">{escape(suite.name)}</a>'
    return name, bar, f"{passed} of {count}", within(interval, "share"), told, f"{suite.seconds:.1f}", about


def _suite(suite: SuiteLog, comparison: Comparison, accepted: Accepted | None) -> str:
    found = summaries(suite)
    changes = {change.scorer: change for change in comparison.changes if change.suite == suite.name}
    parts = [
        f'<h2 id="{escape(suite.name)}">{escape(suite.name)}</h2><p class="soft">{escape(suite.about)}</p>',
        _scorers(found, changes),
        _facts(suite),
        _charts(suite, found, accepted),
        _worst(suite, comparison),
    ]
    return "".join(parts)


def _scorers(found: Sequence[Summary], changes: Mapping[str, Change]) -> str:
    rows = [_scorer_row(one, changes.get(one.scorer)) for one in found]
    return _table(("scorer", "", "mean", "95 % interval", "median", "samples", "baseline"), rows, (2, 4, 5))


def _scorer_row(one: Summary, change: Change | None) -> Sequence[str]:
    if one.kind == "check":
        picture = share_bar(one.mean, one.interval, "good" if one.mean == 1 else "bad")
        value, interval, middle = f"{one.mean:.1%}", within(one.interval, "share"), ""
    else:
        wanted = {"higher": "more is better", "lower": "less is better", "same": "should stay", "none": "told only"}
        picture = f'<span class="soft">{wanted[one.better]}</span>'
        value, interval, middle = (
            number(one.mean, one.unit),
            within(one.interval, one.unit),
            number(one.median, one.unit),
        )
    told = _tag(change.mark) if change else ""
    return escape(one.scorer), picture, value, interval, middle, str(one.count), told


def _facts(suite: SuiteLog) -> str:
    """The named values that outputs carry, a row a sample."""
    told = [(entry.sample, entry.output["facts"]) for entry in suite.entries if entry.output.get("facts")]
    if not told:
        return ""
    names = list(dict.fromkeys(name for _, facts in told for name in facts))
    rows = [[escape(sample), *(escape(str(facts.get(name, ""))) for name in names)] for sample, facts in told]
    table = _table(["sample", *map(escape, names)], rows)
    return f"<details{' open' if len(rows) <= 20 else ''}><summary>{len(rows)} samples side by side</summary>{table}</details>"


def _charts(suite: SuiteLog, found: Sequence[Summary], accepted: Accepted | None) -> str:
    """How each measure and the time of the samples are spread; the line is the baseline."""
    figures = []
    for one in found:
        if one.kind == "measure" and len(set(one.values)) > 1:
            before = list(accepted.values(one.scorer).values()) if accepted else []
            figures.append((histogram(one.values, before, label=one.scorer), f"{one.scorer} {one.unit}"))
    if len(suite.entries) > 1:
        figures.append((histogram([e.ms / 1e3 for e in suite.entries], label="seconds"), "seconds a sample took"))
    drawn = "".join(f"<figure>{svg}<figcaption>{escape(text)}</figcaption></figure>" for svg, text in figures)
    return f'<h3>How samples are spread</h3><div class="charts">{drawn}</div>' if drawn else ""


# --- worst samples -------------------------------------------------------------------------------------------------------------------


def _worst(suite: SuiteLog, comparison: Comparison) -> str:
    chosen = worst_samples(suite, comparison)
    if not chosen:
        return ""
    return "<h3>Worst samples</h3>" + "".join(_sample(entry) for entry in chosen)


def worst_samples(suite: SuiteLog, comparison: Comparison) -> list[Entry]:
    """Samples to look at first: failed ones, those behind a regression or drift, then the lowest of each measure that has a good side."""
    by_name = {entry.sample: entry for entry in suite.entries}
    names = [entry.sample for entry in suite.failures]
    for change in (*comparison.regressions, *comparison.drifts):
        names += change.worse[:3] if change.suite == suite.name else ()
    names += _lowest(suite)
    return [by_name[name] for name in dict.fromkeys(names) if name in by_name][:WORST]


def _lowest(suite: SuiteLog) -> Iterator[str]:
    for one in summaries(suite):
        if one.kind == "measure" and one.better in ("higher", "lower"):
            said = {e.sample: s.value for e in suite.entries for s in e.scores if s.scorer == one.scorer}
            sign = 1 if one.better == "higher" else -1
            worst = min(said, key=lambda name: (sign * said[name], name))
            if sign * said[worst] < sign * one.mean:
                yield worst


def _sample(entry: Entry) -> str:
    mark = _tag("pass" if entry.passed else "fail", "passed" if entry.passed else "failed")
    line = str(entry.output.get("summary") or "")
    parts = [
        f"<summary>{mark} <b>{escape(entry.sample)}</b> {escape(line)}</summary>",
        f"<p class='regression'>{escape(entry.error)}</p>" if entry.error else "",
        _said(entry),
        _findings(entry),
        f'<div class="scroll">{dag_picture(entry.output["dag"])}</div>' if entry.output.get("dag") else "",
        f"<h3>asked</h3><pre>{escape(_asked(entry))}</pre>",
    ]
    return f"<details{'' if entry.passed else ' open'}>{''.join(parts)}</details>"


def _asked(entry: Entry) -> str:
    text = entry.input if isinstance(entry.input, str) else json.dumps(entry.input)
    return text if len(text) <= INPUT_CHARACTERS else text[:INPUT_CHARACTERS] + " ..."


def _said(entry: Entry) -> str:
    rows = [
        (escape(s.scorer), f"{number(s.value, s.unit)}", escape(s.detail if s.kind == "measure" or s.value < 1 else ""))
        for s in entry.scores
    ]
    return _table(("scorer", "value", ""), rows) if rows else ""


def _findings(entry: Entry) -> str:
    found = entry.output.get("findings") or []
    rows = [
        (
            f"<code>{escape(str(f.get('code', '')))}</code>",
            f"<code>{escape(str(f.get('path', '')))}</code>",
            escape(str(f.get("message", ""))),
        )
        for f in found
        if isinstance(f, dict)
    ]
    return _table(("finding", "where", "what"), rows) if rows else ""
