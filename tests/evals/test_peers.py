"""Beside another planner: at one price our plan is never worse than its plan, and every difference has its reason."""

import pytest

from evals.peers import ALIKE, Beside, cases, compare, meets, page, reasons

CHECKED = ("llama-3.1-70b-fp8-8xh100", "deepseek-v3-16xh200", "llama-3.1-405b-16xh200")


@pytest.fixture(scope="module")
def compared() -> list[Beside]:
    return [compare(case) for case in cases() if case["id"] in CHECKED]


def test_our_plan_is_no_worse_at_one_price(compared: list[Beside]) -> None:
    for case in compared:
        assert case.priced_ours is not None
        assert meets(case.problem, case.priced_ours)
        if meets(case.problem, case.priced_theirs):
            assert case.rate(case.priced_ours) >= (1 - ALIKE) * case.rate(case.priced_theirs)


def test_differences_have_reasons_and_the_page_has_every_case(compared: list[Beside]) -> None:
    text = page(compared)

    for case in compared:
        assert len(list(reasons(case))) >= 2
        assert f"## {case.name}" in text
