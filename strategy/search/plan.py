"""Find the best strategy for a problem, or show that there is none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from strategy.calibration import Calibration
from strategy.fleet import MAX_GRID_CONCURRENCY, Passes, points_up_to
from strategy.memory import stage_memory
from strategy.request import Problem, Slo
from strategy.result import Alternative, Estimate, Gain, Infeasible
from strategy.search.choose import compared, order
from strategy.search.disaggregated import disaggregated
from strategy.search.gains import gains
from strategy.search.infeasible import explain
from strategy.search.points import Candidate, Misfit, Priced, candidates, fewest_replicas, needed_gb
from strategy.search.space import pools, replicated, strategy_is_legal, variants
from strategy.strategy import Pool, Strategy

COMFORTS = tuple(Slo(ttft_ms=2000.0 * times, tpot_ms=50.0 * times) for times in (1, 2, 4))
"""Limits planned for when neither limits nor a load are stated: what an interactive user takes for responsive, and twice and four times
that where the hardware is slow. Throughput without any limit would put every free byte of cache to use and answer nobody in time."""


VARIED = 6
"""Leading candidates whose variants are priced as well."""


@dataclass(frozen=True)
class SearchResult:
    """The best candidate, or why there is none."""

    best: Candidate | None
    alternatives: tuple[Alternative, ...] = ()
    infeasible: Infeasible | None = None
    considered: int = 0
    """Candidates priced, and those that did not fit."""
    estimate: Estimate | None = None
    """The best candidate's price."""
    assumptions: tuple[str, ...] = ()
    """What the search decided where the request left it open."""
    candidates: tuple[Candidate, ...] = ()
    """Everything that was priced, in order of enumeration."""
    problem: Problem | None = None
    """What was planned for: the problem with the limits that the search decided."""


def search(problem: Problem, calibration: Calibration) -> SearchResult:
    """The best strategy of the space for the problem's objective, load and limits. Deterministic."""
    if not _open_ended(problem):
        return _search(problem, calibration)
    for limits in COMFORTS:
        slo = limits.model_copy(update={"headroom": problem.slo.headroom})
        found = _search(problem.model_copy(update={"slo": slo}), calibration, explained=False)
        if found.best is not None:
            told = f"no load and no limits were stated: planned for TTFT <= {limits.ttft_ms:g} ms and TPOT <= {limits.tpot_ms:g} ms"
            return replace(found, assumptions=(told,))
    told = "no load and no limits were stated: planned for the highest throughput, whatever the latency"
    return replace(_search(problem, calibration), assumptions=(told,))


def _open_ended(problem: Problem) -> bool:
    work = problem.workload
    return (
        problem.slo.ttft_ms is problem.slo.tpot_ms is None
        and work.concurrency is None
        and work.request_rate is None
        and problem.objective != "latency"
    )


def _search(problem: Problem, calibration: Calibration, *, explained: bool = True) -> SearchResult:
    priced = price_all(problem, calibration)
    considered = len(priced.candidates) + len(priced.misfits)
    ranked = _ranked(problem, priced)
    if ranked:
        missed = order(problem, [c for c in priced.candidates if not c.meets_slo])
        best, others = compared(priced.passes, [*ranked, *missed])
        return SearchResult(
            ranked[0], others, considered=considered, estimate=best, candidates=priced.candidates, problem=problem
        )
    why = explain(problem, priced, partial(price_all, calibration=calibration)) if explained else None
    return SearchResult(None, infeasible=why, considered=considered, problem=problem)


def what_if(found: SearchResult, calibration: Calibration) -> tuple[Gain, ...]:
    """What more GPUs, faster links or narrower weights would buy beside the plan that was found. A search for each."""
    if found.best is None or found.problem is None:
        return ()
    return gains(found.problem, found.best, _planner(calibration))


def _planner(calibration: Calibration) -> Callable[[Problem], Candidate | None]:
    """The best candidate for a problem, or None."""

    def planned(problem: Problem) -> Candidate | None:
        return next(iter(_ranked(problem, price_all(problem, calibration))), None)

    return planned


def price_all(problem: Problem, calibration: Calibration) -> Priced:
    """Price every legal pool at every replica count worth considering, and pairs of pools where the phases may part."""
    passes = Passes(problem, calibration)
    legal = [_that_fits(passes, pool) for pool in pools(problem)]
    fitting = [pool for pool in legal if passes.sequences(pool) > 0]
    passes.prepare(legal, _batch_points(problem, [passes.sequences(pool) for pool in fitting]))
    together = [] if problem.serving == "disaggregated" else [s for pool in fitting for s in replicated(problem, pool)]
    found = candidates(passes, [*together, *disaggregated(passes, legal)])
    found += candidates(passes, _varied(problem, order(problem, found)[:VARIED]))
    if problem.objective == "min_gpus" and not _size_is_fixed(problem):
        found = fewest_replicas(passes, found)
    misfits = tuple(_misfit(problem, pool) for pool in legal if not passes.sequences(pool))
    return Priced(tuple(found), misfits, len(fitting), passes)


def _size_is_fixed(problem: Problem) -> bool:
    """Whether the request leaves no replica to save."""
    fixed = problem.constraints.fix
    return fixed.gpus is not None or fixed.replicas is not None


def _that_fits(passes: Passes, pool: Pool) -> Pool:
    """The pool, or where it does not fit that variant of it which does."""
    if passes.sequences(pool) or pool.pp_size == 1:
        return pool
    return next((other for other in variants(passes.problem, pool) if passes.sequences(other)), pool)


def _varied(problem: Problem, leading: Sequence[Candidate]) -> list[Strategy]:
    """Leading candidates with each of their pools varied in what rarely decides."""
    found = []
    for one in leading:
        for place, pool in enumerate(one.strategy.pools):
            for other in variants(problem, pool):
                pools_ = [other if n == place else kept for n, kept in enumerate(one.strategy.pools)]
                found.append(Strategy(pools=tuple(pools_)))
    return [one for one in dict.fromkeys(found) if strategy_is_legal(problem, one)]


def _batch_points(problem: Problem, rooms: list[int]) -> int:
    """Batch points up to the most sequences that an attention replica of some pool may run at once."""
    most = 2 * max(rooms, default=1)  # engines admit more than would fit full grown
    return points_up_to(min(most, problem.workload.concurrency or MAX_GRID_CONCURRENCY, MAX_GRID_CONCURRENCY))


def _misfit(problem: Problem, pool: Pool) -> Misfit:
    return Misfit(pool, max(needed_gb(stage) for stage in stage_memory(problem, pool)))


def _ranked(problem: Problem, priced: Priced) -> list[Candidate]:
    """Candidates that meet the limits, best first."""
    return order(problem, [c for c in priced.candidates if c.meets_slo])
