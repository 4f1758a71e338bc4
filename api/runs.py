"""Carrying out stored runs: one claim, one graph with a checkpoint after every step, one outcome."""

import asyncio
from contextlib import suppress
from typing import Any

import structlog
from langgraph.checkpoint.base import BaseCheckpointSaver
from opentelemetry import trace

from agent import loop
from agent.events import Event
from agent.graph import build_graph, recursion_limit
from api import errors, service
from api.settings import Settings
from api.state.runs import MAX_STALLED, Run, Runs, Status
from api.watch import Watch
from strategy.errors import MeshwrightError
from strategy.result import Result

log = structlog.get_logger()
tracer = trace.get_tracer("meshwright")


class Runner:
    """Carries out runs that its process has claimed. Holds nothing of a run: what counts is in the database."""

    def __init__(self, settings: Settings, runs: Runs, saver: BaseCheckpointSaver[Any], watch: Watch) -> None:
        self._settings = settings
        self._runs = runs
        self._saver = saver
        self._watch = watch
        self._graph = build_graph(saver)

    async def carry_out(self, run: Run) -> None:
        """Run to the end, from the last checkpoint if there is one. Cancelling it leaves the run as it is."""
        if run.cancel or run.stalled > MAX_STALLED:
            await self._give_up(run)
            return
        try:
            with tracer.start_as_current_span("meshwright.run", attributes={"run.id": run.id, "run.epoch": run.epoch}):
                result = await self._result(run)
        except Exception as error:
            if not isinstance(error, MeshwrightError):
                log.exception("run_failed", run_id=run.id)
            await self.end(run, "failed", problem=errors.problem(error).document())
        else:
            document = await asyncio.to_thread(service.document, result)
            self._watch.metrics.planned(result)
            await self.end(run, "done", result=document)

    async def end(
        self, run: Run, status: Status, *, result: dict[str, Any] | None = None, problem: dict[str, Any] | None = None
    ) -> None:
        """Write the outcome, unless another process took the run over; drop its checkpoints."""
        if await self._runs.finish(run, status, result=result, problem=problem):
            self._watch.metrics.run_ended(status)
            log.info("run_ended", run_id=run.id, status=status, epoch=run.epoch)
            self._watch.changed(run.id)
            await self.forget(run.id)

    async def forget(self, run_id: str) -> None:
        """Drop the checkpoints of a run that needs them no more."""
        await self._saver.adelete_thread(run_id)

    async def _give_up(self, run: Run) -> None:
        if run.cancel:
            await self.end(run, "cancelled")
            return
        detail = f"{run.stalled - 1} processes died while they worked on this run"
        await self.end(run, "failed", problem=errors.plain_problem(500, detail).document())

    async def _result(self, run: Run) -> Result:
        """What the graph ends with, once its events are written."""
        told: asyncio.Queue[Event] = asyncio.Queue()
        writer = asyncio.create_task(self._write(run, told))
        try:
            return await self._invoke(run, told)
        finally:
            # A cancelled run is not waited for; what it has told by then is a courtesy.
            with suppress(asyncio.CancelledError):
                await told.join()
            writer.cancel()

    async def _invoke(self, run: Run, told: "asyncio.Queue[Event]") -> Result:
        context = loop.Run(service.dependencies(self._settings, run.proposer), told.put_nowait)
        limit = recursion_limit(context.deps.settings)
        config: Any = {"configurable": {"thread_id": run.id}, "recursion_limit": limit}
        kept = await self._graph.aget_state(config)
        if "result" in kept.values:
            return Result.model_validate(kept.values["result"])
        # `next` is also empty between the writes of a step and its checkpoint: only a thread without any checkpoint is a new one.
        start: Any = _start(run.ask) if kept.created_at is None else None
        final = await self._graph.ainvoke(start, config, context=context, durability="sync")
        return Result.model_validate(final["result"])

    async def _write(self, run: Run, told: "asyncio.Queue[Event]") -> None:
        """Write events in the order they were told. The outcome is not among them: it is written with its whole Result."""
        while True:
            event = await told.get()
            try:
                if event.type != "result":
                    await self._runs.note(run, event)
                    self._watch.changed(run.id)
            except Exception:
                log.exception("event_lost", run_id=run.id, type=event.type)
            finally:
                told.task_done()


def _start(ask: Any) -> loop.State:
    return {"text": ask} if isinstance(ask, str) else {"request": ask}
