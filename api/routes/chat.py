"""The OpenAI facade: chat completions answered by the loop."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from api import errors, facade, planning, service
from api.body import JsonBody
from api.errors import MissingResourceError
from api.follow import KEEP_ALIVE_S
from api.routes.runs import SERVER_SENT_EVENT, SSE_HEADERS
from api.routes.work import core_of, off_loop
from strategy.request import Request as PlanRequest
from strategy.result import Result

router = APIRouter(prefix="/v1", tags=["openai"])
BODY = {"application/json": {"schema": {"$ref": "#/components/schemas/ChatRequest"}}}


@router.get("/models")
async def list_models(request: Request) -> dict[str, Any]:
    """The models that chat completions may name."""
    return {"object": "list", "data": [facade.model_card(name) for name in facade.models(core_of(request).settings)]}


@router.get("/models/{name}")
async def show_model(request: Request, name: str) -> dict[str, Any]:
    """One of them."""
    if name not in facade.models(core_of(request).settings):
        raise MissingResourceError(f"there is no model `{name[:80]}`")
    return facade.model_card(name)


@router.post(
    "/chat/completions",
    response_model=dict[str, Any],
    responses={200: {"content": {"text/event-stream": {"schema": SERVER_SENT_EVENT}}}},
    openapi_extra={"requestBody": {"required": True, "content": BODY}},
)
async def complete(request: Request, body: JsonBody) -> Response:
    """Plan what the conversation asks for. The DAG is a fenced block of the answer; fields that we do not know are ignored."""
    chat = service.fit(facade.ChatRequest, body, "the chat request")
    core = core_of(request)
    proposer = facade.proposer_of(chat.model, core.settings)
    ask = await off_loop(request, lambda: facade.ask_of(chat.messages))
    if not chat.stream:
        result = await planning.answer(request, ask, proposer)
        return JSONResponse(await asyncio.to_thread(facade.completion, chat.model, result))
    core.gate(proposer).check()
    told = _stream(request, chat, ask, proposer)
    return StreamingResponse(told, media_type="text/event-stream", headers=SSE_HEADERS)


async def _stream(
    request: Request, chat: facade.ChatRequest, ask: PlanRequest | str, proposer: service.Proposer
) -> AsyncIterator[str]:
    """Chunks; a comment from time to time while the plan is made. A client that leaves ends it."""
    chunks = facade.Chunks(chat.model)
    yield chunks.opening()
    task = asyncio.create_task(_outcome(request, ask, proposer))
    try:
        while not (await asyncio.wait({task}, timeout=KEEP_ALIVE_S))[0]:
            yield ": still at work\n\n"
        result = task.result()
        if isinstance(result, errors.Problem):
            yield chunks.failure(result)
            return
        with_usage = chat.stream_options is not None and chat.stream_options.include_usage
        for chunk in chunks.answer(result, with_usage=with_usage):
            yield chunk
    finally:
        task.cancel()


async def _outcome(request: Request, ask: PlanRequest | str, proposer: service.Proposer) -> Result | errors.Problem:
    try:
        return await planning.answer(request, ask, proposer)
    except Exception as error:  # noqa: BLE001 - the stream has begun: what went wrong can only be told in it
        return errors.problem(error)
