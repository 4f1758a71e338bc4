"""The parts of the campaign: what each does in a folder of its own, and what has to hold."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from evals.service import leaving, load
from evals.service.fuzz import fuzz
from evals.service.hostile import attack
from evals.service.kills import Outcome, kill_cluster, kill_single
from evals.service.model import slow_model
from evals.service.postgres import postgres
from evals.service.processes import Process, running
from evals.service.rude import RUDENESS

SLOW_MODEL_S = 3_600.0
"""For calls that end because their callers leave."""
Output = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much of everything; as they stand, those of a whole campaign."""

    kills: int = 100
    leavings: int = 20
    """Of each way to leave."""
    repeats: int = 30
    plans: int = 200
    crowd: int = 50
    soak: int = 10_000
    fuzzed: int = 10_000
    every: int = 1
    """Of the hostile corpus, one in so many."""
    by_wall: bool = True
    """Whether the ends of runs are judged by the clock on the wall, which is fair on a machine without other programs only."""


FULL = Sizes()
SHORT = Sizes(kills=3, leavings=2, repeats=5, plans=32, crowd=24, soak=100, fuzzed=100, every=8, by_wall=False)
"""A minute or so of processor time over `SHORT_PARTS`."""
SHORT_PARTS = (
    "kills-sqlite",
    "leaving-sqlite",
    "one-at-a-time",
    "plans-at-once",
    "overload",
    "soak",
    "fuzz",
    "hostile",
)
Run = Callable[[Path, int, Sizes], Output]


@dataclass(frozen=True)
class Bench:
    """One part."""

    run: Run
    """Takes a folder, a seed and sizes; `facts` are named numbers, `faults` what should not have happened."""
    holds: str
    """What has to hold."""
    seed: int = 1


def outcome_of(outcome: Outcome) -> Output:
    """A campaign of kills."""
    facts = {name: value for name, value in asdict(outcome).items() if name != "faults"}
    return {"facts": facts, "faults": outcome.faults}


def _kills_on_sqlite(folder: Path, seed: int, sizes: Sizes) -> Output:
    return outcome_of(kill_single(folder, sizes.kills, seed, by_wall=sizes.by_wall))


def _kills_on_postgres(folder: Path, seed: int, sizes: Sizes) -> Output:
    with postgres() as url:
        return outcome_of(kill_cluster(folder, url, sizes.kills, seed, by_wall=sizes.by_wall))


def _leavings_on_sqlite(folder: Path, _seed: int, sizes: Sizes) -> Output:
    with slow_model(SLOW_MODEL_S) as model:
        api = _server(folder, **_asking(model.url))
        with running(api):
            return _left(leaving.leave([api], [api], model, sizes.leavings))


def _leavings_on_postgres(folder: Path, _seed: int, sizes: Sizes) -> Output:
    with ExitStack() as stack:
        url, model = stack.enter_context(postgres()), stack.enter_context(slow_model(SLOW_MODEL_S))
        settings = {"MESHWRIGHT_DATABASE": url, **_asking(model.url)}
        apis = [Process("serve", {**settings, "MESHWRIGHT_RUN_SLOTS": "0"}, folder) for _ in range(2)]
        workers = [Process("worker", settings, folder) for _ in range(2)]
        stack.enter_context(running(*apis, *workers))
        return _left(leaving.leave(apis, [*apis, *workers], model, sizes.leavings))


def _left(found: list[leaving.Left]) -> Output:
    own = [max(0.0, one.seconds - one.waited_s) for one in found]
    facts = {"left": len(found), "p50_s": median(one.seconds for one in found), "slowest_own_s": max(own)}
    return {"facts": {**facts, "slowest_s": max(one.seconds for one in found)}, "faults": leaving.faults(found)}


def _load(measure: Callable[[Process, Sizes], Any], **settings: str) -> Run:
    def run(folder: Path, _seed: int, sizes: Sizes) -> Output:
        server = _server(folder, **settings)
        with running(server):
            report: load.Report = asyncio.run(measure(server, sizes))
        return {"facts": report.facts, "faults": report.faults}

    return run


def _fuzzed(folder: Path, seed: int, sizes: Sizes) -> Output:
    server = _server(folder)
    with running(server):
        report = fuzz(server.url, sizes.fuzzed, seed)
    statuses = {f"status_{status}": count for status, count in sorted(report.statuses.items())}
    facts = {"requests": report.requests, "slowest_s": report.slowest_s, **statuses}
    return {"facts": facts, "faults": [*report.faults, *tracebacks(server)]}


def _attacked(folder: Path, _seed: int, sizes: Sizes) -> Output:
    server = _server(folder)
    with running(server):
        faults = attack(server.url, every=sizes.every)
        return {"facts": {"resident_mb": server.resident_mb()}, "faults": [*faults, *tracebacks(server)]}


def _rude(folder: Path, _seed: int, _sizes: Sizes) -> Output:
    with slow_model(SLOW_MODEL_S) as model:
        server = _server(folder, **_asking(model.url))
        with running(server):
            faults = [fault for treat in RUDENESS for fault in treat(server)]
            return {"facts": {"ways": len(RUDENESS), "resident_mb": server.resident_mb()}, "faults": faults}


def tracebacks(server: Process) -> list[str]:
    """Errors that the service did not expect."""
    failed = [line for line in server.events() if line["event"] in ("request_failed", "run_failed", "step_failed")]
    return [f"logged {line['event']} at {line.get('path', line.get('step', ''))}" for line in failed]


def _asking(url: str) -> dict[str, str]:
    return {
        "MESHWRIGHT_LLM__BASE_URL": url,
        "MESHWRIGHT_LLM__MODEL": "slow",
        "MESHWRIGHT_LLM__TIMEOUT_S": "600",
        "MESHWRIGHT_LLM__MAX_RETRIES": "0",
    }


def _server(folder: Path, **settings: str) -> Process:
    return Process("serve", {"MESHWRIGHT_DATABASE": f"sqlite:{folder}/meshwright.sqlite3", **settings}, folder)


KILLED = "0 lost, 0 finished twice, 0 corrupted, each run ends within 15 s of the restart"
LEAVES = "the call to the model ends within 1 s"
BENCHES: dict[str, Bench] = {
    "kills-sqlite": Bench(_kills_on_sqlite, f"one process: {KILLED}"),
    "kills-postgres": Bench(_kills_on_postgres, f"2 API and 2 worker processes: {KILLED}", seed=2),
    "leaving-sqlite": Bench(_leavings_on_sqlite, f"one process: {LEAVES}"),
    "leaving-postgres": Bench(_leavings_on_postgres, f"2 API and 2 worker processes: {LEAVES}"),
    "one-at-a-time": Bench(
        _load(lambda server, sizes: load.one_by_one(server, sizes.repeats, timed=sizes.repeats == FULL.repeats)),
        "dense on 8 GPUs: plan with proof 0.5 s, validate 20 ms (p50)",
    ),
    "plans-at-once": Bench(
        _load(lambda server, sizes: load.together(server, sizes.plans)),
        f"{FULL.plans} at once: no error, fair, memory bounded",
    ),
    "overload": Bench(
        _load(
            lambda server, sizes: load.overload(server, sizes.crowd),
            MESHWRIGHT_THREADS="1",
            MESHWRIGHT_MAX_WAITING="4",
        ),
        "429 or 503 with Retry-After, soon",
    ),
    "soak": Bench(
        _load(lambda server, sizes: load.soak(server, sizes.soak)),
        f"{FULL.soak:,} requests: memory and descriptors do not grow",
    ),
    "fuzz": Bench(
        _fuzzed, f"{FULL.fuzzed:,} generated requests: no 5xx, no traceback, only what the document says", seed=3
    ),
    "hostile": Bench(_attacked, "bombs, depth, absurd numbers and names: no 5xx, no traceback, none over 30 s"),
    "rude": Bench(_rude, "slow heads, unread answers, pipelining, many bodies, many followers: others are answered"),
}
