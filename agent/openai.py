"""The proposer behind any OpenAI-compatible endpoint: the one file that knows the vendor's client.

LangChain's structured-output helpers are not used: they raise on shapes they dislike, accept replies that were cut, and send what a
strict server refuses. The reply is text here, and one strict parser of ours reads it.
"""

import json
from typing import Any

import jsonpatch
import jsonpointer
import openai
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr, ValidationError

from agent.prompts import full_messages, patch_messages
from agent.proposers import Brief, Outcome, Proposal
from agent.settings import METHODS, LlmSettings, Method
from agent.wire import Answer, PatchAnswer, Wire, decode, parse_json, shape_findings, strict_schema
from strategy.result import Finding, Usage

TOOL = "propose"
ESCALATED_TEMPERATURE = 0.7
CHARACTERS_PER_TOKEN = 4
"""For servers that send no usage."""

_REFUSES_METHOD = frozenset({400, 404, 415, 422, 501})
"""Statuses with which servers turn down a response format; the next method is tried."""
_BROKEN_REPLY = (TypeError, AttributeError, ValueError, KeyError, IndexError)
"""What the client raises on bodies that are no chat completion (HTML, `choices: null`)."""


class OpenAiProposer:
    """Asks a chat model for a strategy. Whatever the model or server does becomes an outcome; `propose` does not raise."""

    name = "llm"

    def __init__(self, settings: LlmSettings) -> None:
        self.settings = settings
        self._method: Method = settings.method
        """The strictest method that the server has not turned down."""

    async def propose(self, brief: Brief) -> Proposal:
        """One answer, or one patch of the last one, with the tokens it took."""
        try:
            return await self._ask(brief)
        except openai.LengthFinishReasonError as error:
            text = error.completion.choices[0].message.content or "" if error.completion.choices else ""
            return _cut_short(_completion_usage(error.completion), text)
        except (openai.ContentFilterFinishReasonError, openai.PermissionDeniedError) as error:
            return Proposal(outcome="refused", text=self._clean(error))
        except (openai.OpenAIError, TimeoutError, *_BROKEN_REPLY) as error:
            outcome: Outcome = "refused" if getattr(error, "code", None) == "content_filter" else "failed"
            return Proposal(outcome=outcome, text=self._clean(error), usage=Usage(calls=1, estimated=True))

    async def _ask(self, brief: Brief) -> Proposal:
        """Send the brief by the first method that the server accepts."""
        methods = METHODS[METHODS.index(self._method) :]
        async with openai.DefaultAsyncHttpxClient(timeout=self.settings.timeout_s) as http:
            chat = self._chat(brief, http)
            for method in methods:
                messages = _messages(brief, method)
                try:
                    reply = await chat.bind(**_format(_wanted(brief), method)).ainvoke(messages)
                except openai.APIStatusError as error:
                    if error.status_code not in _REFUSES_METHOD or method == methods[-1] or _not_about_format(error):
                        raise
                    continue
                self._method = method
                return _read(_as_message(reply), brief, sum(len(text) for _, text in messages))
        raise AssertionError("the last method either answers or raises")

    def _chat(self, brief: Brief, http: openai.AsyncClient | Any) -> ChatOpenAI:
        """A client for one brief; its connections end with the brief, so runs in different event loops never share one."""
        settings = self.settings
        limit = {"max_tokens": settings.max_tokens} if settings.max_tokens_field == "max_tokens" else {}
        temperature = settings.temperature
        if brief.escalate and temperature is not None:
            temperature = max(temperature, ESCALATED_TEMPERATURE)
        return ChatOpenAI(
            model=(settings.strong_model or settings.model) if brief.escalate else settings.model,
            base_url=settings.base_url,
            api_key=SecretStr(settings.api_key.get_secret_value() or "none"),
            timeout=settings.timeout_s,
            max_retries=settings.max_retries,
            max_completion_tokens=None if limit else settings.max_tokens,
            temperature=temperature,
            extra_body={**limit, **settings.extra_body} or None,
            use_responses_api=False,
            disable_streaming=True,
            http_async_client=http,
        )

    def _clean(self, error: Exception) -> str:
        """What went wrong, short and without the key."""
        key = self.settings.api_key.get_secret_value()
        text = " ".join(str(error).split())[:300] or "no details"
        return f"{type(error).__name__}: {text.replace(key, '***') if key else text}"


def _wanted(brief: Brief) -> type[Wire]:
    return PatchAnswer if brief.mode == "patch" else Answer


def _messages(brief: Brief, method: Method) -> list[tuple[str, str]]:
    """The prompt; the schema is written out where the request itself cannot carry it."""
    schema = strict_schema(_wanted(brief)) if method in ("json_mode", "text") else None
    return patch_messages(brief, schema) if brief.mode == "patch" else full_messages(brief, schema)


def _format(wanted: type[Wire], method: Method) -> dict[str, Any]:
    """Request fields that ask for JSON of this shape."""
    schema = strict_schema(wanted)
    if method == "json_schema":
        return {
            "response_format": {"type": "json_schema", "json_schema": {"name": TOOL, "strict": True, "schema": schema}}
        }
    if method == "function_calling":
        function = {"name": TOOL, "description": "Propose a strategy.", "strict": True, "parameters": schema}
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


def _read(message: AIMessage, brief: Brief, asked_characters: int) -> Proposal:
    """What a reply says: refusal and truncation first, then its JSON."""
    text = _text(message)
    usage = _usage(message, asked_characters, len(text))
    refusal = message.additional_kwargs.get("refusal")
    reason = message.response_metadata.get("finish_reason")
    if refusal or reason == "content_filter":
        return Proposal(
            outcome="refused", text=str(refusal or "stopped by the server's content filter")[:300], usage=usage
        )
    if reason == "length":
        return _cut_short(usage, text)
    try:
        document = parse_json(text)
    except (ValueError, RecursionError) as error:
        finding = _finding(
            "JSON", f"the answer is not one JSON object: {str(error)[:160]}", "answer with the JSON object only"
        )
        return Proposal(outcome="unparsable", text=text[:500], usage=usage, findings=(finding,), document=brief.last)
    return _patched(document, brief, usage) if brief.mode == "patch" else _answered(document, brief, usage)


def _answered(document: dict[str, Any], brief: Brief, usage: Usage) -> Proposal:
    """A whole answer, as the domain values it stands for or the shape errors it has."""
    decoded = decode(document, brief.problem.model)
    why, citations = document.get("why"), document.get("citations")
    return Proposal(
        outcome="candidate" if decoded.dag is not None else "unparsable",
        strategy=decoded.strategy,
        dag=decoded.dag,
        document=document,
        wrote_graph=document.get("graph") is not None,
        text=why[:2000] if isinstance(why, str) else "",
        findings=decoded.findings,
        usage=usage,
        citations=tuple(str(c)[:200] for c in citations[:20]) if isinstance(citations, list) else (),
    )


def _patched(document: dict[str, Any], brief: Brief, usage: Usage) -> Proposal:
    """The last answer with a patch applied; a patch that does not apply keeps the findings it was to cure."""
    try:
        patch = PatchAnswer.model_validate(document)
        operations = [
            {"op": o.op, "path": o.path, "value": None if o.value_json is None else json.loads(o.value_json)}
            for o in patch.patch
        ]
        changed = jsonpatch.apply_patch(brief.last, operations)
    except ValidationError as error:
        return _bad_patch(brief, usage, shape_findings(error)[0].message)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, *_BROKEN_REPLY) as error:
        return _bad_patch(brief, usage, " ".join(str(error).split())[:160])
    return _answered(changed, brief, usage)


def _bad_patch(brief: Brief, usage: Usage, why: str) -> Proposal:
    finding = _finding("BAD_PATCH", f"the patch does not apply: {why}", "answer with the whole JSON object")
    return Proposal(outcome="unparsable", document=brief.last, findings=(finding, *brief.findings), usage=usage)


def _cut_short(usage: Usage, text: str) -> Proposal:
    finding = _finding(
        "TRUNCATED", "the answer was cut at the token limit", "answer shorter: `graph` null, a short `why`"
    )
    return Proposal(outcome="truncated", text=text[:500], findings=(finding,), usage=usage)


def _finding(code: str, message: str, hint: str) -> Finding:
    return Finding(code=code, severity="error", path="", message=message, hint=hint)


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
    """Tokens as the server counted them, else an estimate that says so."""
    told = message.usage_metadata
    if told is not None and told["input_tokens"] + told["output_tokens"] > 0:
        return Usage(input_tokens=told["input_tokens"], output_tokens=told["output_tokens"], calls=1)
    tokens = (asked_characters // CHARACTERS_PER_TOKEN, answered_characters // CHARACTERS_PER_TOKEN)
    return Usage(input_tokens=tokens[0], output_tokens=tokens[1], calls=1, estimated=True)


def _completion_usage(completion: Any) -> Usage:
    usage = getattr(completion, "usage", None)
    if usage is None:
        return Usage(calls=1, estimated=True)
    return Usage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, calls=1)
