"""The outermost layer: whatever goes wrong inside, a client reads a problem and never a traceback."""

import structlog
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors

log = structlog.get_logger()


class CatchErrors:
    """ASGI middleware: logs an unexpected error with its traceback, answers 500 if nothing was sent yet."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            log.exception("request_failed", path=scope["path"], method=scope["method"])
            if started:
                raise
            told = errors.problem(error, instance=scope["path"])
            response = JSONResponse(told.document(), told.status, media_type="application/problem+json")
            await response(scope, receive, send)
