"""The `runs` table: the queue, the lease on each run, its events and its outcome.

    queued -> running -> done | failed | cancelled

Who runs a run holds a lease and an epoch. A lease that is not renewed may be taken by anyone, with the next epoch; whatever the old
holder still writes carries the old epoch and is ignored. So a run that a dead process left is taken up again, and finishes once.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from agent.events import Event
from api.errors import ConflictError, OverloadedError, ReusedKeyError
from api.state.database import Database, Row, Session
from strategy.request import Request
from strategy.values import Frozen

Status = Literal["queued", "running", "done", "failed", "cancelled"]
STATUSES: tuple[Status, ...] = get_args(Status)
ENDED: frozenset[Status] = frozenset({"done", "failed", "cancelled"})
TERMINAL_EVENT: dict[str, str] = {"done": "result", "failed": "error", "cancelled": "cancelled"}
MAX_STALLED = 15
"""Processes that may die under a run without any progress of it; then it is taken to be what kills them."""
RETRY_AFTER_S = 5


class Run(Frozen):
    """One row, without its lease."""

    id: str
    key_id: str
    status: Status
    ask: Any
    """The request as it was sent: an object, or a text."""
    proposer: Literal["planner", "llm"]
    attached: bool
    """Whether the run ends when the client that started it leaves."""
    epoch: int
    stalled: int
    """Claims since it last made progress, this one included."""
    cancel: bool
    result: dict[str, Any] | None
    problem: dict[str, Any] | None
    created_at: float
    finished_at: float | None

    @property
    def ended(self) -> bool:
        """Whether it has its outcome."""
        return self.status in ENDED


class Line(Frozen):
    """One event of a run as clients read it; `seq` counts from 1 and is its id."""

    seq: int
    type: str
    data: dict[str, Any]


class NewRun(Frozen):
    """What a client asks to be run."""

    ask: Request | str
    proposer: Literal["planner", "llm"]
    key_id: str = ""
    attached: bool = False
    idempotency_key: str | None = None

    @property
    def plain_ask(self) -> Any:
        """The ask as JSON."""
        return self.ask if isinstance(self.ask, str) else self.ask.model_dump(mode="json", exclude_unset=True)

    @property
    def digest(self) -> str:
        """Equal for requests that say the same."""
        said = json.dumps([self.plain_ask, self.proposer], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


class Runs:
    """Every question that is asked of the table; each is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, new: NewRun, *, max_queued: int, charge: Callable[[Session], None] | None = None
    ) -> tuple[Run, bool]:
        """Queue a run and charge for it; or the run that this idempotency key started, with True, which costs nothing.

        Raises `ReusedKeyError`, `OverloadedError`, and what `charge` raises: then nothing is queued, and the key is free for another try.
        """
        return await self._database.run(lambda session: _add(session, new, max_queued, charge))

    async def get(self, run_id: str, key_id: str | None) -> Run | None:
        """A run of this key; of any key for None."""
        rows = await self._all("select * from runs where id = :id", id=run_id)
        return next((_run(row) for row in rows if key_id is None or row["key_id"] == key_id), None)

    async def page(self, key_id: str | None, *, status: Status | None, before: str | None, limit: int) -> list[Run]:
        """The newest runs, older than the run `before`, at most `limit`."""
        return await self._database.run(lambda session: _page(session, key_id, status, before, limit))

    async def follow(self, run_id: str, after: int) -> tuple[list[Line], bool]:
        """Events after a sequence number; and whether no more will come. The last one carries the outcome."""
        return await self._database.run(lambda session: _follow(session, run_id, after))

    async def marks(self, run_ids: Sequence[str]) -> dict[str, str]:
        """For each of these runs a text that differs once there is more to follow."""
        return await self._database.run(lambda session: _marks(session, run_ids))

    async def cancel(self, run_id: str) -> Run | None:
        """Cancel a run: at once while it waits, else its holder is told. Raises `ConflictError` when it has ended otherwise."""
        return await self._database.run(lambda session: _cancel(session, run_id))

    async def claim(self, owner: str, lease_s: float, *, limit: int) -> list[Run]:
        """Take up to `limit` runs that wait, or whose holder died, the oldest first."""
        return await self._database.run(lambda session: _claim(session, owner, lease_s, limit))

    async def renew(self, held: Sequence[Run], lease_s: float) -> set[str]:
        """Extend the leases of these runs; the ids of those that are still held under their epoch."""
        return await self._database.run(lambda session: _renew(session, held, lease_s))

    async def to_cancel(self, owner: str) -> list[str]:
        """Runs of an owner that shall be cancelled."""
        sql = "select id from runs where status = 'running' and owner = :owner and cancel = 1"
        return [row["id"] for row in await self._all(sql, owner=owner)]

    async def note(self, run: Run, events: Sequence[Event]) -> bool:
        """Add events; one that an earlier holder told already is not told twice. False when this holder no longer holds the run."""
        return await self._database.run(lambda session: _note(session, run, events))

    async def finish(
        self, run: Run, status: Status, *, result: dict[str, Any] | None = None, problem: dict[str, Any] | None = None
    ) -> bool:
        """Write the outcome; False when this holder no longer holds the run."""
        return await self._database.run(lambda session: _finish(session, run, status, result, problem))

    async def release(self, run: Run) -> None:
        """Give a run back, for another process to go on with."""
        sql = "update runs set status = 'queued', owner = '', lease_until = 0, stalled = stalled - 1 where id = :id and epoch = :epoch and status = 'running'"
        await self._all(sql, id=run.id, epoch=run.epoch)

    async def with_left_checkpoints(self) -> list[str]:
        """Runs that have ended and whose process died before it dropped their checkpoints."""
        sql = "select distinct thread_id from checkpoints join runs on id = thread_id where finished_at is not null"
        return [row["thread_id"] for row in await self._all(sql)]

    async def forget(self, older_than_s: float) -> None:
        """Delete runs that ended longer ago than this, with their events."""
        await self._all("delete from runs where finished_at < now_s() - :age", age=older_than_s)

    async def counts(self) -> dict[str, int]:
        """Runs by status."""
        rows = await self._all("select status, count(*) as many from runs group by status")
        return {row["status"]: row["many"] for row in rows}

    async def _all(self, sql: str, **values: Any) -> list[Row]:
        return await self._database.run(lambda session: session.all(sql, **values))


def _add(session: Session, new: NewRun, max_queued: int, charge: Callable[[Session], None] | None) -> tuple[Run, bool]:
    if new.idempotency_key is not None:
        sql = "select * from runs where key_id = :key_id and idempotency_key = :key"
        for row in session.all(sql, key_id=new.key_id, key=new.idempotency_key):
            if row["digest"] != new.digest:
                raise ReusedKeyError(
                    "this Idempotency-Key was sent with another request", hint="use a new key for a new request"
                )
            return _run(row), True
    waiting = session.all("select count(*) as many from runs where status = 'queued'")[0]["many"]
    if waiting >= max_queued:
        raise OverloadedError(f"{waiting} runs wait already", retry_after_s=RETRY_AFTER_S)
    inserted = session.all(
        "insert into runs (id, key_id, status, ask, proposer, attached, idempotency_key, digest, created_at)"
        " values (:id, :key_id, 'queued', :ask, :proposer, :attached, :key, :digest, now_s())"
        " on conflict do nothing returning *",
        id=f"run_{secrets.token_hex(12)}",
        key_id=new.key_id,
        ask=json.dumps(new.plain_ask),
        proposer=new.proposer,
        attached=int(new.attached),
        key=new.idempotency_key,
        digest=new.digest,
    )
    # Nothing was inserted when another process used the same idempotency key in between: its row is there now.
    if not inserted:
        return _add(session, new, max_queued, charge)
    if charge is not None:
        charge(session)
    return _run(inserted[0]), False


def _page(session: Session, key_id: str | None, status: Status | None, before: str | None, limit: int) -> list[Run]:
    rows = session.all(
        "select id, key_id, status, ask, proposer, attached, epoch, stalled, cancel, null as result, null as problem, created_at, finished_at"
        " from runs where (:any_key = 1 or key_id = :key_id) and (:any_status = 1 or status = :status)"
        " and (:newest = 1 or (created_at, id) < (select created_at, id from runs where id = :before))"
        " order by created_at desc, id desc limit :limit",
        any_key=int(key_id is None),
        key_id=key_id or "",
        any_status=int(status is None),
        status=status or "",
        newest=int(before is None),
        before=before or "",
        limit=limit,
    )
    return [_run(row) for row in rows]


def _follow(session: Session, run_id: str, after: int) -> tuple[list[Line], bool]:
    rows = session.all("select * from events where run_id = :id and seq > :after order by seq", id=run_id, after=after)
    found = session.all("select status, result, problem from runs where id = :id", id=run_id)
    if not found:
        return [], True
    outcome = json.loads(found[0]["result"] or found[0]["problem"] or "{}")
    last = TERMINAL_EVENT.get(found[0]["status"])
    lines = [
        Line(seq=row["seq"], type=row["type"], data=outcome if row["type"] == last else json.loads(row["data"]))
        for row in rows
    ]
    return lines, found[0]["status"] in ENDED


def _marks(session: Session, run_ids: Sequence[str]) -> dict[str, str]:
    values = {f"id_{number}": run_id for number, run_id in enumerate(run_ids)}
    sql = "select id, status, (select count(*) from events where run_id = id) as told from runs where id in (%s)"
    rows = session.all(sql % ", ".join(f":{name}" for name in values), **values)
    return {row["id"]: f"{row['status']} {row['told']}" for row in rows}


def _cancel(session: Session, run_id: str) -> Run | None:
    for row in session.all("update runs set cancel = 1 where id = :id returning *", id=run_id):
        run = _run(row)
        if run.status == "queued":
            _end(session, run, "cancelled", None, None)
            return run.model_copy(update={"status": "cancelled"})
        if run.status in ("done", "failed"):
            raise ConflictError(f"the run is {run.status} and can no longer be cancelled")
        return run
    return None


def _claim(session: Session, owner: str, lease_s: float, limit: int) -> list[Run]:
    claimed = []
    for _ in range(limit):
        rows = session.all(
            "update runs set status = 'running', owner = :owner, epoch = epoch + 1, stalled = stalled + 1, lease_until = now_s() + :lease"
            " where id = (select id from runs where status = 'queued' or (status = 'running' and lease_until < now_s())"
            " order by created_at limit 1 for update skip locked) returning *",
            owner=owner,
            lease=lease_s,
        )
        if not rows:
            break
        claimed.append(_run(rows[0]))
    return claimed


def _renew(session: Session, held: Sequence[Run], lease_s: float) -> set[str]:
    sql = "update runs set lease_until = now_s() + :lease where id = :id and epoch = :epoch and status = 'running' returning id"
    return {row["id"] for run in held for row in session.all(sql, lease=lease_s, id=run.id, epoch=run.epoch)}


def _note(session: Session, run: Run, events: Sequence[Event]) -> bool:
    if not _holds(session, run):
        return False
    for event in events:
        name = f"{event.type} {event.data.get('number', '')}".strip()
        _append(session, run.id, name, event.type, json.dumps(event.data))
    if events:
        session.all("update runs set stalled = 0 where id = :id", id=run.id)
    return True


def _finish(
    session: Session, run: Run, status: Status, result: dict[str, Any] | None, problem: dict[str, Any] | None
) -> bool:
    if not _holds(session, run):
        return False
    _end(session, run, status, result, problem)
    return True


def _holds(session: Session, run: Run) -> bool:
    """Whether the run still runs under this epoch; on Postgres its row is locked, so nobody takes it before the transaction ends."""
    sql = "select 1 from runs where id = :id and epoch = :epoch and status = 'running' for no key update"
    return bool(session.all(sql, id=run.id, epoch=run.epoch))


def _end(
    session: Session, run: Run, status: Status, result: dict[str, Any] | None, problem: dict[str, Any] | None
) -> None:
    session.all(
        "update runs set status = :status, result = :result, problem = :problem, owner = '', finished_at = now_s() where id = :id",
        id=run.id,
        status=status,
        result=None if result is None else json.dumps(result),
        problem=None if problem is None else json.dumps(problem),
    )
    _append(session, run.id, "end", TERMINAL_EVENT[status], "{}")


def _append(session: Session, run_id: str, name: str, kind: str, data: str) -> None:
    session.all(
        "insert into events (run_id, seq, name, type, data)"
        " select :id, coalesce(max(seq), 0) + 1, :name, :type, :data from events where run_id = :id"
        " on conflict do nothing",
        id=run_id,
        name=name,
        type=kind,
        data=data,
    )


def _run(row: Row) -> Run:
    return Run(
        **{
            name: row[name]
            for name in ("id", "key_id", "status", "proposer", "epoch", "stalled", "created_at", "finished_at")
        },
        ask=json.loads(row["ask"]),
        attached=bool(row["attached"]),
        cancel=bool(row["cancel"]),
        result=json.loads(row["result"]) if row["result"] else None,
        problem=json.loads(row["problem"]) if row["problem"] else None,
    )
