"""Search: on small random spaces, the planner's answer beside that of pricing everything there is, one by one."""

import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from evals.exhaustive import Found, exhaustive
from evals.suite import Sample, Score, Suite, measure
from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.errors import InputError
from strategy.request import Problem, Request
from strategy.search import search
from strategy.strategy import describe_strategy

SPACES = 60
TRIES = 20
MODELS = (
    "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-70b-fp8", "qwen3-14b", "qwen3-32b", "qwen3-30b-a3b", "mixtral-8x7b", "gpt-oss-20b",
    "gpt-oss-120b", "deepseek-v3", "qwen3-235b-a22b-fp8", "gemma-3-27b", "glm-4.5-air",
)  # fmt: skip
GPUS = ("h100-sxm", "h200-sxm", "b200-sxm", "a100-80g-sxm", "l40s", "mi300x", "gb200-nvl72")
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
        "constraints": rng.choice(({}, {}, {"forbid": ["pp"]}, {"forbid": ["ep"]}, {"fix": {"tp_size": 2}}, {"fix": {"pp_size": 2}})),
    }
    asked["workload"] |= rng.choice(({}, {"concurrency": rng.choice((1, 8, 64))}, {"request_rate": 0.5}))
    asked["slo"] = rng.choice(({}, {"ttft_ms": 2000, "tpot_ms": 50}, {"tpot_ms": 30}, {"ttft_ms": 800}))
    return asked


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Search once and price everything once, under the limits that the search took."""
    problem = resolve(Request.model_validate(sample.input)).problem
    constants = calibration()
    start = time.perf_counter()
    found = search(problem, constants)
    ms = (time.perf_counter() - start) * 1e3
    best = found.best
    limits = found.problem_slo(problem) if hasattr(found, "problem_slo") else problem.slo
    every = exhaustive(problem, constants)
    return {"ms": ms}


SEARCH = None
