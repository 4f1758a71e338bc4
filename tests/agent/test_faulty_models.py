"""Whatever a model or its server does: a valid result or an honest reason, in time, within the budget, nothing invalid marked valid."""

import pytest

from evals.faulty.behaviours import rows
from evals.faulty.play import LOOP, Played, cases, play_all, playing_deps

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")


@pytest.fixture(scope="module")
def played() -> list[Played]:
    """Every server and model, and wrong DAGs of every rule family, played against the real loop over real HTTP.

    The deadline is longer than in the evals, where nothing else runs: here others may have the machine.
    """
    deps = playing_deps()
    chosen = [case for case in cases(deps) if not case.name.startswith("wrong-") or "-0-" in case.name]
    return play_all(chosen, deps, settings=LOOP.model_copy(update={"deadline_s": 15.0}))


def test_there_are_behaviours_for_every_row_of_the_gotchas_and_every_rule_family(played: list[Played]) -> None:
    names = " ".join(one.case.name for one in played)

    assert len(played) >= 100
    assert {row: standing for row, standing in rows().items() if not standing} == {}
    for family in ("at", "ch", "cm", "da", "dg", "dp", "ep", "mm", "pf", "ph", "pp", "qz", "rl", "sp", "tp"):
        assert f"wrong-{family}-" in names


def test_every_behaviour_ends_in_what_must_hold(played: list[Played]) -> None:
    assert {one.case.name: one.broken for one in played if one.broken} == {}


def test_a_model_that_is_well_after_all_is_heard(played: list[Played]) -> None:
    heard = [one for one in played if one.case.hope == "repaired"]

    assert len(heard) >= 30
    assert {one.result.origin for one in heard} == {"llm"}


def test_every_result_that_is_not_the_models_own_says_why(played: list[Played]) -> None:
    fallen = [one for one in played if one.result.origin == "planner_fallback" and one.result.status == "valid"]

    assert len(fallen) >= 30
    assert all("The language model gave no valid answer (" in one.result.explanation for one in fallen)
