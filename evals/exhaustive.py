"""Every strategy of a small space, built and priced one by one: what a search of that space must not lose to.

Shares the list of legal pools and the price of one DAG with the planner, and nothing of how it narrows, sizes, pairs or ranks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from strategy.build import build
from strategy.calibration import Calibration
from strategy.cost import estimate
from strategy.legality import kv_transfer_compatible
from strategy.memory import max_concurrency
from strategy.request import Problem
from strategy.result import Estimate
from strategy.search.space import most_replicas, pools
from strategy.strategy import Phase, Pool, Strategy


@dataclass(frozen=True)
class Best:
    """The best strategy of a space, None when no strategy meets the limits."""

    strategy: Strategy | None
    cost: float
    """What the objective minimises; infinite when there is no strategy."""
    priced: int


def exhaustive(problem: Problem, calibration: Calibration) -> Best:
    """Price everything. The problem states its limits or its load (an open question has no single answer)."""
    best, cost, priced = None, float("inf"), 0
    for strategy in strategies(problem):
        if max_concurrency(problem, strategy) < 1:
            continue
        priced += 1
        found = estimate(build(problem.model, strategy), problem, calibration)
        if meets(problem, found) and cost_of(problem, found) < cost:
            best, cost = strategy, cost_of(problem, found)
    return Best(best, cost, priced)


def cost_of(problem: Problem, found: Estimate) -> float:
    """What the objective minimises: milliseconds to the last token, GPUs, or output tokens/s with a minus sign."""
    if problem.objective == "latency":
        return found.ttft_ms + found.tpot_ms * (problem.workload.osl - 1)
    if problem.objective == "min_gpus":
        return float(found.gpus)
    return -found.tokens_per_s_per_gpu * found.gpus


def meets(problem: Problem, found: Estimate) -> bool:
    """Whether the limits hold and the load is carried."""
    slo, work = problem.slo, problem.workload
    in_time = found.ttft_ms <= (slo.ttft_ms or float("inf")) and found.tpot_ms <= (slo.tpot_ms or float("inf"))
    return in_time and found.requests_per_s >= (work.request_rate or 0.0)


def strategies(problem: Problem) -> Iterator[Strategy]:
    """Every strategy of the problem's serving kind: each legal pool, or pair of pools, at every replica count that the GPUs allow."""
    found = list(pools(problem))
    if problem.serving == "disaggregated":
        yield from _pairs(problem, found)
        return
    for pool in found:
        for replicas in range(1, most_replicas(problem, pool) + 1):
            yield Strategy(pools=(pool.model_copy(update={"replicas": replicas}),))


def _replicas(problem: Problem, limit: int) -> range:
    return range(1, (min(limit, 1) if "dp" in problem.constraints.forbid else limit) + 1)


def _pairs(problem: Problem, found: list[Pool]) -> Iterator[Strategy]:
    for first, second in product(found, repeat=2):
        left = problem.cluster.gpus - first.ranks_per_replica
        for decoders in _replicas(problem, left // second.ranks_per_replica):
            room = problem.cluster.gpus - decoders * second.ranks_per_replica
            for prefillers in _replicas(problem, room // first.ranks_per_replica):
                one, other = _alone(first, "prefill", prefillers), _alone(second, "decode", decoders)
                if kv_transfer_compatible(one, other):
                    yield Strategy(pools=(one, other))


def _alone(pool: Pool, phase: Phase, replicas: int) -> Pool:
    return pool.model_copy(update={"name": phase, "phases": (phase,), "replicas": replicas})
