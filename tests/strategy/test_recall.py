"""What is remembered of arrays is what a call would find: by identity, never changed afterwards, and only while small."""

import numpy as np
import pytest

from strategy.execute.recall import MAX_BYTES, MAX_KEPT, recalled


def counted():
    calls = []

    @recalled
    def doubled(values, factor):
        calls.append(values)
        return values * factor, len(values)

    return doubled, calls


def test_the_same_array_is_asked_about_once() -> None:
    doubled, calls = counted()
    values = np.arange(3)
    first, again = doubled(values, 2), doubled(values, 2)
    assert first is again
    assert len(calls) == 1
    assert doubled(values, 3)[0].tolist() == [0, 3, 6]
    assert len(calls) == 2


def test_equal_arrays_are_not_the_same() -> None:
    doubled, calls = counted()
    for _ in range(3):
        assert doubled(np.arange(3), 2)[0].tolist() == [0, 2, 4]
    assert len(calls) == 3


def test_what_is_remembered_cannot_change() -> None:
    doubled, _ = counted()
    values = np.arange(3)
    found, _ = doubled(values, 2)
    for array in (values, found):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


def test_large_arrays_are_not_kept() -> None:
    doubled, calls = counted()
    values = np.zeros(MAX_BYTES // 8 + 1)
    for _ in range(2):
        assert doubled(values, 2)[1] == len(values)
    assert len(calls) == 2
    values[0] = 1.0


def test_answers_are_bounded_in_number() -> None:
    doubled, calls = counted()
    first = np.arange(3)
    doubled(first, 2)
    for _ in range(MAX_KEPT):
        doubled(np.arange(3), 2)
    doubled(first, 2)
    assert len(calls) == MAX_KEPT + 2
