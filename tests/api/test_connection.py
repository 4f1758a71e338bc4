"""Connections that are held open for nothing, on a real socket with limits that a test can wait for."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn

from api import connection
from api.connection import MAX_CONNECTIONS, Connection, max_connections

PIECE = b"x" * 100_000
OK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def application(scope: Any, _receive: Any, send: Any) -> None:
    """Answers without end on `/long`."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1_000 if scope["path"] == "/long" else 1):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@contextmanager
def serving() -> Iterator[int]:
    """The port of a server in a thread."""
    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, http=Connection, ws="none", lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], socket.socket]]:
    """Open a connection and say something."""
    monkeypatch.setattr(connection, "HEAD_S", 0.3)
    monkeypatch.setattr(connection, "READ_S", 0.3)
    monkeypatch.setattr(connection, "IDLE_S", 0.3)
    opened: list[socket.socket] = []
    with serving() as port:

        def say(data: bytes) -> socket.socket:
            one = socket.create_connection(("127.0.0.1", port), timeout=20)
            opened.append(one)
            one.sendall(data)
            return one

        yield say
        for one in opened:
            one.close()


def read_all(one: socket.socket) -> bytes:
    """Until the other side closes, in whatever way."""
    found = b""
    with suppress(ConnectionResetError):
        while data := one.recv(1_000_000):
            found += data
    return found


def test_a_head_that_does_not_end_is_given_up(said: Callable[[bytes], socket.socket]) -> None:
    slow = said(b"GET / HTTP/1.1\r\nX: ")

    assert read_all(slow) == b""


def test_a_connection_is_given_up_when_its_second_head_does_not_end(said: Callable[[bytes], socket.socket]) -> None:
    slow = said(OK + b"GET / HTT")

    assert read_all(slow).startswith(b"HTTP/1.1 200 OK")


def test_an_answer_that_nobody_reads_is_given_up(said: Callable[[bytes], socket.socket]) -> None:
    idle = said(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(1.0)

    assert len(read_all(idle)) < 1_000 * len(PIECE)


def test_a_connection_too_many_is_told_when_to_come_again(
    said: Callable[[bytes], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 20.0)
    monkeypatch.setattr(Connection, "most", 1)
    said(b"GET / HTTP/1.1\r\n")
    refused = said(OK)

    answer = read_all(refused)

    assert answer.startswith(b"HTTP/1.1 503")
    assert b"\r\nretry-after: 5\r\n" in answer
    assert b'"status": 503' in answer


def test_no_more_connections_are_taken_than_there_are_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.resource, "getrlimit", lambda _: (300, 300))
    monkeypatch.setattr(connection.resource, "setrlimit", lambda *_: None)

    assert max_connections() == 300 - connection.SPARE_DESCRIPTORS
    assert max_connections() < MAX_CONNECTIONS
