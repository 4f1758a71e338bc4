"""Conversations of the chat facade. A client sends all of its turns each time; what was answered before is found by them.

The name of a thread is a digest of its key and its turns, so only who can say all of a conversation can go on with it.
"""

import hashlib
import json
from collections.abc import Sequence

from agent.chat import Thread
from api.state.database import Database

Said = tuple[str, str]
"""Role and text of a turn."""


class Threads:
    """Every question that is asked of the table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key_id: str, turns: Sequence[Said]) -> Thread | None:
        """The thread after these turns."""
        name = _name(key_id, turns)
        rows = await self._database.run(lambda session: session.all("select data from threads where id = :id", id=name))
        return Thread.model_validate_json(rows[0]["data"]) if rows else None

    async def keep(self, key_id: str, turns: Sequence[Said], thread: Thread) -> None:
        """Remember the thread after these turns."""
        sql = "insert into threads (id, data, created_at) values (:id, :data, now_s()) on conflict do nothing"
        name, data = _name(key_id, turns), thread.model_dump_json()
        await self._database.run(lambda session: session.all(sql, id=name, data=data))

    async def forget(self, older_than_s: float) -> None:
        """Delete threads that were last answered longer ago than this."""
        sql = "delete from threads where created_at < now_s() - :age"
        await self._database.run(lambda session: session.all(sql, age=older_than_s))


def _name(key_id: str, turns: Sequence[Said]) -> str:
    said = [[role, text.strip()] for role, text in turns]
    return hashlib.sha256(json.dumps([key_id, said]).encode()).hexdigest()
