"""Fit the factors: damped Gauss-Newton on relative errors of TPOT and TTFT, robust, drawn towards what is expected of each factor.

Deterministic: no random start, no sampling; folds of the cross-validation follow from the names of the configurations.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from evals.cost_factors import first_guess, prior
from evals.cost_rows import Point, layout_pairs
from evals.cost_table import Prediction, Table
from strategy.calibration import Calibration, Factor, HeldOut

Grid = NDArray[np.float64]
HELD_OUT: tuple[HeldOut, ...] = ("configuration", "model", "gpu")

TPOT_SCALE = 0.06
"""Relative error of TPOT beyond which a point counts less than quadratically."""
TTFT_SCALE = 0.1
TTFT_WEIGHT = 0.6
"""Weight of a TTFT over that of a TPOT: it scatters more from run to run."""
ORDER_SCALE = 0.1
"""Error of the ratio of two layouts' throughputs (a logarithm) beyond which a pair counts less than quadratically."""
ORDER_WEIGHT = 2.0
"""Weight of a pair of layouts with the same GPUs and load over that of a TPOT."""
FOLDS = 5
MAX_STEPS = 40
ENOUGH = 2e-3
"""Relative gain of a step below which the fit is done."""
NEGLIGIBLE = 0.01
"""Factors nearer to one than this are left out."""


@dataclass(frozen=True)
class Fit:
    """Values of the factors, as logarithms in the order of the table's keys."""

    table: Table
    logs: Grid

    def factors(self) -> tuple[Factor, ...]:
        """The factors that matter, general ones first."""
        pairs = sorted(zip(self.table.keys, self.logs, strict=True), key=lambda pair: str(pair[0]))
        kept = [(key, float(np.exp(log))) for key, log in pairs if abs(log) > NEGLIGIBLE]
        return tuple(key.factor(float(f"{value:.4g}")) for key, value in kept)


def weights(table: Table) -> Grid:
    """One for points that the fit uses, zero for those faster than the roofline of their own batch (see `COST.md`)."""
    return np.asarray((table.measured_tpot_ms >= table.roofline_tpot_ms).astype(np.float64))


def fit(table: Table, use: Grid | None = None) -> Fit:
    """Values that explain the points with weight `use` best."""
    used = weights(table) if use is None else use
    expected = np.array([prior(key) for key in table.keys])
    start, width = expected[:, 0], expected[:, 1]
    objective = _Objective(table, used, start, width, Pairs.of(table, used))
    logs, damping = start + [first_guess(key) for key in table.keys], 1.0
    cost, gradient, curvature = objective.at(logs)
    for _ in range(MAX_STEPS):
        moved = logs - np.linalg.solve(curvature + damping * np.diag(1 / width**2), gradient)
        after = objective.cost(moved)
        if after >= cost:
            damping *= 4
            if damping > 1e8:
                break
            continue
        gain, logs, damping = (cost - after) / cost, moved, damping / 3
        if gain < ENOUGH:
            break
        cost, gradient, curvature = objective.at(logs)
    return Fit(table, logs)


def shipped(table: Table, calibration: Calibration) -> Fit:
    """The factors of a calibration as a fit of this table."""
    known = {factor.model_copy(update={"value": 1.0}): factor.value for factor in calibration.factors}
    return Fit(table, np.log([known.get(key.factor(1.0), 1.0) for key in table.keys]))


@dataclass(frozen=True)
class Pairs:
    """Pairs of layouts of one deployment with the same GPUs and load: what a planner chooses between."""

    difference: Any
    """+1 and -1 at the two points, sparse [pairs, points]."""
    measured: Grid
    """Logarithm of the ratio of their throughputs."""

    @classmethod
    def of(cls, table: Table, used: Grid) -> "Pairs":
        """The pairs of points with weight."""
        rows = layout_pairs(table.points)
        kept = rows[(used[rows[:, 0]] > 0) & (used[rows[:, 1]] > 0)]
        count = np.arange(len(kept))
        signs = np.repeat([1.0, -1.0], len(kept)), (np.tile(count, 2), kept.T.ravel())
        difference = sparse.csr_matrix(signs, shape=(len(kept), len(table.points)))
        life = table.measured_ttft_ms + table.measured_tpot_ms * (table.osl - 1)
        return cls(difference, -(difference @ np.log(life)))


@dataclass(frozen=True)
class _Objective:
    """Half the sum of squares of scaled robust residuals, of latencies and of the ratios of pairs, and of departures from what is expected."""

    table: Table
    used: Grid
    start: Grid
    width: Grid
    pairs: Pairs

    def cost(self, logs: Grid) -> float:
        """The value alone."""
        ttft, tpot = self.table.predict(logs)
        return self._cost(logs, ttft, tpot)

    def _cost(self, logs: Grid, ttft: Grid, tpot: Grid) -> float:
        data = _robust(self._tpot(tpot)) + TTFT_WEIGHT * _robust(self._ttft(ttft))
        departure = (logs - self.start) / self.width
        order = ORDER_WEIGHT * _robust(self._order(ttft, tpot)).sum()
        return float((self.used * data).sum() + order + 0.5 * departure @ departure)

    def at(self, logs: Grid) -> tuple[float, Grid, Grid]:
        """Value, gradient and curvature (of the reweighted least squares)."""
        ttft, tpot, d_ttft, d_tpot = self.table.slopes(logs)
        gradient, curvature = (logs - self.start) / self.width**2, np.diag(1 / self.width**2)
        after = (self.table.osl - 1)[:, None]
        d_life = (d_ttft + after * d_tpot) / (ttft[:, None] + after * tpot[:, None])
        for residual, slope, weight in (
            (self._tpot(tpot), d_tpot / (self.table.measured_tpot_ms * TPOT_SCALE)[:, None], self.used),
            (self._ttft(ttft), d_ttft / (self.table.measured_ttft_ms * TTFT_SCALE)[:, None], self.used * TTFT_WEIGHT),
            (self._order(ttft, tpot), -(self.pairs.difference @ d_life) / ORDER_SCALE, ORDER_WEIGHT),
        ):
            share = weight / np.sqrt(1 + residual**2)
            gradient = gradient + slope.T @ (share * residual)
            curvature = curvature + slope.T @ (share[:, None] * slope)
        return self._cost(logs, ttft, tpot), gradient, curvature

    def _tpot(self, tpot: Grid) -> Grid:
        return (tpot / self.table.measured_tpot_ms - 1) / TPOT_SCALE

    def _ttft(self, ttft: Grid) -> Grid:
        return (ttft / self.table.measured_ttft_ms - 1) / TTFT_SCALE

    def _order(self, ttft: Grid, tpot: Grid) -> Grid:
        life = np.log(ttft + tpot * (self.table.osl - 1))
        return np.asarray((-(self.pairs.difference @ life) - self.pairs.measured) / ORDER_SCALE)


def _robust(residual: Grid) -> Grid:
    """Quadratic near zero, linear far away."""
    return np.asarray(np.sqrt(1 + residual**2) - 1)


def predict(found: Fit) -> Prediction:
    """The fit on the points that it has seen."""
    return Prediction(*found.table.predict(found.logs))


def cross_validate(
    table: Table, held_out: HeldOut, progress: Callable[[str], None], asked: Table | None = None
) -> Prediction:
    """Every point predicted by a fit that has seen nothing of its configuration, model or GPU.

    `asked` are the same points as they are to be predicted, where that is not as they are fitted.
    """
    judged = table if asked is None else asked
    labels = np.array([_label(point, held_out) for point in table.points])
    used, ttft, tpot = weights(table), np.zeros(len(labels)), np.zeros(len(labels))
    for label in sorted(set(labels)):
        mask = labels == label
        found = predict(Fit(judged, fit(table, used * ~mask).logs))
        ttft[mask], tpot[mask] = found.ttft_ms[mask], found.tpot_ms[mask]
        progress(f"held out {held_out} {label}: {mask.sum()} points")
    return Prediction(ttft, tpot)


def _label(point: Point, held_out: HeldOut) -> str:
    if held_out == "gpu":
        return point.gpu
    if held_out == "model":
        return "llama" if point.family.startswith("llama") else point.family
    digest = hashlib.sha256(str(point.group).encode()).digest()
    return f"fold {digest[0] % FOLDS + 1}"
