"""Pieces of HTML: tables, marks, links between the parts of a page."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape

MEANING = {
    "regression": "worse, and by more than its interval",
    "drift": "moved though it should have stayed: look, then accept",
    "improved": "better, and by more than its interval",
    "noise": "moved, but within its interval",
    "gone": "no longer scored",
    "new": "not in the baseline",
    "same": "as it was",
}
SIGNS = {"regression": "▼", "drift": "◆", "improved": "▲", "noise": "≈", "same": "=", "gone": "∅", "new": "+"}
"""A mark is told by its sign and its word as well as by its colour."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table of ready HTML cells; columns in `numeric` are set to the right."""
    kind = [' class="n"' if index in numeric else "" for index in range(len(head))]
    top = "".join(f"<th{kind[i]}>{name}</th>" for i, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td{kind[i]}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def tag(mark: str, text: str | None = None) -> str:
    """A mark as a coloured word."""
    sign = f"{SIGNS[mark]} " if mark in SIGNS else ""
    return f'<span class="tag {mark}" title="{escape(MEANING.get(mark, ""))}">{sign}{escape(text or mark)}</span>'


def anchor(suite: str, sample: str = "") -> str:
    """The id of a suite's part of the page, or of a sample's."""
    return f"s-{sha256(f'{suite}/{sample}'.encode()).hexdigest()[:10]}" if sample else f"suite-{escape(suite)}"


def suite_link(suite: str) -> str:
    """To the part of a suite."""
    return f'<a href="#{anchor(suite)}">{escape(suite)}</a>'


def sample_links(suite: str, names: Sequence[str], linked: frozenset[str], shown: int = 3) -> str:
    """Samples by name, a link where the page shows them."""
    told = [f'<a href="#{anchor(suite, n)}">{escape(n)}</a>' if n in linked else escape(n) for n in names[:shown]]
    more = f' <span class="soft">and {len(names) - shown} more</span>' if len(names) > shown else ""
    return ", ".join(told) + more
