"""The loop as a chat model: OpenAI's requests read leniently, its answers and errors written exactly."""

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api import service
from api.errors import MissingResourceError, Problem
from api.settings import Settings
from strategy.errors import InputError
from strategy.request import Request
from strategy.result import Result

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


def ask_of(messages: Sequence[Message]) -> Request | str:
    """What the conversation asks for: its last turn if that says enough, else with as many of the turns before it as it takes."""
    from agent.understand import understand

    turns = [message.words.strip() for message in messages if message.role == "user" and message.words.strip()]
    if not turns:
        raise InputError("no message of the role `user` has text", pointer="/messages")
    if sum(len(turn) for turn in turns) > MAX_CHARACTERS:
        raise InputError(f"the messages have more than {MAX_CHARACTERS:,} characters", pointer="/messages")
    if turns[-1].startswith("{"):
        return service.read_ask(service.read_json(turns[-1]))
    texts = ["\n".join(turns[-count:]) for count in range(1, min(len(turns), 8) + 1)]
    return next((text for text in texts if understand(text).request is not None), texts[-1])


def content(result: Result) -> str:
    """The answer in words, with the DAG as a block of its own that tools can cut out."""
    if result.status == "needs_clarification":
        return result.question or "What shall be planned?"
    parts = [f"**{result.status}**", result.explanation]
    if result.infeasible is not None:
        parts += [_list("Nearest changes that fit", [change.message for change in result.infeasible.nearest])]
    parts += [_list("Assumed", result.assumptions)]
    if result.dag is not None and result.status == "valid":
        parts += [f"Strategy DAG:\n\n```yaml\n{service.export_text(result.dag, 'yaml').rstrip()}\n```"]
    parts += [_list("Sources", [citation.ref for citation in result.citations])]
    return "\n\n".join(part for part in parts if part) + "\n"


def completion(model: str, result: Result) -> dict[str, Any]:
    """A whole chat completion."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content(result), "refusal": None},
        "finish_reason": "stop",
        "logprobs": None,
    }
    return {**_head(model, "chat.completion"), "choices": [choice], "usage": usage(result)}


class Chunks:
    """The pieces of one streamed completion, all under one id."""

    def __init__(self, model: str) -> None:
        self._head = _head(model, "chat.completion.chunk")

    def opening(self) -> str:
        """Says who speaks; sent at once, so that the client knows it was heard."""
        return self._data({"role": "assistant", "content": ""})

    def answer(self, result: Result, *, with_usage: bool) -> Iterator[str]:
        """The content in pieces, the end, and the usage when it was asked for."""
        lines = content(result).splitlines(keepends=True)
        for start in range(0, len(lines), PIECE_LINES):
            yield self._data({"content": "".join(lines[start : start + PIECE_LINES])})
        yield self._data({}, finish="stop")
        if with_usage:
            yield _line({**self._head, "choices": [], "usage": usage(result)})
        yield "data: [DONE]\n\n"

    def failure(self, problem: Problem) -> str:
        """An error once the stream has begun."""
        return _line(error(problem))

    def _data(self, delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _line({**self._head, "choices": [choice]})


def usage(result: Result) -> dict[str, int]:
    """Tokens of the language model behind the answer; none when the planner made it alone."""
    used = result.usage
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
    code = "model_not_found" if problem.status == 404 else problem.type.rpartition(":")[2].replace("-", "_")
    return {"error": {"message": problem.detail + hint, "type": kind, "param": param, "code": code}}


def status(problem: Problem) -> int:
    """OpenAI knows no 422: what cannot be used is a bad request there."""
    return 400 if problem.status == 422 else problem.status


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": model}


def _line(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _list(title: str, items: Sequence[str]) -> str:
    return "\n".join([f"{title}:", *(f"- {item}" for item in items)]) if items else ""
