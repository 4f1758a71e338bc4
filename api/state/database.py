"""One small interface over SQLite and Postgres: transactions of plain SQL with named parameters, run on a thread.

A transaction is a function over a `Session`. It runs to its end whatever happens to the caller, so a cancelled request never leaves
half of one behind. SQL is written once; what the two dialects say differently is replaced: `now_s()` (seconds since 1970, by the
database's clock, so that machines agree on leases) and row locks (SQLite has one writer and needs none).
"""

import asyncio
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from api.errors import UnavailableError
from strategy.errors import InputError

log = structlog.get_logger()

T = TypeVar("T")
Row = dict[str, Any]
BUSY_TIMEOUT_S = 15.0
RETRY_AFTER_S = 5
POSTGRES_CONNECTIONS = 8
POSTGRES_NOW = "extract(epoch from clock_timestamp())::float8"
DRIVERS = frozenset({"sqlite3", "psycopg", "psycopg_pool"})
_NAMED = re.compile(r"(?<!:):([a-z_][a-z_0-9]*)")


class Session(Protocol):
    """One transaction."""

    def all(self, sql: str, **values: Any) -> list[Row]:
        """Run one statement; its rows."""

    def script(self, sql: str) -> None:
        """Run the statements of a migration."""


class Database(Protocol):
    """A place that keeps state."""

    is_shared: bool
    """Whether other machines may write to it as well."""

    def now(self, work: "Callable[[Session], T]") -> T:
        """Run one transaction on this thread. Raises `UnavailableError`."""

    async def run(self, work: "Callable[[Session], T]") -> T:
        """Run one transaction off the event loop. Raises `UnavailableError`."""

    def close(self) -> None:
        """Finish what runs and let go."""


def open_database(url: str) -> Database:
    """`sqlite:PATH` or `postgresql://...`. Raises `InputError`, which never repeats the URL: it may hold a password."""
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest:
        return SqliteDatabase(rest)
    if scheme == "postgresql":
        return PostgresDatabase(url)
    raise InputError(
        "MESHWRIGHT_DATABASE names no database we know",
        hint="use `sqlite:PATH` or `postgresql://user:password@host/name`",
    )


def is_database_error(error: BaseException) -> bool:
    """Whether the database is away, full or busy, which says nothing about the work; a value that it cannot hold says something."""
    if any(kind.__name__ == "DataError" for kind in type(error).__mro__):
        return False
    by_driver = any(kind.__module__.partition(".")[0] in DRIVERS for kind in type(error).__mro__)
    return by_driver or isinstance(error, UnavailableError)


@contextmanager
def _told() -> Iterator[None]:
    """What a driver raises, in our words; the log has the driver's."""
    try:
        yield
    except Exception as error:
        if not is_database_error(error):
            raise
        log.warning("database_failed", error=f"{type(error).__name__}: {error}"[:300])
        raise UnavailableError("the database does not answer", retry_after_s=RETRY_AFTER_S) from error


async def _finished(work: Future[T]) -> T:
    """Its outcome; it goes on when the caller is cancelled, and what it raises then is nobody's (`_told` has logged it)."""
    future = asyncio.wrap_future(work)
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(future)


class SqliteDatabase:
    """A file in WAL mode, one connection on one thread."""

    is_shared = False

    def __init__(self, path: str) -> None:
        self.path = path
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._connection = self._executor.submit(self._connect).result()

    def _connect(self) -> sqlite3.Connection:
        try:
            if self.path != ":memory:":
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.create_function("now_s", 0, time.time)
            for pragma in ("journal_mode = wal", "synchronous = normal", "foreign_keys = on"):
                connection.execute(f"pragma {pragma}")
        except (sqlite3.Error, OSError) as error:
            hint = (
                "set MESHWRIGHT_DATABASE to a file that this user may write, such as `sqlite:state/meshwright.sqlite3`"
            )
            raise InputError(f"cannot open the database file `{self.path}`: {error}", hint=hint) from None
        return connection

    def now(self, work: Callable[[Session], T]) -> T:
        """Run one transaction."""
        return self._submit(work).result()

    async def run(self, work: Callable[[Session], T]) -> T:
        """Run one transaction off the event loop; it is not interrupted."""
        return await _finished(self._submit(work))

    def _submit(self, work: Callable[[Session], T]) -> Future[T]:
        return self._executor.submit(self._transact, work, time.monotonic())

    def _transact(self, work: Callable[[Session], T], asked: float) -> T:
        with _told():
            # Those in line waited as well while another process held the lock: all give up after the same time, not one after the other.
            left_s = max(0.0, BUSY_TIMEOUT_S - (time.monotonic() - asked))
            self._connection.execute(f"pragma busy_timeout = {int(left_s * 1000)}")
            self._connection.execute("begin immediate")
            try:
                found = work(_SqliteSession(self._connection))
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:  # a full disk ends it by itself
                    self._connection.execute("rollback")
                raise
            return found

    def close(self) -> None:
        """Close the file after the transactions that wait."""
        self._executor.submit(self._connection.close).result()
        self._executor.shutdown()


class _SqliteSession:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self, sql: str, **values: Any) -> list[Row]:
        with closing(self._connection.execute(_without_locks(sql), values)) as cursor:
            return [dict(row) for row in cursor.fetchall()]

    def script(self, sql: str) -> None:
        for statement in sql.split(";"):
            if statement.strip():
                self._connection.execute(statement)


class PostgresDatabase:
    """A server, through a pool of connections; each transaction on a thread of its own."""

    is_shared = True

    def __init__(self, url: str) -> None:
        try:
            from psycopg_pool import ConnectionPool
        except ImportError:
            hint = 'install the extra: `pip install "meshwright[postgres]"`'
            raise InputError("Postgres needs a driver that is not installed", hint=hint) from None
        from psycopg.rows import dict_row

        self._executor = ThreadPoolExecutor(POSTGRES_CONNECTIONS, thread_name_prefix="state")
        self._pool = ConnectionPool(
            url,
            min_size=1,
            max_size=POSTGRES_CONNECTIONS,
            open=False,
            timeout=BUSY_TIMEOUT_S,
            kwargs={"row_factory": dict_row, "prepare_threshold": None},
            check=ConnectionPool.check_connection,
        )
        self._open()

    def _open(self) -> None:
        from psycopg_pool import PoolTimeout

        try:
            self._pool.open(wait=True, timeout=BUSY_TIMEOUT_S)
        except PoolTimeout:
            self.close()
            raise InputError(
                "the Postgres server of MESHWRIGHT_DATABASE does not answer",
                hint="check its host, port, user and password",
            ) from None

    def now(self, work: Callable[[Session], T]) -> T:
        """Run one transaction."""
        with _told(), self._pool.connection() as connection, connection.cursor() as cursor:
            return work(_PostgresSession(cursor))

    async def run(self, work: Callable[[Session], T]) -> T:
        """Run one transaction off the event loop; it is not interrupted."""
        return await _finished(self._executor.submit(self.now, work))

    def close(self) -> None:
        """Close the connections after the transactions that wait."""
        self._executor.shutdown()
        self._pool.close()


class _PostgresSession:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def all(self, sql: str, **values: Any) -> list[Row]:
        text = _NAMED.sub(r"%(\1)s", sql.replace("%", "%%").replace("now_s()", POSTGRES_NOW))
        self._cursor.execute(text, values)
        return list(self._cursor.fetchall()) if self._cursor.description else []

    def script(self, sql: str) -> None:
        self._cursor.execute(sql)


def _without_locks(sql: str) -> str:
    return sql.replace("for update skip locked", "").replace("for no key update", "")
