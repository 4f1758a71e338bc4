"""What a run tells while it goes on: for progress lines and server-sent events."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

EventType = Literal["understood", "retrieved", "attempt", "findings", "result"]


@dataclass(frozen=True)
class Event:
    """One step of a run; `data` is JSON."""

    type: EventType
    data: dict[str, Any]


OnEvent = Callable[[Event], None]
"""Called in the event loop that runs the graph; must not block."""
