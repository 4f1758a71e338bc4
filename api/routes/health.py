"""Is the process alive, and can it work."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from api.routes.work import core_of
from api.state.runs import STATUSES
from api.version import version

router = APIRouter(tags=["health"])
DATABASE_ANSWERS_S = 2.0


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok", "version": version()}


@router.get(
    "/readyz", response_model=dict[str, str], responses={503: {"description": "Starting, or without its database"}}
)
async def readyz(request: Request) -> JSONResponse:
    """The process has loaded what plans need, its database answers and its worker works."""
    told = "ready" if request.app.state.ready else "starting"
    if told == "ready" and not await _works(request):
        told = "failing"
    return JSONResponse({"status": told}, status_code=200 if told == "ready" else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> PlainTextResponse:
    """Counters in Prometheus' text form. Wants a key with the scope `admin` where keys are required."""
    core = core_of(request)
    counts = await core.runs.counts()
    for status in STATUSES:
        core.watch.metrics.runs.labels(status).set(counts.get(status, 0))
    return PlainTextResponse(core.watch.metrics.page(), media_type="text/plain; version=0.0.4")


async def _works(request: Request) -> bool:
    core = core_of(request)
    try:
        async with asyncio.timeout(DATABASE_ANSWERS_S):
            await core.runs.counts()
    except Exception:  # noqa: BLE001 - whatever a driver raises, the answer is no
        return False
    return core.worker.is_alive
