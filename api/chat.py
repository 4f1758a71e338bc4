"""`meshwright chat`: the conversation of `agent.chat` in a terminal. Answers on stdout, progress on stderr."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from agent.chat import HELP, Reply, Thread, turn
from agent.deps import Deps
from agent.events import Event
from strategy.errors import InputError

LEAVE = {"exit", "quit", "bye", ":q", "/quit", "/exit"}
PROMPT = "> "


def chat(deps: Deps, *, thread_file: Path | None = None, source: TextIO | None = None) -> int:
    """Talk until the input ends. With a `thread_file` the conversation goes on where it was left. The exit status is 0."""
    lines = source or sys.stdin
    asks = lines.isatty()
    thread = _opened(thread_file)
    if asks:
        sys.stderr.write(f"{HELP}\nType `exit` to leave.\n")
    for said in _said(lines, asks=asks):
        thread, reply = asyncio.run(turn(thread, said, deps, on_event=_progress))
        sys.stdout.write(_shown(reply) + "\n\n")
        sys.stdout.flush()
        _kept(thread, thread_file)
    return 0


def _said(lines: TextIO, *, asks: bool) -> Iterator[str]:
    """Messages, one a line, until the input ends or somebody leaves."""
    while True:
        if asks:
            sys.stderr.write(PROMPT)
            sys.stderr.flush()
        line = lines.readline()
        if not line or line.strip().lower() in LEAVE:
            return
        if line.strip():
            yield line.strip()


def _progress(event: Event) -> None:
    """What a run is doing, a line each."""
    told = {
        "understood": "understood the request" if "request" in event.data else "something is missing",
        "retrieved": f"read {len(event.data.get('refs', []))} sections",
        "attempt": f"attempt {event.data.get('number')} by {event.data.get('proposer')}: "
        + ("accepted" if event.data.get("accepted") else str(event.data.get("outcome"))),
        "findings": f"{len(event.data.get('findings', []))} findings",
        "result": f"{event.data.get('status')}",
    }
    sys.stderr.write(f"  {told[event.type]}\n")


def _shown(reply: Reply) -> str:
    """The answer, and the sections it leans on."""
    sources = ", ".join(citation.ref for citation in reply.citations)
    return reply.text + (f"\n\nSources: {sources}" if sources else "")


def _opened(path: Path | None) -> Thread:
    if path is None or not path.exists():
        return Thread()
    try:
        return Thread.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        raise InputError(
            f"{path} is no conversation of `meshwright chat`", hint="name another file, or a new one"
        ) from None


def _kept(thread: Thread, path: Path | None) -> None:
    if path is None:
        return
    try:
        path.write_text(json.dumps(thread.model_dump(mode="json")), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
