"""The loop as a chat model: OpenAI's requests read leniently, its answers and errors written exactly."""

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.chat import Reply
from api import service
from api.errors import MissingResourceError, Problem
from api.settings import Settings
from api.state.threads import Said
from strategy.errors import InputError
from strategy.result import Usage

PATHS = ("/v1/models", "/v1/chat/")
OWNER = "meshwright"
MAX_MESSAGES = 1_000
MAX_CHARACTERS = 200_000
PIECE_LINES = 8
"""Lines of an answer that are streamed together."""
KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class Lenient(BaseModel):
    """Clients send many fields that mean nothing here."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Part(Lenient):
    """One part of a message."""

    type: str = "text"
    text: str | None = None


class Message(Lenient):
    """One turn."""

    role: str = Field(max_length=40)
    content: str | list[Part] | None = None

    @property
    def words(self) -> str:
        """Its text."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""


class StreamOptions(Lenient):
    """How a stream ends."""

    include_usage: bool = False


class ChatRequest(Lenient):
    """What we read of a chat completion request."""

    model: str = Field(max_length=200)
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None


def models(settings: Settings) -> dict[str, service.Proposer]:
    """Model names and who proposes under each."""
    names: dict[str, service.Proposer] = {"meshwright": settings.proposer, "meshwright-planner": "planner"}
    return names if settings.llm is None else {**names, "meshwright-llm": "llm"}


def proposer_of(name: str, settings: Settings) -> service.Proposer:
    """Who proposes under a model name. Raises `MissingResourceError`."""
    known = models(settings)
    if name not in known:
        raise MissingResourceError(f"there is no model `{name[:80]}`", hint=f"use {', '.join(known)}")
    return known[name]


def model_card(name: str) -> dict[str, Any]:
    """A model as `GET /v1/models` lists it."""
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}


def turns_of(messages: Sequence[Message]) -> list[Said]:
    """What was said, by whom; the last turn is the user's. Raises `InputError`."""
    turns = [
        (one.role, one.words.strip()) for one in messages if one.role in ("user", "assistant") and one.words.strip()
    ]
    if not turns or turns[-1][0] != "user":
        raise InputError("the last message with text is not of the role `user`", pointer="/messages")
    if sum(len(text) for _, text in turns) > MAX_CHARACTERS:
        raise InputError(f"the messages have more than {MAX_CHARACTERS:,} characters", pointer="/messages")
    return turns


def content(reply: Reply) -> str:
    """The answer in words. A plan's DAG, and each file of an export, is a block of its own that tools can cut out."""
    if reply.kind == "export" and reply.files:
        return "\n\n".join(f"{file.name}\n\n{_block(file.text)}" for file in reply.files) + "\n"
    result = reply.result
    if result is None or reply.kind != "plan":
        sources = _list("Sources", [citation.ref for citation in reply.citations]) if reply.citations else ""
        return "\n\n".join(filter(None, [reply.text, sources])) + "\n"
    parts = [f"**{result.status}**", reply.text]
    if result.infeasible is not None:
        parts += [_list("Nearest changes that fit", [change.message for change in result.infeasible.nearest])]
    if result.dag is not None and result.status == "valid":
        parts += [f"Strategy DAG:\n\n{_block(service.export_text(result.dag, 'yaml'), 'yaml')}"]
    parts += [_list("Sources", [citation.ref for citation in result.citations])]
    return "\n\n".join(part for part in parts if part) + "\n"


def completion(model: str, reply: Reply) -> dict[str, Any]:
    """A whole chat completion."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content(reply), "refusal": None},
        "finish_reason": "stop",
        "logprobs": None,
    }
    return {**_head(model, "chat.completion"), "choices": [choice], "usage": usage(reply)}


class Chunks:
    """The pieces of one streamed completion, all under one id."""

    def __init__(self, model: str) -> None:
        self._head = _head(model, "chat.completion.chunk")

    def opening(self) -> str:
        """Says who speaks; sent at once, so that the client knows it was heard."""
        return self._data({"role": "assistant", "content": ""})

    def answer(self, reply: Reply, *, with_usage: bool) -> Iterator[str]:
        """The content in pieces, the end, and the usage when it was asked for."""
        lines = content(reply).splitlines(keepends=True)
        for start in range(0, len(lines), PIECE_LINES):
            yield self._data({"content": "".join(lines[start : start + PIECE_LINES])})
        yield self._data({}, finish="stop")
        if with_usage:
            yield _line({**self._head, "choices": [], "usage": usage(reply)})
        yield "data: [DONE]\n\n"

    def failure(self, problem: Problem) -> str:
        """An error once the stream has begun."""
        return _line(error(problem))

    def _data(self, delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _line({**self._head, "choices": [choice]})


def usage(reply: Reply) -> dict[str, int]:
    """Tokens of the language model behind the answer; none when the planner made it alone."""
    used = reply.result.usage if reply.result is not None else Usage()
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
    }


def error(problem: Problem) -> dict[str, Any]:
    """A problem in OpenAI's shape."""
    kind = KINDS.get(problem.status, "server_error" if problem.status >= 500 else "invalid_request_error")
    place = problem.errors[0] if problem.errors else None
    hint = f"; {place.hint}" if place and place.hint else ""
    param = place.pointer.lstrip("/").replace("/", ".") or None if place else None
    code = "model_not_found" if problem.status == 404 else _code(problem)
    return {"error": {"message": problem.detail + hint, "type": kind, "param": param, "code": code}}


def _code(problem: Problem) -> str:
    """The last word of its type; of its title where it has no type of its own."""
    name = problem.title.lower() if problem.type == "about:blank" else problem.type.rpartition(":")[2]
    return name.replace("-", "_").replace(" ", "_")


def status(problem: Problem) -> int:
    """OpenAI knows no 422: what cannot be used is a bad request there."""
    return 400 if problem.status == 422 else problem.status


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": model}


def _line(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _block(text: str, language: str = "") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def _list(title: str, items: Sequence[str]) -> str:
    return "\n".join([f"{title}:", *(f"- {item}" for item in items)]) if items else ""
