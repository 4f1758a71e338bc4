"""The load to judge a deployment by: the one that is asked for, or the one that serves the objective best within the limits."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from strategy.fleet import MAX_GRID_CONCURRENCY, Curve, Plants
from strategy.passes import Grid
from strategy.request import Problem, Slo

GRID_POINTS = 24
REFINED_POINTS = 17
SHORT = 1e6
"""How much worse it is to serve no request of a stated rate than to exceed a limit by its own size."""
REFINEMENTS = 2
"""Times that the gap between the last load within the limits and the first beyond is cut into `REFINED_POINTS`."""


class Operated(NamedTuple):
    """Every deployment at its load."""

    point: Curve
    """Arrays [deployments, 1]."""
    meets: NDArray[np.bool_]
    """Whether limits and request rate are met, [deployments]."""

    def replaced(self, rows: NDArray[np.int64], others: "Operated") -> "Operated":
        """With the deployments at `rows` at other loads."""
        meets = self.meets.copy()
        meets[rows] = others.meets
        return Operated(self.point.replaced(rows, others.point), meets)


def load_grid(plants: Plants) -> Grid:
    """Concurrencies from one to what memory holds, evenly on a logarithmic scale, [deployments, loads]."""
    top = np.clip(plants.max_concurrency, 1, MAX_GRID_CONCURRENCY)
    return np.asarray(np.round(np.exp(np.log(top) * np.linspace(0, 1, GRID_POINTS))))


def operate(problem: Problem, plants: Plants, *, refined: bool = True) -> Operated:
    """Every deployment at the load to judge it by.

    That is the concurrency that is stated, else the lowest that carries the request rate that is stated, else one request for the
    objective `latency`, else that of highest throughput within the limits; where no load is within them, that which exceeds them least.
    `refined` False is content with a rough grid of loads.
    """
    stated = _stated(problem)
    if stated is not None:
        return _operated(problem, plants.curve(np.full_like(plants.gpus, stated)))
    points = plants.curve(load_grid(plants))
    found = _operated(problem, points)
    return _refined(problem, plants, points, found, REFINEMENTS) if refined else found


def _operated(problem: Problem, points: Curve) -> Operated:
    """Every deployment at the best of some loads."""
    meets = _meets(problem, points)
    chosen = _chosen(problem, points, meets)
    rows = np.arange(len(chosen))
    return Operated(points.at((rows[:, None], chosen[:, None])), meets[rows, chosen])


def _refined(problem: Problem, plants: Plants, points: Curve, found: Operated, times: int) -> Operated:
    """The same with loads in between, for those deployments that have any between the chosen one and its neighbour beyond the limits."""
    loads = _between(problem, points)
    rows = np.flatnonzero(loads[:, -1] - loads[:, 0] > 1)
    if not len(rows):
        return found
    some = plants.at(rows)
    nearer = some.curve(loads[rows])
    better = _operated(problem, nearer)
    if times > 1:
        better = _refined(problem, some, nearer, better, times - 1)
    return found.replaced(rows, better)


def _stated(problem: Problem) -> float | None:
    """The one load to price when the request leaves no other."""
    if problem.workload.concurrency is not None:
        return float(problem.workload.concurrency)
    return 1.0 if problem.objective == "latency" and problem.workload.request_rate is None else None


def _between(problem: Problem, points: Curve) -> Grid:
    """Loads between the one chosen and its neighbour on the other side of the limits, or of the rate: latencies are least where just that is carried."""
    meets = _meets(problem, points)
    chosen = _chosen(problem, points, meets)
    rows, last = np.arange(len(chosen)), points.concurrency.shape[1] - 1
    rated = problem.workload.request_rate is not None
    step, found = (-1, _carries(problem, points)) if rated else (1, meets)
    own = points.concurrency[rows, chosen]
    other = points.concurrency[rows, np.clip(chosen + step, 0, last)]
    other = np.where(found.any(axis=1), other, own)
    low, high = np.minimum(own, other)[:, None], np.maximum(own, other)[:, None]
    return np.round(low + (high - low) * np.linspace(0, 1, REFINED_POINTS))


def _meets(problem: Problem, points: Curve) -> NDArray[np.bool_]:
    return np.asarray(within(problem.slo, points.ttft_ms, points.tpot_ms) & _carries(problem, points))


def _carries(problem: Problem, points: Curve) -> NDArray[np.bool_]:
    """Where the request rate that was asked for is served."""
    return np.asarray(points.requests_per_s >= (problem.workload.request_rate or 0.0))


def _chosen(problem: Problem, points: Curve, meets: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each deployment the load where the objective is best within the limits, or where they are exceeded least."""
    short = np.maximum(0.0, 1 - points.requests_per_s / (problem.workload.request_rate or 1e-9))
    nearest = (excess(problem.slo, points.ttft_ms, points.tpot_ms) + SHORT * short).argmin(axis=1)
    if problem.workload.request_rate is not None or problem.objective == "latency":
        best = meets.argmax(axis=1)
    else:
        # Small loads are on the grid more than once: the last of them is next to another load.
        rates = np.where(meets, points.tokens_per_s_per_gpu, -np.inf)
        best = rates.shape[1] - 1 - rates[:, ::-1].argmax(axis=1)
    return np.asarray(np.where(meets.any(axis=1), best, nearest))


def within(slo: Slo, ttft_ms: Grid, tpot_ms: Grid) -> NDArray[np.bool_]:
    """Where both limits hold."""
    return np.asarray((ttft_ms <= slo.planned_ttft_ms) & (tpot_ms <= slo.planned_tpot_ms))


def excess(slo: Slo, ttft_ms: Grid, tpot_ms: Grid) -> Grid:
    """By what factor the worse of the two limits is exceeded (1 is on the limit)."""
    return np.asarray(np.maximum(ttft_ms / slo.planned_ttft_ms, tpot_ms / slo.planned_tpot_ms))
