"""Small pictures as inline SVG, with no script and no asset: bars with intervals, histograms, and a DAG as rows of blocks."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from math import floor
from typing import Any

import numpy as np

from evals.stats import Interval
from strategy.ops import op_kind

BINS = 24
BAR_WIDTH, BAR_HEIGHT = 150, 14
LEAST_WRONG = 3
"""Pixels of red that one failure has at least."""
CHART_WIDTH, CHART_HEIGHT = 260, 70
SQUARE = 220
CHIP_HEIGHT, ROW_HEIGHT, CHAR_WIDTH = 20, 26, 6.3
MARGIN = 110


def share_bar(share: float, interval: Interval, before: float | None = None) -> str:
    """A share of one: what is right in green, the rest in red, its interval as a whisker, the baseline's share as a tick."""
    low, high = interval[0] * BAR_WIDTH, interval[1] * BAR_WIDTH
    middle, right = BAR_HEIGHT / 2, share * BAR_WIDTH if share == 1 else min(share * BAR_WIDTH, BAR_WIDTH - LEAST_WRONG)
    tick = "" if before is None else f'<path class="tick" d="M{before * BAR_WIDTH:.1f} 0V{BAR_HEIGHT}"/>'
    return (
        f'<svg class="bar" width="{BAR_WIDTH + 2}" height="{BAR_HEIGHT}" role="img" aria-label="{share:.1%}">'
        f'<rect class="bad" width="{BAR_WIDTH if share < 1 else 0}" height="{BAR_HEIGHT}" rx="3"/>'
        f'<rect class="good" width="{max(0.0, right):.1f}" height="{BAR_HEIGHT}" rx="3"/>'
        f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} 4V{BAR_HEIGHT - 4}M{high:.1f} 4V{BAR_HEIGHT - 4}"/>'
        f"{tick}</svg>"
    )


def change_bar(mean: float, interval: Interval, tone: str) -> str:
    """A mean change as a dot and its interval as a line, zero in the middle, better to the right; scaled to fill its own row."""
    reach = max(abs(mean), *(abs(end) for end in interval), 1e-12) * 1.1
    centre, middle = BAR_WIDTH / 2, BAR_HEIGHT / 2
    at, low, high = (centre * (1 + value / reach) for value in (mean, *interval))
    return (
        f'<svg class="change" width="{BAR_WIDTH}" height="{BAR_HEIGHT}" role="img" aria-label="{mean:+.1%}">'
        f'<path class="zero" d="M{centre} 0V{BAR_HEIGHT}"/>'
        f'<path class="reach {tone}" d="M{low:.1f} {middle}H{high:.1f}"/><circle class="{tone}" cx="{at:.1f}" cy="{middle}" r="4.5"/></svg>'
    )


def scatter(points: Sequence[tuple[float, float]], *, label: str = "") -> str:
    """Ours (upwards) over what was measured, on logarithmic axes; the diagonal is right, the lines beside it are a quarter off."""
    kept = np.log10([(x, y) for x, y in points if x > 0 and y > 0 and np.isfinite(x * y)] or [(1.0, 1.0)])
    low, high = float(kept.min()) - 0.1, float(kept.max()) + 0.1
    places = (kept - low) / (high - low) * SQUARE
    dots = "".join(f'<circle class="point" cx="{x:.1f}" cy="{SQUARE - y:.1f}" r="2.2"/>' for x, y in places)
    quarter = float(np.log10(1.25)) / (high - low) * SQUARE
    beside = f"M0 {SQUARE - quarter:.1f}L{SQUARE - quarter:.1f} 0M{quarter:.1f} {SQUARE}L{SQUARE} {quarter:.1f}"
    return (
        f'<svg class="chart" width="{SQUARE}" height="{SQUARE + 18}" role="img" aria-label="{escape(label)}">'
        f'<rect class="track" width="{SQUARE}" height="{SQUARE}"/><path class="right" d="M0 {SQUARE}L{SQUARE} 0"/><path class="beside" d="{beside}"/>'
        f'{dots}<text x="0" y="{SQUARE + 14}">{10**low:.3g}</text>'
        f'<text x="{SQUARE}" y="{SQUARE + 14}" text-anchor="end">{10**high:.3g}</text></svg>'
    )


def histogram(values: Sequence[float], before: Sequence[float] = (), *, label: str = "") -> str:
    """How values are spread: bars now, a line for the baseline; on a logarithmic axis when they span more than a hundredfold."""
    both = np.asarray([*values, *before], dtype=np.float64)
    both = both[np.isfinite(both)]
    if not len(both):
        return ""
    logs = bool(both.min() > 0 and both.max() / both.min() > 100)
    edges = _edges(both, logs=logs)
    now, then = (np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] for v in (values, before))
    top = max(int(now.max()), int(then.max()), 1)
    bars = "".join(_bar(index, count, top) for index, count in enumerate(now) if count)
    line = _steps(then, top) if len(before) else ""
    ends = f'<text x="0" y="{CHART_HEIGHT + 14}">{edges[0]:.3g}</text>'
    ends += f'<text x="{CHART_WIDTH}" y="{CHART_HEIGHT + 14}" text-anchor="end">{edges[-1]:.3g}{" (log)" if logs else ""}</text>'
    return (
        f'<svg class="chart" width="{CHART_WIDTH}" height="{CHART_HEIGHT + 18}" role="img" aria-label="{escape(label)}">'
        f"{bars}{line}{ends}</svg>"
    )


def _edges(values: np.ndarray, *, logs: bool) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.linspace(low - 0.5, high + 0.5, BINS + 1)
    return np.geomspace(low, high, BINS + 1) if logs else np.linspace(low, high, BINS + 1)


def _bar(index: int, count: int, top: int) -> str:
    width, height = CHART_WIDTH / BINS, count / top * CHART_HEIGHT
    return f'<rect class="now" x="{index * width + 0.5:.1f}" y="{CHART_HEIGHT - height:.1f}" width="{width - 1:.1f}" height="{height:.1f}"/>'


def _steps(counts: np.ndarray, top: int) -> str:
    width = CHART_WIDTH / BINS
    points = [f"M0 {CHART_HEIGHT}"]
    for index, count in enumerate(counts):
        points.append(f"V{CHART_HEIGHT - count / top * CHART_HEIGHT:.1f}H{(index + 1) * width:.1f}")
    return f'<path class="before" d="{"".join(points)}V{CHART_HEIGHT}"/>'


# --- a DAG ---------------------------------------------------------------------------------------------------------------------------


def dag_picture(dag: dict[str, Any]) -> str:
    """Both branches and each block once, a chip for each node, coloured by kind; what is communication says over which axis."""
    rows = [*_branch_rows(dag), *_block_rows(dag)]
    width = max((MARGIN + sum(_width(text) for text, _ in chips) for _, chips in rows), default=MARGIN) + 10
    drawn = "".join(_row(index, name, chips) for index, (name, chips) in enumerate(rows))
    height = len(rows) * ROW_HEIGHT + 4
    return f'<svg class="dag" width="{width:.0f}" height="{height}" role="img" aria-label="DAG">{drawn}</svg>'


Chips = list[tuple[str, str]]


def _branch_rows(dag: dict[str, Any]) -> Iterator[tuple[str, Chips]]:
    for phase, branch in dag.get("branches", {}).items():
        if not branch:
            continue
        chips = [(str(branch.get("embed")), "block")]
        for stamp in branch.get("layers", []):
            first, end = stamp["range"]
            chips.append((f"[{' '.join(stamp['blocks'])}] x {end - first}", "block"))
        yield phase, [*chips, (str(branch.get("head")), "block")]


def _block_rows(dag: dict[str, Any]) -> Iterator[tuple[str, Chips]]:
    for block in dag.get("blocks", []):
        yield block["name"], [_chip(node) for node in block["nodes"]]


def _chip(node: dict[str, Any]) -> tuple[str, str]:
    told = [node[key] for key in ("axis", "split") if node.get(key)]
    return f"{node['op']}" + (f" {' '.join(map(str, told))}" if told else ""), op_kind(node["op"])


def _width(text: str) -> float:
    return floor(len(text) * CHAR_WIDTH) + 18


def _row(index: int, name: str, chips: Chips) -> str:
    top, left = index * ROW_HEIGHT + 2, float(MARGIN)
    parts = [f'<text class="name" x="0" y="{top + 14}">{escape(name[:17])}</text>']
    edges = [left]
    for text, kind in chips:
        width = _width(text) - 6
        parts.append(
            f'<rect class="{kind}" x="{left:.0f}" y="{top}" width="{width:.0f}" height="{CHIP_HEIGHT}" rx="4"/>'
        )
        parts.append(f'<text class="on" x="{left + 6:.0f}" y="{top + 14}">{escape(text)}</text>')
        left += width + 6
        edges.append(left)
    parts += [f'<path class="flow" d="M{b - 6:.0f} {top + CHIP_HEIGHT / 2}h6"/>' for _, b in pairwise(edges[:-1])]
    return "".join(parts)
