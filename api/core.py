"""The parts of one process, opened and closed together: what the API and the worker have in common."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from api import service
from api.gate import Gate
from api.journal import Journals
from api.metrics import Metrics
from api.runs import Runner
from api.settings import Settings
from api.state.checkpoints import open_checkpoints
from api.state.database import Database
from api.state.keys import Keys
from api.state.runs import Runs
from api.state.schema import open_state
from api.state.threads import Threads
from api.watch import Watch
from api.worker import Worker

GRACE_S = 5.0
"""For stored runs when an API process stops: another one goes on with those that have not ended."""
READER_AFTER_S = 5.0
"""After the start, which runs that were taken over have for themselves."""


@dataclass(frozen=True)
class Core:
    """Everything that lives as long as the process."""

    settings: Settings
    database: Database
    runs: Runs
    keys: Keys
    threads: Threads
    worker: Worker
    watch: Watch
    plans: Gate
    """Plans by search, which compute."""
    asks: Gate
    """Plans by language model, which mostly wait."""
    checks: Gate
    """Everything else that computes."""

    def gate(self, proposer: service.Proposer) -> Gate:
        """Where a plan waits for its turn."""
        return self.asks if proposer == "llm" else self.plans


@asynccontextmanager
async def open_core(settings: Settings, metrics: Metrics, *, grace_s: float = GRACE_S) -> AsyncIterator[Core]:
    """Open the database, bring it up to date, load what plans need, start the worker. On leaving, runs have `grace_s` to end."""
    database = await asyncio.to_thread(open_state, settings.database.get_secret_value())
    executor = ThreadPoolExecutor(settings.threads + 2, thread_name_prefix="work")
    asyncio.get_running_loop().set_default_executor(executor)
    try:
        runs, threads, watch = Runs(database), Threads(database), Watch(metrics)
        journals = Journals(runs, watch)
        async with open_checkpoints(settings.database.get_secret_value(), journals.settle) as saver:
            worker = Worker(settings, runs, threads, Runner(settings, runs, journals, saver, watch))
            await asyncio.to_thread(service.warm, settings)
            worker.start()
            looking, loading = asyncio.create_task(watch.look(runs)), asyncio.create_task(_load_reader())
            try:
                yield Core(
                    settings=settings,
                    database=database,
                    runs=runs,
                    keys=Keys(database),
                    threads=threads,
                    worker=worker,
                    watch=watch,
                    plans=Gate(settings.threads, settings.max_waiting),
                    asks=Gate(settings.llm_slots, settings.max_waiting),
                    checks=Gate(settings.threads, settings.max_waiting),
                )
            finally:
                await worker.drain(grace_s)
                looking.cancel()
                loading.cancel()
    finally:
        database.close()


async def _load_reader() -> None:
    """Load the reader of texts before somebody sends one; it takes longer than the rest of our code together."""
    await asyncio.sleep(READER_AFTER_S)
    await asyncio.to_thread(service.load_reader)
