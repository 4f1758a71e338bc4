"""Published: points that others measured on stated strategies, beside our price of the same strategy at the same load."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from evals.suite import Sample, Score, Suite, measure
from evals.suites.recipes import deployed, pool_of_facts
from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.build import build
from strategy.calibration import Calibration
from strategy.cost import estimate
from strategy.request import Problem, Request
from strategy.result import Estimate
from strategy.strategy import Strategy, describe_strategy

DATA = Path(__file__).parent.parent / "data" / "published.yaml"
TIMES = 3.0
"""A price that is further off than this is wrong, whatever the reason."""


def samples() -> Sequence[Sample]:
    """The points of `published.yaml`."""
    return [Sample(row["id"], row) for row in yaml.safe_load(DATA.read_text(encoding="utf-8"))]


def price(row: dict[str, Any], constants: Calibration) -> Estimate:
    """A row's strategy at its load."""
    problem, strategy = stated(row)
    return estimate(build(problem.model, strategy), problem, constants)


def stated(row: dict[str, Any]) -> tuple[Problem, Strategy]:
    """What was run: problem and strategy."""
    per_host = min(8, row["gpus"])
    request = {
        "model": row["model"],
        "cluster": {"gpu": row["gpu"], "gpus_per_host": per_host, "hosts": row["gpus"] // per_host},
        "workload": {key: row[key] for key in ("isl", "osl", "concurrency")},
        "engine": row["engine"],
    }
    problem = resolve(Request.model_validate(request)).problem
    return problem, deployed([pool_of_facts(pool) for pool in row["pools"]], problem)


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Price the stated strategy at the stated load."""
    row = sample.input
    found = price(row, calibration())
    facts = {
        "strategy": describe_strategy(stated(row)[1]),
        "TPOT measured": str(row.get("tpot_ms", "")),
        "TPOT ours": f"{found.tpot_ms:.2f}",
        "tokens/s/GPU measured": str(row["tokens"]),
        "tokens/s/GPU ours": f"{found.tokens_per_s_per_gpu:.0f}",
    }
    return {
        "summary": f"TPOT {found.tpot_ms:.2f} ms, {found.tokens_per_s_per_gpu:.0f} tokens/s/GPU",
        "tpot_ms": found.tpot_ms,
        "tokens": found.tokens_per_s_per_gpu,
        "facts": facts,
    }


def tpot_error(sample: Sample, output: dict[str, Any]) -> Score | None:
    """Share by which TPOT is off."""
    if "tpot_ms" not in sample.input:
        return None
    off = abs(output["tpot_ms"] / sample.input["tpot_ms"] - 1)
    return measure("tpot_error", off, better="lower", unit="share")


def throughput_error(sample: Sample, output: dict[str, Any]) -> Score:
    """Share by which the throughput is off."""
    off = abs(output["tokens"] / sample.input["tokens"] - 1)
    return measure("throughput_error", off, better="lower", unit="share")


def plausible(sample: Sample, output: dict[str, Any]) -> Score:
    """Neither number is off by more than `TIMES`."""
    pairs = [(output[name], sample.input[name]) for name in ("tpot_ms", "tokens") if name in sample.input]
    off = max(max(ours / theirs, theirs / ours) for ours, theirs in pairs)
    return Score("plausible", float(off <= TIMES), f"off by a factor of {off:.1f}")


PUBLISHED = Suite(
    name="published",
    about="points that others measured, beside our price",
    samples=samples,
    solve=solve,
    scorers=(plausible, tpot_error, throughput_error),
)
