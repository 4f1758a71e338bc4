"""How routes run the service: off the event loop, a bounded number at a time, for as long as someone waits."""

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
from fastapi import Request

from api.core import Core
from api.presence import while_present

T = TypeVar("T")
SMALL_BYTES = 50_000
"""Bodies up to here are read on the event loop; it would stand still for the largest ones."""


def core_of(request: Request) -> Core:
    """The parts of this process."""
    core: Core = request.app.state.core
    return core


async def sized(request: Request, function: Callable[[], T]) -> T:
    """Read something of the body: at once when that is small, else as `off_loop`."""
    size: int = request.state.body_bytes
    return function() if size <= SMALL_BYTES else await off_loop(request, function)


async def off_loop(request: Request, function: Callable[[], T]) -> T:
    """Run CPU work on a thread; at most `threads` of them run, a bounded number waits its turn."""
    return await while_present(request, _in_turn(request, function))


async def _in_turn(request: Request, function: Callable[[], T]) -> T:
    # A thread cannot be stopped. One that is given up keeps its place among `threads` until it ends, so that others come no sooner.
    async with core_of(request).checks.turn():
        return await anyio.to_thread.run_sync(function, limiter=request.app.state.limiter, abandon_on_cancel=True)
