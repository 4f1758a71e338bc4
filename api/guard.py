"""The outermost layer: every request is counted, and whatever goes wrong inside, a client reads a problem and never a traceback.

It also bounds what all bodies together may take, which a limit for each does not.
"""

import secrets
import time
from collections.abc import Callable

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from api.errors import OverloadedError
from api.metrics import Metrics
from api.presence import CLIENT_CLOSED_REQUEST, ClientLeftError
from api.replies import respond
from strategy.errors import MeshwrightError

log = structlog.get_logger()
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked all the time; not worth a line each."""
BODIES = 32
"""Bodies of the largest size that are in memory at a time, their bytes counted together."""
RETRY_AFTER_S = 2


class Guard:
    """ASGI middleware: names each request, counts it, logs unexpected errors with their traceback and answers 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics, max_body_bytes: int) -> None:
        self.app = app
        self.metrics = metrics
        self._max_bytes = BODIES * max_body_bytes
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        answer = _Answer(send, request_id)
        with structlog.contextvars.bound_contextvars(request_id=request_id), self.metrics.in_flight.track_inprogress():
            began = time.perf_counter()
            body = _Body(receive, self._take)
            try:
                await self._guarded(scope, body, answer)
            finally:
                self._bytes -= body.bytes
                self._count(scope, answer.status, time.perf_counter() - began)

    def _take(self, size: int) -> None:
        """Make room for bytes of a body. Raises `OverloadedError`."""
        if size and self._bytes + size > self._max_bytes:
            raise OverloadedError("the bodies of other requests fill the memory for them", retry_after_s=RETRY_AFTER_S)
        self._bytes += size

    async def _guarded(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            await self.app(scope, receive, answer)
        except (ClientLeftError, ClientDisconnect):
            answer.status = CLIENT_CLOSED_REQUEST
        except Exception as error:
            if not isinstance(error, MeshwrightError):
                log.exception("request_failed", path=scope["path"], method=scope["method"])
            if answer.status:
                raise
            told = errors.problem(error, instance=scope["path"])
            await respond(told, scope["path"], errors.headers(error))(scope, receive, answer)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", "none")
        self.metrics.answered(method, route, status or CLIENT_CLOSED_REQUEST, seconds)
        if route not in QUIET:
            log.info("request_answered", method=method, route=route, status=status, ms=round(seconds * 1e3, 1))


class _Body:
    """`receive`, with the bytes of the body counted."""

    def __init__(self, receive: Receive, take: Callable[[int], None]) -> None:
        self.bytes = 0
        self._receive = receive
        self._take = take

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self._take(size)
            self.bytes += size
        return message


class _Answer:
    """`send`, with the status remembered and the name of the request among the headers."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.status = 0
        self._send = send
        self._headers = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name for name, _ in message.get("headers", ())}
            added = [pair for pair in self._headers if pair[0] not in present]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await self._send(message)
