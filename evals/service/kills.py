"""Runs that outlive their processes: `kill -9` at random moments, and what must hold afterwards.

Nothing lost: every run that was accepted ends, with a valid result. Nothing twice: one outcome, each event once, in order, and a
language model that was asked at most once more for every time that a process died. Nothing corrupted: the database says so itself.
"""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from evals.service.model import SlowModel, slow_model
from evals.service.processes import Process, running

REQUEST = {
    "model": "llama-3.1-8b",
    "cluster": {"gpu": "l40s", "gpus_per_host": 2, "hosts": 1},
    "workload": {"isl": 1024, "osl": 128, "concurrency": 8},
}
ATTEMPTS = 3
MODEL_DELAY_S = 0.25
LEASE_S = 2.0
ENDS_WITHIN_S = 15.0
MAX_PAUSE_S = 3.0
IN_FLIGHT = 4
PATIENCE_S = 120.0
"""For some process to answer; they start at the pace of the machine."""
EVENTS = ["understood", "retrieved", *["attempt", "findings"] * ATTEMPTS, "attempt", "findings", "result"]
"""The planner, asked last, has findings as well: what is merely worth knowing."""


@dataclass
class Outcome:
    """What was seen over all kills."""

    kills: int = 0
    accepted: int = 0
    faults: list[str] = field(default_factory=list)
    slowest_end_s: float = 0.0
    """From the restart after the last kill to the end of the last run."""
    calls: int = 0
    takeovers: int = 0


def settings(database: str, model: SlowModel, **more: str) -> dict[str, str]:
    """The environment of the processes: short leases, a slow model that is asked a few times in vain before the planner answers."""
    return {
        "MESHWRIGHT_DATABASE": database,
        "MESHWRIGHT_PROPOSER": "llm",
        "MESHWRIGHT_LLM__BASE_URL": model.url,
        "MESHWRIGHT_LLM__MODEL": "slow",
        "MESHWRIGHT_LLM__MAX_RETRIES": "0",
        "MESHWRIGHT_LOOP__MAX_ATTEMPTS": str(ATTEMPTS),
        "MESHWRIGHT_LOOP__SAME_CANDIDATE_LIMIT": str(ATTEMPTS + 1),
        "MESHWRIGHT_LEASE_S": str(LEASE_S),
        **more,
    }


def kill_single(folder: Path, kills: int, seed: int) -> Outcome:
    """One API process with its own worker on SQLite."""
    database = folder / "meshwright.sqlite3"
    with slow_model(MODEL_DELAY_S) as model:
        api = Process("serve", settings(f"sqlite:{database}", model), folder)
        with running(api):
            outcome = _rounds([api], [api], kills, random.Random(seed), model)  # noqa: S311 - moments, not secrets
    with sqlite3.connect(database) as connection:
        if connection.execute("pragma integrity_check").fetchone() != ("ok",):
            outcome.faults.append("the database file is corrupted")
    return outcome


def kill_cluster(folder: Path, database: str, kills: int, seed: int) -> Outcome:
    """Two API processes, which run nothing themselves, and two workers, on one Postgres."""
    with slow_model(MODEL_DELAY_S) as model:
        answering = settings(database, model, MESHWRIGHT_RUN_SLOTS="0")
        apis = [Process("serve", answering, folder) for _ in range(2)]
        workers = [Process("worker", settings(database, model), folder) for _ in range(2)]
        with running(*apis, *workers):
            return _rounds(apis, [*apis, *workers], kills, random.Random(seed), model)  # noqa: S311 - as above


def _rounds(
    apis: Sequence[Process], victims: Sequence[Process], kills: int, chance: random.Random, model: SlowModel
) -> Outcome:
    outcome = Outcome()
    with closing(Client(apis)) as client:
        with client.submitting():
            for _ in range(kills):
                time.sleep(chance.uniform(0.05, MAX_PAUSE_S))
                _kill_one(chance.choice(victims))
                outcome.kills += 1
        began = time.monotonic()
        client.wait_for_all(began + ENDS_WITHIN_S * 2)
        outcome.slowest_end_s = time.monotonic() - began
        client.check(outcome)
    outcome.calls = model.calls
    outcome.faults += _excesses(outcome)
    return outcome


def _kill_one(victim: Process) -> None:
    victim.kill()
    victim.restart()
    victim.ready()


def _excesses(outcome: Outcome) -> Iterator[str]:
    """What took too long or happened too often."""
    most = ATTEMPTS * outcome.accepted + outcome.takeovers
    if outcome.calls > most:
        yield f"the model was asked {outcome.calls} times, at most {most} were due"
    if outcome.slowest_end_s > ENDS_WITHIN_S:
        yield f"the last run ended {outcome.slowest_end_s:.1f} s after the restart"


class Client:
    """Keeps some runs in flight, and asks again with the same key when a process dies under its request."""

    def __init__(self, apis: Sequence[Process]) -> None:
        self._apis = apis
        self._http = httpx.Client(timeout=20)
        self._open = True
        self._keys: dict[str, str] = {}
        """Idempotency key -> run."""
        self._replays: list[str] = []

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Submit from another thread until the block ends."""
        thread = threading.Thread(target=self._submit, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._open = False
            thread.join()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def wait_for_all(self, until: float) -> None:
        """Until every run has ended, or that time has come."""
        for run_id in self._keys.values():
            while time.monotonic() < until and self._get(f"/v1/runs/{run_id}").json()["status"] in (
                "queued",
                "running",
            ):
                time.sleep(0.1)

    def check(self, outcome: Outcome) -> None:
        """Look at every run and at the whole list."""
        outcome.accepted = len(self._keys)
        outcome.faults += [f"key {key} started two runs" for key in self._replays]
        twice = [run_id for run_id, count in Counter(self._keys.values()).items() if count > 1]
        outcome.faults += [f"two keys share {run_id}" for run_id in twice]
        for run_id in self._keys.values():
            run = self._get(f"/v1/runs/{run_id}").json()
            outcome.takeovers += run["takeovers"]
            outcome.faults += [f"{run_id} {fault}" for fault in _faults(run, self._events(run_id))]

    def _submit(self) -> None:
        number = 0
        while self._open:
            busy = [run_id for run_id in list(self._keys.values())[-IN_FLIGHT:] if self._is_busy(run_id)]
            if len(busy) < IN_FLIGHT:
                number += 1
                self._post(f"key-{number}")
            time.sleep(0.05)

    def _post(self, key: str) -> None:
        """Until it is accepted; then once more, which must name the same run."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": key}
        for again in (False, True):
            answer = self._call("POST", "/v1/strategies", json=REQUEST, headers=headers)
            run_id = answer.json()["id"]
            if again and self._keys[key] != run_id:
                self._replays.append(key)
            self._keys[key] = run_id

    def _is_busy(self, run_id: str) -> bool:
        return self._get(f"/v1/runs/{run_id}").json()["status"] in ("queued", "running")

    def _get(self, path: str) -> httpx.Response:
        return self._call("GET", path)

    def _events(self, run_id: str) -> list[tuple[int, str]]:
        """Ids and types of the events of a run."""
        text = self._get(f"/v1/runs/{run_id}/events").text
        fields = [line.partition(": ") for line in text.splitlines()]
        ids = [int(value) for name, _, value in fields if name == "id"]
        return list(zip(ids, [value for name, _, value in fields if name == "event"], strict=True))

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """From whichever API process answers; they may all be dead for a moment."""
        until = time.monotonic() + PATIENCE_S
        while True:
            for api in self._apis:
                try:
                    answer = self._http.request(method, api.url + path, **options)
                except httpx.HTTPError:
                    continue
                if answer.status_code < 500:
                    answer.raise_for_status()
                    return answer
            if time.monotonic() > until:
                raise RuntimeError(f"nobody answers {method} {path}")
            time.sleep(0.05)


def _faults(run: dict[str, Any], events: list[tuple[int, str]]) -> Iterator[str]:
    if run["status"] != "done" or run["result"]["status"] != "valid":
        yield f"ended as {run['status']}: {run['problem']}"
    if [seq for seq, _ in events] != list(range(1, len(events) + 1)):
        yield f"has events {[seq for seq, _ in events]}"
    if [kind for _, kind in events] != EVENTS:
        yield f"told {[kind for _, kind in events]}"
