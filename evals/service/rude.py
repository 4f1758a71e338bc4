"""Clients that keep a server busy without asking for much: slow heads and bodies, answers that nobody reads, followers without end."""

import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx

from evals.service.processes import Process

CLIENTS = 200
ANSWERS_WITHIN_S = 10.0
"""What others ask for meanwhile, on a machine that has more to do."""
HEAD_S = 15.0
READ_S = 60.0
"""What the service allows; see `api/connection.py`."""
LATE_S = 10.0
PIPELINED = 200
REQUEST = {
    "model": "llama-3.1-8b",
    "cluster": {"gpu": "l40s", "gpus_per_host": 1},
    "workload": {"isl": 1024, "osl": 128},
}


def slow_heads(server: Process) -> Iterator[str]:
    """Heads that never end: others are answered meanwhile, and the connections are closed."""
    with _open(server, CLIENTS, b"POST /v1/strategies HTTP/1.1\r\nHost: x\r\nX: ") as held:
        yield from _still_answers(server, "slow heads")
        began = time.monotonic()
        closed = _closed(held, HEAD_S + LATE_S, lambda one: one.send(b"a"))
        if closed < CLIENTS:
            yield f"slow heads: {CLIENTS - closed} of {CLIENTS} still open after {time.monotonic() - began:.0f} s"


def unread_answers(server: Process) -> Iterator[str]:
    """Answers that nobody reads: others are answered meanwhile, and the connections are closed."""
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 40
    with _open(server, CLIENTS // 10, ask, buffer=4_096) as held:
        yield from _still_answers(server, "unread answers")
        before, until = server.descriptors(), time.monotonic() + 2 * READ_S
        while server.descriptors() > before - len(held) // 2 and time.monotonic() < until:
            time.sleep(1)
        if time.monotonic() >= until:
            yield f"unread answers: {server.descriptors()} descriptors are open, {before} at the beginning"


def pipelined(server: Process) -> Iterator[str]:
    """Many requests at once on one connection: each is answered, in order."""
    ask = b"GET /v1/rules/TP001 HTTP/1.1\r\nHost: x\r\n\r\n" * (PIPELINED - 1)
    ask += b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with _open(server, 1, ask) as (one,):
        one.settimeout(60)
        told = b"".join(iter(lambda: one.recv(65_536), b""))
    if told.count(b"HTTP/1.1 200") != PIPELINED or not told.rstrip().endswith(b"}"):
        yield f"pipelining: {told.count(b'HTTP/1.1 200')} of {PIPELINED} requests were answered"


def bombs(server: Process) -> Iterator[str]:
    """Compressed bodies are not unpacked, and bodies together are bounded."""
    coded = httpx.post(
        f"{server.url}/v1/strategies",
        content=b"\x1f\x8b" + b"\0" * 1_000,
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
        timeout=30,
    )
    if coded.status_code != 415:
        yield f"a compressed body: {coded.status_code}"
    before = server.resident_mb()
    head = (
        b"POST /v1/strategies HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1999999\r\n\r\n"
    )
    with _open(server, CLIENTS, head) as held:
        for one in held:
            one.settimeout(5)
            _send(one, b'{"text": "' + b"x" * 1_900_000)
        yield from _still_answers(server, "large bodies")
        if server.resident_mb() - before > 300:
            yield f"{CLIENTS} unfinished bodies take {server.resident_mb() - before:.0f} MB"


def followers(server: Process) -> Iterator[str]:
    """Many who follow one run that does not end: others are answered, also when all of them have left."""
    body = json.dumps(REQUEST).encode()
    with _asked(server, body) as run_id:
        ask = f"GET /v1/runs/{run_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        with _open(server, CLIENTS, ask):
            time.sleep(2)
            used = server.cpu_s()
            yield from _still_answers(server, "followers")
            time.sleep(4)
            if server.cpu_s() - used > 4:
                yield f"{CLIENTS} followers take {(server.cpu_s() - used) / 5:.0%} of a processor"
        yield from _still_answers(server, "followers that left")


@contextmanager
def _asked(server: Process, body: bytes) -> Iterator[str]:
    """A stored run by the slow model."""
    headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
    made = httpx.post(f"{server.url}/v1/strategies?proposer=llm", content=body, headers=headers, timeout=60).json()
    try:
        yield made["id"]
    finally:
        httpx.delete(f"{server.url}/v1/runs/{made['id']}", timeout=60)


def _still_answers(server: Process, name: str) -> Iterator[str]:
    began = time.monotonic()
    try:
        answer = httpx.get(f"{server.url}/v1/rules/TP001", timeout=ANSWERS_WITHIN_S)
    except httpx.HTTPError as error:
        yield f"{name}: others get {type(error).__name__} after {time.monotonic() - began:.1f} s"
        return
    if answer.status_code != 200:
        yield f"{name}: others get {answer.status_code}"


@contextmanager
def _open(server: Process, count: int, said: bytes, *, buffer: int | None = None) -> Iterator[list[socket.socket]]:
    """So many connections on each of which this was said."""
    place = urlsplit(server.url)
    with ExitStack() as stack:
        held = []
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            if buffer is not None:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            one.connect((place.hostname, place.port))
            one.sendall(said)
            held.append(one)
        yield held


def _closed(held: list[socket.socket], within_s: float, poke: Callable[[socket.socket], object]) -> int:
    """Connections that the other side closes in time, however often they are poked."""
    left, until = set(held), time.monotonic() + within_s
    while left and time.monotonic() < until:
        readable, _, _ = select.select(list(left), [], [], 0.5)
        left -= {one for one in readable if not _says_something(one)}
        for one in set(left):
            try:
                poke(one)
            except OSError:
                left.discard(one)
    return len(held) - len(left)


def _says_something(one: socket.socket) -> bool:
    try:
        return bool(one.recv(65_536))
    except OSError:
        return False


def _send(one: socket.socket, data: bytes) -> None:
    """As much as it takes."""
    try:
        one.sendall(data)
    except OSError:
        return


RUDENESS = (slow_heads, unread_answers, pipelined, bombs, followers)
