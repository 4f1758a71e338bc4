"""The planner's property, in small: random requests, some of them about models that no catalogue holds. `evals run planned` runs it big."""

import asyncio
from itertools import islice

import pytest

from evals.suite import Sample
from evals.suites.planned import PLANNED, drawn

REQUESTS = list(islice(drawn(seed=7), 12))


@pytest.mark.parametrize("sample", REQUESTS, ids=lambda sample: sample.id)
def test_every_plan_passes_the_rules_and_the_proof(sample: Sample) -> None:
    output = asyncio.run(PLANNED.solve(sample, "planner"))

    scores = [score for scorer in PLANNED.scorers if (score := scorer(sample, output)) is not None]
    assert [score.detail for score in scores if score.kind == "check" and score.value < 1] == []
    assert all(score.value < 0.01 for score in scores if score.scorer == "price_gap")


def test_the_same_seed_draws_the_same_requests() -> None:
    assert drawn(3) == drawn(3) != drawn(4)
