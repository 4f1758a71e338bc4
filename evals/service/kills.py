"""Runs that outlive their processes: `kill -9` at random moments, and what must hold afterwards.

Nothing lost: every run that was accepted ends, with a valid result. Nothing twice: one outcome, each event once, in order, and a
language model that was asked at most once more for every time that a process died. Nothing corrupted: the database says so itself.
In time: a run that was in flight at a kill ends within `ENDS_WITHIN_S` of the restart, unless the next kill comes before.
"""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from evals.service.client import Client, Follower, beside, is_busy
from evals.service.model import SlowModel, slow_model
from evals.service.processes import Process, running

ATTEMPTS = 3
MODEL_DELAY_S = 0.25
LEASE_S = 2.0
ENDS_WITHIN_S = 15.0
SHORT_PAUSE_S = 3.0
LONG_PAUSE_S = 12.0
LONG_PAUSES = 0.3
"""Share of the kills after which the runs have time to end."""
SAMPLE_S = 0.25
TOGETHER = 0.15
"""Share of the kills that hit more than one process, where there are several."""
WHILE_STARTING = 0.15
"""Share of the kills after which the next one may come while the process still starts."""
ENDINGS = {
    "llm": ["understood", "retrieved", *["attempt", "findings"] * ATTEMPTS, "attempt", "findings", "result"],
    "planner": ["understood", "retrieved", "attempt", "findings", "result"],
}
"""Events of a whole run. The planner has findings as well: what is merely worth knowing."""


@dataclass
class Outcome:
    """What was seen over all kills."""

    kills: int = 0
    accepted: int = 0
    faults: list[str] = field(default_factory=list)
    slowest_end_s: float = 0.0
    """From a restart to the end of the last run that was in flight at the kill before it, with no other kill in between; without the
    time for which our processes wait for a processor, which others have or they themselves."""
    slowest_end_with_waiting_s: float = 0.0
    """The same by the clock on the wall, which a campaign is judged by."""
    start_cpu_s: float = 0.0
    """Processor time of the costliest start, which the former contain."""
    struck: int = 0
    """Runs that were in flight at a kill, at least once."""
    calls: int = 0
    takeovers: int = 0
    followed: int = 0
    """Runs whose events were read as they came, across the kills."""


@dataclass(frozen=True)
class Kill:
    """One kill, by the clock that runs are dated with."""

    at: float
    restarted: float
    is_timed: bool = True
    """Whether the processes had started before the next kill could come."""


def settings(database: str, model: SlowModel, **more: str) -> dict[str, str]:
    """The environment of the processes: short leases, a slow model that is asked a few times in vain before the planner answers."""
    return {
        "MESHWRIGHT_DATABASE": database,
        "MESHWRIGHT_LLM__BASE_URL": model.url,
        "MESHWRIGHT_LLM__MODEL": "slow",
        "MESHWRIGHT_LLM__MAX_RETRIES": "0",
        "MESHWRIGHT_LOOP__MAX_ATTEMPTS": str(ATTEMPTS),
        "MESHWRIGHT_LOOP__SAME_CANDIDATE_LIMIT": str(ATTEMPTS + 1),
        "MESHWRIGHT_LEASE_S": str(LEASE_S),
        **more,
    }


def kill_single(folder: Path, kills: int, seed: int, *, by_wall: bool = True) -> Outcome:
    """One API process with its own worker on SQLite; `by_wall` as in `Sizes`."""
    database = folder / "meshwright.sqlite3"
    with slow_model(MODEL_DELAY_S) as model:
        api = Process("serve", settings(f"sqlite:{database}", model), folder)
        with running(api):
            chance = random.Random(seed)  # noqa: S311 - moments, not secrets
            outcome = _storm([api], [api], kills, chance, model, by_wall=by_wall)
    with sqlite3.connect(database) as connection:
        if connection.execute("pragma integrity_check").fetchone() != ("ok",):
            outcome.faults.append("the database file is corrupted")
    return outcome


def kill_cluster(folder: Path, database: str, kills: int, seed: int, *, by_wall: bool = True) -> Outcome:
    """Two API processes, which run nothing themselves, and two workers, on one Postgres; `by_wall` as in `Sizes`."""
    with slow_model(MODEL_DELAY_S) as model:
        answering = settings(database, model, MESHWRIGHT_RUN_SLOTS="0")
        apis = [Process("serve", answering, folder) for _ in range(2)]
        workers = [Process("worker", settings(database, model), folder) for _ in range(2)]
        with running(*apis, *workers):
            chance = random.Random(seed)  # noqa: S311 - as above
            return _storm(apis, [*apis, *workers], kills, chance, model, by_wall=by_wall)


def _storm(
    apis: Sequence[Process],
    victims: Sequence[Process],
    kills: int,
    chance: random.Random,
    model: SlowModel,
    *,
    by_wall: bool,
) -> Outcome:
    outcome = Outcome()
    fallen: list[Kill] = []
    with closing(Client(apis)) as client:
        follower, waiting = Follower(client), Waiting(victims, excuses=not by_wall)
        with waiting.sampled():
            with client.submitting(), follower.following():
                while outcome.kills < kills:
                    time.sleep(_pause(chance, fallen))
                    fallen.append(_kill(_chosen(victims, chance), outcome, wait=chance.random() > WHILE_STARTING))
                for victim in victims:
                    victim.ready()
            client.wait_for_all(time.monotonic() + ENDS_WITHIN_S * 6)
        _look(client, fallen, outcome, waiting)
        outcome.faults += follower.faults()
        outcome.followed = follower.followed
    outcome.calls = model.calls
    outcome.faults += [*_excesses(outcome), *_twice(victims)]
    return outcome


def _pause(chance: random.Random, fallen: Sequence[Kill]) -> float:
    is_long = chance.random() < LONG_PAUSES and not (fallen and not fallen[-1].is_timed)
    return chance.uniform(0.05, LONG_PAUSE_S if is_long else SHORT_PAUSE_S)


def _chosen(victims: Sequence[Process], chance: random.Random) -> list[Process]:
    several = len(victims) > 1 and chance.random() < TOGETHER
    return chance.sample(list(victims), chance.randint(2, len(victims)) if several else 1)


def _kill(victims: Sequence[Process], outcome: Outcome, *, wait: bool) -> Kill:
    killed = time.time()
    for victim in victims:
        victim.kill()
    restarted = time.time()
    for victim in victims:
        victim.restart()
    outcome.kills += len(victims)
    if wait:
        for victim in victims:
            victim.ready()
        outcome.start_cpu_s = max(outcome.start_cpu_s, *(victim.cpu_s() for victim in victims))
    return Kill(killed, restarted, is_timed=wait)


class Waiting:
    """For how long our processes had to wait for a processor, from one moment to another."""

    def __init__(self, processes: Sequence[Process], *, excuses: bool) -> None:
        self._processes = processes
        self.excuses = excuses
        """Whether it is taken off what a run took before that is judged."""
        self._seen: list[tuple[float, list[float]]] = []
        """Times, and the seconds that each process had gained since the time before."""

    @contextmanager
    def sampled(self) -> Iterator[None]:
        """Look from another thread until the block ends."""
        over = threading.Event()
        with beside(partial(self._sample, over), over):
            yield

    def between(self, began: float, ended: float) -> float:
        """Of the process that waited longest."""
        gained = [seconds for at, seconds in self._seen if began < at <= ended]
        return max(map(sum, zip(*gained, strict=True)), default=0.0)

    def _sample(self, over: threading.Event) -> None:
        before: dict[int, float] = {}
        while not over.wait(SAMPLE_S):
            now = {one.pid: one.waited_s() for one in self._processes}
            self._seen.append((time.time(), [max(0.0, now[pid] - before.get(pid, 0.0)) for pid in now]))
            before = now


def _look(client: Client, fallen: Sequence[Kill], outcome: Outcome, waiting: Waiting) -> None:
    """Every run that was accepted, one after the other."""
    outcome.accepted = len(client.runs)
    outcome.faults += client.faults()
    for run_id in client.runs.values():
        run = client.get(f"/v1/runs/{run_id}").json()
        outcome.takeovers += run["takeovers"]
        outcome.faults += [f"{run_id} {fault}" for fault in _faults(run, client.events(run_id))]
        kill = _last_kill(run, fallen)
        if kill is not None:
            outcome.struck += 1
            outcome.faults += _late(run, kill, outcome, waiting)


def _last_kill(run: dict[str, Any], fallen: Sequence[Kill]) -> Kill | None:
    """The last kill during a run that has ended; None when there was none."""
    if run["finished_at"] is None:
        return None
    return next(
        (kill for kill in reversed(fallen) if _at(run, "created_at") <= kill.at <= _at(run, "finished_at")), None
    )


def _late(run: dict[str, Any], kill: Kill, outcome: Outcome, waiting: Waiting) -> Iterator[str]:
    """Note how long after the restart the run ended; a fault when that is too long."""
    if not kill.is_timed:
        return
    took = max(0.0, _at(run, "finished_at") - kill.restarted)
    own = max(0.0, took - waiting.between(kill.restarted, _at(run, "finished_at")))
    outcome.slowest_end_with_waiting_s = max(outcome.slowest_end_with_waiting_s, took)
    outcome.slowest_end_s = max(outcome.slowest_end_s, own)
    judged = own if waiting.excuses else took
    if judged > ENDS_WITHIN_S:
        yield f"{run['id']} ended {judged:.1f} s after the restart"


def _at(run: dict[str, Any], name: str) -> float:
    return datetime.fromisoformat(run[name]).timestamp()


def _excesses(outcome: Outcome) -> Iterator[str]:
    """What happened too often."""
    most = ATTEMPTS * outcome.accepted + outcome.takeovers
    if outcome.calls > most:
        yield f"the model was asked {outcome.calls} times, at most {most} were due"


def _twice(processes: Sequence[Process]) -> Iterator[str]:
    """Runs whose outcome was written more than once, by what the processes logged."""
    ended = Counter(
        line["run_id"] for process in processes for line in process.events() if line["event"] == "run_ended"
    )
    yield from (f"{run_id} ended {count} times" for run_id, count in ended.items() if count > 1)


def _faults(run: dict[str, Any], events: Sequence[tuple[int, str]]) -> Iterator[str]:
    if is_busy(run):
        yield f"is lost: it is still {run['status']}"
        return
    if run["status"] != "done" or run["result"]["status"] != "valid":
        yield f"ended as {run['status']}: {run['problem']}"
    if [seq for seq, _ in events] != list(range(1, len(events) + 1)):
        yield f"has events {[seq for seq, _ in events]}"
    if [kind for _, kind in events] != ENDINGS[run["proposer"]]:
        yield f"told {[kind for _, kind in events]}"
