"""Langgraph's checkpointers over the same database. Only plain data is read back: no type of ours is ever named in a checkpoint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from api.state.database import BUSY_TIMEOUT_S

CONNECTIONS = 8
_LOCK = 7_305_128_012
"""Name of the lock under which one process at a time makes the tables."""


@asynccontextmanager
async def open_checkpoints(url: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """The checkpointer of a database URL, its tables made."""
    scheme, _, rest = url.partition(":")
    opened = _sqlite(rest) if scheme == "sqlite" else _postgres(url)
    async with opened as saver:
        yield saver


def _plain_data() -> JsonPlusSerializer:
    return JsonPlusSerializer(allowed_msgpack_modules=None)


@asynccontextmanager
async def _sqlite(path: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async with aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S) as connection:
        await connection.execute("pragma synchronous = normal")
        saver = AsyncSqliteSaver(connection, serde=_plain_data())
        await saver.setup()
        yield saver


@asynccontextmanager
async def _postgres(url: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    # As langgraph asks for: its statements commit by themselves, and rows are dictionaries.
    options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        url, min_size=1, max_size=CONNECTIONS, open=False, kwargs=options, check=AsyncConnectionPool.check_connection
    )
    async with pool:
        saver = AsyncPostgresSaver(pool, serde=_plain_data())
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
