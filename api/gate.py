"""Overload: a bounded number works, a bounded number waits in order, one more is told when to come again."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.errors import OverloadedError

MAX_RETRY_AFTER_S = 60
_FIRST_GUESS_S = 0.5
_MEMORY = 0.9
"""Share of the old mean in the running mean of how long a turn takes."""


class Gate:
    """`slots` at a time, `max_waiting` more in line."""

    def __init__(self, slots: int, max_waiting: int) -> None:
        self._slots = slots
        self._max_waiting = max_waiting
        self._turns = asyncio.Semaphore(slots)
        self._mean_s = _FIRST_GUESS_S
        self.waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises `OverloadedError` at once when the line is full."""
        self.check()
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        began = time.monotonic()
        try:
            yield
        finally:
            self._turns.release()
            self._mean_s = _MEMORY * self._mean_s + (1 - _MEMORY) * (time.monotonic() - began)

    def check(self) -> None:
        """Raises `OverloadedError` when the line is full."""
        if self._turns.locked() and self.waiting >= self._max_waiting:
            raise OverloadedError(f"{self.waiting} requests wait already", retry_after_s=self._retry_after_s())

    def _retry_after_s(self) -> int:
        """When half of the line will have had its turn."""
        return max(1, min(MAX_RETRY_AFTER_S, math.ceil(self.waiting / 2 * self._mean_s / self._slots)))
