"""Numbers that are about right, and lengths told in other units: parts of a second, pages, ranges, statistics of one quantity.

Each becomes the one number that the plan needs, and what it was taken for is noted.
"""

import re

from agent.understand.notes import Notes
from agent.understand.scan import EATEN, compiled

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
    r"(?<![\w.,/-])(?!0?\d-(?:19|20)\d\d\b)(?:between\s+|from\s+)?(?P<a>\d{1,3}(?:,\d{3})+|\d{1,7}(?:\.\d{1,3})?)\s?(?P<ak>k)?\s?(?:-|\.{2,3}|to|and(?=\s+\d+k?\s*tok)|bis|à|až|~)\s?(?P<b>\d{1,3}(?:,\d{3})+|\d{1,7}(?:\.\d{1,3})?)(?:\s?(?P<bk>k))?\b"
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
