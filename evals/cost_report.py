"""The page of the cost model's errors: against the bars, by model, GPU, engine, regime, and against a plain roofline."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evals.cost_choices import Choice, choices
from evals.cost_fit import HELD_OUT, cross_validate, fit, predict, shipped, weights
from evals.cost_metrics import Errors, by, errors, orders, regret
from evals.cost_plots import residuals, scatter
from evals.cost_rows import Point, read_points
from evals.cost_table import Prediction, Table, roofline, tabulate
from strategy.calibration import Calibration

USER_RATE = 30.0
"""Output tokens/s of one user that choices must meet in the regret under a floor."""


@dataclass(frozen=True)
class Measured:
    """Everything that was worked out."""

    table: Table
    left_out: Counter[str]
    predictions: dict[str, Prediction]
    """`shipped`, `fitted`, one for each kind of holding out, `rows` (configurations held out and every row taken as it stands), and `roofline`."""
    choices: list[Choice]


def measure(folder: Path, calibration: Calibration, progress: Callable[[str], None]) -> Measured:
    """Read, fit, cross-validate."""
    read = read_points(folder)
    table = tabulate(read.points, calibration)
    found = {"fitted": predict(fit(table)), "roofline": roofline(read.points, calibration)}
    found["shipped"] = predict(shipped(table, calibration))
    for kind in HELD_OUT:
        found[kind] = cross_validate(table, kind, progress)
    plain = tabulate([replace(point, slots=math.inf) for point in read.points], calibration)
    found["rows"] = cross_validate(table, "configuration", progress, plain)
    picks, _ = choices(folder, calibration)
    return Measured(table, read.left_out, found, picks)


def page(found: Measured) -> str:
    """The report in Markdown."""
    return (
        "\n".join([*_head(found), *_table_of_bars(found), *_order_lines(found), *_breakdowns(found), *_left_out(found)])
        + "\n"
    )


def _head(found: Measured) -> list[str]:
    points = found.table.points
    corrected, held = (
        sum(told) for told in zip(*((p.corrected, p.slots < p.concurrency) for p in points), strict=True)
    )
    return [
        "# Cost model: errors",
        "",
        "Written by `python -m evals cost --calibration FOLDER`. Relative errors in percent: mean (median).",
        f"{len(points)} measured serving points; {corrected} of them with the layout that the source means, not the one it states, {held} with",
        "fewer requests let run at once than are in flight (`evals/cost_rows.py`). The roofline has every efficiency at one, free communication",
        "and no host.",
        "",
    ]


def _table_of_bars(found: Measured) -> list[str]:
    rows = [
        ("plain roofline", "roofline", "", ""),
        ("fit, on its own points", "fitted", "", ""),
        ("constants as shipped", "shipped", "", ""),
        ("held out: configuration (5 folds)", "configuration", "12 (7)", "22"),
        ("the same, launch files not read", "rows", "12 (7)", "22"),
        ("held out: whole model", "model", "18 (12)", "35"),
        ("held out: whole GPU", "gpu", "18 (12)", "35"),
    ]
    used = weights(found.table) > 0
    lines = [
        "| prediction | TPOT | bar | TTFT | bar | TPOT, possible points | TTFT, possible points |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, key, tpot_bar, ttft_bar in rows:
        every, possible = errors(found.table, found.predictions[key]), errors(found.table, found.predictions[key], used)
        lines.append(
            f"| {title} | {_tpot(every)} | {tpot_bar} | {_ttft(every)} | {ttft_bar} | {_tpot(possible)} | {_ttft(possible)} |"
        )
    impossible = int((~used).sum())
    return [
        *lines,
        "",
        f"Possible points: all but {impossible} whose TPOT is below the roofline at the batch that Little's law implies.",
        "",
    ]


def _order_lines(found: Measured) -> list[str]:
    held = found.predictions["configuration"]
    order, loss = orders(found.table, held), regret(found.table, held)
    floor = regret(found.table, held, least_rate=USER_RATE)
    picked = sum(choice.right for choice in found.choices)
    return [
        "| decision (configurations held out) | reached | bar |",
        "|---|---|---|",
        f"| order of layouts with the same GPUs and load, pairs over 10 % apart | {order.right} of {order.pairs} ({order.right / order.pairs:.0%}) | 85 % |",
        f"| throughput per GPU lost by the choice among measured strategies, median (mean) of {loss.choices} | {loss.median:.1f} % ({loss.mean:.1f} %) | 3 % |",
        f"| the same with at least {USER_RATE:g} tokens/s a user, of {floor.choices} | {floor.median:.1f} % ({floor.mean:.1f} %) | 3 % |",
        f"| best sharding per GPU at full load, ties within 10 % | {picked} of {len(found.choices)} ({picked / len(found.choices):.0%}) | 80 % |",
        "",
    ]


def _breakdowns(found: Measured) -> Iterator[str]:
    labels: dict[str, Callable[[Point], str]] = {
        "model": lambda p: p.family,
        "GPU": lambda p: p.gpu,
        "engine": lambda p: p.engine,
        "weights": lambda p: p.weights,
        "serving": lambda p: p.serving,
        "load": lambda p: f"{_decade(p.concurrency)} requests in flight",
        "traffic": lambda p: (
            "long prompt"
            if p.traffic[0] > 2 * p.traffic[1]
            else "long output"
            if p.traffic[1] > 2 * p.traffic[0]
            else "even"
        ),
    }
    for title, label in labels.items():
        yield f"| {title} | points | TPOT, configuration held out | TTFT | roofline TPOT | roofline TTFT |"
        yield "|---|---|---|---|---|---|"
        held = by(found.table, found.predictions["configuration"], label)
        plain = by(found.table, found.predictions["roofline"], label)
        for name, own in held.items():
            yield f"| {name} | {own.points} | {_tpot(own)} | {_ttft(own)} | {_tpot(plain[name])} | {_ttft(plain[name])} |"
        yield ""


def _decade(concurrency: float) -> str:
    return next(
        (text for top, text in ((8, "1-8"), (32, "9-32"), (128, "33-128"), (512, "129-512")) if concurrency <= top),
        "over 512",
    )


def _left_out(found: Measured) -> list[str]:
    reasons = [f"| {reason} | {rows} |" for reason, rows in sorted(found.left_out.items())]
    return ["| rows left out | |", "|---|---|", *reasons]


def plots(found: Measured) -> dict[str, str]:
    """SVG files by name: predictions of held-out configurations over measurements, and their ratio."""
    table, held = found.table, found.predictions["configuration"]
    engines = [point.engine for point in table.points]
    drawn = {}
    for name, measured, predicted in (
        ("tpot", table.measured_tpot_ms, held.tpot_ms),
        ("ttft", table.measured_ttft_ms, np.asarray(held.ttft_ms)),
    ):
        title = f"{name.upper()}, configurations held out"
        drawn[f"cost-{name}.svg"] = scatter(title, "ms", measured, predicted, engines)
        drawn[f"cost-{name}-residuals.svg"] = residuals(title, "ms", measured, predicted, engines)
    return drawn


def _tpot(found: Errors) -> str:
    return f"{found.tpot_mape:.1f} ({found.tpot_median:.1f})"


def _ttft(found: Errors) -> str:
    return f"{found.ttft_mape:.1f} ({found.ttft_median:.1f})"
