"""Layers over stages: balanced where the engine's own are uneven in bytes."""

import pytest

from knowledge.resolve import resolve
from strategy.legality import even_stages, stages_cover
from strategy.request import Problem, Request
from strategy.search.space import pools, variants
from strategy.search.stages import balanced_stages, better_stages
from strategy.strategy import Pool


def problem(model: str, gpu: str = "h200-sxm", **work: object) -> Problem:
    request = {
        "model": model,
        "cluster": {"gpu": gpu, "gpus_per_host": 8},
        "workload": {"isl": 2048, "osl": 256, **work},
    }
    return resolve(Request.model_validate(request)).problem


@pytest.mark.parametrize("pp_size", [1, 2, 3, 5, 8])
def test_the_heaviest_of_balanced_stages_is_as_light_as_can_be(pp_size: int) -> None:
    weights = (1.0, 1.0, 5.0, 2.0, 2.0, 2.0, 2.0, 4.0)

    stages = balanced_stages(weights, pp_size)

    loads = [sum(weights[start:end]) for start, end in stages]
    assert [end for _, end in stages[:-1]] == [start for start, _ in stages[1:]]
    assert stages[0][0] == 0
    assert stages[-1][1] == len(weights)
    assert min(end - start for start, end in stages) >= 1
    assert max(loads) == {1: 19, 2: 10, 3: 7, 5: 5, 8: 5}[pp_size]


def test_dense_layers_in_front_make_the_first_stage_longer() -> None:
    asked = problem("deepseek-v3")

    stages = better_stages(asked, 4)

    assert stages is not None
    assert stages[0][1] - stages[0][0] > stages[1][1] - stages[1][0]
    assert stages_cover(asked.model, Pool(pp_size=4, stages=stages))


def test_even_layers_stay_as_the_engine_has_them() -> None:
    assert better_stages(problem("llama-3.1-70b"), 2) is None


def test_variants_are_legal_and_differ_from_the_pool() -> None:
    asked = problem("deepseek-v3", isl=60_000)
    piped = next(pool for pool in pools(asked) if pool.pp_size == 2 and pool.chunk_tokens is not None)

    found = list(variants(asked, piped))

    assert {pool.chunk_tokens for pool in found} == {8192, 2048}
    assert any(pool.stages != even_stages(61, 2) for pool in found)
    assert piped not in found
