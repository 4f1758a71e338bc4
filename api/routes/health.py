"""Is the process alive, and can it work."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.version import version

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok", "version": version()}


@router.get("/readyz")
async def readyz(request: Request) -> JSONResponse:
    """The process has loaded what plans need."""
    ready: bool = request.app.state.ready
    return JSONResponse({"status": "ready" if ready else "starting"}, status_code=200 if ready else 503)
