"""What clients read of a stored run."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel

from api.errors import Problem
from api.state.runs import Run, Status
from strategy.request import Request
from strategy.result import Result


class RunSummary(BaseModel):
    """A stored run, without its outcome."""

    id: str
    status: Status
    request: Request | str
    """As it was asked: an object, or a text."""
    proposer: Literal["planner", "llm"]
    takeovers: int
    """Times that another process went on with it."""
    cancelling: bool
    """It was told to stop and has not stopped yet."""
    created_at: datetime
    finished_at: datetime | None


class RunView(RunSummary):
    """A stored run with its outcome."""

    result: Result | None
    """When the status is `done`."""
    problem: Problem | None
    """When the status is `failed`."""


class RunPage(BaseModel):
    """Runs, the newest first."""

    runs: list[RunSummary]
    next: str | None
    """Send it as `before` to get the page after this one; null on the last."""


def summary(run: Run) -> dict[str, Any]:
    """A run in a list."""
    return {
        "id": run.id,
        "status": run.status,
        "request": run.ask,
        "proposer": run.proposer,
        "takeovers": max(0, run.epoch - 1),
        "cancelling": run.cancel and not run.ended,
        "created_at": _time(run.created_at),
        "finished_at": None if run.finished_at is None else _time(run.finished_at),
    }


def whole(run: Run) -> dict[str, Any]:
    """A run with its outcome."""
    return {**summary(run), "result": run.result, "problem": run.problem}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
