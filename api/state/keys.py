"""API keys: made here, shown once, kept as a digest; and what each has used today.

A key is `mw_<id>_<secret>`. The id finds the row, the secret is compared in constant time. 32 random bytes need no slow hash.
"""

import hashlib
import hmac
import re
import secrets
from typing import Literal

from api.errors import MissingResourceError, QuotaError
from api.state.database import Database, Row, Session
from strategy.values import Frozen

Scope = Literal["plan", "admin"]
_KEY = re.compile(r"mw_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
SECONDS_PER_DAY = 86_400


class Key(Frozen):
    """A key without its secret."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    rate_per_minute: int | None
    """Requests; None takes the setting."""
    plans_per_day: int | None
    """None takes the setting."""
    created_at: float
    revoked_at: float | None


class Keys:
    """Every question that is asked of the keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        scopes: tuple[Scope, ...],
        *,
        rate_per_minute: int | None = None,
        plans_per_day: int | None = None,
    ) -> tuple[Key, str]:
        """A new key, and its text, which is kept nowhere."""
        identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        rows = self._database.now(
            lambda session: session.all(
                "insert into api_keys (id, name, digest, scopes, rate_per_minute, plans_per_day, created_at)"
                " values (:id, :name, :digest, :scopes, :rate, :plans, now_s()) returning *",
                id=identity,
                name=name,
                digest=_digest(secret),
                scopes=" ".join(scopes),
                rate=rate_per_minute,
                plans=plans_per_day,
            )
        )
        return _key(rows[0]), f"mw_{identity}_{secret}"

    def all(self) -> list[Key]:
        """Every key, the revoked ones too."""
        rows = self._database.now(lambda session: session.all("select * from api_keys order by created_at, id"))
        return [_key(row) for row in rows]

    def revoke(self, identity: str) -> Key:
        """End a key. Raises `MissingResourceError`."""
        sql = "update api_keys set revoked_at = coalesce(revoked_at, now_s()) where id = :id returning *"
        rows = self._database.now(lambda session: session.all(sql, id=identity))
        if not rows:
            raise MissingResourceError(f"there is no key `{identity[:40]}`", hint="`meshwright keys list` shows them")
        return _key(rows[0])

    async def find(self, text: str) -> Key | None:
        """The key that this text is, unless it was revoked. Takes the same steps whether the id exists or not."""
        match = _KEY.fullmatch(text)
        identity, secret = match.groups() if match else ("", "")
        sql = "select * from api_keys where id = :id and revoked_at is null"
        rows = await self._database.run(lambda session: session.all(sql, id=identity))
        known = rows[0]["digest"] if rows else _digest("")
        equal = hmac.compare_digest(known, _digest(secret))
        return _key(rows[0]) if rows and equal else None


def spend(session: Session, key_id: str, limit: int) -> None:
    """Count one plan of today (UTC) within a transaction. Raises `QuotaError`, which undoes it, when the day's plans are used up."""
    now = session.all("select now_s() as now")[0]["now"]
    day = str(int(now // SECONDS_PER_DAY))
    spent = session.all(
        "insert into usage (key_id, day, plans) values (:key_id, :day, 1)"
        " on conflict (key_id, day) do update set plans = usage.plans + 1 returning plans",
        key_id=key_id,
        day=day,
    )[0]["plans"]
    if spent > limit:
        raise QuotaError(
            f"the {limit} plans of today are used up", retry_after_s=int(SECONDS_PER_DAY - now % SECONDS_PER_DAY) + 1
        )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: Row) -> Key:
    kept = {name: row[name] for name in ("id", "name", "rate_per_minute", "plans_per_day", "created_at", "revoked_at")}
    return Key(scopes=tuple(row["scopes"].split()), **kept)
