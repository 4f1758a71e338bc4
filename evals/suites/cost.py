"""Cost: laws that every price keeps, published times and points, and, where the measured tables are at hand, errors on held-out points.

The tables are not ours to pass on: `MESHWRIGHT_CALIBRATION` names their folder, and without it the suite runs on what is published.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic_settings import BaseSettings, SettingsConfigDict

from evals.cost_laws import LAWS, deployment, perfect, prices
from evals.suite import Sample, Score, Scorer, Suite, measure
from evals.suites.published import price
from evals.suites.published import samples as published
from knowledge.calibration import calibration
from strategy.collectives import Links, Span

DATA = Path(__file__).parent.parent / "data" / "cost_cases.yaml"
BARS: dict[str, dict[str, float]] = {
    "configuration": {"tpot_mape": 12, "tpot_median": 7, "ttft_mape": 22},
    "model": {"tpot_mape": 18, "tpot_median": 12, "ttft_mape": 35},
    "gpu": {"tpot_mape": 18, "tpot_median": 12, "ttft_mape": 35},
}
"""Highest errors in percent on the measured tables, by what was held out."""
DECISIONS = {"order": 0.85, "regret": 0.03, "full_load": 0.8}
"""Least share of pairs in the right order, greatest median loss by a choice, least share of right choices at full load."""
TIMES = 2.0
"""A published time from which a price is further off is wrong, whatever the reason."""
CLEAR = 1.1
"""Ratio of throughputs beyond which one layout is measurably better than another."""
Json = dict[str, Any]


class CostSettings(BaseSettings):
    """Where the measured tables are."""

    model_config = SettingsConfigDict(env_prefix="MESHWRIGHT_", env_file=".env", frozen=True, extra="ignore")

    calibration: Path | None = None


# --- samples --------------------------------------------------------------------------------------------------------------------------


def samples() -> Sequence[Sample]:
    """Laws and published numbers; with the tables, each kind of holding out and the decisions."""
    cases = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    laws = [Sample(f"laws-{row['id']}", {"kind": "laws", **row}) for row in cases["deployments"]]
    times = [Sample(f"time-{row['id']}", {"kind": "time", **row}) for row in cases["exchanges"]]
    return [*laws, *times, Sample("published-points", {"kind": "published"}, {"order": 1.0}), *_tables()]


def _tables() -> list[Sample]:
    if CostSettings().calibration is None:
        return []
    held = [Sample(f"held-out-{name}", {"kind": "held out", "what": name}, dict(bars)) for name, bars in BARS.items()]
    return [*held, Sample("decisions", {"kind": "decisions"}, DECISIONS)]


# --- solving --------------------------------------------------------------------------------------------------------------------------


async def solve(sample: Sample, _proposer: str) -> Json:
    """Price what the sample is about."""
    return KINDS[sample.input["kind"]](sample.input)


def _laws(row: Json) -> Json:
    found = prices(row)
    broken = {name: list(law(found)) for name, law in LAWS.items()}
    said = [text for texts in broken.values() for text in texts]
    ttft, tpot = found["at"]
    summary = said[0] if said else f"TTFT {ttft:.0f} ms, TPOT {tpot:.2f} ms; every law is kept"
    return {"summary": summary, "broken": broken, **found}


def _time(row: Json) -> Json:
    """An exchange over hosts of eight."""
    pool = {"dp": row["ranks"], "ep": row["ranks"]}
    stated = {"model": "deepseek-v3", "gpu": row["gpu"], "gpus": row["ranks"], "isl": 1, "osl": 2, "pools": [pool]}
    links = Links(deployment(stated).problem.cluster, calibration())
    span = Span(row["ranks"], row["ranks"] // 8, 8)
    us = float(links.time_us(row["op"], span, float(row["bytes"])))
    return {"summary": f"{us:.0f} us, measured {row['us']} us", "us": us, "points": {"exchange, us": [[row["us"], us]]}}


def _published(_row: Json) -> Json:
    """Every published point at once: errors, bias, order and choice, beside those of the plain roofline."""
    rows = [sample.input for sample in published()]
    ours = [price(row, calibration()) for row in rows]
    plain = [price(row, perfect()) for row in rows]
    pairs = {
        name: [(row[key], getattr(one, name)) for row, one in zip(rows, ours, strict=True) if key in row]
        for name, key in NAMES.items()
    }
    right, of = _order(rows, [one.tokens_per_s_per_gpu for one in ours])
    tpot = errors(pairs["tpot_ms"])
    roof = errors([(row["tpot_ms"], one.tpot_ms) for row, one in zip(rows, plain, strict=True) if "tpot_ms" in row])
    return {
        "summary": f"TPOT off by {tpot['mape']:.0f} % (roofline {roof['mape']:.0f} %), order {right} of {of}",
        "errors": {f"tpot_{name}": value for name, value in tpot.items()},
        "roofline": {f"tpot_{name}": value for name, value in roof.items()},
        "order": right / of if of else None,
        "points": {name: [list(pair) for pair in found] for name, found in pairs.items()},
    }


NAMES = {"tpot_ms": "tpot_ms", "tokens_per_s_per_gpu": "tokens"}
"""Fields of an estimate, and what a published row calls them."""


def errors(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Mean and median absolute error and bias (median signed error) of (measured, ours), in percent."""
    off = [100 * (ours / measured - 1) for measured, ours in pairs]
    return {"mape": float(np.mean(np.abs(off))), "median": float(np.median(np.abs(off))), "bias": float(np.median(off))}


def _order(rows: Sequence[Json], ours: Sequence[float]) -> tuple[int, int]:
    """Pairs of layouts of one model, GPU and load that are clearly apart, and those that we put in the same order."""
    right = of = 0
    for (one, mine), (other, its) in combinations(zip(rows, ours, strict=True), 2):
        alike = all(one[name] == other[name] for name in ("model", "gpu", "isl", "osl", "concurrency"))
        ratio = one["tokens"] / other["tokens"]
        if alike and not 1 / CLEAR < ratio < CLEAR:
            of += 1
            right += (ratio > 1) == (mine > its)
    return right, of


def _held_out(row: Json) -> Json:
    """Errors on measured points of which a kind was held out of the fit."""
    from evals.cost_fit import cross_validate
    from evals.cost_metrics import errors as errors_of

    table = _table()
    found = cross_validate(table, row["what"], lambda _: None)
    told = vars(errors_of(table, found))
    return {
        "summary": f"TPOT {told['tpot_mape']:.1f} % ({told['tpot_median']:.1f} %), TTFT {told['ttft_mape']:.1f} % ({told['ttft_median']:.1f} %)",
        "errors": {name: told[name] for name in ("tpot_mape", "tpot_median", "ttft_mape", "ttft_median")},
        "points": {
            f"TPOT ms, {row['what']} held out": _thinned(table.measured_tpot_ms, found.tpot_ms),
            f"TTFT ms, {row['what']} held out": _thinned(table.measured_ttft_ms, found.ttft_ms),
        },
    }


def _decisions(_row: Json) -> Json:
    """Order, choice and bias of the constants as they are shipped, beside the plain roofline."""
    from evals.cost_choices import choices
    from evals.cost_fit import predict, shipped
    from evals.cost_metrics import errors as errors_of
    from evals.cost_metrics import orders, regret
    from evals.cost_rows import read_points
    from evals.cost_table import roofline

    table = _table()
    found, plain = predict(shipped(table, calibration())), roofline(read_points(_folder()).points, calibration())
    order, picked = orders(table, found), choices(_folder(), calibration())[0]
    return {
        "summary": f"{order.right} of {order.pairs} pairs in order; median loss by a choice {regret(table, found).median:.1f} %",
        "order": order.right / order.pairs,
        "regret": regret(table, found).median / 100,
        "full_load": sum(one.right for one in picked) / len(picked),
        "errors": {
            "tpot_bias": float(100 * np.median(found.tpot_ms / table.measured_tpot_ms - 1)),
            "ttft_bias": float(100 * np.median(found.ttft_ms / table.measured_ttft_ms - 1)),
        },
        "roofline": {"tpot_mape": errors_of(table, plain).tpot_mape, "ttft_mape": errors_of(table, plain).ttft_mape},
    }


@cache
def _table() -> Any:
    from evals.cost_rows import read_points
    from evals.cost_table import tabulate

    return tabulate(read_points(_folder()).points, calibration())


def _folder() -> Path:
    folder = CostSettings().calibration
    assert folder is not None  # these samples are only there with it
    return folder


def _thinned(measured: Any, ours: Any, most: int = 400) -> list[list[float]]:
    """Evenly chosen pairs, so that a log holds a picture and not the table."""
    step = max(1, len(measured) // most)
    return [[float(f"{x:.3g}"), float(f"{y:.3g}")] for x, y in zip(measured[::step], ours[::step], strict=True)]


KINDS: dict[str, Callable[[Json], Json]] = {
    "laws": _laws,
    "time": _time,
    "published": _published,
    "held out": _held_out,
    "decisions": _decisions,
}


# --- scorers --------------------------------------------------------------------------------------------------------------------------


def _law_scorer(name: str) -> Scorer:
    def law(sample: Sample, output: Json) -> Score | None:
        if sample.input["kind"] != "laws":
            return None
        broken = output["broken"][name]
        return Score(name, float(not broken), "; ".join(broken))

    law.__name__ = name
    law.__doc__ = LAWS[name].__doc__
    return law


def time_error(sample: Sample, output: Json) -> Score | None:
    """Share by which a published time is missed."""
    if sample.input["kind"] != "time":
        return None
    return measure("time_error", abs(output["us"] / sample.input["us"] - 1), better="lower", unit="share")


def time_plausible(sample: Sample, output: Json) -> Score | None:
    """A published time is met within `TIMES`."""
    if sample.input["kind"] != "time":
        return None
    off = max(output["us"] / sample.input["us"], sample.input["us"] / output["us"])
    return Score("time_plausible", float(off <= TIMES), f"off by a factor of {off:.2f}")


def within_bars(sample: Sample, output: Json) -> Score | None:
    """Every error on measured tables is within its bar."""
    if sample.input["kind"] != "held out":
        return None
    found = output["errors"]
    over = [f"{name} {found[name]:.1f} > {bar:g}" for name, bar in sample.target.items() if found[name] > bar]
    return Score("within_bars", float(not over), "; ".join(over))


def decides_right(sample: Sample, output: Json) -> Score | None:
    """Order of layouts and choices among them reach their bars."""
    if sample.input["kind"] not in ("decisions", "published"):
        return None
    wrong = [f"{n} {output[n]:.3g}, bar {bar:g}" for n, bar in sample.target.items() if not _reaches(n, output[n], bar)]
    return Score("decides_right", float(not wrong), "; ".join(wrong))


def _reaches(name: str, value: float, bar: float) -> bool:
    return value <= bar if name == "regret" else value >= bar


def beats_roofline(sample: Sample, output: Json) -> Score | None:
    """Mean errors are below those of the plain roofline."""
    if sample.input["kind"] != "published":
        return None
    ours, plain = output["errors"]["tpot_mape"], output["roofline"]["tpot_mape"]
    return Score("beats_roofline", float(ours < plain), f"{ours:.1f} % against {plain:.1f} %")


def _error_scorer(name: str) -> Scorer:
    def error(_sample: Sample, output: Json) -> Score | None:
        found = output.get("errors", {}).get(name)
        return None if found is None else measure(name, abs(found), better="lower", unit="%", detail=f"{found:+.1f} %")

    error.__name__ = name
    return error


def order(_sample: Sample, output: Json) -> Score | None:
    """Share of pairs of layouts in the right order."""
    return measure("order", output["order"], better="higher", unit="share") if output.get("order") is not None else None


def ttft_over_roofline(sample: Sample, output: Json) -> Score | None:
    """The price beside the hardware's peaks, so that a move of the model shows."""
    return _over_roofline(sample, output, 0, "ttft_over_roofline")


def tpot_over_roofline(sample: Sample, output: Json) -> Score | None:
    """The price beside the hardware's peaks, so that a move of the model shows."""
    return _over_roofline(sample, output, 1, "tpot_over_roofline")


def _over_roofline(sample: Sample, output: Json, place: int, name: str) -> Score | None:
    if sample.input["kind"] != "laws":
        return None
    return measure(name, output["at"][place] / output["roofline"][place], better="same", unit="times")


COST = Suite(
    name="cost",
    about="laws of prices, published times and points; errors on the measured tables where they are",
    samples=samples,
    solve=solve,
    scorers=(
        *map(_law_scorer, LAWS),
        time_plausible,
        within_bars,
        decides_right,
        beats_roofline,
        *map(_error_scorer, ("tpot_mape", "tpot_median", "tpot_bias", "ttft_mape", "ttft_median", "ttft_bias")),
        order,
        time_error,
        ttft_over_roofline,
        tpot_over_roofline,
    ),
)
