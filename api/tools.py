"""The service as MCP tools at `/mcp`, through the official SDK: stateless, JSON answers, behind the same keys and limits as REST."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI
from starlette.requests import Request as HttpRequest
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api import errors, service
from api.admission import Caller, admit, spend_plan
from api.core import Core
from api.documents import dag_of, judge_document
from api.replies import respond
from api.version import version
from strategy.errors import InputError, MeshwrightError
from validators.documents import read_document

if TYPE_CHECKING:
    from mcp.server import MCPServer

T = TypeVar("T")
PATH = "/mcp"
_caller: ContextVar[Caller] = ContextVar("caller")
"""Who sent the request that a tool is called by."""
LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})
INSTRUCTIONS = (
    "Plans how to spread an LLM over GPUs for inference, and judges such plans. Every plan is checked by rules and by executing it on virtual "
    "ranks. Start with `plan`; pass the `dag` of its answer to `validate` and `export`."
)


def add_tools(app: FastAPI) -> Callable[[], Any]:
    """Add the route; what it returns has to run as long as the application. Raises `InputError` without the extra `mcp`."""
    try:
        from mcp.server import MCPServer
        from mcp.server.transport_security import TransportSecuritySettings
    except ImportError:
        hint = 'install the extra: `pip install "meshwright[mcp]"`'
        raise InputError("MESHWRIGHT_MCP is set, but the MCP SDK is not installed", hint=hint) from None
    server = MCPServer("meshwright", instructions=INSTRUCTIONS, version=version(), log_level="ERROR")
    _register(server, Toolbox(app))
    # On a local address, requests that a browser was tricked into (DNS rebinding) are told by their Host; elsewhere keys are for that.
    guarded = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    inner = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=app.state.settings.max_body_bytes,
        transport_security=None if app.state.settings.host in LOCAL else guarded,
    )
    app.router.routes.append(Route(PATH, endpoint=Admitted(inner), include_in_schema=False))
    return server.session_manager.run


class Admitted:
    """An ASGI application behind the keys and rates of the service."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive)
        try:
            await admit(request)
        except MeshwrightError as error:
            told = errors.problem(error, instance=PATH)
            await respond(told, PATH, errors.headers(error))(scope, receive, send)
        else:
            _caller.set(request.state.caller)
            await self.app(scope, receive, send)


class Toolbox:
    """What each tool does. A `MeshwrightError` is told in words; the model can mend its call."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def plan(self, request: str) -> dict[str, Any]:
        """Plan a request in words, such as "Llama 3.1 70B on 2x8 H100, 4k in, 500 out, TTFT under 1 s", or as the JSON of a request.

        Answers the strategy, its DAG, its proof, its price and why the alternatives lost; or why nothing fits and what would; or a question.
        """
        from agent.graph import run

        core = self._core
        text = request.strip()
        ask = service.read_ask(_json(text)) if text.startswith("{") else service.read_ask(text)
        proposer = core.settings.proposer
        service.dependencies(core.settings, proposer)
        await spend_plan(core, _caller.get())
        async with asyncio.timeout(core.settings.request_timeout_s), core.gate(proposer).turn():
            result = await run(ask, service.dependencies(core.settings, proposer))
        core.watch.metrics.planned(result)
        return await asyncio.to_thread(service.document, result)

    async def validate(self, document: str) -> dict[str, Any]:
        """Judge a strategy DAG document (YAML or JSON): findings with place, fact and fix, and whether its execution equals one device."""
        judged = await self._work(lambda: judge_document(read_document(document), prove=True))
        return judged.model_dump(mode="json")

    async def estimate(self, point: str) -> dict[str, Any]:
        """Price the JSON `{request, strategy, concurrency}`: TTFT, TPOT, throughput, memory, where the time goes."""
        priced = await self._work(lambda: service.price(service.fit(service.Point, _json(point), "the point")))
        return priced.model_dump(mode="json")

    async def export(self, document: str, to: str) -> dict[str, Any]:
        """Write a DAG document (with its request, as a whole result has it) in another format, such as vllm, sglang, trtllm or mermaid."""

        def write() -> dict[str, Any]:
            read = read_document(document)
            files = service.export(dag_of(read), service.existing_format(to), read.request)
            return {"files": [{"name": one.name, "text": one.text} for one in files if isinstance(one.content, str)]}

        return await self._work(write)

    async def explain_rule(self, code: str) -> dict[str, Any]:
        """What a rule of the validator says, why, and where it comes from."""
        return await self._work(lambda: service.rule_record(code))

    async def _work(self, function: Callable[[], T]) -> T:
        core = self._core
        async with asyncio.timeout(core.settings.request_timeout_s), core.checks.turn():
            return await asyncio.to_thread(function)

    @property
    def _core(self) -> Core:
        core: Core = self._app.state.core
        return core


@asynccontextmanager
async def no_tools() -> AsyncIterator[None]:
    """What runs beside an application without tools."""
    yield


def _register(server: "MCPServer[Any]", box: Toolbox) -> None:
    from mcp.server.mcpserver.exceptions import ToolError

    def told(tool: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps

        @wraps(tool)
        async def guarded(*args: Any, **named: Any) -> Any:
            try:
                return await tool(*args, **named)
            except MeshwrightError as error:
                raise ToolError("; ".join(errors.lines(error))) from None

        return guarded

    for tool in (box.plan, box.validate, box.estimate, box.export, box.explain_rule):
        server.tool(structured_output=True)(told(tool))


def _json(text: str) -> Any:
    from validators.documents import read_data

    return read_data(text, strict_json=True)
