"""What a run is doing, a line on stderr for each step, while a person waits."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from agent.events import Event

LABEL_WIDTH = 11
MOST_FINDINGS = 3
PROPOSERS = {"llm": "the language model", "planner": "the planner"}


class Narrator:
    """Tells each event of one run, with the seconds since it began."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._began = time.monotonic()

    def tell(self, event: Event) -> None:
        """One line, or none for what the result itself says; a finding has a line of its own."""
        lines = _LINES.get(event.type)
        for label, text, style in lines(event.data) if lines else ():
            after = f"{time.monotonic() - self._began:5.1f} s "
            self._console.print(Text.assemble((after, "bright_black"), (f"{label:<{LABEL_WIDTH}}", style), text))
        sys.stderr.flush()


Line = tuple[str, str, str]


def _understood(data: Mapping[str, Any]) -> list[Line]:
    if data.get("question"):
        return [("unclear", "a question comes back", "yellow")]
    request, noted = data.get("request") or {}, len(data.get("assumptions") or ())
    model = request.get("model")
    name = model if isinstance(model, str) else "your model"
    return [("understood", f"{name}{f', {noted} assumptions' if noted else ''}", "green")]


def _retrieved(data: Mapping[str, Any]) -> list[Line]:
    return [("read", f"{len(data.get('refs') or ())} sections of the knowledge base", "green")]


def _attempt(data: Mapping[str, Any]) -> list[Line]:
    accepted, by = bool(data.get("accepted")), str(data.get("proposer", ""))
    outcome = str(data.get("outcome", "candidate"))
    told = "accepted" if accepted else "not accepted" if outcome == "candidate" else outcome
    label = f"attempt {data.get('number', '')}".strip()
    return [(label, f"by {PROPOSERS.get(by, by)}: {told}", "green" if accepted else "yellow")]


def _findings(data: Mapping[str, Any]) -> list[Line]:
    found = [one for one in data.get("findings") or () if one.get("severity") == "error"]
    told = [("", f"{one['code']} {one['message']}", "red") for one in found[:MOST_FINDINGS]]
    return [*told, *([("", f"and {len(found) - MOST_FINDINGS} more", "red")] if len(found) > MOST_FINDINGS else [])]


_LINES = {"understood": _understood, "retrieved": _retrieved, "attempt": _attempt, "findings": _findings}
