"""The parts of a page below its board: the worst samples, and each suite with its scorers, plots and samples."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from evals.baseline import Accepted
from evals.compare import Change, Comparison
from evals.drawing import dag_picture, histogram, scatter, share_bar
from evals.log import Entry, SuiteLog
from evals.markup import anchor, suite_link, table, tag
from evals.report import standing
from evals.summary import Summary, number, passed_share, summaries, within

WORST = 6
"""Samples of a suite that are shown with their DAG."""
WORST_OF_ALL = 5
INPUT_CHARACTERS = 2000
WANTED = {"higher": "more is better", "lower": "less is better", "same": "should stay", "none": "told only"}


def suite_part(suite: SuiteLog, comparison: Comparison, accepted: Accepted | None) -> str:
    """A suite, opened where something about it asks to be looked at."""
    found = summaries(suite)
    changes = {change.scorer: change for change in comparison.changes if change.suite == suite.name}
    passed, count, _ = passed_share(suite)
    opened = " open" if standing(suite, comparison) in ("failed", "regression", "drift") else ""
    parts = [
        (
            f'<details class="suite" id="{anchor(suite.name)}"{opened}><summary><b>{escape(suite.name)}</b> '
            f'<span class="soft">{escape(suite.about)}: {passed} of {count} pass{_tokens(suite)}</span></summary>'
        ),
        _scorers(found, changes),
        _charts(suite, found, accepted),
        _worst(suite, comparison),
        _facts(suite),
        "</details>",
    ]
    return "".join(parts)


def _tokens(suite: SuiteLog) -> str:
    spent = {
        name: sum(entry.usage[name] for entry in suite.entries) for name in ("input_tokens", "output_tokens", "calls")
    }
    if not spent["calls"]:
        return ""
    return f", {spent['calls']:,} calls of the model, {spent['input_tokens']:,} tokens in and {spent['output_tokens']:,} out"


def _scorers(found: Sequence[Summary], changes: Mapping[str, Change]) -> str:
    rows = [_scorer_row(one, changes.get(one.scorer)) for one in found]
    return table(("scorer", "", "mean", "95 % interval", "median", "samples", "baseline"), rows, (2, 4, 5))


def _scorer_row(one: Summary, change: Change | None) -> Sequence[str]:
    if one.kind == "check":
        picture = share_bar(one.mean, one.interval)
        value, interval, middle = f"{one.mean:.1%}", within(one.interval, "share"), ""
    else:
        picture = f'<span class="soft">{WANTED[one.better]}</span>'
        value, middle = number(one.mean, one.unit), number(one.median, one.unit)
        interval = within(one.interval, one.unit)
    told = tag(change.mark) if change else ""
    return escape(one.scorer), picture, value, interval, middle, str(one.count), told


def _facts(suite: SuiteLog) -> str:
    """The named values that outputs carry, a row a sample."""
    told = [(entry.sample, entry.output["facts"]) for entry in suite.entries if entry.output.get("facts")]
    if not told:
        return ""
    names = list(dict.fromkeys(name for _, facts in told for name in facts))
    rows = [[escape(sample), *(escape(str(facts.get(name, ""))) for name in names)] for sample, facts in told]
    return f"<details><summary>{len(rows)} samples side by side</summary>{table(['sample', *map(escape, names)], rows)}</details>"


def _charts(suite: SuiteLog, found: Sequence[Summary], accepted: Accepted | None) -> str:
    """Points that outputs carry, how each measure is spread (the line is the baseline), and the time of the samples."""
    figures = list(_scatters(suite))
    for one in found:
        if one.kind == "measure" and len(set(one.values)) > 1:
            before = list(accepted.values(one.scorer).values()) if accepted else []
            figures.append((histogram(one.values, before, label=one.scorer), f"{one.scorer} {one.unit}"))
    if len(suite.entries) > 1:
        figures.append((histogram([e.ms / 1e3 for e in suite.entries], label="seconds"), "seconds a sample took"))
    drawn = "".join(f"<figure>{svg}<figcaption>{escape(text)}</figcaption></figure>" for svg, text in figures)
    return f'<div class="charts">{drawn}</div>' if drawn else ""


def _scatters(suite: SuiteLog) -> Iterator[tuple[str, str]]:
    """`points` of the outputs, by quantity: {"TPOT ms": [[measured, ours], ...]}."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for entry in suite.entries:
        for name, points in (entry.output.get("points") or {}).items():
            pairs.setdefault(name, []).extend((float(x), float(y)) for x, y in points)
    for name, points in pairs.items():
        yield scatter(points, label=name), f"{name}: ours over measured, {len(points)} points"


# --- worst samples -------------------------------------------------------------------------------------------------------------------


def worst_part(suites: Sequence[SuiteLog], comparison: Comparison) -> str:
    """What to look at first, over all suites: new failures, what is behind a regression or drift, what failed before."""
    chosen = [(suite, entry) for suite in suites for entry in _to_look_at(suite, comparison)][:WORST_OF_ALL]
    if not chosen:
        return ""
    shown = "".join(_sample(suite.name, entry, opened=n == 0, link=True) for n, (suite, entry) in enumerate(chosen))
    return f"<h2>Worst samples</h2>{shown}"


def _to_look_at(suite: SuiteLog, comparison: Comparison) -> list[Entry]:
    by_name = {entry.sample: entry for entry in suite.entries}
    names = [sample for name, sample in comparison.new_failures if name == suite.name]
    for change in (*comparison.regressions, *comparison.drifts):
        names += change.worse[:2] if change.suite == suite.name else ()
    names += [entry.sample for entry in suite.failures]
    return [by_name[name] for name in dict.fromkeys(names) if name in by_name][:2]


def _worst(suite: SuiteLog, comparison: Comparison) -> str:
    chosen = worst_samples(suite, comparison)
    shown = "".join(_sample(suite.name, entry) for entry in chosen)
    return f"<h3>Worst samples</h3>{shown}" if chosen else ""


def worst_samples(suite: SuiteLog, comparison: Comparison) -> list[Entry]:
    """Samples to look at first: failed ones, those behind a regression or drift, then the lowest of each measure that has a good side."""
    by_name = {entry.sample: entry for entry in suite.entries}
    fresh = {sample for name, sample in comparison.new_failures if name == suite.name}
    names = [entry.sample for entry in sorted(suite.failures, key=lambda entry: entry.sample not in fresh)]
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


def _sample(suite: str, entry: Entry, *, opened: bool = False, link: bool = False) -> str:
    """One sample: what went wrong, what was said of it, its DAG. With `link` it names its suite and is no target itself."""
    mark = tag("pass" if entry.passed else "fail", "passed" if entry.passed else "failed")
    line = str(entry.output.get("summary") or "")
    parts = [
        f"<summary>{mark} {f'{suite_link(suite)}: ' if link else ''}<b>{escape(entry.sample)}</b> <span class='soft'>{escape(line)}</span></summary>",
        f"<p class='regression'>{escape(entry.error)}</p>" if entry.error else "",
        _said(entry),
        _findings(entry),
        f'<div class="scroll">{dag_picture(entry.output["dag"])}</div>' if entry.output.get("dag") else "",
        f"<h3>asked</h3><pre>{escape(_asked(entry))}</pre>",
    ]
    place = "" if link else f' id="{anchor(suite, entry.sample)}"'
    return f"<details{place}{' open' if opened else ''}>{''.join(parts)}</details>"


def _asked(entry: Entry) -> str:
    text = entry.input if isinstance(entry.input, str) else json.dumps(entry.input)
    return text if len(text) <= INPUT_CHARACTERS else text[:INPUT_CHARACTERS] + " ..."


def _said(entry: Entry) -> str:
    rows = [
        (escape(s.scorer), f"{number(s.value, s.unit)}", escape(s.detail if s.kind == "measure" or s.value < 1 else ""))
        for s in sorted(entry.scores, key=lambda one: (one.kind != "check", one.value))
    ]
    return table(("scorer", "value", ""), rows) if rows else ""


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
    return table(("finding", "where", "what"), rows) if rows else ""
