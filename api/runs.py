"""Carrying out stored runs: one claim, one graph with a checkpoint after every step, one outcome."""

import asyncio
from contextlib import suppress
from typing import Any

import structlog
from langgraph.checkpoint.base import BaseCheckpointSaver

from agent import loop
from agent.events import Event
from agent.graph import build_graph, recursion_limit
from api import errors, service
from api.metrics import Metrics
from api.settings import Settings
from api.state.runs import MAX_EPOCHS, Run, Runs, Status
from strategy.errors import MeshwrightError
from strategy.result import Result

log = structlog.get_logger()


class Runner:
    """Carries out runs that its process has claimed. Holds nothing of a run: what counts is in the database."""

    def __init__(self, settings: Settings, runs: Runs, saver: BaseCheckpointSaver[Any], metrics: Metrics) -> None:
        self._settings = settings
        self._runs = runs
        self._saver = saver
        self._metrics = metrics
        self._graph = build_graph(saver)

    async def carry_out(self, run: Run) -> None:
        """Run to the end, from the last checkpoint if there is one. Cancelling it leaves the run as it is."""
        if run.cancel or run.epoch > MAX_EPOCHS:
            await self._give_up(run)
            return
        try:
            result = await self._result(run)
        except Exception as error:  # noqa: BLE001 - whatever a run does, it ends and the process goes on
            if not isinstance(error, MeshwrightError):
                log.exception("run_failed", run_id=run.id)
            await self.end(run, "failed", problem=errors.problem(error).document())
        else:
            document = await asyncio.to_thread(service.document, result)
            self._metrics.planned(result)
            await self.end(run, "done", result=document)

    async def end(
        self, run: Run, status: Status, *, result: dict[str, Any] | None = None, problem: dict[str, Any] | None = None
    ) -> None:
        """Write the outcome, unless another process took the run over; drop its checkpoints."""
        if await self._runs.finish(run, status, result=result, problem=problem):
            self._metrics.run_ended(status)
            log.info("run_ended", run_id=run.id, status=status, epoch=run.epoch)
            await self._saver.adelete_thread(run.id)

    async def _give_up(self, run: Run) -> None:
        if run.cancel:
            await self.end(run, "cancelled")
            return
        detail = f"{run.epoch - 1} processes died while they worked on this run"
        await self.end(run, "failed", problem=errors.plain_problem(500, detail).document())

    async def _result(self, run: Run) -> Result:
        """What the graph ends with. Events are written in order, before the outcome."""
        told: asyncio.Queue[Event] = asyncio.Queue()
        writer = asyncio.create_task(self._write(run, told))
        context = loop.Run(service.dependencies(self._settings, run.proposer), told.put_nowait)
        config: Any = {
            "configurable": {"thread_id": run.id},
            "recursion_limit": recursion_limit(context.deps.settings),
        }
        try:
            kept = await self._graph.aget_state(config)
            if "result" in kept.values:
                return Result.model_validate(kept.values["result"])
            start: Any = None if kept.next else _start(run.ask)
            final = await self._graph.ainvoke(start, config, context=context, durability="sync")
            await told.join()
            return Result.model_validate(final["result"])
        finally:
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer

    async def _write(self, run: Run, told: "asyncio.Queue[Event]") -> None:
        while True:
            event = await told.get()
            try:
                if event.type != "result":  # the outcome is its own last event, with the whole Result
                    await self._runs.note(run, event)
            except Exception:
                log.exception("event_lost", run_id=run.id, type=event.type)
            finally:
                told.task_done()


def _start(ask: Any) -> loop.State:
    return {"text": ask} if isinstance(ask, str) else {"request": ask}
