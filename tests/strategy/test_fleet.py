"""One truth: what the search's arrays say of a candidate is what an estimate of its own DAG says."""

import numpy as np
import pytest

from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.build import build
from strategy.cost import estimate
from strategy.fleet import Fleet, Passes, batch_points, interpolation
from strategy.operating import operate
from strategy.passes import Pricer, Seat
from strategy.request import Problem, Request
from strategy.search.plan import price_all
from strategy.search.space import pools
from strategy.strategy import Pool, Strategy
from strategy.work import Load

SPACES = [
    ("llama-3.1-70b", "h100-sxm", 2, {}),
    ("deepseek-v3", "h200-sxm", 4, {}),
    ("qwen3-235b-a22b-fp8", "h200-sxm", 2, {"engine": "sglang"}),
    ("gpt-oss-120b", "mi300x", 1, {"workload": {"isl": 40_000, "osl": 100, "concurrency": 8}}),
    ("kimi-k2", "gb200-nvl72", 6, {"workload": {"isl": 100_000, "osl": 500}, "objective": "latency"}),
    ("mixtral-8x7b", "l40s", 2, {"engine": "trtllm", "objective": "min_gpus"}),
]


def problem(model: str, gpu: str, hosts: int, fields: dict[str, object]) -> Problem:
    request = {
        "model": model,
        "cluster": {"gpu": gpu, "gpus_per_host": 4 if gpu.startswith("gb") else 8, "hosts": hosts},
        "workload": {"isl": 3000, "osl": 400},
        "slo": {"ttft_ms": 2000, "tpot_ms": 60},
        **fields,
    }
    return resolve(Request.model_validate(request)).problem


@pytest.mark.parametrize(("model", "gpu", "hosts", "fields"), SPACES)
def test_every_candidate_has_the_price_of_its_own_dag(
    model: str, gpu: str, hosts: int, fields: dict[str, object]
) -> None:
    asked = problem(model, gpu, hosts, fields)
    candidates = price_all(asked, calibration()).candidates

    for candidate in candidates[:: 1 + len(candidates) // 40]:
        priced = estimate(candidate.dag, asked, calibration(), concurrency=candidate.concurrency)

        assert candidate.ttft_ms == pytest.approx(priced.ttft_ms, rel=0.01)
        assert candidate.tpot_ms == pytest.approx(priced.tpot_ms, rel=0.01)
        assert candidate.tokens_per_s_per_gpu == pytest.approx(priced.tokens_per_s_per_gpu, rel=0.01)


def test_pools_priced_together_cost_what_they_cost_alone() -> None:
    asked = problem("deepseek-v3", "h200-sxm", 4, {"workload": {"isl": 50_000, "osl": 100}})
    found = list(pools(asked))
    passes = Passes(asked, calibration())

    for pricer, members in passes.pricers("decode", [Seat(pool) for pool in found]):
        owner = np.arange(len(members))
        load = Load(np.full(len(members), 7.0), 1.0, 50_000.0)
        together = pricer.table(load, owner).pipelines
        for n, position in enumerate(members):
            own = build(asked.model, Strategy(pools=(found[position],)))
            alone = Pricer(own, "decode", asked, calibration()).price(Load(np.array([7.0]), 1.0, 50_000.0))
            assert together.latency_ms[n] == pytest.approx(alone.latency_ms[0], rel=1e-9)
            assert together.interval_ms[n] == pytest.approx(alone.interval_ms[0], rel=1e-9)


def test_some_deployments_of_many_have_the_same_curves() -> None:
    asked = problem("llama-3.1-70b", "h100-sxm", 2, {})
    strategies = tuple(Strategy(pools=(pool,)) for pool in pools(asked))
    plants = Fleet(asked, calibration(), strategies, Passes(asked, calibration())).plants
    loads = np.tile([1.0, 9.0, 40.0], (len(strategies), 1))
    rows = np.arange(0, len(strategies), 3)

    some, every = plants.at(rows).curve(loads[rows]), plants.curve(loads)

    assert np.array_equal(some.ttft_ms, every.ttft_ms[rows])
    assert np.array_equal(some.tpot_ms, every.tpot_ms[rows])


def test_a_prompt_priced_beside_others_takes_each_node_as_long_as_alone() -> None:
    asked = problem("qwen3-235b-a22b-fp8", "h200-sxm", 2, {})
    seats = [Seat(pool) for pool in pools(asked)][::5]

    for seat, found in zip(seats, Passes(asked, calibration()).prompt_passes(seats), strict=True):
        alone = Pricer(build(asked.model, Strategy(pools=(seat.pool,))), "prefill", asked, calibration())
        expected = alone.price(Load(np.ones(1), 3000.0, 3000.0))
        assert found.names == expected.names
        assert found.node_ms == pytest.approx(expected.node_ms, rel=1e-9)
        assert np.array_equal(found.counts, expected.counts)


def test_a_pool_that_straddles_hosts_is_priced_where_it_lies() -> None:
    asked = problem("llama-3.1-70b", "h100-sxm", 2, {})
    pool = Pool(stages=((0, 80),)).model_copy(
        update={"attention": Pool(stages=((0, 80),)).attention.model_copy(update={"tp_size": 4})}
    )
    passes = Passes(asked, calibration())

    aligned, straddling = passes.decode_ms([Seat(pool, 4), Seat(pool, 6)], 3)

    assert np.all(straddling > 1.2 * aligned)


def test_steps_between_the_points_are_interpolated_and_flat_below_the_first() -> None:
    points = batch_points(5)
    steps = np.array([10 + points, 20 + 2 * points])
    batch = np.array([[0.5, 1.0, 1.7, 3.3, 4.0], [1.0, 2.0, 2.5, 3.9, 99.0]])

    found = interpolation(steps)(batch)

    assert found[0] == pytest.approx(10 + np.clip(batch[0], 1, 4))
    assert found[1] == pytest.approx(20 + 2 * np.clip(batch[1], 1, 4))


def test_the_load_of_a_fleet_is_on_the_limit() -> None:
    asked = problem("llama-3.1-70b", "h100-sxm", 1, {})
    strategies = tuple(Strategy(pools=(pool,)) for pool in pools(asked) if Passes(asked, calibration()).sequences(pool))
    plants = Fleet(asked, calibration(), strategies, Passes(asked, calibration())).plants

    found = operate(asked, plants)
    more = plants.curve(np.minimum(found.point.concurrency * 1.02 + 1, plants.max_concurrency))

    over = (more.ttft_ms > 2000) | (more.tpot_ms > 60) | (more.concurrency <= found.point.concurrency)
    assert found.meets.any()
    assert np.all(over[found.meets])
