"""Who watches: metrics for operators, and wake-ups for those who follow a run of this process."""

import asyncio
from collections import defaultdict
from contextlib import suppress

from api.metrics import Metrics


class Watch:
    """Tells followers in this process that a run has changed; runs of other processes are seen by looking again."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._followers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def changed(self, run_id: str) -> None:
        """A run has a new event or its outcome."""
        for follower in self._followers.get(run_id, ()):
            follower.set()

    async def wait(self, run_id: str, seconds: float) -> None:
        """Until the run changes here, at most so long."""
        told = asyncio.Event()
        self._followers[run_id].add(told)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), seconds)
        finally:
            self._followers[run_id].discard(told)
            if not self._followers[run_id]:
                del self._followers[run_id]
