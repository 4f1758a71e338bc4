"""Plans with a pool for each phase: pair prefill and decode pools, size them so that neither waits for the other, price the best pairs.

A prefill pool is summed up by what one prompt takes of it, a decode pool by its step time over batch sizes. Pairs are rated by
min(prompts prefilled, requests decoded) per second under the latency limits, and the best of them are priced as whole deployments.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from strategy.build import build
from strategy.calibration import Calibration
from strategy.cost import Server
from strategy.dag import Dag
from strategy.legality import kv_transfer_compatible
from strategy.memory import pool_max_concurrency
from strategy.request import Problem
from strategy.search.points import Candidate, at_best_load
from strategy.strategy import Phase, Pool, Strategy

PRICED_PAIRS = 12
"""Pairs that are priced exactly after the rating."""
KEPT_POOLS = 24
"""Pools of each phase that are paired: the best per GPU among those that meet the limits."""
BATCHES = np.unique(np.round(np.geomspace(1, 1024, 20)))
PREFILL_LOAD = 0.75
"""Share of its capacity up to which a prefill pool answers without a long queue."""


@dataclass(frozen=True)
class PhasePool:
    """A replica of one phase's pool and what it carries within the limits."""

    pool: Pool
    requests_per_s: float
    latency_ms: float
    """Of a prompt on an idle pool, or of a step at the batch it may run."""
    concurrency: float
    """Requests in it at that rate."""

    @property
    def per_gpu(self) -> float:
        """Requests per second and GPU."""
        return self.requests_per_s / self.pool.ranks_per_replica


class PhasePools:
    """Collects pools as prefill and decode sides, and pairs them."""

    def __init__(self, problem: Problem, calibration: Calibration) -> None:
        self.problem = problem
        self.calibration = calibration
        self.prefill: list[PhasePool] = []
        self.decode: list[PhasePool] = []
        fixed = problem.constraints.fix.replicas is not None
        worthwhile = problem.serving == "disaggregated" or problem.objective == "throughput"
        self.wanted = problem.cluster.gpus > 1 and problem.serving != "colocated" and worthwhile and not fixed

    def add(self, pool: Pool, one: Dag) -> None:
        """Consider a pool, whose DAG as the only one is `one`, for either phase."""
        if not self.wanted or pool.ranks_per_replica >= self.problem.cluster.gpus:
            return
        server = Server(one, self.problem, self.calibration)
        self.prefill += _as_prefill(self.problem, pool, server)
        self.decode += _as_decode(self.problem, pool, server)

    def candidates(self) -> list[Candidate]:
        """The best pairs, priced as whole deployments."""
        pairs = _pairs(self.problem, _best(self.prefill), _best(self.decode))
        rated = sorted(pairs, key=lambda pair: -pair[0])[:PRICED_PAIRS]
        model = self.problem.model
        return [at_best_load(self.problem, self.calibration, build(model, strategy)) for _, strategy in rated]


def _alone(pool: Pool, phase: Phase) -> Pool:
    """The pool when it serves one phase only."""
    return pool.model_copy(update={"name": phase, "phases": (phase,)})


def _as_prefill(problem: Problem, pool: Pool, server: Server) -> list[PhasePool]:
    latency_ms, taken_ms = server.prefill_ms
    if latency_ms > (problem.slo.ttft_ms or np.inf):
        return []
    rate = 1e3 * pool.attention.dp_size / taken_ms * PREFILL_LOAD
    return [PhasePool(_alone(pool, "prefill"), rate, latency_ms, rate * latency_ms / 1e3)]


def _as_decode(problem: Problem, pool: Pool, server: Server) -> list[PhasePool]:
    servers = pool.attention.dp_size
    room = pool_max_concurrency(problem, _alone(pool, "decode"))
    batches = BATCHES[BATCHES * servers <= max(room, servers)]
    steps = server.step_ms(batches)
    allowed = np.flatnonzero(steps <= (problem.slo.tpot_ms or np.inf))
    if not len(allowed):
        return []
    index = int(allowed[-1])
    in_flight = float(batches[index]) * servers
    rate = 1e3 * in_flight / (float(steps[index]) * max(1, problem.workload.osl - 1))
    return [PhasePool(_alone(pool, "decode"), rate, float(steps[index]), in_flight)]


def _best(found: list[PhasePool]) -> list[PhasePool]:
    """The best per GPU of each width, then the best overall: wide pools stay in view beside narrow ones."""
    ordered = sorted(found, key=lambda p: (-p.per_gpu, p.pool.ranks_per_replica))
    first_of_width: dict[int, PhasePool] = {}
    for one in ordered:
        first_of_width.setdefault(one.pool.ranks_per_replica, one)
    return list(dict.fromkeys([*first_of_width.values(), *ordered]))[:KEPT_POOLS]


def _pairs(
    problem: Problem, prefill: Sequence[PhasePool], decode: Sequence[PhasePool]
) -> Iterator[tuple[float, Strategy]]:
    """For each pair of pools the replica counts that carry most, with the rate they carry."""
    gpus = problem.constraints.fix.gpus or problem.cluster.gpus
    for first in prefill:
        for second in decode:
            if kv_transfer_compatible(first.pool, second.pool):
                sized = _sized(problem, first, second, gpus)
                if sized is not None:
                    yield sized


def _sized(problem: Problem, first: PhasePool, second: PhasePool, gpus: int) -> tuple[float, Strategy] | None:
    g_first, g_second = first.pool.ranks_per_replica, second.pool.ranks_per_replica
    most = 1 if "dp" in problem.constraints.forbid else gpus
    decoders = np.arange(1, min(most, (gpus - g_first) // g_second) + 1)
    if not len(decoders):
        return None
    prefillers = np.minimum(most, (gpus - decoders * g_second) // g_first)
    needed = np.ceil(decoders * second.requests_per_s / first.requests_per_s)
    prefillers = np.minimum(prefillers, np.maximum(needed, 1))
    rates = np.minimum(prefillers * first.requests_per_s, decoders * second.requests_per_s)
    used = prefillers * g_first + decoders * g_second
    score = rates / used if problem.objective == "min_gpus" else rates
    index = int(score.argmax())
    parts = ((first.pool, prefillers[index]), (second.pool, decoders[index]))
    return float(score[index]), Strategy(pools=tuple(pool.model_copy(update={"replicas": int(n)}) for pool, n in parts))
