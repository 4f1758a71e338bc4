"""What escapes can write and a text cannot hold: NUL, which Postgres keeps in no JSON, and half of a surrogate pair, which is no UTF-8."""

import json
import re
from typing import Any

from strategy.errors import UnreadableError

_ESCAPED = re.compile(r"\\(?:u(?:0000|[dD][89a-fA-F]\w\w)|x00|U0000(?:0000|[dD][89a-fA-F]\w\w)|0)")
"""Escapes that may stand for one of them; a whole pair is told from a half by the text that it makes."""
_HALF = re.compile("[\ud800-\udfff]")


def refuse_half_characters(text: str, data: Any) -> None:
    """Raise `UnreadableError`, with the place of the first such escape of `text`, when `data`, read from it, holds such a character."""
    escaped = _ESCAPED.search(text)
    if escaped is None:
        return
    half = _HALF.search(json.dumps(data, ensure_ascii=False))
    if half or _holds_nul(data):
        line = text.count("\n", 0, escaped.start()) + 1
        column = escaped.start() - text.rfind("\n", 0, escaped.start())
        told = f"half of a surrogate pair (U+{ord(half[0]):04X})" if half else "the character U+0000"
        raise UnreadableError(f"a string holds {told}, which is no text", line=line, column=column)


def _holds_nul(data: Any) -> bool:
    """Whether a key or a string holds U+0000; `data` is within the limits of depth."""
    if isinstance(data, dict):
        return any("\0" in key or _holds_nul(value) for key, value in data.items())
    if isinstance(data, list):
        return any(_holds_nul(value) for value in data)
    return isinstance(data, str) and "\0" in data
