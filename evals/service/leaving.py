"""How soon the call to the language model ends once nobody waits for it, over real sockets on both sides."""

import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from evals.service.client import REQUEST
from evals.service.model import SlowModel
from evals.service.processes import Process

STOPS_WITHIN_S = 1.0
PATIENCE_S = 120.0
CHAT: dict[str, Any] = {
    "model": "meshwright-llm",
    "messages": [{"role": "user", "content": "Llama 3.1 8B on 2 L40S, 1k in, 100 out"}],
}
WAYS: Sequence[tuple[str, str, Any]] = (
    ("plan", "/v1/strategies?proposer=llm", REQUEST),
    ("stream", "/v1/strategies/stream?proposer=llm", REQUEST),
    ("chat", "/v1/chat/completions", CHAT),
    ("streamed chat", "/v1/chat/completions", {**CHAT, "stream": True}),
)


@dataclass
class Left:
    """One client that left, and what came of its call."""

    way: str
    seconds: float
    """From leaving to the end of the call, as the model's endpoint saw it."""
    waited_s: float
    """Of these, for which our processes waited for a processor."""


def leave(apis: Sequence[Process], processes: Sequence[Process], model: SlowModel, times: int) -> list[Left]:
    """Leave in each of the ways, and cancel a stored run, so many times each."""
    found = []
    for number in range(times):
        url = apis[number % len(apis)].url
        for way, path, body in WAYS:
            found.append(_timed(way, _asked(url, path, body, model), model, processes))
        found.append(_timed("cancelled run", _stored(url, model), model, processes))
    return found


def faults(left: Sequence[Left]) -> list[str]:
    """Calls that went on for too long, time that others had the processors left out."""
    return [
        f"{one.way}: the call ended after {one.seconds:.2f} s ({one.waited_s:.2f} s of them waiting for a processor)"
        for one in left
        if one.seconds - one.waited_s > STOPS_WITHIN_S
    ]


def _timed(way: str, leave_now: Callable[[], object], model: SlowModel, processes: Sequence[Process]) -> Left:
    ended, waited = len(model.left_at), [one.waited_s() for one in processes]
    began = time.monotonic()
    leave_now()
    _until(lambda: len(model.left_at) > ended)
    slowed = sum(one.waited_s() - before for one, before in zip(processes, waited, strict=True))
    return Left(way, model.left_at[-1] - began, slowed)


def _asked(url: str, path: str, body: Any, model: SlowModel) -> Callable[[], object]:
    """Ask and wait until the model is asked; how to hang up."""
    place = urlsplit(url)
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    one = socket.create_connection((place.hostname or "", place.port or 80))
    one.sendall(head.encode() + data)
    _until(lambda: model.open > 0)
    return one.close


def _stored(url: str, model: SlowModel) -> Callable[[], object]:
    """Store a run and wait until the model is asked; how to cancel it."""
    path, headers = f"{url}/v1/strategies?proposer=llm", {"Prefer": "respond-async"}
    run = httpx.post(path, json=REQUEST, headers=headers, timeout=PATIENCE_S).json()
    _until(lambda: model.open > 0)
    return lambda: httpx.delete(f"{url}/v1/runs/{run['id']}", timeout=PATIENCE_S)


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"nothing happened for {PATIENCE_S:.0f} s")
        time.sleep(0.005)
