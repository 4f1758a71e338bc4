"""The database when another process holds its lock, and errors that say something about the work."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from api.errors import UnavailableError
from api.state import database as module
from api.state.database import SqliteDatabase, is_database_error

MANY = 5


def test_all_who_wait_for_a_lock_give_up_after_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.5)
    path = str(tmp_path / "state.sqlite3")
    database = SqliteDatabase(path)

    async def ask() -> list[object]:
        work = [database.run(lambda session: session.all("select 1 as one")) for _ in range(MANY)]
        return await asyncio.gather(*work, return_exceptions=True)

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        began = time.monotonic()
        refused = asyncio.run(ask())
        took_s = time.monotonic() - began
        other.execute("rollback")

    assert [type(one) for one in refused] == [UnavailableError] * MANY
    assert took_s < MANY * 0.5 / 2
    assert asyncio.run(ask()) == [[{"one": 1}]] * MANY
    database.close()


@pytest.mark.parametrize(
    ("error", "about_the_database"),
    [
        (sqlite3.OperationalError("database is locked"), True),
        (psycopg.OperationalError("server closed the connection"), True),
        (UnavailableError("the database does not answer", retry_after_s=5), True),
        (psycopg.errors.UntranslatableCharacter("unsupported Unicode escape sequence"), False),
        (sqlite3.DataError("string or blob too big"), False),
        (ValueError("something else"), False),
    ],
)
def test_a_value_that_cannot_be_held_is_no_fault_of_the_database(error: Exception, about_the_database: bool) -> None:
    assert is_database_error(error) is about_the_database
