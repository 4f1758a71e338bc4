"""Load on a real server: many plans at once, a long soak, overload, and the time of one request."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice, pairwise, repeat
from statistics import median
from typing import Any

import httpx

from evals.service.processes import Process

REQUEST = {
    "model": "llama-3.1-8b",
    "cluster": {"gpu": "h100-sxm", "gpus_per_host": 8, "hosts": 1},
    "workload": {"isl": 1024, "osl": 128, "concurrency": 64},
    "slo": {"ttft_ms": 1000, "tpot_ms": 40},
}
BROKEN = {**REQUEST, "model": "llama-9"}
MODELS = ("llama-3.1-8b", "qwen3-8b", "mistral-7b", "llama-3.1-70b")
PATIENCE_S = 300.0
SAMPLES = 5
"""Times that memory and descriptors are looked at during a soak."""
GROWTH_MB = 32.0
GROWTH_DESCRIPTORS = 8
MAX_RESIDENT_MB = 1_500.0
MEDIANS_S = {"plan": 0.5, "validate": 0.02}
"""What one request may take at the median, on a machine that does nothing else."""
PAUSE = 0.2
"""Share of the whole time for which nobody may be answered."""


@dataclass
class Report:
    """What was measured."""

    name: str
    facts: dict[str, float | int | str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        """For people."""
        told = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.facts.items()
        )
        return f"{self.name}: {told}" + "".join(f"\n  FAULT {fault}" for fault in self.faults)


async def together(server: Process, plans: int) -> Report:
    """So many plans at the same moment: no error, nobody waits out of all proportion, and what is quick stays quick."""
    async with _client(plans) as http, _client(1) as other:
        await _all(http, server.url, 1)  # what a process learns with its first plan is measured elsewhere
        began = time.monotonic()
        quick = asyncio.create_task(_looking(other, server.url))
        seconds, statuses = await _all(http, server.url, plans)
        whole = time.monotonic() - began
        quick.cancel()
        looks = await quick
    report = Report(f"{plans} plans at once")
    report.facts = {**_spread(seconds), "whole_s": whole, "longest_pause_s": _longest_pause(seconds)}
    report.facts |= {"health_slowest_s": max(looks), "resident_mb": server.resident_mb()}
    report.faults = [f"{count} answers were {status}" for status, count in statuses.items() if status != 200]
    if _longest_pause(seconds) > max(1.0, PAUSE * whole):
        report.faults.append(f"for {_longest_pause(seconds):.1f} s nobody was answered")
    if server.resident_mb() > MAX_RESIDENT_MB:
        report.faults.append(f"the server holds {server.resident_mb():.0f} MB")
    return report


async def _looking(http: httpx.AsyncClient, url: str) -> list[float]:
    """Ask for the health again and again until cancelled; the times of the answers."""
    seconds = [0.0]
    try:
        while True:
            began = time.monotonic()
            await http.get(f"{url}/healthz")
            seconds.append(time.monotonic() - began)
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        return seconds


def _longest_pause(seconds: Sequence[float]) -> float:
    """The longest time between two answers, or before the first."""
    ordered = [0.0, *sorted(seconds)]
    return max(later - earlier for earlier, later in pairwise(ordered))


async def overload(server: Process, requests: int) -> Report:
    """More than the server takes on: each is answered 200, or 429 or 503 with Retry-After, soon."""
    async with _client(requests) as http:
        answers = await asyncio.gather(*(_post(http, server.url, REQUEST) for _ in range(requests)))
    report = Report(f"{requests} requests at a server that takes few")
    report.facts = dict(Counter(f"status_{answer.status_code}" for _, answer in answers))
    report.facts["slowest_refusal_s"] = max(
        (s for s, answer in answers if answer.status_code in (429, 503)), default=0.0
    )
    for _, answer in answers:
        if answer.status_code not in (200, 429, 503):
            report.faults.append(f"an answer was {answer.status_code}")
        elif answer.status_code != 200 and not answer.headers.get("retry-after", "").isdigit():
            report.faults.append(f"a {answer.status_code} does not say when to come again")
    if not report.facts.get("status_503"):
        report.faults.append("nothing was refused")
    return report


async def soak(server: Process, requests: int, *, at_once: int = 4) -> Report:
    """A long mixture of requests: memory and descriptors after the first fifth and at the end."""
    bodies = [{**REQUEST, "model": name} for name in MODELS]
    seen: list[tuple[float, int]] = []
    statuses: Counter[int] = Counter()
    async with _client(at_once) as http:
        for _ in range(SAMPLES):
            statuses += await _mixture(http, server.url, requests // SAMPLES, at_once, bodies)
            seen.append((server.resident_mb(), server.descriptors()))
    (first_mb, first_fds), (last_mb, last_fds) = seen[0], seen[-1]
    report = Report(f"{requests} requests one after the other, {at_once} at a time")
    report.facts = {"first_mb": first_mb, "last_mb": last_mb, "first_fds": first_fds, "last_fds": last_fds}
    report.facts |= {f"status_{status}": count for status, count in sorted(statuses.items())}
    report.faults = [f"{count} answers were {status}" for status, count in statuses.items() if status >= 500]
    if last_mb - first_mb > GROWTH_MB:
        report.faults.append(f"memory grew by {last_mb - first_mb:.0f} MB")
    if last_fds - first_fds > GROWTH_DESCRIPTORS:
        report.faults.append(f"{last_fds - first_fds} more descriptors are open")
    return report


async def one_by_one(server: Process, requests: int, *, timed: bool) -> Report:
    """The time of a single plan with its proof, and of judging its DAG, in a warm server; `timed`, what takes too long is a fault."""
    report = Report("one at a time")
    async with _client(1) as http:
        _, planned = await _post(http, server.url, REQUEST)
        dag = planned.json()["dag"]
        for name, path, bodies in (
            ("plan", "/v1/strategies", repeat(REQUEST)),
            ("validate", "/v1/validate", _never_seen(dag)),
            ("validate_without_proof", "/v1/validate?prove=false", _never_seen(dag)),
            ("validate_known", "/v1/validate", repeat(dag)),
        ):
            report.facts |= await _repeated(http, server, name, path, bodies, requests)
    if timed:
        report.faults = list(_too_slow(report.facts))
    return report


def _too_slow(facts: dict[str, float | int | str]) -> Iterator[str]:
    for name, most in MEDIANS_S.items():
        took = float(facts[f"{name}_p50_s"])
        if took > most:
            yield f"{name} took {took * 1e3:.1f} ms at the median, over {most * 1e3:.0f}"


def _never_seen(dag: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same DAG under other names each time: a proof that was found before is of no use to it."""
    text = json.dumps(dag)
    for number in count():
        renamed = text
        for name in ("ffn", "attend"):
            renamed = re.sub(rf'(?<=["./:]){name}(?=["./])', f"{name}_{number}", renamed)
        yield json.loads(renamed)


async def _repeated(
    http: httpx.AsyncClient, server: Process, name: str, path: str, bodies: Iterator[dict[str, Any]], requests: int
) -> dict[str, float | int | str]:
    """By the clock on the wall, and in processor time, which does not depend on what else the machine does."""
    await _post(http, server.url, next(bodies), path)
    used, seconds = server.cpu_s(), []
    for body in islice(bodies, requests):
        took, answer = await _post(http, server.url, body, path)
        answer.raise_for_status()
        seconds.append(took)
    cpu = (server.cpu_s() - used) / requests
    return {f"{name}_p50_s": median(seconds), f"{name}_min_s": min(seconds), f"{name}_cpu_s": cpu}


async def _all(http: httpx.AsyncClient, url: str, plans: int) -> tuple[list[float], Counter[int]]:
    bodies = [{**REQUEST, "model": MODELS[number % len(MODELS)]} for number in range(plans)]
    answers = await asyncio.gather(*(_post(http, url, body) for body in bodies))
    return [seconds for seconds, _ in answers], Counter(answer.status_code for _, answer in answers)


async def _mixture(
    http: httpx.AsyncClient, url: str, requests: int, at_once: int, bodies: Sequence[dict[str, Any]]
) -> Counter[int]:
    """Mostly what is quick, so that many requests fit into a soak; one in twenty is a whole plan."""
    statuses: Counter[int] = Counter()

    async def send(numbers: range) -> None:
        for number in numbers:
            answer = await _mixed(http, url, number, bodies)
            statuses[answer.status_code] += 1

    await asyncio.gather(*(send(range(start, requests, at_once)) for start in range(at_once)))
    return statuses


async def _mixed(http: httpx.AsyncClient, url: str, number: int, bodies: Sequence[dict[str, Any]]) -> httpx.Response:
    if number % 20 == 0:
        path = "/v1/strategies" if number % 40 else "/v1/strategies/stream"
        return (await _post(http, url, bodies[number // 20 % len(bodies)], path))[1]
    if number % 4 == 0:
        return (await _post(http, url, BROKEN))[1]
    return await http.get(url + ("/v1/rules/TP001", "/v1/runs?limit=5", "/metrics", "/healthz")[number % 4])


async def _post(
    http: httpx.AsyncClient, url: str, body: dict[str, Any], path: str = "/v1/strategies"
) -> tuple[float, httpx.Response]:
    began = time.monotonic()
    answer = await http.post(url + path, json=body)
    return time.monotonic() - began, answer


def _client(connections: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(timeout=PATIENCE_S, limits=limits)


def _spread(seconds: Sequence[float]) -> dict[str, float | int | str]:
    ordered = sorted(seconds)
    return {
        "p50_s": median(ordered),
        "p99_s": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        "slowest_s": ordered[-1],
    }
