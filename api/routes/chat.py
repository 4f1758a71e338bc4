"""The OpenAI facade: chat completions answered by the loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from agent.chat import Reply
from api import conversing, errors, facade, service
from api.body import JsonBody
from api.errors import MissingResourceError
from api.follow import KEEP_ALIVE_S
from api.routes.runs import SERVER_SENT_EVENT, SSE_HEADERS
from api.routes.work import core_of, sized
from api.state.threads import Said

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
    chat = await sized(request, lambda: service.fit(facade.ChatRequest, body, "the chat request"))
    core = core_of(request)
    proposer = facade.proposer_of(chat.model, core.settings)
    turns = facade.turns_of(chat.messages)
    if not chat.stream:
        reply = await conversing.answer(request, turns, proposer)
        return JSONResponse(await asyncio.to_thread(facade.completion, chat.model, reply))
    core.gate(proposer).check()
    told = _stream(request, chat, turns, proposer)
    return StreamingResponse(told, media_type="text/event-stream", headers=SSE_HEADERS)


async def _stream(
    request: Request, chat: facade.ChatRequest, turns: Sequence[Said], proposer: service.Proposer
) -> AsyncIterator[str]:
    """Chunks; a comment from time to time while the plan is made. A client that leaves ends it."""
    chunks = facade.Chunks(chat.model)
    yield chunks.opening()
    task = asyncio.create_task(_outcome(request, turns, proposer))
    try:
        while not (await asyncio.wait({task}, timeout=KEEP_ALIVE_S))[0]:
            yield ": still at work\n\n"
        reply = task.result()
        if isinstance(reply, errors.Problem):
            yield chunks.failure(reply)
            return
        with_usage = chat.stream_options is not None and chat.stream_options.include_usage
        for chunk in chunks.answer(reply, with_usage=with_usage):
            yield chunk
    finally:
        task.cancel()


async def _outcome(request: Request, turns: Sequence[Said], proposer: service.Proposer) -> Reply | errors.Problem:
    try:
        return await conversing.answer(request, turns, proposer)
    except Exception as error:  # noqa: BLE001 - the stream has begun: what went wrong can only be told in it
        return errors.problem(error)
