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

from api import errors, planning, service
from api.admission import admit
from api.documents import dag_of, judge_document
from api.presence import ClientLeftError
from api.replies import respond
from api.routes.work import off_loop
from api.version import version
from strategy.errors import InputError, MeshwrightError
from validators.documents import read_document

if TYPE_CHECKING:
    from mcp.server import MCPServer

T = TypeVar("T")
PATH = "/mcp"
_asked: ContextVar[HttpRequest] = ContextVar("asked")
"""The request that a tool is called by; its body has been read by then, so what it receives next is that its client left."""
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
    _register(server, Toolbox())
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
            _asked.set(request)
            await self.app(
                dict(scope), receive, send
            )  # a copy: the SDK's application names itself as the one of the scope


class Toolbox:
    """What each tool does, for as long as its client is there. A `MeshwrightError` is told in words; the model can mend its call."""

    async def plan(self, request: str) -> dict[str, Any]:
        """Plan a request in words, such as "Llama 3.1 70B on 2x8 H100, 4k in, 500 out, TTFT under 1 s", or as the JSON of a request.

        Answers the strategy, its DAG, its proof, its price and why the alternatives lost; or why nothing fits and what would; or a question.
        """
        text = request.strip()
        ask = service.read_ask(_json(text)) if text.startswith("{") else service.read_ask(text)
        result = await planning.answer(_asked.get(), ask, None)
        return await asyncio.to_thread(service.document, result)

    async def validate(self, document: str) -> dict[str, Any]:
        """Judge a strategy DAG document (YAML or JSON): findings with place, fact and fix, and whether its execution equals one device."""
        judged = await off_loop(_asked.get(), lambda: judge_document(read_document(document), prove=True))
        return judged.model_dump(mode="json")

    async def estimate(self, point: str) -> dict[str, Any]:
        """Price the JSON `{request, strategy, concurrency}`: TTFT, TPOT, throughput, memory, where the time goes."""
        priced = await off_loop(
            _asked.get(), lambda: service.price(service.fit(service.Point, _json(point), "the point"))
        )
        return priced.model_dump(mode="json")

    async def export(self, document: str, to: str) -> dict[str, Any]:
        """Write a DAG document (with its request, as a whole result has it) in another format, such as vllm, sglang, trtllm or mermaid."""

        def write() -> dict[str, Any]:
            read = read_document(document)
            files = service.export(dag_of(read), service.existing_format(to), read.request)
            return {"files": [{"name": one.name, "text": one.text} for one in files if isinstance(one.content, str)]}

        return await off_loop(_asked.get(), write)

    async def explain_rule(self, code: str) -> dict[str, Any]:
        """What a rule of the validator says, why, and where it comes from."""
        return await off_loop(_asked.get(), lambda: service.rule_record(code))


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
            except ClientLeftError:
                raise ToolError("the client left") from None

        return guarded

    for tool in (box.plan, box.validate, box.estimate, box.export, box.explain_rule):
        server.tool(structured_output=True)(told(tool))


def _json(text: str) -> Any:
    from validators.documents import read_data

    return read_data(text, strict_json=True)
