"""Stored runs: look, follow, cancel."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse

from api import follow, views
from api.errors import MissingResourceError
from api.routes.work import core_of
from api.state.runs import Status

router = APIRouter(prefix="/v1/runs", tags=["runs"])
RunId = Annotated[str, Path(pattern=r"^run_[0-9a-f]{24}$", examples=["run_0123456789abcdef01234567"])]
LastEventId = Annotated[
    int | None,
    Header(ge=0, le=2**31 - 1, description="The id of the last event that was read; the events after it follow."),
]
SERVER_SENT_EVENT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "description": "`data` is JSON",
}
EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: understood, retrieved, attempt, findings, then result, error or cancelled",
        "content": {"text/event-stream": {"schema": SERVER_SENT_EVENT}},
    }
}
SSE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("", response_model=views.RunPage)
async def list_runs(
    request: Request,
    status: Status | None = None,
    before: Annotated[str | None, Query(pattern=r"^run_[0-9a-f]{24}$", description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> JSONResponse:
    """Your stored runs, the newest first, without their outcomes."""
    runs = await core_of(request).runs.page(request.state.caller.sees, status=status, before=before, limit=limit + 1)
    more = runs[limit - 1].id if len(runs) > limit else None
    return JSONResponse({"runs": [views.summary(run) for run in runs[:limit]], "next": more})


@router.get("/{run_id}", response_model=views.RunView)
async def show_run(request: Request, run_id: RunId) -> JSONResponse:
    """One run, with its Result when it is done."""
    run = await follow.stored(core_of(request), run_id, request.state.caller.sees)
    headers = {} if run.ended else {"Retry-After": "1"}
    return JSONResponse(views.whole(run), headers=headers)


@router.delete("/{run_id}", response_model=views.RunView)
async def cancel_run(request: Request, run_id: RunId) -> JSONResponse:
    """Cancel a run: it stops within a second, the call to its language model included. 409 when it has ended already."""
    core = core_of(request)
    await follow.stored(core, run_id, request.state.caller.sees)
    cancelled = await core.runs.cancel(run_id)
    if cancelled is None:
        raise MissingResourceError(f"there is no run `{run_id}`")
    core.worker.cancel(run_id)
    core.watch.changed(run_id)
    return JSONResponse(views.whole(cancelled))


@router.get("/{run_id}/events", response_class=StreamingResponse, responses=EVENT_STREAM)
async def follow_run(request: Request, run_id: RunId, last_event_id: LastEventId = None) -> StreamingResponse:
    """The events of a run, those that were told already first. Who leaves may come back with `Last-Event-ID`."""
    core = core_of(request)
    run = await follow.stored(core, run_id, request.state.caller.sees)
    told = follow.stream(request, core, run, last_event_id or 0, cancel_when_left=False)
    return StreamingResponse(told, media_type="text/event-stream", headers=SSE_HEADERS)
