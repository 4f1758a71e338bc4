"""How routes run the service: off the event loop, a bounded number at a time."""

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
from fastapi import Request

T = TypeVar("T")


async def off_loop(request: Request, function: Callable[[], T]) -> T:
    """Run CPU work on a thread; at most `threads` of them run, the others wait their turn."""
    return await anyio.to_thread.run_sync(function, limiter=request.app.state.limiter)
