"""The worker: claims stored runs, keeps their leases, hears of cancellations. Every API process has one, `meshwright worker` is one."""

import asyncio
import secrets
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import structlog

from api.runs import Runner
from api.settings import Settings
from api.state.runs import Run, Runs

log = structlog.get_logger()
POLL_S = 0.5
"""How often a worker looks for runs that others queued or left."""
CANCEL_POLL_S = 0.25
"""How often it looks for cancellations while it works."""
FORGET_EVERY_S = 600.0
SECONDS_PER_DAY = 86_400.0


class Worker:
    """Works on at most `run_slots` runs at a time."""

    def __init__(self, settings: Settings, runs: Runs, runner: Runner) -> None:
        self.name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self._settings = settings
        self._runs = runs
        self._runner = runner
        self._held: dict[str, tuple[Run, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._open = True
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work."""
        if self._settings.run_slots:
            beats = (self._claim(), self._keep_leases(), self._hear_cancellations(), self._forget())
            self._loops = [asyncio.create_task(_for_ever(beat)) for beat in beats]

    def wake(self) -> None:
        """A run was queued by this process: look now."""
        self._wake.set()

    def cancel(self, run_id: str) -> None:
        """End a run of this process, if it is one."""
        if run_id in self._held:
            self._held[run_id][1].cancel("cancelled")

    @property
    def load(self) -> int:
        """Runs held now."""
        return len(self._held)

    async def drain(self, grace_s: float) -> None:
        """Claim no more, let runs end for so long, give back what is left; then stop."""
        self._open = False
        tasks = [task for _, task in self._held.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in [*self._loops, *(task for _, task in self._held.values())]:
            task.cancel("stopped")
        await asyncio.gather(*self._loops, *tasks, return_exceptions=True)

    async def _claim(self) -> None:
        while self._open:
            self._wake.clear()
            free = self._settings.run_slots - len(self._held)
            for run in await self._runs.claim(self.name, self._settings.lease_s, limit=free) if free > 0 else []:
                self._held[run.id] = run, asyncio.create_task(self._work(run))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)

    async def _work(self, run: Run) -> None:
        log.info("run_claimed", run_id=run.id, epoch=run.epoch)
        try:
            await self._runner.carry_out(run)
        except asyncio.CancelledError as stop:
            if stop.args == ("cancelled",):
                await self._runner.end(run, "cancelled")
            elif stop.args == ("stopped",):
                await self._runs.release(run)
        except Exception:
            log.exception("run_left", run_id=run.id)
        finally:
            del self._held[run.id]
            self._wake.set()

    async def _keep_leases(self) -> None:
        """Renew; a run that is no longer ours is dropped, its new holder goes on with it."""
        while True:
            await asyncio.sleep(self._settings.lease_s / 4)
            before = dict(self._held)
            kept = await self._runs.renew(self.name, self._settings.lease_s) if before else {}
            for run_id in before.keys() - kept:
                if run_id in self._held:
                    log.warning("lease_lost", run_id=run_id)
                    self._held[run_id][1].cancel("lost")

    async def _hear_cancellations(self) -> None:
        while True:
            await asyncio.sleep(CANCEL_POLL_S)
            for run_id in await self._runs.to_cancel(self.name) if self._held else []:
                self.cancel(run_id)

    async def _forget(self) -> None:
        while True:
            for run_id in await self._runs.forget(self._settings.retention_days * SECONDS_PER_DAY):
                log.info("run_forgotten", run_id=run_id)
            await asyncio.sleep(FORGET_EVERY_S)


async def _for_ever(beat: Coroutine[Any, Any, None]) -> None:
    await beat
