"""A stored run whose database fails or whose lease is lost between two steps: nothing it told is lost, nothing is told twice."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from agent.events import Event
from api.errors import UnavailableError
from api.journal import Journals, LostRunError
from api.metrics import Metrics
from api.runs import Runner
from api.settings import Settings
from api.state.checkpoints import open_checkpoints
from api.state.runs import NewRun, Run, Runs
from api.state.schema import open_state
from api.watch import Watch
from strategy.request import Request

ASK = Request.model_validate(
    {"model": "llama-3.1-8b", "cluster": {"gpu": "l40s", "gpus_per_host": 1}, "workload": {"isl": 128, "osl": 16}}
)
Note = Callable[[Run, Sequence[Event]], Awaitable[bool]]
STEPS = ["understood", "retrieved", "attempt", "result"]


class Bench:
    """A runner over a database file."""

    def __init__(self, runs: Runs, journals: Journals, runner: Runner) -> None:
        self.runs, self.journals, self.runner = runs, journals, runner

    async def claimed(self, lease_s: float = 60) -> Run:
        (run,) = await self.runs.claim("here", lease_s, limit=1)
        return run

    async def told(self, run: Run) -> list[str]:
        return [line.type for line in (await self.runs.follow(run.id, 0))[0]]


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    url = f"sqlite:{folder}/meshwright.sqlite3"
    database = open_state(url)
    runs, watch = Runs(database), Watch(Metrics())
    journals = Journals(runs, watch)
    try:
        async with open_checkpoints(url, journals.settle) as saver:
            await runs.add(NewRun(ask=ASK, proposer="planner"), max_queued=10)
            yield Bench(runs, journals, Runner(Settings(_env_file=None), runs, journals, saver, watch))
    finally:
        database.close()


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_an_event_that_could_not_be_written_is_told_by_whoever_goes_on(tmp_path: Path, fails_at: int) -> None:
    async def twice() -> tuple[Any, list[str]]:
        async with bench(tmp_path) as made:
            healthy = made.runs.note
            made.runs.note = failing_from(healthy, fails_at)  # type: ignore[method-assign]
            run = await made.claimed(lease_s=0)
            with pytest.raises(sqlite3.OperationalError):
                await made.runner.carry_out(run)
            made.runs.note = healthy  # type: ignore[method-assign]
            await made.runner.carry_out(await made.claimed())
            return await made.runs.get(run.id, None), await made.told(run)

    run, told = asyncio.run(twice())

    assert run.status == "done"
    assert told == STEPS


def failing_from(healthy: Note, number: int) -> Note:
    """Writes the events before the n-th and then no more."""
    written: set[str] = set()

    async def note(run: Run, events: Sequence[Event]) -> bool:
        if events and len(written | {event.type for event in events}) >= number:
            raise sqlite3.OperationalError("disk I/O error")
        written.update(event.type for event in events)
        return await healthy(run, events)

    return note


def test_a_holder_that_lost_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    async def lose() -> tuple[list[str], list[str]]:
        async with bench(tmp_path) as made:
            former = await made.claimed(lease_s=0)
            newer = await made.claimed()
            with pytest.raises(LostRunError):
                await made.runner.carry_out(former)
            before = await made.told(former)
            await made.runner.carry_out(newer)
            return before, await made.told(newer)

    assert asyncio.run(lose()) == ([], STEPS)


def test_a_thread_that_is_not_carried_out_here_is_not_written(tmp_path: Path) -> None:
    async def settle() -> None:
        async with bench(tmp_path) as made:
            await made.journals.settle("run_000000000000000000000000")

    with pytest.raises(LostRunError):
        asyncio.run(settle())


def test_a_write_that_is_cancelled_half_way_leaves_the_file_to_others(tmp_path: Path) -> None:
    async def cancel() -> None:
        async with bench(tmp_path) as made:
            saver = made.runner._saver
            commit = saver.conn.commit

            async def slow_commit() -> None:
                await asyncio.sleep(0.2)
                await commit()

            saver.conn.commit = slow_commit
            task = asyncio.create_task(made.runner.carry_out(await made.claimed()))
            while not saver.conn.in_transaction:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0.5)
            with sqlite3.connect(tmp_path / "meshwright.sqlite3", timeout=0) as other:
                other.execute("begin immediate")

    asyncio.run(cancel())


def test_a_database_that_is_busy_is_told_as_such_and_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.state.database.BUSY_TIMEOUT_S", 0.05)

    async def collide() -> int:
        async with bench(tmp_path) as made:
            with closing(sqlite3.connect(tmp_path / "meshwright.sqlite3")) as other:
                other.execute("begin immediate")
                with pytest.raises(UnavailableError) as refused:
                    await made.runs.counts()
            assert (await made.runs.counts()) == {"queued": 1}
            return refused.value.retry_after_s

    assert asyncio.run(collide()) >= 1


def test_checkpoints_that_a_killed_process_left_are_dropped(tmp_path: Path) -> None:
    async def leave() -> tuple[list[str], list[str]]:
        async with bench(tmp_path) as made:
            run = await made.claimed()
            forget, made.runner.forget = made.runner.forget, keep  # type: ignore[method-assign]
            await made.runner.carry_out(run)
            left = await made.runs.with_left_checkpoints()
            for run_id in left:
                await forget(run_id)
            return left, await made.runs.with_left_checkpoints()

    async def keep(_run_id: str) -> None:
        """As if it had died here."""

    left, after = asyncio.run(leave())

    assert len(left) == 1
    assert after == []
