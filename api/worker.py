"""The worker: claims stored runs, keeps their leases, hears of cancellations. Every API process has one, `meshwright worker` is one."""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import structlog

from api.journal import LostRunError
from api.runs import Runner
from api.settings import Settings
from api.state.runs import Run, Runs
from api.state.threads import Threads

log = structlog.get_logger()
POLL_S = 0.5
"""How often a worker looks for runs that others queued or left."""
CANCEL_POLL_S = 0.25
"""How often it looks for cancellations while it works."""
FORGET_EVERY_S = 600.0
SECONDS_PER_DAY = 86_400.0
Why = Literal["", "cancelled", "stopped", "lost"]


@dataclass
class Held:
    """A run that is being carried out here, and why it is being stopped, if it is."""

    run: Run
    task: asyncio.Task[None]
    why: Why = ""

    def stop(self, why: Why) -> None:
        """Cancel its task, which cancels the call that it waits for."""
        self.why = self.why or why
        self.task.cancel()


class Worker:
    """Works on at most `run_slots` runs at a time."""

    def __init__(self, settings: Settings, runs: Runs, threads: Threads, runner: Runner) -> None:
        self.name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self._settings = settings
        self._runs = runs
        self._threads = threads
        self._runner = runner
        self._held: dict[str, Held] = {}
        self._wake = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work."""
        if self._settings.run_slots:
            self._loops = [
                asyncio.create_task(self._every(POLL_S, self._claim)),
                asyncio.create_task(self._every(self._settings.lease_s / 4, self._keep_leases)),
                asyncio.create_task(self._every(CANCEL_POLL_S, self._hear_cancellations)),
                asyncio.create_task(self._every(FORGET_EVERY_S, self._forget)),
            ]

    def wake(self) -> None:
        """A run was queued by this process: look now."""
        self._wake.set()

    def cancel(self, run_id: str) -> None:
        """End a run of this process, if it is one."""
        if run_id in self._held:
            self._held[run_id].stop("cancelled")

    @property
    def is_alive(self) -> bool:
        """Whether its loops go on."""
        return all(not one.done() for one in self._loops)

    async def drain(self, grace_s: float) -> None:
        """Claim no more, let runs end for so long, give back what is left; then stop."""
        for claiming in self._loops[:1]:
            claiming.cancel()
        tasks = [held.task for held in self._held.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for held in list(self._held.values()):
            held.stop("stopped")
        for one in self._loops:
            one.cancel()
        await asyncio.gather(*self._loops, *tasks, return_exceptions=True)

    async def _every(self, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step again and again; a database that is away for a while stops nothing."""
        while True:
            try:
                await step()
            except Exception:
                log.exception("step_failed", step=step.__name__)
            if step == self._claim:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), seconds)
            else:
                await asyncio.sleep(seconds)

    async def _claim(self) -> None:
        self._wake.clear()
        free = self._settings.run_slots - len(self._held)
        for run in await self._runs.claim(self.name, self._settings.lease_s, limit=free) if free > 0 else []:
            self._hold(run)

    def _hold(self, run: Run) -> None:
        """Begin to work on a run; after its former task, if this process was so slow that it lost the lease to itself."""
        former = self._held.get(run.id)
        if former is not None:
            log.warning("lease_lost", run_id=run.id)
            former.stop("lost")
        task = asyncio.create_task(self._work(run, None if former is None else former.task))
        self._held[run.id] = Held(run, task)
        task.add_done_callback(lambda _: self._let_go(run))

    async def _work(self, run: Run, former: asyncio.Task[None] | None) -> None:
        log.info("run_claimed", run_id=run.id, epoch=run.epoch)
        try:
            if former is not None:
                await asyncio.wait({former})
            await self._runner.carry_out(run)
        except asyncio.CancelledError:
            held = self._held.get(run.id)
            if held is not None and held.run.epoch == run.epoch:
                await self._stopped(held)
        except LostRunError:
            log.warning("lease_lost", run_id=run.id)
        except Exception:
            log.exception("run_left", run_id=run.id)

    def _let_go(self, run: Run) -> None:
        if run.id in self._held and self._held[run.id].run.epoch == run.epoch:
            del self._held[run.id]
        self._wake.set()

    async def _stopped(self, held: Held) -> None:
        if held.why == "cancelled":
            await self._runner.end(held.run, "cancelled")
        elif held.why == "stopped":
            await self._runs.release(held.run)

    async def _keep_leases(self) -> None:
        """Renew; a run that is no longer ours is dropped, its new holder goes on with it."""
        before = list(self._held.values())
        runs = [held.run for held in before]
        kept = await self._runs.renew(runs, self._settings.lease_s) if runs else set()
        for held in before:
            if held.run.id not in kept and self._held.get(held.run.id) is held:
                log.warning("lease_lost", run_id=held.run.id)
                held.stop("lost")

    async def _hear_cancellations(self) -> None:
        for run_id in await self._runs.to_cancel(self.name) if self._held else []:
            self.cancel(run_id)

    async def _forget(self) -> None:
        age_s = self._settings.retention_days * SECONDS_PER_DAY
        await self._threads.forget(age_s)
        for run_id in await self._runs.with_left_checkpoints():
            await self._runner.forget(run_id)
        await self._runs.forget(age_s)
