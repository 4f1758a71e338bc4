"""The hints are enough: a mechanical model that reads nothing else mends broken proposals."""

from collections import Counter

import pytest

from evals.faulty.broken import Broken, from_mutants, from_rules, from_strategies
from evals.faulty.mend import REPAIRS, Mended, mend

EVERY = 7
"""Of the proposals of `python -m evals run repair`, every so many are mended here."""


@pytest.fixture(scope="module")
def mended() -> list[Mended]:
    """A sample of broken proposals, mended."""
    chosen: list[Broken] = [*list(from_rules())[::EVERY], *list(from_strategies())[::EVERY], *from_mutants(20)]
    return [one for one in map(mend, chosen) if one.errors[0]]


def test_every_broken_proposal_is_mended_within_three_repairs(mended: list[Mended]) -> None:
    left = {one.broken.name: [f"{f.code} {f.hint}" for f in one.errors[-1]] for one in mended if one.repairs is None}

    assert len(mended) >= 50
    assert left == {}


def test_most_are_mended_by_the_rules_own_hints(mended: list[Mended]) -> None:
    repairs = Counter(one.repairs for one in mended if not one.canonical)

    assert sum(repairs.values()) >= 0.5 * len(mended)
    assert max(filter(None, repairs)) <= REPAIRS
