"""Scatter plots as SVG text: predicted over measured, and residuals, one dot a point, coloured by engine."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float64]
SIZE = 420
MARGIN = 52
COLOURS = {"vllm": "#3b6fb6", "sglang": "#c8553d", "trtllm": "#4f8a3c"}


def scatter(title: str, unit: str, measured: Grid, predicted: Grid, engines: Sequence[str]) -> str:
    """Predicted over measured, both logarithmic, with the diagonal."""
    low, high = float(min(measured.min(), predicted.min())), float(max(measured.max(), predicted.max()))
    x, y = _scale(measured, low, high), SIZE - _scale(predicted, low, high)
    diagonal = f'<line x1="{MARGIN}" y1="{SIZE - MARGIN}" x2="{SIZE - MARGIN}" y2="{MARGIN}" stroke="#888"/>'
    return _page(
        title, f"measured, {unit}", f"predicted, {unit}", [diagonal, *_ticks(low, high), *_dots(x, y, engines)]
    )


def residuals(title: str, unit: str, measured: Grid, predicted: Grid, engines: Sequence[str]) -> str:
    """Predicted over measured as a ratio from 1/4 to 4, over what was measured."""
    low, high = float(measured.min()), float(measured.max())
    ratio = np.clip(np.log(predicted / measured) / np.log(4), -1, 1)
    x, y = _scale(measured, low, high), SIZE / 2 - ratio * (SIZE / 2 - MARGIN)
    level = f'<line x1="{MARGIN}" y1="{SIZE / 2}" x2="{SIZE - MARGIN}" y2="{SIZE / 2}" stroke="#888"/>'
    return _page(title, f"measured, {unit}", "predicted / measured, 1/4 to 4", [level, *_dots(x, y, engines)])


def _scale(values: Grid, low: float, high: float) -> Grid:
    span = max(float(np.log(high / low)), 1e-9)
    return np.asarray(MARGIN + np.log(values / low) / span * (SIZE - 2 * MARGIN))


def _dots(x: Grid, y: Grid, engines: Sequence[str]) -> list[str]:
    return [
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="1.6" fill="{COLOURS[engine]}" fill-opacity="0.5"/>'
        for a, b, engine in zip(x, y, engines, strict=True)
    ]


def _ticks(low: float, high: float) -> list[str]:
    found = []
    for exponent in range(int(np.ceil(np.log10(low))), int(np.floor(np.log10(high))) + 1):
        at = float(_scale(np.array([10.0**exponent]), low, high)[0])
        found.append(f'<text x="{at:.0f}" y="{SIZE - MARGIN + 14}" text-anchor="middle">{10**exponent:g}</text>')
        found.append(f'<text x="{MARGIN - 5}" y="{SIZE - at + 4:.0f}" text-anchor="end">{10**exponent:g}</text>')
    return found


def _page(title: str, below: str, left: str, marks: Sequence[str]) -> str:
    legend = [
        f'<text x="{MARGIN + 70 * i}" y="36" fill="{colour}">{engine}</text>'
        for i, (engine, colour) in enumerate(COLOURS.items())
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" font-family="sans-serif" font-size="11">',
            f'<rect width="{SIZE}" height="{SIZE}" fill="#fff"/>',
            f'<text x="{MARGIN}" y="20" font-size="14">{title}</text>',
            *legend,
            f'<text x="{SIZE / 2}" y="{SIZE - 12}" text-anchor="middle">{below}</text>',
            f'<text x="14" y="{SIZE / 2}" text-anchor="middle" transform="rotate(-90 14 {SIZE / 2})">{left}</text>',
            *marks,
            "</svg>",
            "",
        ]
    )
