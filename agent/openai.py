"""The endpoint behind any OpenAI-compatible address: the one file that knows the vendor's client.

LangChain's structured-output helpers are not used: they raise on shapes they dislike, accept replies that were cut, and send what a
strict server refuses. The reply is text here, and one strict parser of ours reads it (`agent.replies`).
"""

import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from agent.prompts import messages_for, reading_messages
from agent.proposers import Brief, Proposal
from agent.replies import BROKEN, Reply, read_reply
from agent.settings import METHODS, LlmSettings, Method
from agent.wire import Answer, PatchAnswer, Wire, WireReading, strict_schema
from strategy.result import Usage

TOOL = "propose"
ESCALATED_TEMPERATURE = 0.7
CHARACTERS_PER_TOKEN = 4
"""For servers that send no usage."""
LEAST_CHARACTERS_PER_TOKEN = 2
"""Text of ours has at most one token for this many characters: the room that a prompt is sure to fit into."""
MOST_CHARACTERS_PER_TOKEN = 16
"""A server that counts fewer tokens than this allows does not count."""
MAX_REPLY_BYTES = 4_000_000
LEAST_ANSWER_TOKENS = 200
"""With less than this left of the budget nothing is asked."""
MOST_COUNTED_TOKENS = 10**9
LEAST_SECRET = 8
"""A shorter key may be part of any word, and is left where a server writes it into an answer."""

_REFUSES_METHOD = frozenset({400, 404, 415, 422, 501})
"""Statuses with which servers turn down a response format; the next method is tried."""


@dataclass(frozen=True)
class _Question:
    """What is sent: the shape that is wanted, the messages for each method, the tokens that both may take."""

    wanted: type[Wire]
    messages: Callable[[Method], list[tuple[str, str]]]
    tokens_left: int | None
    escalate: bool = False


class OpenAiProposer:
    """Asks a chat model for a strategy. Whatever the model or server does becomes an outcome; `propose` does not raise."""

    name = "llm"

    def __init__(self, settings: LlmSettings) -> None:
        self.settings = settings
        self.method: Method = settings.method
        """The strictest method that the server has not turned down."""

    async def propose(self, brief: Brief) -> Proposal:
        """One answer, or one patch of the last one, with the tokens it took."""
        return read_reply(await self.reply(brief), brief)

    async def reply(self, brief: Brief) -> Reply:
        """What the endpoint said to a brief, or why it said nothing."""
        wanted: type[Wire] = PatchAnswer if brief.mode == "patch" else Answer
        return await self._answer(
            _Question(wanted, lambda method: messages_for(brief, method), brief.tokens_left, brief.escalate)
        )

    async def read(self, text: str, tokens_left: int | None) -> Reply:
        """What the endpoint reads in a text, or why it reads nothing."""
        return await self._answer(_Question(WireReading, lambda method: reading_messages(text, method), tokens_left))

    async def _answer(self, question: "_Question") -> Reply:
        try:
            return self._without_secrets(await self._exchange(question))
        except openai.LengthFinishReasonError as error:
            text = error.completion.choices[0].message.content or "" if error.completion.choices else ""
            return self._without_secrets(Reply(text=text, cut=True, usage=_completion_usage(error.completion)))
        except (openai.ContentFilterFinishReasonError, openai.PermissionDeniedError) as error:
            return Reply(refusal=self._clean(error), usage=Usage(calls=1, estimated=True))
        except (openai.OpenAIError, httpx2.HTTPError, TimeoutError, *BROKEN) as error:
            said = self._clean(error)
            refused = getattr(error, "code", None) == "content_filter"
            usage = Usage(calls=1, estimated=True)
            return Reply(refusal=said, usage=usage) if refused else Reply(failure=said, usage=usage)

    async def _exchange(self, question: "_Question") -> Reply:
        """Send the question by the first method that the server accepts."""
        methods = METHODS[METHODS.index(self.method) :]
        hooks = {"response": [self._limit_reply]}
        async with openai.DefaultAsyncHttpxClient(
            timeout=self.settings.timeout_s, follow_redirects=False, event_hooks=hooks, verify=_certificates()
        ) as http:
            for method in methods:
                messages, form = question.messages(method), _format(question.wanted, method)
                asked = sum(len(text) for _, text in messages)
                room = self._room(question.tokens_left, asked + len(json.dumps(form)))
                if room < LEAST_ANSWER_TOKENS:
                    return Reply(failure=f"the {question.tokens_left:,} tokens left cannot hold another question")
                try:
                    chat = self._chat(http, room, escalate=question.escalate).bind(**form)
                    message = await chat.ainvoke(messages)
                except openai.APIStatusError as error:
                    if error.status_code not in _REFUSES_METHOD or method == methods[-1] or _not_about_format(error):
                        raise
                    continue
                self.method = method
                return _reply(_as_message(message), asked)
        raise AssertionError("the last method either answers or raises")

    def _room(self, tokens_left: int | None, asked_characters: int) -> int:
        """Tokens that the answer may take, so that question and answer stay within what is left of the budget."""
        if tokens_left is None:
            return self.settings.max_tokens
        return min(self.settings.max_tokens, tokens_left - asked_characters // LEAST_CHARACTERS_PER_TOKEN)

    async def _limit_reply(self, response: httpx2.Response) -> None:
        """Bound the size and the time of a body; one that is packed may unfold into anything, and was not asked for."""
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise httpx2.DecodingError("the server sent a compressed reply", request=response.request)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Limited(response.stream, self.settings.timeout_s)

    def _chat(self, http: Any, room: int, *, escalate: bool) -> ChatOpenAI:
        """A client for one question; its connections end with it, so runs in different event loops never share one."""
        settings = self.settings
        limit = {"max_tokens": room} if settings.max_tokens_field == "max_tokens" else {}
        temperature = settings.temperature
        if escalate and temperature is not None:
            temperature = max(temperature, ESCALATED_TEMPERATURE)
        return ChatOpenAI(
            model=(settings.strong_model or settings.model) if escalate else settings.model,
            base_url=settings.base_url,
            api_key=SecretStr(settings.api_key.get_secret_value() or "none"),
            timeout=settings.timeout_s,
            max_retries=settings.max_retries,
            max_completion_tokens=None if limit else room,
            temperature=temperature,
            default_headers={"Accept-Encoding": "identity"},
            extra_body={**limit, **settings.extra_body} or None,
            use_responses_api=False,
            disable_streaming=True,
            http_client=_unused_client(),
            http_async_client=http,
        )

    def _clean(self, error: Exception) -> str:
        """What went wrong, short, without the key and without the address."""
        text = self._blanked(" ".join(str(error).split()))
        plain = "".join(c if c.isprintable() else " " for c in text)
        return f"{type(error).__name__}: {plain[:300] or 'no details'}"

    def _without_secrets(self, reply: Reply) -> Reply:
        """The reply of a server that repeats key or address, without them: refusals are shown, and replies recorded."""
        return reply.model_copy(
            update={"text": self._blanked(reply.text, LEAST_SECRET), "refusal": self._blanked(reply.refusal)}
        )

    def _blanked(self, text: str, least: int = 1) -> str:
        """The text without key and address, as far as they have at least so many characters."""
        address = urlsplit(self.settings.base_url)
        for secret in (self.settings.api_key.get_secret_value(), self.settings.base_url, address.netloc):
            text = text.replace(secret, "***") if len(secret) >= least else text
        return text


@cache
def _certificates() -> ssl.SSLContext:
    """The machine's certificates, read once: that takes longer than everything else around a call."""
    return httpx2.create_ssl_context()


@cache
def _unused_client() -> httpx2.Client:
    """A client for calls that block, which LangChain wants to have and nobody makes."""
    return openai.DefaultHttpxClient(verify=_certificates())


class _Limited(httpx2.AsyncByteStream):
    """A body that ends in an error when it grows too large or drips too long."""

    def __init__(self, stream: httpx2.AsyncByteStream, limit_s: float) -> None:
        self.stream = stream
        self.limit_s = limit_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        started, size = time.monotonic(), 0
        async for chunk in self.stream:
            size += len(chunk)
            if size > MAX_REPLY_BYTES:
                raise httpx2.ReadError(f"the reply is larger than {MAX_REPLY_BYTES:,} bytes")
            if time.monotonic() - started > self.limit_s:
                raise httpx2.ReadTimeout(f"the reply took longer than {self.limit_s:g} s")
            yield chunk

    async def aclose(self) -> None:
        """Close what is wrapped."""
        await self.stream.aclose()


def _format(wanted: type[Wire], method: Method) -> dict[str, Any]:
    """Request fields that ask for JSON of the wanted shape."""
    schema = strict_schema(wanted)
    if method == "json_schema":
        return {
            "response_format": {"type": "json_schema", "json_schema": {"name": TOOL, "strict": True, "schema": schema}}
        }
    if method == "function_calling":
        function = {"name": TOOL, "description": "Hand over the JSON object.", "strict": True, "parameters": schema}
        choice = {"type": "function", "function": {"name": TOOL}}
        return {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
    return {"response_format": {"type": "json_object"}} if method == "json_mode" else {}


def _not_about_format(error: openai.APIStatusError) -> bool:
    """Errors that another method would not cure."""
    return (error.status_code == 404 and "model" in str(error).lower()) or error.code in (
        "context_length_exceeded",
        "content_filter",
    )


def _as_message(reply: Any) -> AIMessage:
    if not isinstance(reply, AIMessage):
        raise TypeError(f"the reply is a {type(reply).__name__}, not a chat message")
    return reply


def _reply(message: AIMessage, asked_characters: int) -> Reply:
    """The parts of a message that count."""
    text = _text(message)
    refusal = message.additional_kwargs.get("refusal")
    reason = message.response_metadata.get("finish_reason")
    if reason == "content_filter" and not refusal:
        refusal = "stopped by the server's content filter"
    usage = _usage(message, asked_characters, len(text))
    return Reply(text=text, refusal=str(refusal or ""), cut=reason == "length", usage=usage)


def _text(message: AIMessage) -> str:
    """The arguments of a tool call as they came, else the content."""
    calls = message.additional_kwargs.get("tool_calls") or []
    if calls:
        return str(calls[0]["function"]["arguments"])
    raw = [call["args"] for call in message.invalid_tool_calls if call.get("args")]
    if raw:
        return str(raw[0])
    if message.tool_calls:
        return json.dumps(message.tool_calls[0]["args"])
    if isinstance(message.content, str):
        return message.content
    return "".join(part if isinstance(part, str) else str(part.get("text", "")) for part in message.content)


def _usage(message: AIMessage, asked_characters: int, answered_characters: int) -> Usage:
    """Tokens as the server counted them, else (no count, or an impossible one) an estimate that says so."""
    told = message.usage_metadata
    tokens = (told["input_tokens"], told["output_tokens"]) if told is not None else (0, 0)
    least = (asked_characters + answered_characters) // MOST_CHARACTERS_PER_TOKEN
    if min(tokens) >= 0 and least <= sum(tokens) <= MOST_COUNTED_TOKENS:
        return Usage(input_tokens=tokens[0], output_tokens=tokens[1], calls=1)
    tokens = (asked_characters // CHARACTERS_PER_TOKEN, answered_characters // CHARACTERS_PER_TOKEN)
    return Usage(input_tokens=tokens[0], output_tokens=tokens[1], calls=1, estimated=True)


def _completion_usage(completion: Any) -> Usage:
    usage = getattr(completion, "usage", None)
    if usage is None:
        return Usage(calls=1, estimated=True)
    return Usage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, calls=1)
