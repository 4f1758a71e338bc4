"""Carrying out stored runs: one claim, one graph with a checkpoint after every step, one outcome."""

import asyncio
from typing import Any

import structlog
from langgraph.checkpoint.base import BaseCheckpointSaver
from opentelemetry import trace

from agent import loop
from agent.graph import build_graph, recursion_limit
from api import errors, service
from api.journal import Journal, Journals, LostRunError
from api.settings import Settings
from api.state.database import is_database_error
from api.state.runs import MAX_STALLED, Run, Runs, Status
from api.watch import Watch
from strategy.errors import MeshwrightError
from strategy.result import Result

log = structlog.get_logger()
tracer = trace.get_tracer("meshwright")


class Runner:
    """Carries out runs that its process has claimed. Holds nothing of a run: what counts is in the database."""

    def __init__(
        self, settings: Settings, runs: Runs, journals: Journals, saver: BaseCheckpointSaver[Any], watch: Watch
    ) -> None:
        self._settings = settings
        self._runs = runs
        self._journals = journals
        self._saver = saver
        self._watch = watch
        self._graph = build_graph(saver)

    async def carry_out(self, run: Run) -> None:
        """Run to the end, from the last checkpoint if there is one. Cancelling it leaves the run as it is.

        Raises `LostRunError`, and what the database raises: both leave the run to whoever claims it next.
        """
        if run.cancel or run.stalled > MAX_STALLED:
            await self._give_up(run)
            return
        try:
            with tracer.start_as_current_span("meshwright.run", attributes={"run.id": run.id, "run.epoch": run.epoch}):
                result = await self._result(run)
        except Exception as error:
            if isinstance(error, LostRunError) or is_database_error(error):
                raise
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
        with self._journals.opened(run) as journal:
            result = await self._invoke(run, journal)
            await journal.settle()
            return result

    async def _invoke(self, run: Run, journal: Journal) -> Result:
        context = loop.Run(service.dependencies(self._settings, run.proposer), journal.tell)
        limit = recursion_limit(context.deps.settings)
        config: Any = {"configurable": {"thread_id": run.id}, "recursion_limit": limit}
        kept = await self._graph.aget_state(config)
        if "result" in kept.values:
            return Result.model_validate(kept.values["result"])
        # `next` is also empty between the writes of a step and its checkpoint: only a thread without any checkpoint is a new one.
        start: Any = _start(run.ask) if kept.created_at is None else None
        final = await self._graph.ainvoke(start, config, context=context, durability="sync")
        return Result.model_validate(final["result"])


def _start(ask: Any) -> loop.State:
    return {"text": ask} if isinstance(ask, str) else {"request": ask}
