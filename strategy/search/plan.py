"""Find the best strategy for a problem, or show that there is none."""

from dataclasses import dataclass

from strategy.calibration import Calibration
from strategy.request import Problem
from strategy.result import Alternative, Infeasible
from strategy.search.choose import alternatives, order
from strategy.search.infeasible import explain
from strategy.search.points import Candidate, Priced, price_all


@dataclass(frozen=True)
class SearchResult:
    """The best candidate, or why there is none."""

    best: Candidate | None
    alternatives: tuple[Alternative, ...] = ()
    infeasible: Infeasible | None = None
    considered: int = 0
    """Candidates priced, and those that did not fit."""


def search(problem: Problem, calibration: Calibration) -> SearchResult:
    """The best strategy of the space for the problem's objective, load and limits. Deterministic."""
    priced = price_all(problem, calibration)
    considered = len(priced.candidates) + len(priced.misfits)
    ranked = _ranked(problem, priced)
    if not ranked:

        def planned(changed: Problem) -> Candidate | None:
            return next(iter(_ranked(changed, price_all(changed, calibration))), None)

        return SearchResult(None, infeasible=explain(problem, priced, planned), considered=considered)
    best, missed = ranked[0], order(problem, [c for c in priced.candidates if not c.meets_slo])
    others = alternatives(problem, calibration, best, [*ranked[1:], *missed])
    return SearchResult(best, others, considered=considered)


def _ranked(problem: Problem, priced: Priced) -> list[Candidate]:
    """Candidates that meet the limits, best first."""
    return order(problem, [c for c in priced.candidates if c.meets_slo])
