"""Langgraph's checkpointers over the same database. Only plain data is read back: no type of ours is ever named in a checkpoint.

Before anything of a step is written, `before_write` is awaited with the name of the thread: what else belongs to the step is written
first, and a process that lost the run writes nothing more of it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from api.state.database import BUSY_TIMEOUT_S

T = TypeVar("T")
CONNECTIONS = 8
_LOCK = 7_305_128_012
"""Name of the lock under which one process at a time makes the tables."""

BeforeWrite = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def open_checkpoints(url: str, before_write: BeforeWrite) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """The checkpointer of a database URL, its tables made."""
    scheme, _, rest = url.partition(":")
    opened = _sqlite(rest) if scheme == "sqlite" else _postgres(url)
    async with opened as saver:
        saver.before_write = before_write
        yield saver


class Settling(BaseCheckpointSaver[str]):
    """Mixed into a checkpointer: what else belongs to a step is written before it, and no write is left half done.

    A write that was cancelled between its statement and its commit, as happens when a client leaves, would keep a SQLite file locked.
    """

    before_write: BeforeWrite

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Write a checkpoint, second."""
        await self.before_write(config["configurable"]["thread_id"])
        return await self._whole(super().aput(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Write what a step returned, second."""
        await self.before_write(config["configurable"]["thread_id"])
        await self._whole(super().aput_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        """Drop all of a thread."""
        await self._whole(super().adelete_thread(thread_id))

    async def undo(self) -> None:
        """Take back what a failed write began."""

    async def _whole(self, write: Coroutine[Any, Any, T]) -> T:
        return await asyncio.shield(self._written(write))

    async def _written(self, write: Coroutine[Any, Any, T]) -> T:
        try:
            return await write
        except BaseException:
            await self.undo()
            raise


def _plain_data() -> JsonPlusSerializer:
    return JsonPlusSerializer(allowed_msgpack_modules=None)


@asynccontextmanager
async def _sqlite(path: str) -> AsyncIterator[Settling]:
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    class Saver(Settling, AsyncSqliteSaver):
        """On SQLite."""

        async def undo(self) -> None:
            """Under the lock of the writes, so that it is nobody else's."""
            async with self.lock:
                await self.conn.rollback()

    async with aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S) as connection:
        await connection.execute("pragma synchronous = normal")
        saver = Saver(connection, serde=_plain_data())
        await saver.setup()
        yield saver


@asynccontextmanager
async def _postgres(url: str) -> AsyncIterator[Settling]:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    class Saver(Settling, AsyncPostgresSaver):
        """On Postgres."""

    # As langgraph asks for: its statements commit by themselves, and rows are dictionaries.
    options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        url, min_size=1, max_size=CONNECTIONS, open=False, kwargs=options, check=AsyncConnectionPool.check_connection
    )
    async with pool:
        saver = Saver(pool, serde=_plain_data())
        await _make_tables(pool, saver)
        yield saver


async def _make_tables(pool: Any, saver: Any) -> None:
    """One process at a time. They ask for the lock again and again: one that waited in the server would block the building of an index."""
    async with pool.connection() as connection:
        while not await _locked(connection):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)
        try:
            await saver.setup()
        finally:
            await connection.execute("select pg_advisory_unlock(%s)", (_LOCK,))


async def _locked(connection: Any) -> bool:
    cursor = await connection.execute("select pg_try_advisory_lock(%s) as got", (_LOCK,))
    return bool((await cursor.fetchone())["got"])
