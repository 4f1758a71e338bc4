"""Work for a client that may leave: it is given up as soon as nobody waits for it, and after the longest time a request may take."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request

from api.errors import DeadlineError

T = TypeVar("T")
CLIENT_CLOSED_REQUEST = 499
"""What goes into log and metrics; the client is not there to read it."""


class ClientLeftError(Exception):
    """Nobody waits for the answer any more."""


async def while_present(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The outcome of `work`, in a task of its own. Raises `ClientLeftError`, or `DeadlineError` 503 after `request_timeout_s`."""
    limit_s: float = request.app.state.settings.request_timeout_s
    task = asyncio.create_task(work)
    leaving = asyncio.create_task(left(request))
    try:
        done, _ = await asyncio.wait({task, leaving}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        if leaving in done:
            raise ClientLeftError
        raise DeadlineError(f"no answer within {limit_s:g} s", retry_after_s=10)
    finally:
        for one in (task, leaving):
            one.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


async def left(request: Request) -> None:
    """Returns once the client has left, which is what comes after the body."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
