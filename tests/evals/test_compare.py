"""The comparison tells what got worse from what only moved, and names suite and samples."""

from dataclasses import replace
from pathlib import Path

import pytest
from evals_support import CONFIG, entry, log_of

from evals.baseline import Accepted, accept, accepted_of, accepted_suites
from evals.compare import Change, compare
from evals.log import Log
from evals.suite import Score, measure


def accepted(log: Log) -> dict[str, Accepted]:
    return {suite.name: accepted_of(suite, log.config) for suite in log.suites}


def only(log: Log, baseline: Log, scorer: str) -> Change:
    return next(change for change in compare(log, accepted(baseline)).changes if change.scorer == scorer)


def test_the_same_run_again_is_the_same() -> None:
    log = log_of(*(entry(f"s{n}", {"right": n % 2}, {"error": n}) for n in range(20)))

    found = compare(log, accepted(log))

    assert found.passed
    assert {change.mark for change in found.changes} == {"same"}
    assert found.new_failures == ()


def test_one_lost_check_of_a_repeatable_run_is_a_regression_and_named() -> None:
    before = log_of(*(entry(f"s{n}", {"right": 1}) for n in range(50)))
    after = log_of(*(entry(f"s{n}", {"right": float(n != 7)}) for n in range(50)))

    found = compare(after, accepted(before))

    assert [(c.suite, c.scorer, c.worse) for c in found.regressions] == [("toy", "right", ("s7",))]
    assert found.new_failures == (("toy", "s7"),)
    assert not found.passed


def test_with_a_live_model_one_lost_check_is_noise_and_six_are_not() -> None:
    live = replace(CONFIG, proposer="llm")
    before = log_of(*(entry(f"s{n}", {"right": 1}) for n in range(50)), config=live)

    one = log_of(*(entry(f"s{n}", {"right": float(n >= 1)}) for n in range(50)), config=live)
    six = log_of(*(entry(f"s{n}", {"right": float(n >= 6)}) for n in range(50)), config=live)

    assert only(one, before, "right").mark == "noise"
    assert only(six, before, "right").mark == "regression"


def test_a_measure_that_moves_within_its_interval_is_noise() -> None:
    before = log_of(*(entry(f"s{n}", {}, {"error": 10 + n % 3}) for n in range(12)))
    after = log_of(*(entry(f"s{n}", {}, {"error": 10 + (n + 1) % 3 + 0.2}) for n in range(12)))

    assert only(after, before, "error").mark == "noise"


@pytest.mark.parametrize(("by", "mark"), [(2.0, "regression"), (-2.0, "improved"), (0.001, "same")])
def test_a_measure_that_moves_as_a_whole_is_told_by_its_direction(by: float, mark: str) -> None:
    before = log_of(*(entry(f"s{n}", {}, {"error": 10 + n % 3}) for n in range(12)))
    after = log_of(*(entry(f"s{n}", {}, {"error": 10 + n % 3 + by}) for n in range(12)))

    assert only(after, before, "error").mark == mark


def test_a_measure_that_should_stay_drifts_in_either_direction() -> None:
    def priced(factor: float) -> Log:
        entries = [entry(f"s{n}", {"right": 1}) for n in range(6)]
        scored = (
            replace(e, scores=(*e.scores, measure("price", (n + 1) * factor, better="same")))
            for n, e in enumerate(entries)
        )
        return log_of(*scored)

    found = compare(priced(0.5), accepted(priced(1.0)))

    assert [change.scorer for change in found.drifts] == ["price"]
    assert len(found.drifts[0].worse) == 6
    assert found.passed, "a drift is shown, and fails only a strict run"


def test_a_measure_that_is_only_told_is_not_compared() -> None:
    def timed(ms: float) -> Log:
        return log_of(replace(entry("s", {"right": 1}), scores=(Score("right", 1.0), measure("ms", ms))))

    assert [change.scorer for change in compare(timed(900.0), accepted(timed(1.0))).changes] == ["right"]


def test_a_sample_that_crashes_is_a_new_failure() -> None:
    before, after = log_of(entry("s", {"right": 1})), log_of(entry("s", {}, error="ValueError: broken"))

    assert compare(after, accepted(before)).new_failures == (("toy", "s"),)


def test_a_failure_that_was_accepted_does_not_fail_again() -> None:
    log = log_of(entry("s", {"right": 0}), entry("t", {"right": 1}))

    assert compare(log, accepted(log)).passed
    assert not compare(log, {}).passed


def test_a_suite_without_samples_fails_and_a_skipped_one_is_told() -> None:
    assert not compare(log_of(), {}).passed
    assert compare(log_of(), {}).empty == ("toy",)

    skipped = compare(log_of(skipped="no folder"), accepted(log_of(entry("s", {"right": 1}))))
    assert skipped.passed
    assert skipped.not_run == ("toy",)


def test_a_run_that_did_not_end_fails() -> None:
    whole = log_of(entry("s", {"right": 1}), entry("t", {"right": 1}))
    half = replace(whole, suites=(replace(whole.suites[0], entries=whole.suites[0].entries[:1]),))

    found = compare(half, accepted(whole))

    assert found.unfinished == 1
    assert not found.passed


def test_a_subset_is_compared_with_the_same_samples_only() -> None:
    before = log_of(*(entry(f"s{n}", {"right": 1}, {"error": n}) for n in range(30)))
    after = log_of(*(entry(f"s{n}", {"right": 1}, {"error": n}) for n in range(0, 30, 7)))

    assert {change.mark for change in compare(after, accepted(before)).changes} == {"same"}


def test_scores_of_another_proposer_are_no_baseline() -> None:
    log = log_of(entry("s", {"right": 1}))

    assert compare(replace(log, config=replace(CONFIG, proposer="llm")), accepted(log)).unknown == ("toy",)


def test_a_scorer_that_is_gone_is_told() -> None:
    before, after = log_of(entry("s", {"right": 1, "proved": 1})), log_of(entry("s", {"right": 1}))

    assert only(after, before, "proved").mark == "gone"


def test_the_baseline_reads_back_as_it_was_accepted(tmp_path: Path) -> None:
    log = log_of(entry("s", {"right": 1}, {"error": 0.123456789}), entry("t", {"right": 0}), entry("u", {}, error="no"))

    accept(log, tmp_path)

    found = accepted_suites(tmp_path)["toy"]
    assert found.samples == ("s", "t", "u")
    assert found.passed == (1, 0, 0)
    assert found.values("right") == {"s": 1, "t": 0}
    assert found.values("error") == {"s": 0.12346}
    assert compare(log, {"toy": found}).passed


def test_another_input_under_the_same_name_is_another_sample() -> None:
    before = log_of(entry("s", {"right": 1}), entry("t", {"right": 0}))
    asked = tuple(replace(one, input="something else") for one in log_of(entry("s", {"right": 0})).suites[0].entries)

    found = compare(log_of(*asked), accepted(before))

    assert found.regressions == (), "the two outcomes have nothing to do with each other"
    assert found.new_failures == (("toy", "s"),), "but what fails now was never accepted"
    assert [(one.changed, one.gone) for one in found.replaced] == [(("s",), ("t",))]


def test_samples_that_come_and_go_are_to_be_looked_at() -> None:
    before = log_of(entry("s", {"right": 1}), entry("t", {"right": 1}))
    after = log_of(entry("s", {"right": 1}), entry("u", {"right": 1}))

    found = compare(after, accepted(before))

    assert found.passed
    assert not found.settled
    assert [(one.suite, one.new, one.changed, one.gone) for one in found.replaced] == [("toy", ("u",), (), ("t",))]


def test_a_part_of_a_suite_and_another_seed_replace_nothing() -> None:
    before = log_of(entry("s", {"right": 1}), entry("t", {"right": 1}))
    part = log_of(entry("s", {"right": 1}), config=replace(CONFIG, samples=1))
    other = log_of(entry("x", {"right": 1}), config=replace(CONFIG, seed=5))

    assert compare(part, accepted(before)).settled
    assert compare(other, accepted(before)).settled


def test_a_scorer_that_falls_silent_on_a_sample_is_seen() -> None:
    before = log_of(entry("s", {"right": 1, "proved": 1}), entry("t", {"right": 1, "proved": 1}))
    after = log_of(entry("s", {"right": 1, "proved": 1}), entry("t", {"right": 1}))

    assert (only(after, before, "proved").mark, only(after, before, "proved").worse) == ("drift", ("t",))


def test_a_change_is_told_as_a_share_with_better_upwards() -> None:
    before = log_of(*(entry(f"s{n}", {}, {"error": 10.0}) for n in range(4)))
    after = log_of(*(entry(f"s{n}", {}, {"error": 12.0}) for n in range(4)))

    assert only(after, before, "error").relative == (-0.2, (-0.2, -0.2))
