"""A request, and small ways to ask for it."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

REQUEST = {
    "model": "llama-3.1-8b",
    "cluster": {"gpu": "l40s", "gpus_per_host": 1, "hosts": 1},
    "workload": {"isl": 1024, "osl": 128, "concurrency": 4},
}
SOON_S = 5.0
"""For what happens at once, on a machine that has other things to do; the model answers after much longer. `evals` measure how soon."""
ASYNC = {"Prefer": "respond-async"}


def start(http: httpx.Client, proposer: str = "planner", **headers: str) -> str:
    """Queue a run; its address."""
    answer = http.post(f"/v1/strategies?proposer={proposer}", json=REQUEST, headers={**ASYNC, **headers})
    assert answer.status_code == 202, answer.text
    return answer.headers["location"]


def ended(http: httpx.Client, address: str, within_s: float = 30) -> dict[str, Any]:
    """The run once it has its outcome."""
    run: dict[str, Any] = {}

    def has_ended() -> bool:
        run.update(http.get(address).json())
        return run["status"] not in ("queued", "running")

    assert wait_for(has_ended, within_s), f"still {run['status']}"
    return run


def events(text: str) -> list[tuple[int, str, Any]]:
    """Id, type and data of each server-sent event."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines())
        if "event" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def hold(url: str, path: str, body: object, key: str = "") -> socket.socket:
    """Send a request and do not read the answer; closing the socket is leaving."""
    place = urlsplit(url)
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    head += f"Authorization: Bearer {key}\r\n" if key else ""
    connection = socket.create_connection((place.hostname or "", place.port or 80))
    connection.sendall(head.encode() + b"\r\n" + data)
    return connection


def wait_for(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether it came true in time."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return condition()
