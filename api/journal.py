"""The events of one run on their way to the database: in order, and written before the step that told them counts as done.

A step whose checkpoint is written is never repeated, so an event that was written later could be lost with the process.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from agent.events import Event
from api.state.runs import Run, Runs
from api.watch import Watch

log = structlog.get_logger()


class LostRunError(Exception):
    """Another process holds the run by now."""


class Journal:
    """Events told by a run, some written, some waiting."""

    def __init__(self, run: Run, runs: Runs, watch: Watch) -> None:
        self._run = run
        self._runs = runs
        self._watch = watch
        self._waiting: deque[Event] = deque()
        self._turn = asyncio.Lock()
        self._writing: set[asyncio.Task[None]] = set()

    def tell(self, event: Event) -> None:
        """Take an event; it is written soon. The outcome is not among them: it is written with its whole Result."""
        if event.type != "result":
            self._waiting.append(event)
            task = asyncio.create_task(self._write_soon())
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def settle(self) -> None:
        """Write what waits. Raises `LostRunError` when the run is held by another process, and what the database raises."""
        async with self._turn:
            told = tuple(self._waiting)
            if not await self._runs.note(self._run, told):
                raise LostRunError(self._run.id)
            for _ in told:
                self._waiting.popleft()
            if told:
                self._watch.changed(self._run.id)

    async def _write_soon(self) -> None:
        """What cannot be written now is written, or told, before the step ends."""
        try:
            if self._waiting:
                await self.settle()
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("event_waits", run_id=self._run.id, error=type(error).__name__)


class Journals:
    """The journals of the runs that this process carries out."""

    def __init__(self, runs: Runs, watch: Watch) -> None:
        self._runs = runs
        self._watch = watch
        self._open: dict[str, Journal] = {}

    @contextmanager
    def opened(self, run: Run) -> Iterator[Journal]:
        """The journal of a run while it is carried out."""
        journal = self._open[run.id] = Journal(run, self._runs, self._watch)
        try:
            yield journal
        finally:
            if self._open.get(run.id) is journal:
                del self._open[run.id]

    async def settle(self, run_id: str) -> None:
        """Write what waits of a run. Raises `LostRunError`, also when this process has no such run any more."""
        journal = self._open.get(run_id)
        if journal is None:
            raise LostRunError(run_id)
        await journal.settle()
