"""Intervals have their textbook values, and hold what they must."""

import pytest

from evals.stats import bootstrap, sign_test, wilson


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (8, 10, 0.4902, 0.9433), (50, 100, 0.4038, 0.5962)],
)
def test_wilson_gives_the_values_of_the_literature(right: int, count: int, low: float, high: float) -> None:
    assert wilson(right, count) == pytest.approx((low, high), abs=1e-4)


def test_the_interval_of_no_sample_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_bootstrapped_interval_holds_the_mean_and_narrows_with_more_samples() -> None:
    few, many = bootstrap([1.0, 2.0, 3.0, 4.0]), bootstrap([1.0, 2.0, 3.0, 4.0] * 25)

    assert few[0] < 2.5 < few[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 3
    assert bootstrap([1.0, 2.0, 3.0, 4.0]) == few


def test_equal_values_have_a_point_for_an_interval() -> None:
    assert bootstrap([7.0] * 5) == (7.0, 7.0)


def test_losses_among_changes_are_judged_as_coin_tosses() -> None:
    assert sign_test(1, 0) == 0.5
    assert sign_test(5, 0) == 1 / 32
    assert sign_test(3, 3) == pytest.approx(42 / 64)
    assert sign_test(0, 0) == 1.0
