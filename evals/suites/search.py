"""Search: on small random spaces, the planner's answer beside that of pricing everything there is, one by one."""

import time
from collections.abc import Sequence
from random import Random
from typing import Any

from evals.exhaustive import Best, cost_of, exhaustive, meets
from evals.suite import Sample, Score, Suite, measure
from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.cost import estimate
from strategy.errors import InputError
from strategy.request import Request
from strategy.search import Candidate, search
from strategy.strategy import Strategy, describe_strategy

SPACES = 60
TRIES = 20
MODELS = (
    "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-70b-fp8", "qwen3-14b", "qwen3-32b", "qwen3-30b-a3b", "mixtral-8x7b", "gpt-oss-20b",
    "gpt-oss-120b", "deepseek-v3", "qwen3-235b-a22b-fp8", "gemma-3-27b", "glm-4.5-air",
)  # fmt: skip
GPUS = ("h100-sxm", "h200-sxm", "b200-sxm", "a100-80g-sxm", "l40s", "mi300x", "gb200-nvl72")
LIMITS = ({"ttft_ms": 5000, "tpot_ms": 100}, {"ttft_ms": 2000, "tpot_ms": 50}, {"tpot_ms": 30}, {"ttft_ms": 800})
GAP = 0.005
"""Candidates closer than this are equal to the planner, which then takes the simpler one."""


def drawn(seed: int) -> Sequence[Sample]:
    """Random requests that the catalogue can resolve."""
    rng = Random(seed)  # noqa: S311 (repeatable)
    return [Sample(f"space-{index:03}", _request(rng, index)) for index in range(SPACES)]


def _request(rng: Random, index: int) -> dict[str, Any]:
    for _ in range(TRIES):
        asked = _drawn_request(rng, disaggregated=index % 4 == 3)
        try:
            resolve(Request.model_validate(asked))
        except InputError:
            continue
        return asked
    raise InputError("no request of the draw can be resolved", hint="`MODELS` or `GPUS` name what the catalogue lacks")


def _drawn_request(rng: Random, *, disaggregated: bool) -> dict[str, Any]:
    gpus = rng.choice((2, 4, 4, 8) if disaggregated else (1, 2, 4, 8, 8, 16))
    gpu = rng.choice(GPUS)
    per_host = min(gpus, 4 if gpu.startswith("gb") else 8)
    asked: dict[str, Any] = {
        "model": rng.choice(MODELS),
        "cluster": {"gpu": gpu, "gpus_per_host": per_host, "hosts": gpus // per_host},
        "workload": {"isl": rng.choice((512, 2048, 4096, 16384)), "osl": rng.choice((64, 256, 1024))},
        "objective": rng.choice(("throughput", "throughput", "latency", "min_gpus")),
        "serving": "disaggregated" if disaggregated else "colocated",
        "engine": rng.choice((None, "vllm", "sglang", "trtllm")),
        "constraints": rng.choice(
            ({}, {}, {"forbid": ["pp"]}, {"forbid": ["ep"]}, {"fix": {"tp_size": 2}}, {"fix": {"pp_size": 2}})
        ),
    }
    asked["workload"] |= rng.choice(({}, {"concurrency": rng.choice((1, 8, 64))}))
    asked["slo"] = rng.choice(LIMITS)
    if asked["objective"] == "min_gpus":
        asked["workload"] = {"isl": 2048, "osl": 256, "request_rate": rng.choice((0.2, 1.0, 5.0))}
    return asked


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Search the space, and price all of it."""
    problem = resolve(Request.model_validate(sample.input)).problem
    constants = calibration()
    start = time.perf_counter()
    found = search(problem, constants).best
    ms = (time.perf_counter() - start) * 1e3
    best = exhaustive(problem, constants)
    priced = None if found is None else estimate(found.dag, problem, constants, concurrency=found.concurrency)
    return {
        "summary": _summary(found, best),
        "found": priced is not None,
        "exists": best.strategy is not None,
        "cost": None if priced is None else cost_of(problem, priced),
        "best": None if best.strategy is None else best.cost,
        "best_strategy": None if best.strategy is None else describe_strategy(best.strategy),
        "within": priced is not None and meets(problem, priced),
        "priced": best.priced,
        "ms": ms,
        "dag": None if found is None else found.dag.model_dump(mode="json"),
        "facts": {
            "space": str(best.priced),
            "best of all": _name(best.strategy),
            "found": _name(found.strategy if found else None),
        },
    }


def _summary(found: Candidate | None, best: Best) -> str:
    return f"{_name(found.strategy if found else None)}; best of {best.priced}: {_name(best.strategy)}"


def _name(strategy: Strategy | None) -> str:
    return "none" if strategy is None else describe_strategy(strategy)


def feasible_alike(_sample: Sample, output: dict[str, Any]) -> Score:
    """The planner finds a strategy where there is one, and none where there is none."""
    found, exists = output["found"], output["exists"]
    return Score("feasible_alike", float(found == exists), f"planner {found}, all of the space {exists}")


def no_gap(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """Nothing in the space is better than what the planner found, by more than a tie."""
    if not (output["found"] and output["exists"]):
        return None
    gap = _gap(output)
    return Score("no_gap", float(gap <= GAP), f"{gap:.2%} worse than {output['best_strategy']}")


def gap(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """How much worse than the best it is; below zero where the planner chose a load that fits the limits better."""
    if not (output["found"] and output["exists"]):
        return None
    return measure("gap", _gap(output), better="lower", unit="share")


def _gap(output: dict[str, Any]) -> float:
    return float((output["cost"] - output["best"]) / abs(output["best"]))


def within_limits(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """What it found holds the limits, priced as a DAG of its own."""
    return Score("within_limits", float(output["within"]), "over the limits") if output["found"] else None


def search_ms(_sample: Sample, output: dict[str, Any]) -> Score:
    """Time of the search alone."""
    return measure("search_ms", output["ms"], unit="ms")


SEARCH = Suite(
    name="search",
    about="small random spaces: the planner beside pricing everything",
    samples=lambda: (),
    drawn=drawn,
    solve=solve,
    scorers=(feasible_alike, no_gap, within_limits, gap, search_ms),
)
