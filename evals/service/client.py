"""A client that does not give up: it keeps runs in flight and follows them while processes die under its requests."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from evals.service.processes import Process

REQUEST = {
    "model": "llama-3.1-8b",
    "cluster": {"gpu": "l40s", "gpus_per_host": 2, "hosts": 1},
    "workload": {"isl": 1024, "osl": 128, "concurrency": 8},
}
IN_FLIGHT = 4
PROPOSERS = ("llm", "llm", "planner")
"""Who proposes, in turn: a model that is waited for, and a planner that computes."""
PATIENCE_S = 120.0
"""For some process to answer; they start at the pace of the machine."""
FOLLOWED_S = 1_200.0
"""For a run to end while its processes are killed again and again."""
LAST = frozenset({"result", "error", "cancelled"})


def is_busy(run: dict[str, Any]) -> bool:
    """Whether a run has not ended."""
    return run["status"] in ("queued", "running")


@contextmanager
def beside(work: Callable[[], None], over: threading.Event) -> Iterator[None]:
    """Another thread works until the block ends, and is told that by `over`."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Client:
    """Keeps some runs in flight, and asks again with the same key when a process dies under its request."""

    def __init__(self, apis: Sequence[Process]) -> None:
        self._apis = apis
        self._http = httpx.Client(timeout=20)
        self._over = threading.Event()
        self.runs: dict[str, str] = {}
        """Idempotency key -> run."""
        self._replays: list[str] = []

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Submit from another thread until the block ends."""
        with beside(self._submit, self._over):
            yield

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def wait_for_all(self, until: float) -> None:
        """Until every run has ended, or that time has come."""
        for run_id in self.runs.values():
            while time.monotonic() < until and is_busy(self.get(f"/v1/runs/{run_id}").json()):
                time.sleep(0.1)

    def faults(self) -> list[str]:
        """Keys that started two runs, and runs that two keys share."""
        shared = [run_id for run_id, count in Counter(self.runs.values()).items() if count > 1]
        return [f"key {key} started two runs" for key in self._replays] + [f"two keys share {one}" for one in shared]

    def get(self, path: str) -> httpx.Response:
        """From whichever API process answers."""
        return self._call("GET", path)

    def events(self, run_id: str) -> list[tuple[int, str]]:
        """Ids and types of the events of a run that has ended."""
        found: list[tuple[int, str]] = []
        self.read_on(run_id, found)
        return found

    def read_on(self, run_id: str, found: list[tuple[int, str]]) -> None:
        """Add the events after those that were read, as they come, until the last."""
        until = time.monotonic() + FOLLOWED_S
        while time.monotonic() < until and not (found and found[-1][1] in LAST):
            for api in self._apis:
                try:
                    self._read(f"{api.url}/v1/runs/{run_id}/events", found)
                except httpx.HTTPError:
                    time.sleep(0.05)

    def _read(self, url: str, found: list[tuple[int, str]]) -> None:
        headers = {"Last-Event-ID": str(found[-1][0])} if found else {}
        with self._http.stream("GET", url, headers=headers) as answer:
            answer.raise_for_status()
            number = 0
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    number = int(value)
                elif name == "event":
                    found.append((number, value))

    def _submit(self) -> None:
        number = 0
        while not self._over.is_set():
            busy = [run_id for run_id in list(self.runs.values())[-IN_FLIGHT:] if self._is_busy(run_id)]
            if len(busy) < IN_FLIGHT:
                number += 1
                self._post(f"key-{number}", PROPOSERS[number % len(PROPOSERS)])
            time.sleep(0.05)

    def _post(self, key: str, proposer: str) -> None:
        """Until it is accepted; then once more, which must name the same run."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": key}
        for again in (False, True):
            answer = self._call("POST", f"/v1/strategies?proposer={proposer}", json=REQUEST, headers=headers)
            run_id = answer.json()["id"]
            if again and self.runs[key] != run_id:
                self._replays.append(key)
            self.runs[key] = run_id

    def _is_busy(self, run_id: str) -> bool:
        return is_busy(self.get(f"/v1/runs/{run_id}").json())

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


class Follower:
    """Reads the events of one run after the other while they come, and comes back with the last id when a process dies."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._over = threading.Event()
        self._read: dict[str, list[tuple[int, str]]] = {}

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow from another thread until the block ends."""
        with beside(self._follow, self._over):
            yield

    @property
    def followed(self) -> int:
        """Runs that were read."""
        return len(self._read)

    def faults(self) -> list[str]:
        """Runs whose events, read in pieces, are not those that are stored."""
        return [
            f"{run_id} was told as {read}" for run_id, read in self._read.items() if read != self._client.events(run_id)
        ]

    def _follow(self) -> None:
        while not self._over.is_set():
            newest = next(reversed(list(self._client.runs.values())), None)
            if newest is None or newest in self._read:
                time.sleep(0.05)
                continue
            self._read[newest] = []
            self._client.read_on(newest, self._read[newest])
