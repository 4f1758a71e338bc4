"""The REST application. `create_app` builds it from settings; routes translate, `api/service.py` does, `api/errors.py` maps errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api import errors
from api.admission import Buckets, admit
from api.core import open_core
from api.guard import Guard
from api.metrics import Metrics
from api.openapi import describe
from api.replies import respond
from api.routes import catalog, chat, health, knowledge, page, rules, runs, strategies
from api.settings import Settings
from api.tools import add_tools, no_tools
from api.version import version
from strategy.errors import MeshwrightError


def create_app(settings: Settings) -> FastAPI:
    """An application of its own for each call; nothing is shared between two."""
    app = FastAPI(
        title="Meshwright",
        version=version(),
        summary="Proved, priced and deployable parallel-strategy DAGs for LLM inference.",
        lifespan=_lifespan,
        dependencies=[Depends(admit)],
        redirect_slashes=False,
        docs_url=None,  # pages that load scripts of another host; `/docs` is our own (api/reference.py)
        redoc_url=None,
        telemetry={"logs": False, "operation_spans": False, "auto_configure": False},
        responses={"default": {"model": errors.Problem, "description": "Problem details (RFC 9457)"}},
    )
    app.state.settings = settings
    app.state.ready = False
    app.state.metrics = Metrics()
    app.state.buckets = Buckets()
    for router in (
        strategies.router,
        runs.router,
        chat.router,
        rules.router,
        catalog.router,
        knowledge.router,
        health.router,
        page.router,
    ):
        app.include_router(router)
    app.add_exception_handler(MeshwrightError, _domain_error)
    app.add_exception_handler(RequestValidationError, _parameter_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Guard, metrics=app.state.metrics, max_body_bytes=settings.max_body_bytes)
    app.state.tools = add_tools(app) if settings.mcp else no_tools
    describe(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what the process works with; ready between the two. Work leaves the event loop for at most `threads` threads."""
    app.state.limiter = anyio.CapacityLimiter(app.state.settings.threads)
    async with open_core(app.state.settings, app.state.metrics) as core, app.state.tools():
        app.state.core = core
        app.state.ready = True
        yield
        app.state.ready = False


async def _domain_error(request: Request, error: Exception) -> JSONResponse:
    return respond(errors.problem(error, instance=request.url.path), request.url.path, errors.headers(error))


async def _parameter_error(request: Request, error: Exception) -> JSONResponse:
    """Path and query parameters; bodies are read in `api/body.py`."""
    assert isinstance(error, RequestValidationError)
    places = [
        errors.Place(pointer=errors.pointer(found["loc"]), detail=errors.words(found)) for found in error.errors()
    ]
    told = errors.ShapeError(f"`{places[0].pointer}`: {places[0].detail}", places)
    return respond(errors.problem(told, instance=request.url.path), request.url.path)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    detail = {404: f"nothing is at `{request.url.path[:200]}`", 405: f"`{request.method}` does not apply here"}
    told = errors.plain_problem(
        error.status_code, detail.get(error.status_code, str(error.detail)), instance=request.url.path
    )
    return respond(told, request.url.path, dict(error.headers or {}))
