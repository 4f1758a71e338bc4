"""What people do to a text before it says anything: they mistype, correct themselves, tell of the past, and give dates and about-numbers.

Each step rewrites the text into one that says the same in a form that the extractors read, and notes what it took it for.
"""

import re
from collections.abc import Sequence
from functools import cache

from agent.understand.asides import without_measures
from agent.understand.clusters import UNKNOWN_GPU
from agent.understand.instances import with_plain_hosts
from agent.understand.keys import with_plain_keys
from agent.understand.lines import with_plain_lines
from agent.understand.names import Mention, Vocabulary, slips
from agent.understand.notes import Notes
from agent.understand.roles import quantities
from agent.understand.scan import COUNT, EATEN, MAX_CHARACTERS, SPAN, Scan, compiled
from agent.understand.spoken import spoken
from agent.understand.sums import with_plain_sums
from agent.understand.told import without_told


def scanned(text: str, models: Vocabulary, gpus: Vocabulary, notes: Notes, *, followed: bool = False) -> Scan:
    """The text as the extractors read it."""
    lines = with_plain_lines(without_runs(text)[:MAX_CHARACTERS], models, gpus, notes)
    tables = with_plain_keys(with_plain_tables(with_plain_thousands(spoken(lines))))
    scan = Scan(with_plain_hosts(tables, notes))
    summed = with_plain_sums(spelled(with_plain_seconds(scan.original), models.unlike_words, notes), notes)
    plain = with_plain_numbers(summed, notes)
    plain = without_struck(plain, notes)
    scan.original = notes.text = corrected(plain, (models, gpus, ENGINE_NAMES), notes)
    dated = without_past(without_dates(scan.original), models, notes)
    scan.text = without_told(dated, (models, ENGINE_NAMES, gpus), _unknown_gpus, notes, followed=followed)
    scan.text = without_measures(scan.text, notes)
    return scan


def _unknown_gpus(text: str) -> list[SPAN]:
    """Where a text names GPUs that no catalogue has."""
    return [m.span("name") for m in UNKNOWN_GPU.finditer(text)]


_RUN = re.compile(r"([^\w\s])\1{7,}|[^\S\n]{5,}|\n{4,}")
"""A line drawn with one mark, or a stretch of nothing."""


def without_runs(text: str) -> str:
    """The text with drawn lines and empty stretches shortened, over which patterns would search again from every place."""
    return _RUN.sub(lambda m: m.group()[:4], text)


# --- numbers that are no quantities -----------------------------------------------------------------------------------

_MONTHS = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
_NO_QUANTITY = (
    compiled(r"(?<![\w.])(?:19|20)\d\d-\d\d?-\d\d?(?:[T ]\d\d?:\d\d(?::\d\d)?)?(?![\w-])"),  # 2026-01-15
    compiled(rf"(?<![\w.])\d\d?(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?!may\b(?!\s*[,.;)])){_MONTHS}(?!\s*\d)"),  # 2 March
    compiled(rf"(?<![\w.])\d\d?\.?\s*(?:-|to|until|and|&)\s*\d\d?(?:st|nd|rd|th|\.)?\s+{_MONTHS}"),  # 22-29 Dec
    compiled(r"(?<![\w./])\d\d?[./]\d\d?[./](?:\d\d){1,2}(?![\w./])"),  # 15.01.2026
    compiled(r"(?<![\w:.])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:\s*[ap]\.?m\b\.?)?(?![\w:])"),  # 10:30
    compiled(rf"(?<![\w.])(?:\d\d?(?:st|nd|rd|th)?\s+)?{_MONTHS}\s+\d\d?(?:st|nd|rd|th)?(?:,?\s+(?:19|20)\d\d)?\b(?!\s*(?:x|gpus?|h\d|a\d))"),
    compiled(r"\b(?:in|since|by|until|before|after|from|of|q[1-4]|year|late|early|mid)[ -](?:19|20)\d\d\b(?!\s*(?:tok|in\b|out\b|prompt|input|output|req|user|k\b|,\d|ms\b|milli|s\b|sec|concurr|simult|parallel|sessions|people|chats|generated|answer|characters|words)|\s*[,;/]\s*(?:and\s+)?out(?:put)?\b)"),
    compiled(r"\b(?:ports?|extension|ext\.?|pid|job|build|commit|rooms?|floors?|office|ticket|issue|page|chapter|section|slide|version|phase|line|building|extension|desk|aged?|#)\s*(?:no\.?\s*|number\s*|#\s*)?\d{1,9}\b"),
    compiled(r"\b(?:i'?m|i\s+am|he\s+is|she\s+is)\s+\d{1,3}\b(?:\s+years?\s+old)?|\b\d{1,3}[- ]years?[- ]old\b"),
    compiled(r"\b(?:rack|bay|cabinet|aisle|cage|shelf|hall|row)\s+(?!(?:l4|t4|a10|l40|a40|a30|a16|p40)\b)[a-z][- ]?\d{1,2}\b(?!\s*(?:x\b|gpus?\b|[a-z]{1,2}\d))"),
    compiled(r"\b24\s*/\s*7(?:/365)?\b|\b\d{2}(?:\.\d{1,4})?\s*%\s*(?:up-?time|availability|sla)\b|\b(?:sla|up-?time|availability)\s+(?:of\s+)?\d{2}(?:\.\d{1,4})?\s*%"),
    compiled(rf"(?<![\w.])(?:(?:company|firm|team|group|department|organi[sz]ation|staff|agency|startup|office)\s+(?:of|with)\s+(?:about\s+|some\s+)?{COUNT}\s+(?:people|persons|users)\b)|(?<![\w.]){COUNT}\s+(?:employees|staff|cats?|dogs?|kids|children|years?|months?|weeks?|regions?|countries|euros?|dollars?|customers)\b(?![^.;\n]{{0,50}}\b(?:at\s+(?:once|a\s+time|the\s+same\s+time)|simultaneous|concurren|in\s+parallel|online))"),
)  # fmt: skip


_MONEY = compiled(
    r"\b(?:costs?|priced?|paid|pays?|charge[sd]?|worth)\s+(?:us\s+|about\s+|around\s+|is\s+|of\s+|at\s+|was\s+|were\s+|some\s+|only\s+)*\d[\d.,]*\s?k?\b(?!\s*(?:ms|s\b|sec|tok|req|gpus?|x\b))"
)
"""`the GPUs cost 24k each`."""
_STAFF = compiled(
    rf"\b(?:our|the|my|this|whole|small|big)\s+(?:\w+\s+){{0,2}}?(?:team|company|group|department|firm|organi[sz]ation|lab|startup|unit|crew)\s+(?:has|have|counts|is|employs|consists\s+of|grew\s+to)\s+(?:about\s+|some\s+|around\s+|only\s+|now\s+)?{COUNT}\s+(?:\w+\s+)?(?:people|persons|engineers|developers|devs|employees|members|colleagues|scientists|researchers|heads|staff)\b(?![^.;\n]{{0,50}}\b(?:at\s+(?:once|a\s+time|the\s+same\s+time)|simultaneous|concurren|in\s+parallel|online))"
)
"""How large a team is."""
_DENIED = compiled(r"\b(?:fp8|fp4|nvfp4|bf16|fp16|int8|int4|awq|gptq)\s*\?\s*(?:no|nope|nein|non)\b")
"""A question that is answered with no: `GLM-4.5 FP8? no, the plain one`."""


_STRUCK = re.compile(r"~~(?P<words>[^~\n]{1,80})~~")


def without_struck(text: str, notes: Notes) -> str:
    """The text with words that are struck out eaten: `~~Qwen3-32B~~ Qwen3-235B`."""
    for match in _STRUCK.finditer(text):
        notes.assume(f"ignored: `{' '.join(match['words'].split())}` (struck out)")
    return _STRUCK.sub(lambda m: EATEN * len(m.group()), text)


def without_dates(text: str) -> str:
    """The text with dates, times, years, rooms and ages eaten: numbers that measure nothing of a plan."""
    for pattern in (*_NO_QUANTITY, _MONEY, _STAFF, _DENIED):
        text = pattern.sub(lambda m: EATEN * len(m.group()), text)
    return text


# --- numbers that are about right ---------------------------------------------------------------------------------------

_PARTS = {"half": 500, "third": 1000 / 3, "quarter": 250, "fifth": 200, "tenth": 100, "eighth": 125}
_PART_OF_SECOND = compiled(
    rf"(?<![\w.])(?:(?P<times>two|three|2|3|a|an|one|1)[- ])?(?P<part>{'|'.join(_PARTS)})s?\s+(?:of\s+)?(?:an?\s+|one\s+)?seconds?\b(?!\s+token)"
)
_AND_A_PART = compiled(
    rf"(?<![\w.])(?P<n>\d{{1,3}}|an?|one)\s+(?:(?P<unit>seconds?)\s+)?and\s+(?:a\s+|one\s+)?(?P<part>{'|'.join(_PARTS)})(?:\s+(?P<behind>seconds?))?\b"
)


_SECOND = compiled(
    r"(?P<how>\b(?:under|within|below|in|than|after|about|at\s+most|by)|<=?)\s+(?:a|one)\s+second\b(?!\s+(?:token|word|chunk|host|node|gpu))"
)
_THOUSAND_POINT = compiled(r"(?<![\w.,/-])(?P<a>\d{1,2})k(?P<b>\d)(?![\w/])")
"""`1k5` is 1.5k."""
_ORDINAL_PART = compiled(
    r"(?<![\w.])(?:an?\s+|one\s+|1/)?(?P<n>[1-9]\d{0,3})(?:th|st|nd|rd)\s+of\s+(?:an?\s+|one\s+)?seconds?\b"
)
"""`a 50th of a second`."""
_FRACTIONS = {
    "thirds": 3,
    "quarters": 4,
    "fifths": 5,
    "sixths": 6,
    "sevenths": 7,
    "eighths": 8,
    "ninths": 9,
    "tenths": 10,
}
_FRACTION = compiled(
    rf"(?<![\w.])(?P<n>[2-9])[- ](?P<part>{'|'.join(_FRACTIONS)})\b(?!\s+(?:of\s+)?(?:an?\s+|one\s+)?seconds?\b)"
)
"""`five sixths` as a share."""
_TABLE = re.compile(
    r"^[ \t]*\|?(?P<head>[^|\n]+(?:\|[^|\n]+)+)\|?[ \t]*\n(?:[ \t]*\|?[-:| \t]+\|?[ \t]*\n)?[ \t]*\|?(?P<row>[^|\n]+(?:\|[^|\n]+)+)\|?[ \t]*$",
    re.MULTILINE,
)


def with_plain_tables(text: str) -> str:
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
    text = with_ended_lines(_without_comments(_one_column(text)))
    if _COMMAS.search(text) and ", " not in text:
        text = re.sub(r",(?!\d{3}(?!\d))|(?<=\d{4}),", ", ", text)
    return _with_pairs(_TABLE.sub(pairs, text))


_ROW = re.compile(r"^[ \t]*\|(?P<cells>[^\n]*)\|[ \t]*$", re.MULTILINE)
_RULE = re.compile(r"[-: ]+")
_CHOSEN = compiled(
    r"new\w*|now|target\w*|planned|proposed|to[- ]?be|wanted|requirement\w*|future|neu\w*|soll|ziel|nouve\w+|cible|nuev\w+|nuov\w+|nov[oa]|新\S*|目标|目標"
)


def _one_column(text: str) -> str:
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


def with_plain_seconds(text: str) -> str:
    """`a third of a second` and `2 and a half seconds` in milliseconds and seconds."""

    def part(match: re.Match[str]) -> str:
        times = {"two": 2, "2": 2, "three": 3, "3": 3}.get((match["times"] or "").lower(), 1)
        return f"{times * _PARTS[match['part'].lower()]:.0f} ms"

    def ordinal(match: re.Match[str]) -> str:
        return f"{1000 / int(match['n']):.4g} ms"

    def more(match: re.Match[str]) -> str:
        if not (match["unit"] or match["behind"]):
            return match.group()
        whole = int(match["n"]) if match["n"].isdigit() else 1
        return f"{whole + _PARTS[match['part'].lower()] / 1000:.3g} seconds"

    text = _THOUSAND_POINT.sub(r"\g<a>.\g<b>k", _SECOND.sub(r"\g<how> 1 second", text))
    text = _FRACTION.sub(lambda m: f"{int(m['n']) * 100 / _FRACTIONS[m['part'].lower()]:.4g}%", text)
    return _PART_OF_SECOND.sub(part, _AND_A_PART.sub(more, _ORDINAL_PART.sub(ordinal, text)))


_SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000, "k": 1000, "million": 1_000_000}
_VAGUE = {
    "a couple": 2,
    "couple": 2,
    "a pair": 2,
    "a few": 3,
    "few": 3,
    "several": 5,
    "some": 3,
    "half a": 0.5,
    "half": 0.5,
    "a quarter of a": 0.25,
    "quarter": 0.25,
}
_ABOUT = compiled(
    rf"(?<![\w-])(?P<how>{'|'.join(sorted(_VAGUE, key=len, reverse=True))})[- ]+(?:of\s+)?(?P<scale>dozen|hundred|thousand|million|k)s?\b(?:\s+of\b)?"
)
_UNIT_AHEAD = r"(?=\s*(?:-?\s*(?:tok|input|output|prompt|context|answer|response|in\b|out\b|ms\b|milli|s\b|sec|users?\b|req|concurr|chars?|gpus?\b|words?\b|long\b)|$|[,;.)]))"
_RANGE = compiled(
    r"(?<![\w.,/-])(?:between\s+|from\s+)?(?P<a>\d{1,3}(?:,\d{3})+|\d{1,7}(?:\.\d{1,3})?)\s?(?P<ak>k)?\s?(?:-|\.{2,3}|to|and(?=\s+\d+k?\s*tok)|bis|à|až|~)\s?(?P<b>\d{1,3}(?:,\d{3})+|\d{1,7}(?:\.\d{1,3})?)\s?(?P<bk>k)?\b"
    + _UNIT_AHEAD
)


_BETWEEN = compiled(
    r"\bbetween\s+(?P<a>\d{1,3}(?:,\d{3})+|\d{1,7}(?:\.\d{1,3})?)\s?(?P<ak>k)?\s+and\s+(?P<b>\d{1,3}(?:,\d{3})+|\d{1,7}(?:\.\d{1,3})?)\s?(?P<bk>k)?\b"
    + _UNIT_AHEAD
)
_CALLED = compiled(
    r"(?<![\w.,/-])(?:(?:between|from|anywhere\s+from|zwischen|entre|tra|von|de|da)\s+)?(?P<a>\d[\d,.]{0,9})\s?(?P<ak>k)?\s?(?:-|\.{2,3}|\bup\s+to\b|\bto\b|\band\b|\bor\b|\bund\b|\bbis\b|\bet\b|\bà\b|\by\b|\ba\b|\be\b|~)\s?(?P<b>\d[\d,.]{0,9}(?<=\d))\s?(?P<bk>k)?\b(?P<unit>(?:\s+[a-z]{2,10}){0,2}?)"
    r"[\s,;:(-]+(?:(?:so|but|and|well|let'?s|we(?:'ll)?|just|please|for\s+planning)[\s,]+){0,3}(?:call\s+it|say|assume|take|use|plan\s+(?:for|with|on)|make\s+it|go\s+with|reckon(?:\s+with)?|count\s+on|pick|sagen\s+wir|disons|digamos|diciamo|(?:with\s+)?(?:an?\s+|the\s+)?(?:average|mean|median)(?:\s+of|\s+is|\s+being)?|averaging|on\s+average|im\s+mittel|en\s+moyenne|en\s+promedio)\s+(?:about\s+|around\s+|~)?(?P<n>\d[\d,.]{0,9}(?<=\d))\s?(?P<nk>k)?\b"
)
"""`between 1k and 3k, call it 2000`."""
_AVERAGED = compiled(
    r"(?<![\w.,/-])(?:between|from|anywhere\s+from)\s+(?P<a>\d[\d,.]{0,9})\s?(?P<ak>k)?\s?(?:-|\bto\b|\band\b)\s?(?P<b>\d[\d,.]{0,9}(?<=\d))\s?(?P<bk>k)?\b(?P<unit>(?:\s+[a-z]{2,10}){0,3}?)"
    r"\s*[,;(]\s*(?P<n>\d[\d,.]{0,9}(?<=\d))\s?(?P<nk>k)?\s+(?:on\s+average|in\s+the\s+mean|is\s+(?:the\s+)?(?:average|mean|typical|usual))\b"
)
"""`between 10 and 80 requests in flight, 35 on average`."""


def _amount(words: str, thousands: str | None) -> float:
    plain = words.rstrip(".,").replace(",", "")
    return (float(plain) if plain.count(".") <= 1 else 0.0) * (1000 if thousands else 1)


def _called(match: re.Match[str], notes: Notes) -> str:
    """The number that a range is settled on, when it lies within."""
    high = _amount(match["b"], match["bk"])
    low = _amount(match["a"], match["ak"] or (match["bk"] if _amount(match["a"], None) < 1000 else None))
    if not low <= _amount(match["n"], match["nk"]) <= high:
        return match.group()
    notes.assume(f"`{' '.join(match.group().split())}` read as {match['n']}{match['nk'] or ''}")
    return f"{match['n']}{match['nk'] or ''}{match['unit']}"


_PEAK = compiled(
    r"(?<![\w.])(?P<mean>\d[\d,.]*)(?P<what>\s+[a-z]+(?:\s+[a-z]+)?)?\s+(?:on\s+average|avg|average|typically|usually|normally|today|currently|at\s+present|at\s+the\s+moment|off-?\s?peak|at\s+night)[\s,;(]+(?:and\s+|but\s+|with\s+)?(?:up\s+to\s+|peaks?\s+(?:at|of)\s+)?(?P<peak>\d[\d,]*)(?:\s+(?:at|in|during)\s+(?:the\s+)?peaks?(?:\s+(?:time|hours?))?|\s+max\w*|\s+in\s+the\s+worst\s+case)"
)
_STATISTIC = r"(?:min(?:imum)?|p\s?\d{1,2}(?:\.\d)?|median|mean|avg|average|typical|max(?:imum)?)"
_SPREAD_VALUE = r"\d{1,3}(?:,\d{3})+|\d{1,7}(?:\.\d{1,3})?"
_OF_IT = r"\s*(?:[:=]|of|is|at|about|around|~)?\s*(?:about\s+)?"
_RUN_OF = rf"(?:(?:anywhere\s+|wildly,?\s+|widely,?\s+)?(?:between|from)\s+(?:{_SPREAD_VALUE})\s?k?\s+(?:up\s+)?(?:and|to)\s+(?:{_SPREAD_VALUE})\s?k?(?:\s*tok(?:en)?s?)?\s*[,;(:]?\s*(?:with\s+)?(?:an?\s+|the\s+)?)?"
_STATISTICS = compiled(
    rf"(?<![\w.]){_RUN_OF}{_STATISTIC}{_OF_IT}(?:{_SPREAD_VALUE})(?:\s?k)?\b(?:\s*tok(?:en)?s?\b)?(?:\s*(?:(?:[,/;|(]|\band\b|\bwith\b)\s*|\s(?=(?:mean|avg|median|p\d)))(?:and\s+)?(?:an?\s+|the\s+)?(?:hard\s+)?(?:{_STATISTIC}|cap(?:ped\s+at)?){_OF_IT}(?:{_SPREAD_VALUE})(?:\s?k)?\b(?!\s*(?:ms|s\b|sec))(?:\s*tok(?:en)?s?\b)?)+"
)
"""One quantity by several statistics: `min 200 / mean 1700 / max 16k`."""
_ONE_STATISTIC = compiled(
    rf"(?P<name>{_STATISTIC}){_OF_IT}(?P<n>(?:{_SPREAD_VALUE})(?:\s?k)?)\b(?P<unit>\s*tok(?:en)?s?\b)?"
)
_STATISTIC_ORDER = ("mean", "avg", "average", "typical", "median", "p50")


def _central(match: re.Match[str], notes: Notes) -> str:
    """The mean of several statistics, or what is nearest to it; times keep theirs, since the largest one binds."""
    parts = {re.sub(r"\s", "", m["name"].lower()): m for m in _ONE_STATISTIC.finditer(match.group())}
    name = next((name for name in _STATISTIC_ORDER if name in parts), None)
    if (
        name is None
        or len(parts) < 2
        or re.match(r"\s*(?:ms|milli|s\b|sec)", match.string[match.end() : match.end() + 8])
    ):
        return match.group()
    notes.assume(f"`{' '.join(match.group().split())}`: planned for the {name}")
    unit = parts[name]["unit"] or (" tokens" if "tok" in match.group().lower() else "")
    return f"{parts[name]['n']}{unit}"


_DOTTED = re.compile(
    r"(?<![\w.,])[1-9]\d{0,2}\.\d{3}(?=\s*(?:[^\W\d_]{3,14}[- ])?(?:tok|jeton|トークン|토큰))", re.IGNORECASE
)
_DOTTED_ALIKE = re.compile(r"(?<![\w.,])(?P<a>[1-9]\d{0,2})\.(?P<b>\d{3})(?![\w.,]*\d)(?!\s*(?:ms|s|sec\w*|%)\b)")


def with_plain_thousands(text: str) -> str:
    """`1.200` as 1200 where the text writes thousands with a dot elsewhere (`16.000 tokens`)."""
    return _DOTTED_ALIKE.sub(r"\g<a>\g<b>", text) if _DOTTED.search(text) else text


_PER_PAGE = compiled(
    r"\b(?:(?:an?|each|every|one)\s+page\s+(?:comes?\s+to|is|has|holds?|takes?|makes?|averages?|counts?)\s+(?:about\s+|around\s+|some\s+|roughly\s+|~\s*)?(?P<a>\d[\d,]{1,5})\s*tok\w*|(?:at\s+|with\s+|we\s+count\s+|counting\s+|assume\s+)?(?:about\s+|around\s+|some\s+|roughly\s+|~\s*)?(?P<b>\d[\d,]{1,5})\s*tok\w*\s+(?:to\s+(?:the|a)|per|a|each|/)\s*page)\b"
)
_PAGES = compiled(
    r"(?<![\w.,])(?:(?P<half>(?:one|a|1)\s+pages?\s+and\s+a\s+half|(?:one|1)\s+and\s+a\s+half\s+pages?)|(?P<n>\d{1,4}(?:\.\d)?|an?|one)[\s-]+pages?)\b(?!\s+(?:comes?|is|holds?|takes?))"
)


def with_plain_pages(text: str, notes: Notes) -> str:
    """Pages as tokens, where the text says how many tokens a page has."""
    each = _PER_PAGE.search(text)
    if each is None:
        return text
    tokens = int((each["a"] or each["b"]).replace(",", ""))

    def counted(match: re.Match[str]) -> str:
        words = match["n"] or ""
        pages = 1.5 if match["half"] else float(words) if words[:1].isdigit() else 1.0
        notes.assume(f"`{' '.join(match.group().split())}` read as {pages * tokens:g} tokens: {tokens} for each page")
        return f"{pages * tokens:g} tokens"

    return (
        _PAGES.sub(counted, text[: each.start()]) + EATEN * len(each.group()) + _PAGES.sub(counted, text[each.end() :])
    )


_WORDS_THEN_TOKENS = compiled(r"(?<![\w.,])\d[\d,]*\s+words\b(?=[^.;\n\d]{0,50}\d[\d,]*\s*tok)")
"""A length in words before the same in tokens: `1,400 words, which are 1,900 tokens`."""
_OUT_OF_TEN = compiled(
    r"(?<![\w.,])(?P<a>\d{1,2})\s+(?:out\s+of|in|of|of\s+every|out\s+of\s+every)\s+(?P<b>10|100|5|4|3|8|20)\s+(?=(?:prompt|input|context)?\s*tokens?\b)"
)
_IDIOMS = (
    (
        compiled(
            r"(?<![\w.,])(?P<old>\d[\d,.]{0,8})(?P<mid>[^.;\n]{0,60}?)[\s,.-]*\b(?:oh\s+)?no,?\s+wait,?\s+not\s+(?P=old)\b[^.;\n\d]{0,40}\b(?:it'?s|it\s+is|they\s+are|make\s+it|rather|but)\s+(?:now\s+)?(?P<new>\d[\d,.]{0,8})(?![\w.,]*\d)"
        ),
        r"\g<new>\g<mid>",
    ),
    (
        compiled(
            r"(?<![\w.,])\d[\d,.]{0,8}k?(?P<mid>\s+tok\w*)?\s*[-,.(]*\s*(?:scratch|strike)\s+that\b[^.;\n\d]{0,60}?[:,]?\s*(?P<new>\d[\d,]{0,8}(?:\.\d{1,2})?k?)(?=\s*(?:[.;,)\n]|$|tok))"
        ),
        r"\g<new>\g<mid>",
    ),
    (_WORDS_THEN_TOKENS, ""),
    (
        compiled(
            r"\b(?:swings\s+|varies\s+|moves\s+)?between\s+\d[\d,]*\s+and\s+(?P<n>\d[\d,]*)(?=[^.\d]{0,40}[;,.]\s*(?:please\s+)?(?:plan|size|design)\s+for\s+(?:the\s+)?(?P=n)\b)"
        ),
        r"\g<n>",
    ),
    (
        compiled(
            r"\b(?:requests|traffic|rate|load)\?\s*(?P<n>\d[\d,.]*)\s*(?:per|a|/)\s*(?P<u>second|minute|hour)s?\b"
        ),
        r"\g<n> requests per \g<u>",
    ),
    (
        compiled(
            r",?\s*(?:which\s+|that\s+)?(?:our|the|its)\s+tokeni[sz]er\s+(?:turns\s+(?:it\s+)?into|makes(?:\s+into)?|counts\s+as|sees\s+as)\b"
        ),
        " is",
    ),
    (
        compiled(
            r"\b(?:lengths?|prompts?|inputs?|outputs?|answers?|completions?)\s+(?:runs?|ranges?|var(?:y|ies)|go(?:es)?)(?=\s+\d[\d,.]*k?\s*(?:tok|[;,.]))"
        ),
        "is",
    ),
    (compiled(r"\b(?:turn|work|come)(?:s|ed)?\s+out\s+(?:to\s+be|at|as)\b"), "are"),
    (
        compiled(
            r"\b(?:turned|turns|found|find|figured?|sold|rolled?|rolling|worked|phas(?:e|ed)|pointed|carried|ran|run)\s+out\b(?!\s+of\s+the\s+question)(?!\s*[:=]?\s*\d)"
        ),
        "found",
    ),
)
"""`out` that is no output."""
_REPLICATED = compiled(
    r"(?<![\w.])(?P<r>\d{1,3})\s+replicas\s+(?:of|with)\s+(?P<n>\d{1,3})\s+(?P<what>gpus|cards|accelerators)(?:\s+each)?\b"
)
"""`two replicas of four GPUs each`: so many GPUs in all."""


def with_plain_numbers(text: str, notes: Notes) -> str:
    """`a few hundred` and `2-4k` as one number each; what that took for granted is noted."""

    def peak(match: re.Match[str]) -> str:
        notes.assume(f"`{' '.join(match.group().split())}`: planned for the peak")
        return f"{match['peak']}{match['what'] or ''}"

    def replicated(match: re.Match[str]) -> str:
        return f"{match['r']} replicas, {int(match['r']) * int(match['n'])} {match['what']}"

    def about(match: re.Match[str]) -> str:
        amount = _VAGUE[match["how"].lower()] * _SCALES[match["scale"].lower()]
        notes.assume(f"`{match.group().strip()}` read as {amount:g}")
        return f"{amount:g}"

    def larger(match: re.Match[str]) -> str:
        low, high = (float(match[end].replace(",", "")) for end in "ab")
        scale = match["bk"] or ""
        if low * (1000 if match["ak"] else 1) >= high * (1000 if scale else 1) and not (
            scale and not match["ak"] and low < high
        ):
            return match.group()
        notes.assume(f"`{match.group().strip()}` read as its upper end, {match['b']}{scale}")
        return f"{match['b']}{scale}"

    text = with_plain_pages(text, notes)
    text = _OUT_OF_TEN.sub(
        lambda m: f"{100 * int(m['a']) / int(m['b']):g}% of " if int(m["a"]) < int(m["b"]) else m.group(), text
    )
    for pattern, plain in _IDIOMS:
        text = pattern.sub(plain, text)
    text = _STATISTICS.sub(lambda m: _central(m, notes), text)
    text = _AVERAGED.sub(lambda m: _called(m, notes), text)
    text = _CALLED.sub(lambda m: _called(m, notes), _PEAK.sub(peak, _REPLICATED.sub(replicated, text)))
    return _RANGE.sub(larger, _BETWEEN.sub(larger, _ABOUT.sub(about, text)))


# --- the past and corrections -------------------------------------------------------------------------------------------

_PAST = compiled(
    r"\b(?:last\s+(?:year|month|week|quarter)(?!'s\s+(?:\w+\s+)?(?:logs?|traffic|traces?|metrics|monitoring|stat\w*|data|numbers|telemetry|histogram\w*))|previously|formerly|in\s+the\s+past|until\s+now|so\s+far,?\s+(?:we|it)|up\s+to\s+now|before\s+that|(?:we|it|this|that|there)\s+used\s+to|"
    r"we(?:'ve|'d|\s+have|\s+had)?\s+(?:once\s+|already\s+|first\s+)?(?:ran|had|tried|tested|benchmarked|were\s+running)|früher|bisher|auparavant|antes|nous\s+avons\s+(?:essayé|testé)|hemos\s+probado|abbiamo\s+provato)\b"
    r"(?:[^;.\n]|\.(?=\d)){0,200}?(?:;|[.!](?:\s|$)|\n|$|,?\s*\b(?:but\s+)?(?:now|today|this\s+(?:time|quarter|year|month|week)|jetzt|maintenant|ahora)\b|(?=,?\s*\b(?:so\s+(?=no\b|we\b|please\b|don'?t\b|let\b|weights?\b|it\b|the\b)|(?:(?:and|but|so)\s+)?(?:please\b|(?:we|i)(?:'d|\s+would|\s+now)?\s+(?:want|need|like|plan)\b))))"
)
_ACQUIRED = compiled(
    r"\b(?:bought|received|ordered|purchased|rented|delivered|arrived|installed|acquired|got(?=\s+(?:\w+\s+){0,2}?\d+\s*x?\s*[a-z]{1,2}\d{2,3}))\b"
)
"""What came in the past is there: `last week we got 8 H200`."""
_ATTEMPT = compiled(r"\b(?:ran|tried|tested|benchmarked|used|were\s+running)\b")
ENGINE_NAMES = Vocabulary(
    {
        "vllm": ("v-llm",),
        "sglang": ("sg-lang", "sgl"),
        "trtllm": ("tensorrt-llm", "tensor rt llm", "trt-llm", "tensorrt", "trt"),
    }
)
_MARKER = compiled(
    r"(?<![\s,;.(-])[\s,;.(-]*+(?:\?+[\s-]*(?:no|nope|nah|nee|nein|non|nao|não|нет)\b[\s,;.:!-]*|\b(?:(?:oh|no+|er+|uh+),?\s+wait|no(?=\s*[-:])|wait,?\s+no|scratch\s+that|strike\s+that|correction|sorry|oops|typo|my\s+bad|i\s+mean|i\s+meant|or\s+rather|make\s+(?:that|it)|"
    r"actually|rather|nein|non|perdón|quatsch|ich\s+meine|je\s+veux\s+dire|quiero\s+decir)\b[\s,:;.-]*)+(?:(?:i\s+meant?|i\s+mean|make\s+(?:that|it)|it'?s|that'?s|with|on|over|across|of|is|the|just|plain|regular|normal|vanilla|base|standard)\s+)*"
)
_NUMBER = compiled(
    r"(?<![\w.])(?:\d{1,6}|one|two|three|four|five|six|seven|eight|ten|twelve|sixteen|thirty-two)(?![\w.]*\d)(?!\w)"
)
_GOAL = compiled(r"\b(?:latency|throughput)\b")
_DEGREE = compiled(r"\s*\b(?P<kind>tp|pp|ep|dp|cp)[ =]?\d{1,5}\b")
_DTYPE = compiled(r"(?<![\w-])(?P<dtype>(?:mx|nv)?fp(?:4|8|16)|bf16|int[48]|awq|gptq)\b")
_COUNT_AHEAD = re.compile(rf"\s*(?:{_NUMBER.pattern})?\s*(?:x\b)?\s*$", re.IGNORECASE)
_COUNT_BEFORE = re.compile(rf"(?:{_NUMBER.pattern})\s*(?:x\s*)?$", re.IGNORECASE)


def without_past(text: str, models: Vocabulary, notes: Notes) -> str:
    """The text without what it says was so before (`last year we ran X; now ...`); a model that is named nowhere else stays."""

    def forget(match: re.Match[str]) -> str:
        words = match.group()
        if "again" in words.lower() or (_ACQUIRED.search(words) and not _ATTEMPT.search(words)):
            return words
        if any(c.isdigit() for c in words):
            notes.assume(f"ignored: `{' '.join(words.split())[:80]}` (told as past)")
        return EATEN * len(words)

    left = _PAST.sub(forget, text)
    for mention in models.mentions(text)[-1:] if left != text and not models.mentions(left) else ():
        start, end = mention.span
        left = left[:start] + text[start:end] + left[end:]
    return left


def corrected(text: str, vocabularies: Sequence[Vocabulary], notes: Notes) -> str:
    """The text with its last words where it corrects itself: `8, no wait, 16 H100` is `16 H100`."""
    text = _NO_BUT.sub(lambda m: _replaced(m, notes), _TIMES.sub(lambda m: _replaced(m, notes), text))
    text = _OTHER_UNIT.sub(
        lambda m: f"{m['n']} {m['what']} per {m['unit']}", _RETYPED.sub(lambda m: _blanked(m, notes), text)
    )
    text = _ONLY_SO_MANY.sub(lambda m: _revised(m, notes), _OF_THOSE.sub(lambda m: _revised(m, notes), text))
    text = _GROWING.sub(lambda m: _revised(m, notes), text)
    for pattern in _TURNED:
        text = pattern.sub(lambda m: _turned(m, notes), text)
    for _ in range(3):
        text = _REVISED.sub(lambda m: _revised(m, notes), text)
    text = _SCRAPPED.sub(lambda m: _replaced(m, notes), _DECIDED.sub(lambda m: _decided(m, notes), text))
    text = _came_out(_fewer(text, notes), vocabularies, notes)
    text = _reversioned(_undenied(text, vocabularies, notes), vocabularies[0], notes)
    for _ in range(4):
        match = next((m for m in _MARKER.finditer(text) if _corrects(text, m, vocabularies) is not None), None)
        if match is None:
            return text
        swapped = _swapped(text, match, vocabularies)
        if swapped is not None:
            notes.assume(f"`{' '.join(text[match.start() : match.end() + 24].split())}`: read what was said last")
            text = swapped
            continue
        start = _corrects(text, match, vocabularies)
        assert start is not None
        notes.assume(f"`{' '.join(text[start : match.end() + 12].split())}`: read what was said last")
        text = text[:start] + text[match.end() :]
    return text


_OUTCOME = compiled(
    r"(?<![\s,;.(?-])[\s,;.(?-]*+\b(?:(?:(?:oh|no|but|and|then|so|now|wait|actually|finally|eventually|later|instead|in\s+the\s+end)[\s,;-]+){0,5}(?:(?:the\s+|our\s+)?[a-z]{1,14}\s+)??(?:(?:have|has|had|then|finally|eventually|since|now|only|just)\s+){0,3}"
    r"(?:settled\s+(?:on|for)|decided\s+(?:on|for|to\s+(?:use|take|go\s+with))|agreed\s+on|ended\s+up\s+(?:with|on|getting|using|buying)|came\s+(?:back|out|through)\s+with|came\s+up\s+with|wound\s+up\s+with|landed\s+(?:on|with)|went\s+(?:with|for)|switched\s+(?:over\s+)?to|moved\s+(?:over\s+)?to|"
    r"(?:only|just)\s+(?:got|gave\s+us|delivered|approved|received|granted)|got\s+only)|instead\s+(?:we|they|i)\s+(?:have|got|use|took|bought|received)|(?:we|they|i)\s+(?:have|got|received)\s+(?=[^.;\n]{1,30}\binstead\b))"
    r"\s+(?:(?:the|an?|some|plain|only|just|with)\s+)*"
)
"""What it came to, behind what was planned: `we settled on`, `but only got`, `instead they have`."""
_WANTED_FIRST = compiled(
    r"\?|\b(?:plan(?:ned|ning)?|want(?:ed|ing)?|asked|order(?:ed)?|hop(?:ed|ing)|request(?:ed)?|applied|consider(?:ed|ing)?|thought|thinking|intend(?:ed)?|wish(?:ed)?|meant|looked|looking|aim(?:ed|ing)?|expect(?:ed)?|budgeted|first|initially|originally|evaluated|tried|would\s+have|should\s+have|supposed)\b"
)
_TOLD_COUNT = re.compile(rf"(?:{_NUMBER.pattern})\s*(?:x\s*)?$", re.IGNORECASE)
_INSTEAD = compiled(r"\s+instead\b")


def _came_out(text: str, vocabularies: Sequence[Vocabulary], notes: Notes) -> str:
    """The text with what it came to in place of what was planned: `planned on H100 but only got H200` is about H200."""
    for marker in _OUTCOME.finditer(text):
        base = max(0, marker.start() - LOOK_BACK)
        before, after = text[base : marker.start()], text[marker.end() : marker.end() + 60]
        sentences = before[-160:]
        for vocabulary in vocabularies if _WANTED_FIRST.search(sentences + text[marker.start() : marker.end()]) else ():
            new = next((m for m in vocabulary.mentions(after) if _COUNT_AHEAD.match(after[: m.span[0]])), None)
            old = vocabulary.mentions(before)
            if new is None or not old:
                continue
            notes.assume(
                f"`{' '.join((before[old[-1].span[0] :] + text[marker.start() : marker.end() + new.span[1]]).split())[:100]}`: read what it came to"
            )
            return text[:base] + _in_place(before, after, (old, new.span), text[marker.end() + 60 :])
    return text


def _in_place(before: str, after: str, places: tuple[Sequence[Mention], tuple[int, int]], rest: str) -> str:
    """The new name (with its own count, or else with the old one's) where the last old name stood; older names are gone."""
    mentions, (start, end) = places
    old_start, old_end = mentions[-1].span
    if after[:start].strip():
        count = _TOLD_COUNT.search(before[:old_start])
        old_start = count.start() if count is not None else old_start
        start = 0
    for mention in mentions[:-1]:
        a, b = mention.span
        before = before[:a] + EATEN * (b - a) + before[b:]
    behind = _INSTEAD.sub("", after[end:], count=1) if _INSTEAD.match(after[end:]) else after[end:]
    return before[:old_start] + after[start:end] + before[old_end:] + " " + behind + rest


_FEWER = compiled(
    r"\b(?:plan(?:ned)?|want(?:ed)?|asked|ordered|hoped|requested|applied|wished|budgeted)\b[^.;\n\d]{0,24}(?P<old>\d{1,5})(?P<noun>\s*x?\s*(?:[a-z]{1,2}\d{2,3}\w{0,3}|gpus?|cards?|nodes?|servers?|hosts?|machines?)\b[^.;\n\d]{0,20}?)"
    r"[\s,;-]*\b(?:but|and)\b[^.;\n\d]{0,30}?\b(?:got|received|approved|granted|delivered|came\s+back\s+with|ended\s+up\s+with|given)\s+(?:only\s+|just\s+|us\s+)*(?P<new>\d{1,5})(?=\s*(?:[.,;:)\n]|$|of\s+them))(?:\s*of\s+them)?"
)
"""`we asked for 32 H100 but only got 16`."""


def _fewer(text: str, notes: Notes) -> str:
    return _FEWER.sub(lambda m: _replaced(m, notes), text)


_MORE_BETWEEN = re.compile(r"[,.;\n]\s[^\x1f]*\d")


def _swapped(text: str, marker: re.Match[str], vocabularies: Sequence[Vocabulary]) -> str | None:
    """The text with a corrected name in the old one's place, when more was said between the two (`V3.1, 8 H200. Make that R1`)."""
    base = max(0, marker.start() - LOOK_BACK)
    before, after = text[base : marker.start()], text[marker.end() : marker.end() + 60]
    for vocabulary in vocabularies:
        new = next((m for m in vocabulary.mentions(after) if _COUNT_AHEAD.match(after[: m.span[0]])), None)
        old = vocabulary.mentions(before) if new is not None else []
        gap = before[old[-1].span[1] :] if old else ""
        another = any(v is not vocabulary and v.mentions(gap) for v in vocabularies)
        if new is not None and old and (another or _MORE_BETWEEN.search(gap)):
            return text[:base] + _in_place(before, after, (old[-1:], new.span), text[marker.end() + 60 :])
    return None


_SCRAPPED = compiled(
    r"\b(?:forget|ignore|scrap|disregard|never\s+mind|not\s+counting)\b[^.;\n\d]{0,40}?(?P<old>\d{1,9})(?P<noun>[^.;\n\d]{0,24}?)[\s,:;-]+(?:it'?s|it\s+is|they\s+are|now|make\s+(?:that|it)|use|take|we\s+(?:need|have|want|are))\s+(?:now\s+)?(?P<new>\d{1,9})\b"
)
"""`forget the earlier number of 64 users, it is 24`."""
_NO_BUT = compiled(
    r"(?<![\w.])(?P<old>\d{1,6})(?P<noun>\s*x?\s*[a-z][\w-]{0,12}(?:\s+[a-z]\w{0,12})?)\s*\?+\s*(?:no|nope|nah|nein|non)\b[,!.\s]+(?P<new>\d{1,6})(?![\w.]*\w)"
)
"""`36 B200s? no, 32.`"""
_TIMES = compiled(
    r"(?<![\w.,])(?P<old>\d{1,4})(?P<noun>(?:\s?x\s?(?:nvidia\s+|amd\s+)?[a-z]{1,7}|\s+(?:nvidia\s+|amd\s+)?[a-z]{1,3}\d{2,3})[\w-]{0,14}(?:[\s(-]{1,2}(?:\d{2,3}\s?gb?|sxm\d?|pcie|nvl|ada|pro|\d{4}|gpus?|cards?)\)?){0,4})[\s,.;(-]+(?:(?:no|oh|wait|sorry|oops|actually|rather|i\s+mean|i\s+meant|correction|make\s+(?:that|it)|scratch\s+that|it'?s)[\s,:;-]+){1,4}(?P<new>\d{1,4})\s?x?(?=\s*(?:[;!)\n]|[,.](?!\d)|$))"
)
"""`4x A100 80GB... sorry, 8x`."""
_OTHER_UNIT = compiled(
    r"(?<![\w.,])(?P<n>\d+(?:[.,]\d+)*)\s*(?P<what>req\w*|queries|calls|prompts|messages)\s*(?:/|per|a)\s*(?:s|sec(?:ond)?|min(?:ute)?|h(?:our)?)\b[\s.,;(-]*\b(?:no|sorry|wait|oops|i\s+mean|rather|actually|correction)\b[\s,:;.-]*(?:it'?s\s+|make\s+it\s+|i\s+mean\s+)?(?:per|/|a)\s*(?P<unit>second|minute|hour|day)s?\b!?"
)
"""`24 req/min... no, per second`."""
_RETYPED = compiled(
    r"(?P<old>(?<![\w.,/])\d+(?:[.,]\d+)*k?(?:\s?/\s?\d+(?:[.,]\d+)*k?)?)(?P<noun>(?:\s+[a-z]+){0,2})(?P<mark>[\s,;.(-]*\b(?:(?:(?:oh|no+|ah),?\s+wait|wait(?:\s*,?\s*no)?|no|sorry|oops|hm+|correction|scratch\s+that|actually)\b[\s,;:.-]*(?:that|those|this|these)(?:'?s|'?re|\s+is|\s+are|\s+was|\s+were)\s+(?=[a-z])"
    r"|(?:(?:but|though|well|oh)[\s,]+)?(?:that|those|these|it)(?:'?s|'?re|\s+is|\s+are|\s+was|\s+were)\s+(?:just\s+|only\s+|merely\s+)?(?=(?:what|from|for|the|an?|their|some|nvidia's|amd's|marketing)\s+(?:[\w-]+\s+){0,2}?(?:benchmarks?|defaults?|demo|examples?|template|leaderboard|blog|papers?|brochure|marketing|datasheet|mlperf|inferencemax)\b)))"
)
"""A number that turns out to count something else: `500, no wait, that's the daily users`."""
_ONLY_SO_MANY = compiled(
    r"(?P<old>(?<![\w.,])\d+(?:[.,]\d+)*k?\b)(?P<noun>(?:\s+[^\W\d_]+){1,4}?)(?P<mark>\s*,?\s*(?:não|nein|nicht|no|non|not|nope)\s*,\s*(?:apenas|só|nur|sondern|solo|seulement|only|just|rather|but)\s+)(?P<new>\d+(?:[.,]\d+)*k?)(?![\w.]*\d)(?P<again>(?:\s+[^\W\d_]+){1,4})?"
)
"""`20 requests per second no, only 2`."""
_OF_THOSE = compiled(
    r"(?P<old>(?<![\w.,])\d+(?:[.,]\d+)*k?)(?P<noun>\s+(?!in\b|out\b|inputs?\b|outputs?\b|gpus?\b|cards?\b|accelerators?\b|nodes?\b|hosts?\b|servers?\b|machines?\b|box(?:es)?\b|racks?\b|x\b|tok|replicas?\b|experts?\b|layers?\b)[a-z]{3,}(?:\s+[a-z]{3,})?)(?P<mark>\s*,\s*(?P<part>of\s+(?:whom|which|those|them)\s+)?(?:(?:about|around|roughly|some|only|maybe|at\s+most|up\s+to|perhaps)\s+)*)(?P<new>\d+(?:[.,]\d+)*k?)(?:\s+of\s+(?:them|whom|those|these)\b|(?=\s+(?:are\s+)?(?:active|online|connected|typing|waiting)\b)|(?(part)(?![\d.,]*(?:\d|\s*%|k?\s*tok))|(?!)))"
)
"""`900 agents, about 120 of them at once`: the part counts."""
_GROWING = compiled(
    r"(?P<old>(?<![\w.,])\d+(?:[.,]\d+)*k?)(?P<noun>\s+(?:(?:concurrent|simultaneous|parallel|active)\s+)?(?:users|people|chats|sessions|requests|streams|clients|conversations|rps|qps|req/s|requests\s+per\s+second)\b(?:\s+(?:at\s+(?:once|a\s+time|the\s+same\s+time)|in\s+(?:parallel|flight)|concurrently|simultaneously))?)(?P<mark>[^.;\n]{0,100}?[\s,;.-]+(?:so\s+|and\s+|but\s+)?(?:please\s+|let'?s\s+)?(?:plan|size|design|dimension|provision|prepare|build)\s+(?:it\s+|this\s+|things\s+)?for\s+(?:the\s+)?)(?P<new>\d+(?:[.,]\d+)*k?)(?=\s*(?:[.,;)!]|$))"
)
"""`30 chats today, 90 next year, plan for 90`."""
_REVISED = compiled(
    r"(?P<old>(?<![\w.,])\d+(?:[.,]\d+)*k?\b)(?P<noun>(?:\s+(?!and\b|in\b|out\b)[a-z]+){0,2})(?P<mark>[\s,;.(-]+(?:[a-z'.]+\s+){0,2}?(?:corrected|changed|revised|updated|raised|lowered|reduced|cut|bumped|upped|agreed|settled|decided)\s+(?:it\s+|this\s+|that\s+)?(?:to|on|down\s+to|up\s+to)\s+)(?P<new>\d+(?:[.,]\d+)*k?)(?![\w.]*\d)"
)
"""`Paul said 200, Mei corrected to 260`."""


_ONE = r"(?<![\w.,])\d+(?:[.,]\d+)*k?(?![\w.]*\w)"
_TIME = r"(?<![\w.,])\d+(?:[.,]\d+)?\s?(?:ms|milliseconds?|s|secs?|seconds?)\b"
_STOPS = r"(?=\s*(?:[.,;!()]|$|instead\b|at\s+most\b|max\b))"
_TURNED = (
    compiled(
        rf"(?P<old>{_ONE})(?P<noun>\s*x?\s*(?:[a-z]{{1,2}}\d{{2,3}}\w{{0,3}}|[a-z]+)?(?:\s+gpus?)?)[\s,;(-]+(?:(?:uh+|er+|hm+|oh|ah|no|sorry|oops|but)[\s,]+){{1,3}}wait\b[^.;\n\d]{{0,60}}?\b(?:so|now|leaves?|left\s+with|makes?|have)\s+(?:it'?s\s+|only\s+|us\s+|just\s+)*(?P<new>{_ONE}){_STOPS}"
    ),
    compiled(
        rf"(?P<old>{_ONE})(?P<noun>(?:\s+[a-z]+){{0,3}}?)[\s,;(-]+(?:but|hm+|er+|or|and|well|so|no)[\s,]+(?:then\s+|now\s+|please\s+)?let'?s\s+(?:rather\s+|better\s+|instead\s+)?(?:say|use|take|assume|call\s+it|make\s+(?:it|that)|go\s+with|plan\s+(?:for|with|on))\s+(?P<new>{_ONE}){_STOPS}"
    ),
    compiled(
        rf"(?<=\s)(?P<old>{_TIME})(?<=[a-z])(?P<noun>[^.;\n\d]{{0,50}}?)[\s,;-]+(?:(?:but|and)\s+)?(?:(?:we|they|i|users?)\s+(?:now\s+)?(?:want|need|expect|would\s+like|'d\s+like|aim\s+(?:for|at))|it\s+(?:should|must)\s+be)\s+(?:it\s+)?(?:(?:to\s+be|at\s+most|under|within|below|max)\s+)*(?P<new>{_TIME}){_STOPS}"
    ),
    compiled(
        rf"(?<=\s)(?P<old>{_TIME})(?<=[a-z])(?P<noun>[^.;,\n\d]{{0,40}}?)[\s,;-]+(?:but\s+|and\s+|now\s+)?(?:it\s+|that\s+|this\s+)?(?:must|should|has\s+to|needs\s+to)\s+(?:now\s+)?(?:come|go|get|be|drop)\s+(?:(?:down|reduced|cut|to|under|below|within|at\s+most)\s+){{1,3}}(?P<new>{_TIME}){_STOPS}"
    ),
    compiled(
        rf"(?<=\s)(?P<old>{_TIME})(?<=[a-z])(?P<noun>[^.;,\n\d]{{0,40}}?)[\s,-]+(?:but|and|while)\s+(?P<new>{_TIME})(?=\s+(?:is|are)\s+(?:required|needed|mandatory|contractual|binding|an?\s+must|the\s+(?:limit|target|requirement|contract|goal))\b)"
    ),
)
"""A value that is taken back, and what stands instead, without a name: `32 H200, no wait, one node died, so 24`; `takes 8 s to start, we want 2 s`."""
_TAKES = compiled(
    r"\b(?:used\s+to\s+be|is\s+at|takes?|took|gets?|got|was|were|had|sees?|currently|today|right\s+now)\s+(?:about\s+|around\s+|some\s+)?$"
)


def _blanked(match: re.Match[str], notes: Notes) -> str:
    notes.assume(f"ignored: `{' '.join(match.group().split())}` (taken back)")
    old = match["old"]
    return match.group().replace(old, EATEN * len(old), 1)


def _revised(match: re.Match[str], notes: Notes) -> str:
    notes.assume(f"`{' '.join(match.group().split())}`: read what was said last")
    again = match.groupdict().get("again") or ""
    more = set(again.split()) - set(match["noun"].split())
    return f"{match['new']}{again if more else match['noun']} "


_NEGATOR = compiled(
    r"(?:\bnot|\bno|\bnever|\binstead\s+of|\brather\s+than|\bnicht|\bkeine?n?|\bpas|\bnon|\bniet|\bnie|\bне|而不是|不是|ではなく)\s*(?:(?:on|with|for|the|an?|auf|mit|sur|de|su|con|в|на)\s+)*$"
)
_NEW_VERSION = compiled(r"(?:the\s+|it\s+)?v?(?P<v>\d\.\d)(?![\d.]*\d)(?!\s*(?:s|ms|sec\w*|k|tok\w*)\b)")
_OLD_VERSION = re.compile(r"(?<![\d.])\d(?:\.\d)?(?![\d.bB])")


def _replaced(match: re.Match[str], notes: Notes) -> str:
    notes.assume(f"`{' '.join(match.group().split())}`: read what was said last")
    return f"{match['new']}{match['noun']} "


def _turned(match: re.Match[str], notes: Notes) -> str:
    """The new value; a time stands unless the text tells of it (`takes 8 s`)."""
    told = match.re is _TURNED[-1] or _TAKES.search(match.string, max(0, match.start() - 40), match.start("old"))
    return (
        match.group()
        if match["old"][-1].isalpha() and match["old"][-1] != "k" and not told
        else _replaced(match, notes)
    )


def _undenied(text: str, vocabularies: Sequence[Vocabulary], notes: Notes) -> str:
    """The text without names that it says no to (`8x H100, not H200`), where it names another one."""
    for vocabulary in vocabularies:
        mentions = vocabulary.mentions(text)
        denied = [m for m in mentions if _NEGATOR.search(text[max(0, m.span[0] - 30) : m.span[0]])]
        kept = {m.keys for m in mentions if m not in denied}
        for mention in denied if kept else ():
            start, end = mention.span
            notes.assume(f"`{text[start:end]}` is not meant: the text says no to it")
            text = text[:start] + EATEN * (end - start) + text[end:]
    return text


def _reversioned(text: str, models: Vocabulary, notes: Notes) -> str:
    """The text with the version that it corrects a model's to: `Llama 3.1 70B. Actually make it 3.3`."""
    for marker in _MARKER.finditer(text):
        new = _NEW_VERSION.match(text, marker.end())
        base = max(0, marker.start() - LOOK_BACK)
        old = models.mentions(text[base : marker.start()]) if new is not None else []
        if new is None or not old:
            continue
        start, end = (base + place for place in old[-1].span)
        name = _OLD_VERSION.sub(new["v"], text[start:end], count=1)
        if name != text[start:end] and any(m.span == (0, len(name)) for m in models.mentions(name)):
            notes.assume(f"`{text[start:end]}` corrected to `{name}`")
            return text[:start] + name + text[end : marker.start()] + " " + text[new.end() :]
    return text


_DECIDED = compiled(
    rf"(?P<first>{_NUMBER.pattern})(?P<what>\s*x?\s*[a-z]{{1,2}}\d{{1,3}}\w{{0,3}}(?:\s+gpus?)?)?\s*\??\s*(?:,|\bor\b|\bor\s+maybe\b|\bmaybe\b|\bdo\s+we\s+need\b|\s)+(?P<second>{_NUMBER.pattern})"
    rf"(?P<again>\s*x?\s*[a-z]{{1,2}}\d{{1,3}}\w{{0,3}}(?:\s+gpus?)?)?\s*\?[^\w\n]*(?:\w{{1,6}}\s+){{0,2}}?(?:let'?s\s+)?(?:pick|go\s+(?:with|for)|take|choose|use|make\s+it|say|call\s+it|assume)\s+(?P<last>{_NUMBER.pattern})(?P<named>\s*x?\s*[a-z]{{1,2}}\d{{1,3}}\w{{0,3}})?"
)
"""A question that the text answers itself: `8 H200? or 16? pick 16`."""


def _decided(match: re.Match[str], notes: Notes) -> str:
    """The number that was settled on, with what was counted."""
    if match["last"] not in (match["first"], match["second"]):
        return match.group()
    notes.assume(f"`{' '.join(match.group().split())}`: read what was said last")
    return match["last"] + (match["named"] or match["what"] or match["again"] or "")


LOOK_BACK = 1_200
"""Characters before a correction within which what it corrects stands."""


def _corrects(text: str, marker: re.Match[str], vocabularies: Sequence[Vocabulary]) -> int | None:
    """Where the words start that those after the marker replace: the last ones of the same kind before it; None when there are none."""
    base = max(0, marker.start() - LOOK_BACK)
    start = _replaced_from(text[base : marker.start()], text[marker.end() : marker.end() + 60], vocabularies)
    return None if start is None else base + start


def _replaced_from(before: str, after: str, vocabularies: Sequence[Vocabulary]) -> int | None:
    """The same within the words before a correction."""
    for vocabulary in vocabularies:
        new = next((m for m in vocabulary.mentions(after) if _COUNT_AHEAD.match(after[: m.span[0]])), None)
        old = vocabulary.mentions(before) if new is not None else []
        if new is not None and old:
            start = old[-1].span[0]
            count = _COUNT_BEFORE.search(before[:start]) if _NUMBER.match(after.lstrip()) else None
            return count.start() if count is not None else start
    goals = list(_GOAL.finditer(before))
    if _GOAL.match(after) is not None and goals and len(before) - goals[-1].end() <= 40:
        return goals[-1].start()
    degree = _DEGREE.match(after)
    if degree is not None:
        same = [m for m in _DEGREE.finditer(before) if m["kind"].lower() == degree["kind"].lower()]
        return same[-1].start("kind") if same else None
    named = _DTYPE.match(after.lstrip())
    if named is not None:
        same = list(_DTYPE.finditer(before))
        return same[-1].start("dtype") if same and len(before) - same[-1].end() <= 40 else None
    typed = _same_kind(before, after)
    if typed is not None:
        return typed
    last = _NUMBER.match(after.lstrip())
    if last is None:
        return None
    numbers = list(_NUMBER.finditer(before))
    if not numbers or len(before) - numbers[-1].end() > 40:
        return None
    kinds = {_counted_by(before, numbers[-1].end()), _counted_by(after.lstrip(), last.end())}
    return numbers[-1].start() if len(kinds - {None}) < 2 else None


_COUNTS = (
    compiled(
        r"\s*(?:concurren\w+|simultaneous|parallel|users?|people|sessions?|chats?|streams?|in\s+flight|at\s+once)\b"
    ),
    compiled(r"\s*(?:tokens?\s+)?(?:in|out|inputs?|outputs?|prompts?|answers?|tokens?)\b"),
    compiled(r"\s*(?:rps|qps|req(?:uest)?s?\s*(?:/|per))"),
    compiled(r"\s*(?:ms|s|seconds?|milliseconds?)\b"),
)


def _counted_by(text: str, end: int) -> int | None:
    """Which kind of noun stands behind a number: a load, a length, a rate, a time; None when another one does."""
    return next((kind for kind, pattern in enumerate(_COUNTS) if pattern.match(text, end)), None)


def _same_kind(before: str, after: str) -> int | None:
    """Where the last quantity before a marker starts, when the marker is followed by one of the same kind: `3k. Sorry, 30k`."""
    new = next(iter(quantities(after)), None)
    old = quantities(before)
    if new is None or not old or new.kind not in ("time", "tokens", "thousands", "speed", "rate", "pace"):
        return None
    leading = after[: new.span[0]].strip()
    near = len(before) - old[-1].span[1] <= 40
    return old[-1].span[0] if old[-1].kind == new.kind and not leading and near else None


# --- spelling ------------------------------------------------------------------------------------------------------------

_TRADE = [
    "throughput",
    "latency",
    "latencies",
    "concurrency",
    "concurrent",
    "simultaneous",
    "prefill",
    "decode",
    "disaggregated",
    "disaggregate",
    "pipeline",
    "parallelism",
    "parallel",
    "tensor",
    "expert",
    "cheapest",
    "inference",
    "requests",
    "request",
    "sequence",
    "attention",
    "replicas",
    "milliseconds",
    "seconds",
    "tokens",
    "prompts",
    "nodes",
    "servers",
    "hosts",
    "minimum",
    "maximum",
    "lowest",
    "highest",
    "fastest",
    "precision",
    "weights",
    "activations",
    "quantised",
    "quantized",
    "engine",
    "sglang",
    "instance",
    "cluster",
    "optimise",
    "optimize",
    "maximise",
    "maximize",
    "minimise",
    "minimize",
    "context",
]
_ENGLISH = frozenset(
    [
        "expect",
        "expects",
        "except",
        "pipelines",
        "sequences",
        "requested",
        "parallels",
        "instances",
        "clusters",
        "experts",
        "concurrently",
        "simultaneously",
        "latent",
        "lately",
        "later",
        "token",
        "prompt",
        "seconds",
        "second",
        "hosted",
        "server",
        "node",
        "engines",
        "contexts",
        "optimised",
        "optimized",
        "maximised",
        "maximized",
        "minimised",
        "minimized",
        "tensors",
        "attentions",
        "lower",
        "higher",
        "faster",
        "slowest",
        "weight",
        "optimal",
        "optimum",
        "minimal",
        "maximal",
        "minima",
        "maxima",
        "request",
        "replica",
        "decoder",
        "decoded",
        "decodes",
        "prefills",
        "experts",
        "cheaper",
        "cheap",
        "hosting",
        "tenders",
        "tender",
        "texts",
        "contest",
        "contents",
        "content",
        "contexts",
        "seconde",
        "secondes",
        "sekunden",
        "tokens",
        "jetons",
        "latence",
        "parallele",
        "parallelism",
        "parallelisms",
        "concurrencia",
        "concurrence",
        "concurrents",
        "paralleli",
    ]
)
_FAMILY_WORD = compiled(
    r"(?<![\w/.-])(?P<word>[a-z]{4,10})(?=[- ]?(?:v|r|k)?\d|[- ](?:scout|maverick|large|nemo|coder))"
)
_LONG_WORD = compiled(r"(?<![\w/.-])[a-z]{6,16}(?![\w/])")


_SLIPS_MEANT = {
    slip: meant
    for meant, slips in {
        "input": "inut imput inpt inputt intput", "output": "ouput outut outpt outputt ouptut otuput", "token": "tokn toekn", "tokens": "tokns toekns tokes",
        "users": "usres uesrs userss usr usrs", "prompt": "promt prmopt promtp", "model": "modle modell", "vllm": "vlm vllmm", "people": "ppl poeple",
        "throughput": "tput thruput", "latency": "lat latncy", "nodes": "noeds nods", "with": "wiht wtih", "under": "undr", "request": "requst reqest",
        "requests": "reqests requsts",
    }.items()
    for slip in slips.split()
}  # fmt: skip
_SHORT_SLIPS = compiled(rf"(?<![\w/.=-])(?:{'|'.join(_SLIPS_MEANT)})(?![\w/-]|\.\w)")
"""Slips in words too short to be corrected by distance, and what the trade clips."""


def spelled(text: str, families: frozenset[str], notes: Notes) -> str:
    """The text with mistyped words of the trade and names of model families put right, one slip in each (two in long ones)."""

    def right(match: re.Match[str], words: Sequence[str]) -> str:
        word = match.group().lower()
        meant = word if word in _ENGLISH else _nearest(word, tuple(words))
        if meant == word:
            return match.group()
        notes.assume(f"`{match.group()}` read as {meant}")
        return meant

    text = _TYPED_ENGINE.sub(lambda m: _typed_engine(m, notes), text)
    text = _SHORT_SLIPS.sub(lambda m: _SLIPS_MEANT[m.group().lower()], text)
    text = _SHORT_WORD.sub(lambda m: _short(m, notes), text)
    text = _FAMILY_WORD.sub(lambda m: right(m, sorted(families)), text)
    return _LONG_WORD.sub(lambda m: right(m, _TRADE), text)


def _swapped_letters(word: str, meant: str) -> bool:
    """Whether two neighbouring letters are swapped, and nothing else."""
    if len(word) != len(meant) or word == meant:
        return False
    wrong = [i for i, (a, b) in enumerate(zip(word, meant, strict=True)) if a != b]
    return (
        len(wrong) == 2
        and wrong[1] == wrong[0] + 1
        and word[wrong[0]] == meant[wrong[1]]
        and word[wrong[1]] == meant[wrong[0]]
    )


def _left_out(word: str, meant: str) -> bool:
    """Whether one letter within a word is left out."""
    return len(word) == len(meant) - 1 and any(meant[:i] + meant[i + 1 :] == word for i in range(1, len(meant) - 1))


def _short(match: re.Match[str], notes: Notes) -> str:
    """A short word of the trade with two letters swapped (any) or one left out (those that are no words then)."""
    word = match.group().lower()
    found = [w for w in _SHORT_TRADE if _swapped_letters(word, w) or (len(w) > 5 and _left_out(word, w))]
    if word in _SHORT_TRADE or word in _ENGLISH or len(found) != 1:
        return match.group()
    notes.assume(f"`{match.group()}` read as {found[0]}")
    return found[0]


_SHORT_TRADE = (
    "first", "token", "tokens", "users", "input", "output", "flight", "prompt", "prompts", "cache", "batch", "nodes", "cards", "hosts", "under",
    "answer", "answers", "second", "seconds", "server", "servers", "model", "layer", "layers", "expert", "weight", "weights", "cheap", "engine",
    "latency", "request", "requests", "replica", "replicas", "vllm", "each", "with", "within", "below",
)  # fmt: skip
_SHORT_WORD = compiled(r"(?<![\w/.=-])[a-z]{4,8}(?![\w/=-]|\.\w)")


_TYPED_ENGINE = compiled(r"(?<![\w/.=-])(?:[vs][a-z]{3,6}|tens?[a-z]{1,4}-?[a-z]{1,2}(?:-l?l?m)?)(?![\w/=-]|\.\w)")
_ENGINES_SPELT = ("vllm", "sglang", "tensorrt-llm", "tensorrt")


def _typed_engine(match: re.Match[str], notes: Notes) -> str:
    """An engine's name with two letters swapped, or one wrong, doubled or left out."""
    word = match.group().lower()
    meant = [name for name in _ENGINES_SPELT if word[0] == name[0] and slips(word, name) == 1]
    if word in _ENGINES_SPELT or len(meant) != 1:
        return match.group()
    notes.assume(f"`{match.group()}` read as {meant[0]}")
    return meant[0]


@cache
def _nearest(word: str, words: tuple[str, ...]) -> str:
    """The one word within a slip or two, or the word itself."""
    if word in words:
        return word
    close = [other for other in words if slips(word, other) <= (2 if len(other) >= 10 else 1) and word[0] == other[0]]
    return close[0] if len(close) == 1 else word
