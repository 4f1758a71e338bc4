"""A run beside the baseline: what got worse for real, what only moved within its interval, what got better.

Scores are compared sample by sample. Where the same run gives the same scores (every proposer but a live model), a check that was right
and is now wrong is a regression, whoever is to blame; with a live model it takes more losses than chance explains (exact sign test). A
measure regresses when the 95 % interval of its mean change lies wholly on the bad side and the change is more than `LEAST_MOVE`.
A sample whose input changed is another sample: it is not compared, and told. So is one on which a scorer fell silent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from evals.baseline import Accepted, input_digest
from evals.log import Config, Entry, Log, SuiteLog
from evals.stats import Interval, bootstrap, sign_test
from evals.suite import Better, Kind

Mark = Literal["regression", "drift", "noise", "same", "improved", "new", "gone"]
"""drift: a measure that should stay where it is moved; noise: worse or better, but not beyond its interval; gone: no longer scored."""
LEAST_MOVE = 0.005
"""Relative change of a mean below which nothing is said."""
LEAST_DRIFT = 0.01
"""Mean relative change of a measure that should stay."""
LEVEL = 0.05


@dataclass(frozen=True)
class Change:
    """One scorer of one suite, then and now, over the samples that both runs have."""

    suite: str
    scorer: str
    kind: Kind
    mark: Mark
    before: float
    after: float
    interval: Interval
    """Of the mean change."""
    count: int
    worse: tuple[str, ...] = ()
    """Samples that got worse, worst first."""
    better: tuple[str, ...] = ()
    wanted: Better = "higher"
    """Which way is good."""

    @property
    def relative(self) -> tuple[float, Interval]:
        """Mean change and its interval as shares of the old mean, better upwards; of one where the old mean is zero, and for checks."""
        scale = abs(self.before) if self.kind == "measure" and self.before else 1.0
        sign = -1.0 if self.wanted == "lower" else 1.0
        low, high = sorted(sign * end / scale for end in self.interval)
        return sign * (self.after - self.before) / scale, (low, high)


@dataclass(frozen=True)
class Replaced:
    """Samples of a suite that are not those of the baseline, though the seed is: nothing is known about them."""

    suite: str
    new: tuple[str, ...]
    changed: tuple[str, ...]
    """Another input under the same name."""
    gone: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A whole run beside the baseline."""

    changes: tuple[Change, ...]
    new_failures: tuple[tuple[str, str], ...]
    """(suite, sample) that fail and of which the baseline does not know that they do."""
    unknown: tuple[str, ...]
    """Suites without a baseline."""
    not_run: tuple[str, ...]
    """Suites of the baseline that this run left out or skipped."""
    empty: tuple[str, ...]
    """Suites that ran no sample, though they were not skipped."""
    unfinished: int = 0
    """Samples that were to be run and were not."""
    replaced: tuple[Replaced, ...] = ()

    @property
    def regressions(self) -> tuple[Change, ...]:
        """What got worse for real."""
        return tuple(change for change in self.changes if change.mark == "regression")

    @property
    def drifts(self) -> tuple[Change, ...]:
        """What moved and should not have."""
        return tuple(change for change in self.changes if change.mark == "drift")

    @property
    def settled(self) -> bool:
        """Whether there is nothing to look at and accept: a strict run asks for that as well."""
        return self.passed and not self.drifts and not self.replaced

    @property
    def passed(self) -> bool:
        """Whether CI may pass: no regression, no failure that is new, nothing empty or unfinished."""
        return not (self.regressions or self.new_failures or self.empty or self.unfinished)


def compare(log: Log, accepted: Mapping[str, Accepted]) -> Comparison:
    """A run beside the accepted one. Suites accepted with another proposer have no baseline here."""
    known = {name: one for name, one in accepted.items() if one.proposer == log.config.proposer}
    ran = [suite for suite in log.suites if not suite.skipped]
    changes = [change for suite in ran if suite.name in known for change in _changes(suite, known[suite.name], log)]
    return Comparison(
        changes=tuple(changes),
        new_failures=tuple(_new_failures(ran, known)),
        unknown=tuple(suite.name for suite in ran if suite.name not in known),
        not_run=tuple(sorted(known.keys() - {suite.name for suite in ran})),
        empty=tuple(suite.name for suite in ran if not suite.samples),
        unfinished=sum(len(suite.samples) - len(suite.entries) for suite in ran),
        replaced=tuple(_replaced(ran, known, log.config)),
    )


def _replaced(ran: list[SuiteLog], known: Mapping[str, Accepted], config: Config) -> Iterator[Replaced]:
    """What changed among the samples of suites that were accepted with the same seed. A part of a suite says nothing about what is gone."""
    for suite in ran:
        one = known.get(suite.name)
        if one is None or one.seed != config.seed:
            continue
        names = {entry.sample for entry in suite.entries}
        new = tuple(name for name in suite.samples if name not in one.input_of)
        changed = tuple(sorted(names & one.input_of.keys() - _same_inputs(suite, one)))
        gone = tuple(name for name in one.samples if name not in suite.samples) if config.usual else ()
        if new or changed or gone:
            yield Replaced(suite.name, new, changed, gone)


def _same_inputs(suite: SuiteLog, accepted: Accepted) -> set[str]:
    """Samples that were asked the same then and now."""
    return {entry.sample for entry in suite.entries if accepted.input_of.get(entry.sample) == input_digest(entry)}


def _new_failures(ran: list[SuiteLog], known: Mapping[str, Accepted]) -> Iterator[tuple[str, str]]:
    for suite in ran:
        one = known.get(suite.name)
        failed = set() if one is None else _failed_before(suite, one)
        for entry in suite.failures:
            if entry.sample not in failed:
                yield suite.name, entry.sample


def _failed_before(suite: SuiteLog, accepted: Accepted) -> set[str]:
    passed = dict(zip(accepted.samples, accepted.passed, strict=True))
    return {name for name in _same_inputs(suite, accepted) if not passed[name]}


def _changes(suite: SuiteLog, accepted: Accepted, log: Log) -> Iterator[Change]:
    """One change for each scorer that either run has. (A sample that crashed has no scores: it is a new failure.)."""
    now, same = _said(suite.entries), _same_inputs(suite, accepted)
    scored = {entry.sample for entry in suite.entries if not entry.error} & same
    for scorer, (kind, better, values) in now.items():
        before = accepted.values(scorer)
        pairs = {name: (before[name], value) for name, value in values.items() if name in before and name in same}
        if kind == "check":
            found = _check(suite.name, scorer, pairs, repeatable=log.config.repeatable)
        elif better != "none":
            found = _measure(suite.name, scorer, better, pairs)
        else:
            continue
        yield _with_silent(found, tuple(sorted(before.keys() & scored - values.keys())))
    for scorer in accepted.scorers.keys() - now.keys():
        yield _change(suite.name, scorer, accepted.scorers[scorer].kind, "gone", {}, (), ())


def _with_silent(change: Change, silent: tuple[str, ...]) -> Change:
    """A scorer that no longer speaks about a sample of which it spoke: to be looked at, unless something worse is."""
    if not silent or change.mark == "regression":
        return change
    return replace(change, mark="drift", worse=(*change.worse, *silent))


def _said(entries: tuple[Entry, ...]) -> dict[str, tuple[Kind, Better, dict[str, float]]]:
    found: dict[str, tuple[Kind, Better, dict[str, float]]] = {}
    for entry in entries:
        for score in entry.scores:
            found.setdefault(score.scorer, (score.kind, score.better, {}))[2][entry.sample] = score.value
    return found


Pairs = Mapping[str, tuple[float, float]]


def _check(suite: str, scorer: str, pairs: Pairs, *, repeatable: bool) -> Change:
    lost = tuple(name for name, (before, after) in pairs.items() if after < before)
    gained = tuple(name for name, (before, after) in pairs.items() if after > before)
    unlucky = sign_test(len(lost), len(gained)) > LEVEL
    if not pairs:
        mark: Mark = "new"
    elif lost:
        mark = "regression" if repeatable or not unlucky else "noise"
    else:
        mark = "improved" if gained else "same"
    return _change(suite, scorer, "check", mark, pairs, lost, gained)


def _measure(suite: str, scorer: str, better: Better, pairs: Pairs) -> Change:
    if not pairs:
        return _change(suite, scorer, "measure", "new", pairs, (), ())
    sign = -1.0 if better == "lower" else 1.0
    moved = sorted(pairs, key=lambda name: sign * (pairs[name][1] - pairs[name][0]))
    worse = tuple(name for name in moved if sign * (pairs[name][1] - pairs[name][0]) < -_least(pairs[name][0]))
    gains = tuple(name for name in moved[::-1] if sign * (pairs[name][1] - pairs[name][0]) > _least(pairs[name][0]))
    if better == "same":
        mark: Mark = "drift" if _mean_move(pairs) > LEAST_DRIFT else "same"
        moved = sorted((*worse, *gains), key=lambda name: -_move(*pairs[name]))
        return replace(_change(suite, scorer, "measure", mark, pairs, tuple(moved), ()), wanted=better)
    found = _change(suite, scorer, "measure", _measure_mark(pairs, sign), pairs, worse, gains)
    return replace(found, wanted=better)


def _measure_mark(pairs: Pairs, sign: float) -> Mark:
    changes = [after - before for before, after in pairs.values()]
    mean, scale = sum(changes) / len(changes), sum(abs(before) for before, _ in pairs.values()) / len(pairs)
    low, high = bootstrap(changes)
    if abs(mean) <= LEAST_MOVE * scale or mean == 0:
        return "same"
    if low <= 0 <= high:
        return "noise"
    return "improved" if sign * mean > 0 else "regression"


def _least(before: float) -> float:
    return max(1e-12, 1e-4 * abs(before))


def _move(before: float, after: float) -> float:
    return abs(after - before) / max(abs(before), 1e-12)


def _mean_move(pairs: Pairs) -> float:
    return sum(_move(*pair) for pair in pairs.values()) / len(pairs)


def _change(
    suite: str, scorer: str, kind: Kind, mark: Mark, pairs: Pairs, worse: tuple[str, ...], better: tuple[str, ...]
) -> Change:
    count = len(pairs)
    before = sum(pair[0] for pair in pairs.values()) / count if count else float("nan")
    after = sum(pair[1] for pair in pairs.values()) / count if count else float("nan")
    interval = bootstrap([after - before for before, after in pairs.values()])
    return Change(suite, scorer, kind, mark, before, after, interval, count, worse, better)
