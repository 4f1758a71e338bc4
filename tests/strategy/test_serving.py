"""The steady state under a closed load: Little's law, bounds, and how its parts respond."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy.serving import Demand, Served, front_time_ms, polling_steps, steady_state

LOADS = np.array([1.0, 2.0, 8.0, 64.0, 512.0])
TOGETHER = Demand(
    batch=LOADS, osl=500, alone_ms=200.0, taken_ms=80.0, queue=0.3, queue_half=8.0, prefill_replicas=1.0, disaggregated=False
)  # fmt: skip
APART = replace(TOGETHER, disaggregated=True, transfer_ms=10.0)


def step_ms(batch: np.ndarray) -> np.ndarray:
    return 10.0 + 0.05 * batch


def served(load: Demand) -> Served:
    return steady_state(load, step_ms)


@pytest.mark.parametrize("load", [TOGETHER, APART, replace(TOGETHER, front_busy_ms=LOADS * 200.0)])
def test_requests_are_either_waiting_for_their_first_token_or_decoding(load: Demand) -> None:
    found = served(load)

    rate = load.batch / (found.ttft_ms + 499 * found.tpot_ms)
    assert found.decode_batch == pytest.approx(rate * 499 * found.tpot_ms, rel=1e-3)


def test_a_lone_request_meets_nobody() -> None:
    alone = served(TOGETHER)

    assert alone.ttft_ms[0] == pytest.approx(200)
    assert alone.tpot_ms[0] == pytest.approx(step_ms(alone.decode_batch)[0])


@pytest.mark.parametrize("load", [TOGETHER, APART])
def test_latencies_grow_with_load_and_throughput_does_not_fall(load: Demand) -> None:
    found = served(load)

    rate = load.batch / (found.ttft_ms + 499 * found.tpot_ms)
    assert np.all(np.diff(found.ttft_ms) > 0)
    assert np.all(np.diff(found.tpot_ms) >= 0)
    assert np.all(np.diff(rate) >= -1e-9)
    assert np.all(rate * 80 <= 1 + 1e-6)  # prefill cannot take more than all of the time


def test_prefill_on_the_same_ranks_stretches_decode_and_apart_it_does_not() -> None:
    together, apart = served(TOGETHER), served(APART)

    assert together.tpot_ms[3] > 1.2 * step_ms(together.decode_batch)[3]
    assert apart.tpot_ms == pytest.approx(step_ms(apart.decode_batch))


def test_a_saturated_prefill_pool_makes_requests_queue_before_it() -> None:
    narrow, wide = served(replace(APART, prefill_replicas=0.25)), served(replace(APART, prefill_replicas=4.0))

    assert narrow.prefill_share[-1] == pytest.approx(1, abs=1e-3)
    assert narrow.ttft_ms[-1] > 10 * wide.ttft_ms[-1]
    assert narrow.decode_batch[-1] < wide.decode_batch[-1]


def test_a_single_output_token_has_a_price() -> None:
    found = served(replace(TOGETHER, osl=1))

    assert np.all(np.isfinite(found.ttft_ms))
    assert np.all(found.ttft_ms > 0)


def test_a_burst_waits_for_half_of_itself() -> None:
    calm, burst = served(TOGETHER), served(replace(TOGETHER, burst=0.1))

    assert burst.ttft_ms[0] == calm.ttft_ms[0]
    assert burst.ttft_ms[3] - calm.ttft_ms[3] == pytest.approx(0.1 * 63 / 2 * 80, rel=0.05)


def test_the_front_end_delays_first_tokens_and_takes_no_rank() -> None:
    plain, slow = served(APART), served(replace(APART, front_ms=50.0))

    assert slow.ttft_ms[1] - plain.ttft_ms[1] == pytest.approx(50.0)
    assert slow.tpot_ms[1] <= plain.tpot_ms[1]


def test_prompts_held_back_for_other_replicas_join_steps_later() -> None:
    plain, held = served(TOGETHER), served(replace(TOGETHER, held_steps=10.0))

    assert held.ttft_ms[0] == plain.ttft_ms[0]
    assert held.ttft_ms[2] - plain.ttft_ms[2] == pytest.approx(9.5 * 7 / 8 * step_ms(held.decode_batch)[2], rel=0.05)


def test_interference_scales_what_decoding_waits_for() -> None:
    half, whole = served(replace(TOGETHER, interference=0.5)), served(TOGETHER)

    assert half.tpot_ms[3] < whole.tpot_ms[3]


def test_prompts_found_waiting_grow_to_a_limit() -> None:
    alone = served(replace(TOGETHER, queue=0.0, held_steps=0.0))
    found = (served(replace(TOGETHER, held_steps=0.0)).ttft_ms - alone.ttft_ms) / 80

    others = LOADS - 1
    assert found == pytest.approx(0.3 * others / (1 + others / 8), rel=1e-6, abs=1e-9)
    assert np.all(found < 0.3 * 8)


def test_a_request_that_stands_outside_waits_for_one_place_of_all() -> None:
    plain, standing = served(TOGETHER), served(replace(TOGETHER, standing=1.0))

    life = standing.ttft_ms + 499 * standing.tpot_ms
    assert standing.ttft_ms[0] == plain.ttft_ms[0]
    assert (standing.ttft_ms - plain.ttft_ms)[2:4] == pytest.approx(((1 - 1 / LOADS) * life / LOADS)[2:4], rel=0.01)
    assert np.all(standing.decode_batch <= plain.decode_batch)


def test_a_front_end_bounds_what_is_served() -> None:
    free, bound = served(TOGETHER), served(replace(TOGETHER, front_busy_ms=LOADS * front_time_ms(100.0, 200.0, 500)))

    life, freely = (found.ttft_ms + 499 * found.tpot_ms for found in (bound, free))
    assert bound.ttft_ms[0] == pytest.approx(free.ttft_ms[0])
    assert bound.tpot_ms[0] == pytest.approx(free.tpot_ms[0])
    assert np.all(LOADS / life <= 1 / 200.0 * (1 + 1e-9))
    assert np.all(life >= freely)
    crowded = 1.5 * freely < LOADS * 200.0
    assert crowded.any()
    assert life[crowded] == pytest.approx(LOADS[crowded] * 200.0, rel=0.01)
    assert np.all(bound.ttft_ms[crowded] > 0.25 * (life - bound.ttft_ms)[crowded])


def test_a_front_end_bounds_single_tokens_as_well() -> None:
    found = served(replace(TOGETHER, osl=1, front_busy_ms=LOADS * 1e3))

    life = found.ttft_ms + 1e-3 * found.tpot_ms
    assert life[2:] == pytest.approx(LOADS[2:] * 1e3, rel=0.01)


def test_engines_look_for_prompts_less_often_when_many_requests_run() -> None:
    steps = polling_steps(5.0, 3.0, np.array([1.0, 8.0, 11.0, 16.0, 500.0]))

    assert steps[[0, 1, 3, 4]] == pytest.approx([5, 5, 15, 15])
    assert 5 < steps[2] < 15
    assert polling_steps(5.0, 0.5, np.array([64.0])) == pytest.approx([5.0])  # never more often than with few


@given(
    batch=st.floats(1, 4096), osl=st.integers(1, 4000), alone_ms=st.floats(1, 1e5), share=st.floats(0.01, 1), step=st.floats(0.1, 200),
    slope=st.floats(0, 5), queue=st.floats(0, 2), replicas=st.floats(0.1, 10), disaggregated=st.booleans(), held=st.floats(0, 20),
)  # fmt: skip
def test_the_operating_point_is_where_halving_leads(
    batch: float, osl: int, alone_ms: float, share: float, step: float, slope: float, queue: float, replicas: float,
    disaggregated: bool, held: float,
) -> None:  # fmt: skip
    load = Demand(
        np.array([batch]), osl, alone_ms, share * alone_ms, queue, 6.0, replicas, disaggregated, held_steps=held
    )

    def bent(decoding: np.ndarray) -> np.ndarray:
        return step + slope * np.maximum(decoding - 8, 0.0)

    found = steady_state(load, bent)

    # Of what is next to nothing (one token a prompt) no more is asked than the floor that the steady state keeps.
    assert found.decode_batch[0] == pytest.approx(_halved(load, bent), rel=1e-3, abs=1e-10 * batch)


def _halved(load: Demand, step_at: Callable[[np.ndarray], np.ndarray]) -> float:
    """The sequences that decode, by a hundred halvings of Little's law with one load at a time."""
    batch = float(load.batch[0])
    interrupted, after = (batch - 1) / batch, max(load.osl - 1, 1e-3)
    met = max(batch / load.prefill_replicas - 1 if load.disaggregated else batch - 1, 0.0)
    first = load.alone_ms + load.taken_ms * load.queue * met / (1 + met / load.queue_half)
    stopped = 0.0 if load.disaggregated else interrupted * load.taken_ms / load.prefill_replicas
    joining = 0.0 if load.disaggregated else load.held_steps * interrupted
    low, high = 0.0, batch
    for _ in range(100):
        decoding = (low + high) / 2
        step = float(step_at(np.array([decoding]))[0])
        rate = decoding / (after * step + decoding * stopped)
        flooded = load.disaggregated and rate * load.taken_ms > load.prefill_replicas
        over = flooded or decoding + rate * (first + joining * step) > batch
        low, high = (low, decoding) if over else (decoding, high)
    return high
