"""Tables, forms and configurations as `name: value` pairs, whatever parts their cells; drawn lines are shortened."""

import re

from agent.understand.notes import Notes
from agent.understand.scan import compiled

_RUN = re.compile(r"([^\w\s])\1{7,}|[^\S\n]{5,}|\n{4,}")
"""A line drawn with one mark, or a stretch of nothing."""


def without_runs(text: str) -> str:
    """The text with drawn lines and empty stretches shortened, over which patterns would search again from every place."""
    return _RUN.sub(lambda m: m.group()[:4], text)


_TABLE = re.compile(
    r"^[ \t]*\|?(?P<head>[^|\n]+(?:\|[^|\n]+)+)\|?[ \t]*\n(?:[ \t]*\|?[-:| \t]+\|?[ \t]*\n)?[ \t]*\|?(?P<row>[^|\n]+(?:\|[^|\n]+)+)\|?[ \t]*$",
    re.MULTILINE,
)


def with_plain_tables(text: str, notes: Notes) -> str:
    """A table of a header and one row as `name: value` pairs, whatever parts its cells."""

    def pairs(match: re.Match[str]) -> str:
        names, values = ([cell.strip() for cell in match[part].split("|")] for part in ("head", "row"))
        if len(names) != len(values) or len(names) < 3 or any(c.isdigit() for name in names for c in name):
            return match.group()
        return ", ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))

    if len(_CSV_LINE.findall(text)) > LEAST_KEYS:
        text = _CSV_LINE.sub(r"\g<key>: \g<value>", text)
    if len(_LEADERS.findall(text)) >= LEAST_KEYS:
        text = _LEADERS.sub(r"\g<key>: ", text)
    text = with_ended_lines(_without_comments(_one_column(text, notes)))
    if _COMMAS.search(text) and ", " not in text:
        text = re.sub(r",(?!\d{3}(?!\d))|(?<=\d{4}),", ", ", text)
    return _with_pairs(_TABLE.sub(pairs, text))


_ROW = re.compile(r"^[ \t]*\|(?P<cells>[^\n]*)\|[ \t]*$", re.MULTILINE)
_RULE = re.compile(r"[-: ]+")
_CHOSEN = compiled(
    r"new\w*|now|target\w*|planned|proposed|to[- ]?be|wanted|requirement\w*|future|neu\w*|soll|ziel|nouve\w+|cible|nuev\w+|nuov\w+|nov[oa]|新\S*|目标|目標"
)


_CENTRAL = compiled(r"(?:mean|avg\.?|average|typical|median|p50)")
_STATISTIC = compiled(
    r"(?:mean|avg\.?|average|typical|median|min(?:imum)?|max(?:imum)?|peak|std(?:dev)?|p\s?\d\d(?:\.\d)?|\d\dth)"
)


def _one_column(text: str, notes: Notes) -> str:
    """A table of several columns of values with the one that the text speaks of: `we need the layout for the "new" column`."""
    rows = [(m, [cell.strip() for cell in m["cells"].split("|")]) for m in _ROW.finditer(text)]
    if len(rows) < 3 or len({len(cells) for _, cells in rows}) != 1 or len(rows[0][1]) < 3:
        return text
    header = rows[0][1]
    outside = text[: rows[0][0].start()] + text[rows[-1][0].end() :]
    named = [
        i
        for i, cell in enumerate(header)
        if i and cell and re.search(rf"(?<!\w){re.escape(cell)}(?!\w)", outside, re.IGNORECASE)
    ]
    meant = named if len(named) == 1 else [i for i, cell in enumerate(header) if i and _CHOSEN.fullmatch(cell)]
    central = [i for i, cell in enumerate(header) if i and _CENTRAL.fullmatch(cell)]
    if len(meant) != 1 and len(central) == 1 and all(_STATISTIC.fullmatch(cell) for cell in header[1:]):
        meant = central
        notes.assume(f"planned for the column `{header[central[0]]}` of the table")
    if len(meant) != 1:
        return text
    kept = [
        f"{cells[0]}: {cells[meant[0]]}" for _, cells in rows[1:] if not all(_RULE.fullmatch(c or "-") for c in cells)
    ]
    return f"{text[: rows[0][0].start()]}{chr(10).join(kept)}{text[rows[-1][0].end() :]}"


_KEY_LINE = re.compile(
    r"^(?P<line>[ \t]*[-*•]?[ \t]*[A-Za-z][\w /()#.-]{1,40}?[ \t]*[:=][ \t]*[^\s:][^\n]*?)(?<![;,.:{(\[?!])[ \t]*$",
    re.MULTILINE,
)
LEAST_KEYS = 3
"""Lines of keys and values that make a text a form."""


def with_ended_lines(text: str) -> str:
    """A form with a mark at the end of every line, so that no value is read with the key of the next line."""
    if len(_KEY_LINE.findall(text)) < LEAST_KEYS or "|" in text or "{" in text:
        return text
    return _KEY_LINE.sub(r"\g<line>;", text)


_CSV_LINE = re.compile(r"^(?P<key>[A-Za-z_ ]{2,30}),(?P<value>[^,\n]{1,60})$", re.MULTILINE)
"""A line of a key and its value."""
_LEADERS = re.compile(r"^(?P<key>[A-Za-z][\w /()-]{1,40}?)[ \t]{0,4}\.{3,8}[ \t]{1,4}(?=\S)", re.MULTILINE)
"""A key whose value stands behind a row of dots."""
_COMMENT = re.compile(r"^[ \t]*(?:#|//|;)[ \t]*(?P<key>[A-Za-z_-]{2,30})[ \t]*[:=][^\n]*$", re.MULTILINE)


def _without_comments(text: str) -> str:
    """A configuration without lines that are commented out and stand there a second time."""

    def again(match: re.Match[str]) -> str:
        key = re.escape(match["key"])
        return "" if re.search(rf"^[ \t]*{key}[ \t]*[:=]", text, re.MULTILINE | re.IGNORECASE) else match.group()

    return _COMMENT.sub(again, text)


_COMMAS = re.compile(r"\w,\w[^,\n]*,\w[^,\n]*,\w")


_SEPARATORS = ("\t", ";", ",")
LEAST_CELLS = 4
"""Cells of a row that make it and the line before it a table."""


def _with_pairs(text: str) -> str:
    """Two lines with equally many cells, the first of names alone, as `name: value` pairs; more rows than one stay."""
    lines = text.split("\n")
    kept: list[str] = []
    at = 0
    while at < len(lines):
        pairs = _paired(lines[at], *[*lines[at + 1 : at + 3], "", ""][:2])
        kept.append(lines[at] if pairs is None else pairs)
        at += 1 if pairs is None else 2
    return "\n".join(kept)


def _paired(head: str, row: str, following: str) -> str | None:
    """A header and its only row as pairs; None where they are something else."""
    if any(c.isdigit() for c in head):
        return None
    for separator in _SEPARATORS:
        names, values = ([cell.strip() for cell in line.split(separator)] for line in (head, row))
        alike = LEAST_CELLS <= len(names) == len(values) != following.count(separator) + 1
        if alike and all(0 < len(name.split()) <= 3 for name in names):
            return ", ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
    return None
