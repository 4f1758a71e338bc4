"""Cost: the cost model's errors on measured serving points against the bars. Skipped where no calibration folder is configured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, SettingsConfigDict

from evals.suite import Sample, Score, Suite, measure

ABSENT = "set MESHWRIGHT_CALIBRATION to the folder of the measured tables, or run `python -m evals cost --calibration FOLDER`"
BARS: dict[str, dict[str, float]] = {
    "configuration": {"tpot_mape": 12, "tpot_median": 7, "ttft_mape": 22},
    "model": {"tpot_mape": 18, "tpot_median": 12, "ttft_mape": 35},
    "gpu": {"tpot_mape": 18, "tpot_median": 12, "ttft_mape": 35},
}
"""Highest errors in percent, by what was held out."""


class CostSettings(BaseSettings):
    """Where the measured tables are."""

    model_config = SettingsConfigDict(env_prefix="MESHWRIGHT_", env_file=".env", frozen=True, extra="ignore")

    calibration: Path | None = None


def samples() -> Sequence[Sample]:
    """One sample for each kind of holding out."""
    return [Sample(f"held-out-{name}", name, dict(bars)) for name, bars in BARS.items()]


def absent(_proposer: str) -> str:
    """What to set where there is nothing to measure against."""
    return "" if CostSettings().calibration is not None else ABSENT


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Cross-validate, with a kind of point held out."""
    folder = CostSettings().calibration
    assert folder is not None  # `absent` says so before
    from evals.cost_fit import cross_validate
    from evals.cost_metrics import errors
    from evals.cost_rows import read_points
    from evals.cost_table import tabulate
    from knowledge.calibration import calibration

    table = tabulate(read_points(folder).points, calibration())
    found = errors(table, cross_validate(table, sample.input, lambda _: None))
    summary = f"TPOT {found.tpot_mape:.1f} % ({found.tpot_median:.1f} %), TTFT {found.ttft_mape:.1f} % ({found.ttft_median:.1f} %)"
    return {"summary": summary, "errors": vars(found)}


def within_bars(sample: Sample, output: dict[str, Any]) -> Score:
    """Every error is within its bar."""
    found = output["errors"]
    over = [f"{name} {found[name]:.1f} > {bar:g}" for name, bar in sample.target.items() if found[name] > bar]
    return Score("within_bars", float(not over), "; ".join(over))


def tpot_mape(_sample: Sample, output: dict[str, Any]) -> Score:
    """Mean error of the time per output token."""
    return measure("tpot_mape", output["errors"]["tpot_mape"], better="lower", unit="%")


def ttft_mape(_sample: Sample, output: dict[str, Any]) -> Score:
    """Mean error of the time to the first token."""
    return measure("ttft_mape", output["errors"]["ttft_mape"], better="lower", unit="%")


COST = Suite(
    name="cost",
    about="errors of the cost model on measured serving points",
    samples=samples,
    solve=solve,
    scorers=(within_bars, tpot_mape, ttft_mape),
    absent=absent,
)
