"""How far predictions are from measurements, and whether they lead to the right choice."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.cost_rows import Point, layout_pairs
from evals.cost_table import Prediction, Table

Grid = NDArray[np.float64]
CLEAR = 1.1
"""Ratio of throughputs beyond which one layout is measurably better than another."""


@dataclass(frozen=True)
class Errors:
    """Relative errors of a set of points, in percent."""

    points: int
    tpot_mape: float
    tpot_median: float
    ttft_mape: float
    ttft_median: float


def errors(table: Table, found: Prediction, mask: NDArray[np.bool_] | None = None) -> Errors:
    """Mean and median absolute relative errors."""
    chosen = np.ones(len(table.points), dtype=bool) if mask is None else mask
    tpot = 100 * np.abs(found.tpot_ms / table.measured_tpot_ms - 1)[chosen]
    ttft = 100 * np.abs(found.ttft_ms / table.measured_ttft_ms - 1)[chosen]
    return Errors(int(chosen.sum()), *(float(f(x)) for x in (tpot, ttft) for f in (np.mean, np.median)))


def by(table: Table, found: Prediction, label: Callable[[Point], str]) -> dict[str, Errors]:
    """Errors of every set of points with one label, in order of label."""
    labels = np.array([label(point) for point in table.points])
    return {name: errors(table, found, labels == name) for name in sorted(set(labels))}


def throughput(table: Table, ttft_ms: Grid, tpot_ms: Grid) -> Grid:
    """Output tokens per second of every point, by Little's law."""
    return np.asarray(1e3 * table.asked * table.osl / (ttft_ms + tpot_ms * (table.osl - 1)))


@dataclass(frozen=True)
class Orders:
    """Pairs of layouts of one deployment with the same GPUs and load."""

    pairs: int
    right: int


def orders(table: Table, found: Prediction) -> Orders:
    """Pairs whose measured throughputs differ clearly, and those that the prediction puts in the same order."""
    measured = throughput(table, table.measured_ttft_ms, table.measured_tpot_ms)
    predicted = throughput(table, found.ttft_ms, found.tpot_ms)
    one, other = layout_pairs(table.points).T
    ratio = measured[one] / measured[other]
    clear = (ratio >= CLEAR) | (ratio <= 1 / CLEAR)
    right = (ratio > 1) == (predicted[one] > predicted[other])
    return Orders(int(clear.sum()), int((clear & right).sum()))


@dataclass(frozen=True)
class Regret:
    """Throughput per GPU lost by choosing the predicted best among measured strategies, in percent."""

    choices: int
    median: float
    mean: float


def regret(table: Table, found: Prediction, *, least_rate: float = 0.0) -> Regret:
    """Loss per deployment. `least_rate` is a floor on output tokens/s of one user that a choice must meet, as predicted and as measured."""
    gpus = np.array([p.strategy.world_size for p in table.points])
    measured = throughput(table, table.measured_ttft_ms, table.measured_tpot_ms) / gpus
    predicted = throughput(table, found.ttft_ms, found.tpot_ms) / gpus
    lost = []
    for rows in _sets(table.points, lambda p: p.deployment):
        able = [row for row in rows if 1e3 / table.measured_tpot_ms[row] >= least_rate]
        hoped = [row for row in rows if 1e3 / found.tpot_ms[row] >= least_rate] or rows
        if not able or len({table.points[row].layout for row in rows}) < 2:
            continue
        chosen = max(hoped, key=lambda row: predicted[row])
        best = max(measured[row] for row in able)
        lost.append(100 * max(0.0, 1 - measured[chosen] / best))
    return Regret(len(lost), float(np.median(lost)) if lost else 0.0, float(np.mean(lost)) if lost else 0.0)


def _sets(points: Sequence[Point], key: Callable[[Point], tuple[object, ...]]) -> Iterable[list[int]]:
    found: dict[tuple[object, ...], list[int]] = {}
    for row, point in enumerate(points):
        found.setdefault(key(point), []).append(row)
    return found.values()
