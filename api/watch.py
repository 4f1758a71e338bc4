"""Who watches: metrics for operators, and wake-ups for those who follow a stored run."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from api.metrics import Metrics
from api.state.runs import Runs

log = structlog.get_logger()
LOOK_AGAIN_S = 0.25
"""How often runs that another process works on are looked for: all that are followed here with one query, however many follow."""


class Watch:
    """Tells followers in this process that a run has changed."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._followers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def followed(self, run_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the run has changed; who clears it before looking misses nothing."""
        told = asyncio.Event()
        self._followers[run_id].add(told)
        try:
            yield told
        finally:
            self._followers[run_id].discard(told)
            if not self._followers[run_id]:
                del self._followers[run_id]

    def changed(self, run_id: str) -> None:
        """A run has a new event or its outcome."""
        for follower in self._followers.get(run_id, ()):
            follower.set()

    async def look(self, runs: Runs) -> None:
        """See changes by other processes, for ever; a database that is away for a while stops nothing."""
        seen: dict[str, str] = {}
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            try:
                marks = await runs.marks(list(self._followers)) if self._followers else {}
            except Exception as error:  # noqa: BLE001 - whatever a driver raises
                log.warning("look_failed", error=type(error).__name__)
                continue
            for run_id in list(self._followers):
                if run_id not in marks or marks[run_id] != seen.get(run_id):
                    self.changed(run_id)
            seen = marks
