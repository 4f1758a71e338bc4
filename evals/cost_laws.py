"""Laws that a price keeps whatever its constants are: more load is not faster, better hardware is not slower, nothing beats the roofline."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from evals.suites.recipes import deployed, pool_of_facts
from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.build import build
from strategy.calibration import ENGINE_QUANTITIES, Calibration, Factor, FactorQuantity
from strategy.cost import curve
from strategy.fleet import Curve
from strategy.memory import max_concurrency
from strategy.request import Problem, Request
from strategy.strategy import Strategy

LOADS = (1, 4, 16, 64, 256)
LOAD = 16
"""Requests in flight where one load is asked for."""
PROMPTS = (512, 2048, 8192)
SLACK = 1.002
"""Steps are interpolated between batch sizes: a law may be broken by this much."""
LITTLE_SLACK = 0.02
NOTHING = 1e-9
PARTS = {
    "memory rate": ("memory_tb_per_s",),
    "arithmetic": ("bf16_tflops", "fp8_tflops", "fp4_tflops", "int8_tflops"),
    "links": ("scale_up_gb_per_s",),
    "network": ("nic_gb_per_s",),
}
"""Parts of the hardware, each of which is doubled."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Deployment:
    """A stated deployment."""

    problem: Problem
    strategy: Strategy

    def priced(self, *loads: int, constants: Calibration | None = None) -> Curve:
        """Its performance with so many requests in flight."""
        dag = build(self.problem.model, self.strategy)
        return curve(dag, self.problem, constants or calibration(), np.array(loads, dtype=np.float64))


def deployment(row: Json, *, isl: int | None = None, better: tuple[str, ...] = ()) -> Deployment:
    """A row of `cost_cases.yaml`, with another prompt length or with some numbers of its GPU doubled."""
    per_host = min(8, row["gpus"])
    cluster = {"gpu": row["gpu"], "gpus_per_host": per_host, "hosts": row["gpus"] // per_host}
    workload = {"isl": isl or row["isl"], "osl": row["osl"]}
    plain = resolve(Request.model_validate({"model": row["model"], "cluster": cluster, "workload": workload})).problem
    gpu = plain.cluster.gpu
    doubled = {name: 2 * getattr(gpu, name) for name in better if getattr(gpu, name)}
    changed = {**cluster, **doubled}
    problem = resolve(Request.model_validate({"model": row["model"], "cluster": changed, "workload": workload})).problem
    pools = [pool_of_facts({"replicas": 1, **pool}) for pool in row["pools"]]
    return Deployment(problem, deployed(pools, problem))


def prices(row: Json) -> Json:
    """Every price that a law is about, in milliseconds unless it is said otherwise."""
    plain = deployment(row)
    most = max_concurrency(plain.problem, plain.strategy)
    loads = [load for load in LOADS if load <= most] or [1]
    filled = plain.priced(*loads)
    load = min(LOAD, loads[-1])
    at = filled if load in loads else plain.priced(load)
    place = loads.index(load)
    return {
        "loads": loads,
        "ttft_ms": filled.ttft_ms.tolist(),
        "tpot_ms": filled.tpot_ms.tolist(),
        "requests_per_s": filled.requests_per_s.tolist(),
        "osl": row["osl"],
        "prompts_ttft_ms": [float(deployment(row, isl=isl).priced(1).ttft_ms[0]) for isl in PROMPTS],
        "at": _pair(at, place),
        "better": {part: _pair(deployment(row, better=names).priced(load), 0) for part, names in PARTS.items()},
        "roofline": _pair(plain.priced(load, constants=perfect()), 0),
    }


def _pair(found: Curve, place: int) -> list[float]:
    return [float(found.ttft_ms[place]), float(found.tpot_ms[place])]


@cache
def perfect() -> Calibration:
    """Constants of the plain roofline: every efficiency at one, launches, communication and hosts free."""
    best = {"compute": 1.0, "memory": 1.0, "overhead_us": 0.0, "half_rows": 0.0, "half_bytes": 0.0}
    efficiencies = tuple(one.model_copy(update=best) for one in calibration().efficiencies)
    free: tuple[FactorQuantity, ...] = (
        *(name for name in ENGINE_QUANTITIES if name not in ("decode_time", "prefill_time")),
        "message_time",
        "launch_time",
    )
    factors = tuple(Factor(quantity=name, value=NOTHING) for name in free)
    return calibration().replaced(efficiencies=efficiencies, factors=factors)


Law = Callable[[Json], Iterator[str]]
"""What of the prices breaks it, in words."""


def fuller_is_slower(found: Json) -> Iterator[str]:
    """More requests in flight never make one of them faster."""
    for name in ("ttft_ms", "tpot_ms"):
        for (one, before), (other, after) in pairwise(zip(found["loads"], found[name], strict=True)):
            if after * SLACK < before:
                yield f"{name} falls from {before:.3g} to {after:.3g} between {one} and {other} requests"


def fuller_carries_more(found: Json) -> Iterator[str]:
    """More requests in flight never lower what is served a second."""
    for (one, before), (other, after) in pairwise(zip(found["loads"], found["requests_per_s"], strict=True)):
        if after * SLACK < before:
            yield f"requests/s fall from {before:.4g} to {after:.4g} between {one} and {other} requests"


def longer_waits_longer(found: Json) -> Iterator[str]:
    """A longer prompt never has its first token sooner."""
    for (one, before), (other, after) in pairwise(zip(PROMPTS, found["prompts_ttft_ms"], strict=True)):
        if after < before:
            yield f"TTFT falls from {before:.3g} to {after:.3g} ms between prompts of {one} and {other}"


def littles_law(found: Json) -> Iterator[str]:
    """Requests in flight are the rate times the time that each stays."""
    for load, ttft, tpot, rate in zip(
        *(found[n] for n in ("loads", "ttft_ms", "tpot_ms", "requests_per_s")), strict=True
    ):
        inside = rate * _stay_ms(found, ttft, tpot) / 1e3
        if abs(inside / load - 1) > LITTLE_SLACK:
            yield f"{load} requests in flight, but rate times stay is {inside:.3g}"


def better_is_not_slower(found: Json) -> Iterator[str]:
    """Twice the memory rate, arithmetic, links or network never make an answer later. (TPOT alone may grow: who is prefilled sooner decodes in company.)."""
    before = _stay_ms(found, *found["at"])
    for part, pair in found["better"].items():
        after = _stay_ms(found, *pair)
        if after > before * SLACK:
            yield f"an answer takes {after:.4g} ms instead of {before:.4g} ms with twice the {part}"


def _stay_ms(found: Json, ttft_ms: float, tpot_ms: float) -> float:
    """Time from the request to the last token."""
    return float(ttft_ms + tpot_ms * (found["osl"] - 1))


def not_below_roofline(found: Json) -> Iterator[str]:
    """Nothing is faster than the hardware's peaks allow."""
    for name, ours, least in zip(("TTFT", "TPOT"), found["at"], found["roofline"], strict=True):
        if ours * SLACK < least:
            yield f"{name} {ours:.4g} ms is below the roofline's {least:.4g} ms"


LAWS: dict[str, Law] = {
    law.__name__: law
    for law in (
        fuller_is_slower,
        fuller_carries_more,
        longer_waits_longer,
        littles_law,
        better_is_not_slower,
        not_below_roofline,
    )
}
