"""Who may ask, and how often: API keys, their scopes, and a bucket of requests for each caller."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from api.core import Core
from api.errors import ForbiddenError, QuotaError, RateError, UnauthorizedError
from api.state.database import Session
from api.state.keys import Key, spend

PROTECTED = ("/v1/", "/mcp")
ADMIN = ("/metrics",)
MAX_BUCKETS = 10_000
"""Callers whose buckets are remembered; the one that asked longest ago is forgotten first."""
_bearer = HTTPBearer(auto_error=False, description="An API key, where the operator requires one.")


@dataclass(frozen=True)
class Caller:
    """Who sent a request."""

    key: Key | None
    """None where no keys are required."""

    @property
    def key_id(self) -> str:
        """What its runs are filed under."""
        return self.key.id if self.key else ""

    @property
    def sees(self) -> str | None:
        """The key whose runs it may see; None for all of them."""
        return None if self.key and "admin" in self.key.scopes else self.key_id


class Buckets:
    """Token buckets: each caller has a minute's worth of requests, refilled steadily."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str, per_minute: int) -> None:
        """Take one request from a caller's bucket. Raises `RateError`."""
        now = time.monotonic()
        level, then = self._buckets.pop(who, (float(per_minute), now))
        level = min(float(per_minute), level + (now - then) * per_minute / 60)
        self._buckets[who] = (level - 1 if level >= 1 else level, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if level < 1:
            wait = int((1 - level) * 60 / per_minute) + 1
            raise RateError(f"more than {per_minute} requests a minute", retry_after_s=wait)


async def admit(request: Request, _documented: Annotated[object, Depends(_bearer)] = None) -> None:
    """Let a request in, or not; for every route. Sets `request.state.caller`."""
    path = request.scope["path"]
    request.state.caller = Caller(None)
    if not path.startswith(PROTECTED + ADMIN):
        return
    core: Core = request.app.state.core
    if core.settings.require_keys:
        request.state.caller = Caller(await _key(request, core, scope="admin" if path.startswith(ADMIN) else "plan"))
    _limit_rate(request, core)


def charge(core: Core, caller: Caller) -> Callable[[Session], None] | None:
    """What counts a plan against the caller's day, as a part of a transaction that raises `QuotaError`; None where no limit holds."""
    key = caller.key
    if key is None:
        return None
    limit = key.plans_per_day if key.plans_per_day is not None else core.settings.plans_per_day
    return partial(spend, key_id=key.id, limit=limit) if limit else None


async def spend_plan(core: Core, caller: Caller) -> None:
    """Count a plan against the caller's day. Raises `QuotaError`."""
    counted = charge(core, caller)
    if counted is not None:
        with told_refusal(core):
            await core.database.run(counted)


@contextmanager
def told_refusal(core: Core) -> Iterator[None]:
    """Count a `QuotaError` among the refusals."""
    try:
        yield
    except QuotaError:
        core.watch.metrics.refused.labels("quota").inc()
        raise


async def _key(request: Request, core: Core, *, scope: str) -> Key:
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not text:
        raise UnauthorizedError("this service wants an API key", hint="send `Authorization: Bearer mw_...`")
    key = await core.keys.find(text.strip()[:200])
    if key is None:
        core.watch.metrics.refused.labels("key").inc()
        raise UnauthorizedError("this API key is not known, or was revoked")
    if scope not in key.scopes and "admin" not in key.scopes:
        raise ForbiddenError(f"this API key lacks the scope `{scope}`")
    return key


def _limit_rate(request: Request, core: Core) -> None:
    caller: Caller = request.state.caller
    limit = core.settings.rate_per_minute
    if caller.key is not None and caller.key.rate_per_minute is not None:
        limit = caller.key.rate_per_minute
    if not limit:
        return
    address = request.client.host if request.client else ""
    try:
        request.app.state.buckets.take(caller.key_id or address, limit)
    except RateError:
        core.watch.metrics.refused.labels("rate").inc()
        raise
