"""Cost: the cost model's errors on measured serving points against the bars. Skips where no calibration folder is configured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, SettingsConfigDict

from evals.suite import Sample, Score, Suite

SKIPPED = "skipped: set MESHWRIGHT_CALIBRATION to the folder of the measured tables, or run `python -m evals cost --calibration FOLDER`"
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


async def solve(sample: Sample, proposer: str) -> dict[str, Any]:  # noqa: ARG001 (the cost model has no proposer)
    """Cross-validate; says that it was skipped where there is nothing to measure against."""
    folder = CostSettings().calibration
    if folder is None:
        return {"summary": SKIPPED, "skipped": True}
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
    """Every error is within its bar; a skipped sample says so and passes."""
    if output.get("skipped"):
        return Score("within_bars", 1.0, SKIPPED)
    over = [
        f"{name} {output['errors'][name]:.1f} > {bar:g}"
        for name, bar in sample.target.items()
        if output["errors"][name] > bar
    ]
    return Score("within_bars", float(not over), "; ".join(over))


SUITE = Suite("cost", "errors of the cost model on measured serving points", samples, solve, (within_bars,))
