"""Find the best strategy for a problem, or show that there is none."""

from dataclasses import dataclass, replace

from strategy.build import build
from strategy.calibration import Calibration
from strategy.memory import stage_memory
from strategy.request import Problem, Slo
from strategy.result import Alternative, Infeasible
from strategy.search.choose import alternatives, order
from strategy.search.disaggregated import PhasePools
from strategy.search.infeasible import explain
from strategy.search.points import Candidate, Misfit, Priced, needed_gb, replicated
from strategy.search.space import pools
from strategy.strategy import Strategy

COMFORT = Slo(ttft_ms=2000, tpot_ms=50)
"""Limits planned for when neither limits nor a load are stated: what an interactive user takes for responsive. Throughput without
any limit would put every free byte of cache to use and answer nobody in time."""


@dataclass(frozen=True)
class SearchResult:
    """The best candidate, or why there is none."""

    best: Candidate | None
    alternatives: tuple[Alternative, ...] = ()
    infeasible: Infeasible | None = None
    considered: int = 0
    """Candidates priced, and those that did not fit."""
    assumptions: tuple[str, ...] = ()
    """What the search decided where the request left it open."""


def search(problem: Problem, calibration: Calibration) -> SearchResult:
    """The best strategy of the space for the problem's objective, load and limits. Deterministic."""
    if _open_ended(problem):
        comfortable = problem.model_copy(update={"slo": COMFORT})
        found = _search(comfortable, calibration, explained=False)
        if found.best is not None:
            told = f"no load and no limits were stated: planned for TTFT <= {COMFORT.ttft_ms:g} ms and TPOT <= {COMFORT.tpot_ms:g} ms"
            return replace(found, assumptions=(told,))
        told = "no load and no limits were stated: planned for the highest throughput, whatever the latency"
        return replace(_search(problem, calibration), assumptions=(told,))
    return _search(problem, calibration)


def _open_ended(problem: Problem) -> bool:
    work = problem.workload
    return (
        problem.slo == Slo()
        and work.concurrency is None
        and work.request_rate is None
        and problem.objective != "latency"
    )


def _search(problem: Problem, calibration: Calibration, *, explained: bool = True) -> SearchResult:
    priced = price_all(problem, calibration)
    considered = len(priced.candidates) + len(priced.misfits)
    ranked = _ranked(problem, priced)
    if ranked:
        best, missed = ranked[0], order(problem, [c for c in priced.candidates if not c.meets_slo])
        others = alternatives(problem, calibration, best, [*ranked[1:], *missed])
        return SearchResult(best, others, considered=considered)

    def planned(changed: Problem) -> Candidate | None:
        return next(iter(_ranked(changed, price_all(changed, calibration))), None)

    why = explain(problem, priced, planned) if explained else None
    return SearchResult(None, infeasible=why, considered=considered)


def price_all(problem: Problem, calibration: Calibration) -> Priced:
    """Price every legal pool at every replica count worth considering, and pairs of pools where the phases may part."""
    candidates: list[Candidate] = []
    misfits: list[Misfit] = []
    phases = PhasePools(problem, calibration)
    for pool in pools(problem):
        stages = stage_memory(problem, pool)
        if min(stage.sequences for stage in stages) < 1:
            misfits.append(Misfit(pool, max(needed_gb(stage) for stage in stages)))
            continue
        one = build(problem.model, Strategy(pools=(pool,)))
        phases.add(pool, one)
        if problem.serving != "disaggregated":
            candidates += replicated(problem, calibration, pool, one)
    return Priced((*candidates, *phases.candidates()), tuple(misfits))


def _ranked(problem: Problem, priced: Priced) -> list[Candidate]:
    """Candidates that meet the limits, best first."""
    return order(problem, [c for c in priced.candidates if c.meets_slo])
