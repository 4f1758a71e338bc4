"""Markdown pages cut into sections that can be cited, with the anchors GitHub gives their headings."""

import re
from dataclasses import dataclass
from itertools import count

TOP = "top"
"""Anchor of text that precedes the first heading of a page (`#top` scrolls a browser to the top)."""

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_DROPPED = re.compile(r"[^\w\- ]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Passage:
    """A heading with the text up to the next one."""

    anchor: str
    title: str
    text: str


def slug(heading: str) -> str:
    """The anchor of a heading, before repeats are numbered: lower case, punctuation gone, spaces as hyphens."""
    return _DROPPED.sub("", heading.strip().lower()).replace(" ", "-")


def clean(text: str) -> str:
    """Text without control and direction characters (tab and newline stay), with one kind of line end."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def passages(text: str, title: str) -> list[Passage]:
    """Cut a page at its headings; fenced code and front matter hold none. `title` names text before the first one."""
    found: list[Passage] = []
    seen: dict[str, int] = {}
    heading, body = "", list[str]()
    for line_heading, line in _lines(_without_front_matter(clean(text))):
        if line_heading is None:
            body.append(line)
            continue
        _close(found, heading, body, seen, title)
        heading, body = line_heading, []
    _close(found, heading, body, seen, title)
    return found


def _lines(text: str) -> list[tuple[str | None, str]]:
    """Each line with the heading it is, or None."""
    found: list[tuple[str | None, str]] = []
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark and (not fence or (mark[1].startswith(fence) and not line.strip().strip(fence[0]))):
            fence = "" if fence else mark[1]
        match = None if fence or mark else _HEADING.fullmatch(line)
        found.append((_plain(match[2] or "") if match else None, line))
    return found


def _close(found: list[Passage], heading: str, body: list[str], seen: dict[str, int], title: str) -> None:
    text = "\n".join(body).strip()
    if heading:
        found.append(Passage(_anchor(slug(heading), seen), heading, text))
    elif text:
        found.append(Passage(_anchor(TOP, seen), title, text))


def _anchor(base: str, seen: dict[str, int]) -> str:
    """`base`, or `base-1`, `base-2`, ... where it was used before, as GitHub numbers repeats."""
    if base not in seen:
        seen[base] = 0
        return base
    for number in count(seen[base] + 1):
        if f"{base}-{number}" not in seen:
            seen[base] = number
            seen[f"{base}-{number}"] = 0
            break
    return f"{base}-{seen[base]}"


def _plain(heading: str) -> str:
    """Heading text without link targets, code marks and emphasis."""
    return _LINK.sub(r"\1", heading).replace("`", "").replace("*", "").strip()


def _without_front_matter(text: str) -> str:
    if text.startswith("---\n") and (end := text.find("\n---\n", 3)) > 0:
        return text[end + 5 :]
    return text
