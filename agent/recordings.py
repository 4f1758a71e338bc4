"""A run's exchanges with a language model as JSON lines, and a proposer that answers from such a file.

A line holds the prompt (and a digest of each of its parts) and the reply as it came; no key, no address. Replaying reads the recorded
replies with today's code, so rules, parsers and the planner may change; a prompt that changed is told, part by part.
"""

import asyncio
import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import ValidationError

from agent.prompts import full_messages, patch_messages, prompt_parts, reading_messages
from agent.proposers import Brief, Proposal
from agent.replies import Reply, read_reply
from agent.wire import Answer, PatchAnswer, WireReading, strict_schema
from strategy.errors import InputError
from strategy.values import Frozen

if TYPE_CHECKING:
    from collections.abc import Mapping


class RecordingError(InputError):
    """A recording that cannot be read, or that has no answer to a prompt."""


class Exchange(Frozen):
    """One question and its answer."""

    format: Literal[1] = 1
    model: str
    """Name of the language model."""
    parts: dict[str, str]
    """Digest of each part of the prompt."""
    messages: tuple[tuple[str, str], ...]
    """(role, text) as they were sent."""
    reply: Reply | None
    """None when the run's deadline came first."""


class Endpoint(Protocol):
    """What can be recorded: a proposer that also tells the reply itself."""

    name: str

    async def reply(self, brief: Brief) -> Reply:
        """What the language model said."""
        ...

    async def read(self, text: str, tokens_left: int | None) -> Reply:
        """What it reads in a text."""
        ...


def digests(brief: Brief) -> dict[str, str]:
    """A digest of each part of a brief's prompt, the schema of the answer among them."""
    schema = strict_schema(PatchAnswer if brief.mode == "patch" else Answer)
    parts = {**prompt_parts(brief), "schema": json.dumps(schema, sort_keys=True)}
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in parts.items()}


def reading_digests(text: str) -> dict[str, str]:
    """The same of the prompt that asks what a text says."""
    (_, system), (_, asked) = reading_messages(text, "json_schema")
    parts = {"system": system, "text": asked, "schema": json.dumps(strict_schema(WireReading), sort_keys=True)}
    return {f"reading {name}": hashlib.sha256(part.encode()).hexdigest()[:16] for name, part in parts.items()}


class RecordingProposer:
    """Passes briefs on to an endpoint and appends every exchange to a file. Raises `InputError` when it cannot write there."""

    def __init__(self, endpoint: Endpoint, path: Path, *, model: str) -> None:
        self.name = endpoint.name
        self.endpoint = endpoint
        self.path = path
        self.model = model

    async def propose(self, brief: Brief) -> Proposal:
        """Ask, record, answer. A question that the deadline ends is recorded as such."""
        try:
            reply = await self.endpoint.reply(brief)
        except asyncio.CancelledError:
            self._append(digests(brief), _messages(brief), None)
            raise
        self._append(digests(brief), _messages(brief), reply)
        return read_reply(reply, brief)

    async def read(self, text: str, tokens_left: int | None) -> Reply:
        """Ask what a text says, record, answer."""
        parts, messages = reading_digests(text), reading_messages(text, "json_schema")
        try:
            reply = await self.endpoint.read(text, tokens_left)
        except asyncio.CancelledError:
            self._append(parts, messages, None)
            raise
        self._append(parts, messages, reply)
        return reply

    def _append(self, parts: dict[str, str], messages: list[tuple[str, str]], reply: Reply | None) -> None:
        exchange = Exchange(model=self.model, parts=parts, messages=tuple(messages), reply=reply)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(
                "ab", buffering=0
            ) as file:  # one write a line: several processes may record into one file
                file.write((json.dumps(exchange.model_dump(mode="json")) + "\n").encode())
        except OSError as error:
            raise RecordingError(f"cannot record into {self.path}: {error.strerror or error}") from None


class RecordedProposer:
    """Answers from a recording. The same prompt gets its recorded answers in their order, then the last one again."""

    name = "llm"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.exchanges = read_recording(path)
        self._by_prompt: defaultdict[str, list[Exchange]] = defaultdict(list)
        for exchange in self.exchanges:
            self._by_prompt[_key(exchange.parts)].append(exchange)
        self._used: defaultdict[str, int] = defaultdict(int)

    async def propose(self, brief: Brief) -> Proposal:
        """The recorded answer, read with today's code. Raises `RecordingError` when this prompt was never recorded."""
        return read_reply(self._recorded(digests(brief)), brief)

    async def read(self, text: str, tokens_left: int | None) -> Reply:  # noqa: ARG002  the recording knows what was left
        """The recorded reading. A recording without readings was made where none was asked for."""
        if not any(name.startswith("reading") for exchange in self.exchanges for name in exchange.parts):
            return Reply(failure="the recording has no readings")
        return self._recorded(reading_digests(text))

    def _recorded(self, parts: dict[str, str]) -> Reply:
        key = _key(parts)
        known = self._by_prompt.get(key)
        if not known:
            raise RecordingError(
                self._unknown(parts), hint="record it again: set MESHWRIGHT_RECORD to a file and run with the endpoint"
            )
        exchange = known[min(self._used[key], len(known) - 1)]
        self._used[key] += 1
        if exchange.reply is None:
            raise TimeoutError
        return exchange.reply

    def _unknown(self, parts: "Mapping[str, str]") -> str:
        """Which parts of the prompt differ from the recorded prompt that is most like it."""
        nearest = max(self.exchanges, key=lambda one: sum(one.parts.get(k) == v for k, v in parts.items()))
        changed = sorted(name for name in {*parts, *nearest.parts} if parts.get(name) != nearest.parts.get(name))
        return (
            f"the recording {self.path.name} has no answer to this prompt: of its {len(self.exchanges)} prompts the most similar one "
            f"differs in {', '.join(changed)}; the prompt changed since it was recorded, or another request was"
        )


def _messages(brief: Brief) -> list[tuple[str, str]]:
    return patch_messages(brief) if brief.mode == "patch" else full_messages(brief)


def read_recording(path: Path) -> tuple[Exchange, ...]:
    """The exchanges of a file. Raises `RecordingError` with the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"cannot read the recording {path}: {getattr(error, 'strerror', None) or error}") from None
    found = tuple(_exchange(path, number, line) for number, line in enumerate(lines, 1) if line.strip())
    if not found:
        raise RecordingError(f"the recording {path} is empty")
    return found


def _exchange(path: Path, number: int, line: str) -> Exchange:
    try:
        return Exchange.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RecordingError(f"{path.name}, line {number} is no recorded exchange: {first['msg']}") from None


def _key(parts: "Mapping[str, str]") -> str:
    return json.dumps(parts, sort_keys=True)
