"""Texts by their lines: quoted mail, signatures, lines that were broken to a width, columns and rows of statistics, as running text."""

import re
from itertools import pairwise

from agent.understand.names import Vocabulary
from agent.understand.notes import Notes
from agent.understand.scan import compiled

NARROWEST = 44
"""Characters of a line below which nobody's mail program breaks it."""
_QUOTE = re.compile(r"^[ \t]{0,3}(?:>[ \t]?){1,6}")
_SIGNATURE = re.compile(r"\n--[ ]?\n(?:[^\n]{0,120}(?:\n|$)){1,7}\Z")
_STRUCTURAL = re.compile(
    r"[ \t]*(?:[-*•#|>{}\[^]|\d{1,2}[.)]\s|```|$|[A-Za-z][\w /().-]{0,30}?\s?[:=](?!//)|[A-Za-z][\w /().-]{1,30}?(?:\.{3}|[ ]{2}))"
)
"""How a line starts that stands for itself: a bullet, a number, a key, a row."""
_FENCE = re.compile(r"^[ \t]*```\w{0,12}[ \t]*$", re.MULTILINE)
_COLUMN = re.compile(
    r"^(?P<key>[A-Za-z][\w /().-]{1,30}?)[ \t]*(?:\.{2,8}[ \t]{1,4}|\.{3,8}|[ \t]{2,4}|\t)(?P<value>\S[^\n]*)$",
    re.MULTILINE,
)
LEAST_COLUMNS = 3
"""Lines of a key, a gap and a value that make a text a list of them."""
_LABEL = r"(?:p\s?\d\d|mean|avg|average|median|typical|min|max)"
_VALUE = r"\d{1,3}(?:,\d{3})+|\d{1,7}(?:\.\d{1,2})?k?"
_STATISTICS = compiled(
    rf"(?P<open>\(\s*)?(?P<labels>(?<!\w){_LABEL}(?:\s?/\s?{_LABEL}){{1,4}})(?P<close>\s*\))?(?P<between>\s*[|:=]\s*|\s+(?:[a-z]{{2,12}}\s+){{0,2}}(?:[:=]\s*)?)(?P<values>(?:{_VALUE})(?:\s?/\s?(?:{_VALUE})){{1,4}})(?![\w/.]*\d)"
)
_KEYS = (
    (
        compiled(
            r"\b(?:query|question|prompt|message|instructions?)\s*(?:plus|and|\+|with|incl\.?|including)\s+(?:[a-z]+\s+){0,2}?(?:snippets|contexts?|history|documents?|chunks|passages|code|files|examples|results)\s*:\s*(?=\d)"
        ),
        "prompt: ",
    ),
    (compiled(r"\b(?P<a>in|prompt|completion|input|output)_(?P<b>flight)\b"), r"\g<a> \g<b>"),
    (
        compiled(
            r"\b(?:nics?|network|rdma|infiniband|ib|interconnect|fabric)(?:[_ ](?:bw|bandwidth|speed|rate))?(?:[_ ]per[_ ]gpu)?\s*[:=]\s*(?P<n>\d{1,4})\s*(?P<u>Gb/s|Gbps|Gbit/s|GB/s|GBps)(?:\s*(?:per|/)\s*gpu)?"
        ),
        r"NIC \g<n> \g<u> per GPU",
    ),
)
"""Keys of configurations that have a name of their own in sentences."""


_POINTS = re.compile(r"^[ \t]*\d{1,2}[.)][ \t]+(?=[A-Za-z][^\n]{0,40}(?:[:=]|\.{2,12}[ \t]))", re.MULTILINE)
"""The numbers of a form's lines: `3. Quantity ..... 8`."""
_NUMBERED = re.compile(r"(?:^|(?<=[\s:;,]))\((?:[1-9]|i{1,3}|[a-e])\)\s+", re.MULTILINE)
"""Marks of a list within a sentence: `(1) ... (2) ...`."""


def with_plain_lines(text: str, models: Vocabulary, gpus: Vocabulary, notes: Notes) -> str:
    """The text as its writer would have said it without a mail program, columns or a table of statistics."""
    if len(_POINTS.findall(text)) >= LEAST_COLUMNS:
        text = _POINTS.sub("", text)
    if "\n" in text:
        text = _FENCE.sub("", _without_signature(_without_quotes(text, models, gpus, notes), models, gpus, notes))
        text = _without_columns(with_whole_lines(text))
    text = _STATISTICS.sub(_each, text)
    if len(_NUMBERED.findall(text)) > 1:
        text = _NUMBERED.sub("", text)
    for pattern, plain in _KEYS:
        text = pattern.sub(plain, text)
    return text


def _without_quotes(text: str, models: Vocabulary, gpus: Vocabulary, notes: Notes) -> str:
    """Without the marks of quoted lines; without the lines where the rest is a request of its own and they name another one."""
    lines = text.split("\n")
    quoted = [_QUOTE.match(line) is not None for line in lines]
    if not any(quoted):
        return text
    own = "\n".join(line for line, is_quoted in zip(lines, quoted, strict=True) if not is_quoted)
    theirs = "\n".join(line for line, is_quoted in zip(lines, quoted, strict=True) if is_quoted)
    if models.mentions(own) and _names_gpu(own, gpus) and (models.mentions(theirs) or _names_gpu(theirs, gpus)):
        notes.assume(f"ignored: `{' '.join(theirs.split())[:80]}` (quoted from another message)")
        return own
    return "\n".join(_QUOTE.sub("", line) for line in lines)


def _names_gpu(text: str, gpus: Vocabulary) -> bool:
    return any(any(c.isdigit() for c in text[slice(*mention.span)]) for mention in gpus.mentions(text))


def _without_signature(text: str, models: Vocabulary, gpus: Vocabulary, notes: Notes) -> str:
    """Without what stands behind `--` at the end of a mail, where it names nothing that a plan needs."""
    found = _SIGNATURE.search(text)
    if found is None or models.mentions(found.group()) or _names_gpu(found.group(), gpus):
        return text
    notes.assume(f"ignored: `{' '.join(found.group().split())[:80]}` (a signature)")
    return text[: found.start()] + "\n"


def with_whole_lines(text: str) -> str:
    """Lines that were broken since the next word did not fit, as one."""
    return "\n\n".join(_unwrapped(part) for part in re.split(r"\n[ \t]*\n", text))


def _unwrapped(paragraph: str) -> str:
    lines = paragraph.split("\n")
    width = max(len(line.rstrip()) for line in lines)
    if len(lines) < 2 or width < NARROWEST:
        return paragraph
    joined = lines[0]
    for line, following in pairwise(lines):
        word = following.split()[:1]
        full = bool(word) and len(line.rstrip()) + 1 + len(word[0]) > width
        cells = _ROW.match(following) or (_CELLS.match(line) and _CELLS.match(following))
        broken = (
            full
            and not cells
            and not _STRUCTURAL.match(following)
            and (not _ENDS.search(line) or following[:1].islower())
        )
        joined = f"{joined.rstrip()} {following.lstrip()}" if broken else f"{joined}\n{following}"
    return joined


_CELLS = re.compile(r"\w[^,\s]*,\S")
"""How a line of values between commas starts."""
_ROW = re.compile(r"[^,;\t\n]{1,40}(?:(?:,(?=\S)|[;\t])[^,;\t\n]{0,40}){3,}$")
"""A line of cells alone."""
_ENDS = re.compile(r"[.!?:;]\s*$")


def _without_columns(text: str) -> str:
    """Keys and values with a row of dots or spaces between as `key: value`."""
    if len(_COLUMN.findall(text)) < LEAST_COLUMNS:
        return text
    return _COLUMN.sub(r"\g<key>: \g<value>", text)


def _each(match: re.Match[str]) -> str:
    """A row of statistics, each with its value: `mean/p95: 1200/4000` is `: mean 1200, p95 4000`."""
    labels = [" ".join(one.lower().split()) for one in match["labels"].split("/")]
    values = [one.strip() for one in match["values"].split("/")]
    if len(labels) != len(values):
        return match.group()
    opened, closed = ("", "") if match["open"] and match["close"] else (match["open"] or "", match["close"] or "")
    return f"{opened}{closed}{match['between']}" + ", ".join(
        f"{label} {value}" for label, value in zip(labels, values, strict=True)
    )
