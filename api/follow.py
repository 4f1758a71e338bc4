"""Following a stored run: its events as they come, its outcome when it ends; and the same as server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import Request

from api.core import Core
from api.errors import MissingResourceError
from api.presence import left
from api.state.runs import Line, Run

LOOK_UP_S = 1.0
"""How often somebody who follows looks whether they are still listened to, while nothing happens."""
KEEP_ALIVE_S = 15.0
RECONNECT_MS = 1_000


async def lines(core: Core, run_id: str, after: int = 0) -> AsyncIterator[Line | None]:
    """Events after a sequence number, to the last; None from time to time while there is none."""
    with core.watch.followed(run_id) as told:
        while True:
            told.clear()
            found, ended = await core.runs.follow(run_id, after)
            for line in found:
                after = line.seq
                yield line
            if ended:
                return
            while not await _heard(told):
                yield None


async def outcome(core: Core, run: Run) -> Run:
    """The run once it has ended."""
    with core.watch.followed(run.id) as told:
        while True:
            told.clear()
            run = await stored(core, run.id, None)
            if run.ended:
                return run
            await told.wait()


async def _heard(told: asyncio.Event) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(told.wait(), LOOK_UP_S)
    return told.is_set()


async def stored(core: Core, run_id: str, key_id: str | None) -> Run:
    """A run that this key may see. Raises `MissingResourceError`."""
    run = await core.runs.get(run_id, key_id)
    if run is None:
        raise MissingResourceError(f"there is no run `{run_id[:60]}`")
    return run


async def stream(request: Request, core: Core, run: Run, after: int, *, cancel_when_left: bool) -> AsyncIterator[str]:
    """Server-sent events. A client that leaves an attached run ends it; who follows another run goes on elsewhere when we stop."""
    watcher = asyncio.create_task(_cancel_when_left(request, core, run)) if cancel_when_left else None
    spoke = time.monotonic()
    try:
        yield f"retry: {RECONNECT_MS}\n\n"
        async for line in lines(core, run.id, after):
            if line is not None:
                yield event(line)
                spoke = time.monotonic()
            elif await request.is_disconnected() or (watcher is None and not request.app.state.ready):
                return
            elif time.monotonic() - spoke > KEEP_ALIVE_S:
                yield ": still at work\n\n"
                spoke = time.monotonic()
    finally:
        if watcher is not None:
            watcher.cancel()
            await asyncio.shield(leave(core, run))


def event(line: Line) -> str:
    """One event in the wire format."""
    return f"id: {line.seq}\nevent: {line.type}\ndata: {json.dumps(line.data)}\n\n"


async def leave(core: Core, run: Run) -> None:
    """End a run that nobody waits for; nothing happens when it has ended."""
    found = await core.runs.get(run.id, None)
    if found is not None and not found.ended:
        core.worker.cancel(run.id)
        await core.runs.cancel(run.id)


async def _cancel_when_left(request: Request, core: Core, run: Run) -> None:
    """Notices at once, also while nothing is being sent."""
    await left(request)
    await leave(core, run)
