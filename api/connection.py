"""HTTP/1.1 connections that nobody can hold open for nothing: a client has so long to say what it wants and to read its answer.

Uvicorn's own protocol waits for both for ever, and answers what is too much without saying when to come again.
"""

import asyncio
import json
import resource
from contextlib import suppress
from http import HTTPStatus

from uvicorn.protocols.http.h11_impl import H11Protocol

from api.errors import plain_problem

HEAD_S = 15.0
"""For the head of a request to arrive, from its connection or from the answer before it; while idle, `IDLE_S` more."""
IDLE_S = 30
READ_S = 60.0
"""For a client to read on when it has left more unread than is kept for it."""
MAX_CONNECTIONS = 4_096
SPARE_DESCRIPTORS = 128
"""For databases, files and calls of our own."""
RETRY_AFTER_S = 5


def max_connections() -> int:
    """As many as the process may have, at most `MAX_CONNECTIONS`; asks the system for more descriptors first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(MAX_CONNECTIONS, soft - SPARE_DESCRIPTORS))


class Connection(H11Protocol):
    """One connection. `most` is set once the process knows how many it may have."""

    most = MAX_CONNECTIONS
    _is_refused = False
    _head: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it; one too many is refused once it has said something, since what is unread would undo the refusal."""
        super().connection_made(transport)
        self._is_refused = len(self.connections) > self.most
        self._expect_head(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        for timer in (self._head, self._reading):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a connection that is being closed are nobody's."""
        if self.transport.is_closing():
            return
        if self._is_refused:
            self.transport.write(_refusal())
            self.transport.close()
        else:
            super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._expect_head(IDLE_S + HEAD_S)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        self._reading = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _expect_head(self, seconds: float) -> None:
        if self._head is not None:
            self._head.cancel()
        self._head = self.loop.call_later(seconds, self._close_when_idle)

    def _close_when_idle(self) -> None:
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()


def _refusal() -> bytes:
    """An answer to a request that is not even read."""
    told = plain_problem(HTTPStatus.SERVICE_UNAVAILABLE, "more connections are open than this process takes")
    body = json.dumps(told.document()).encode()
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {len(body)}\r\n"
        f"retry-after: {RETRY_AFTER_S}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
