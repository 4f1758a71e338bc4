"""What people do to a text before it says anything: they mistype, correct themselves, tell of the past, and give dates and about-numbers.

Each step rewrites the text into one that says the same in a form that the extractors read, and notes what it took it for.
"""

import re
from collections.abc import Sequence
from functools import cache

from agent.understand.names import Vocabulary
from agent.understand.notes import Notes
from agent.understand.scan import COUNT, EATEN, Scan, compiled


def scanned(text: str, models: Vocabulary, gpus: Vocabulary, notes: Notes) -> Scan:
    """The text as the extractors read it."""
    scan = Scan(text)
    plain = with_plain_numbers(spelled(scan.original, models.families, notes), notes)
    scan.original = corrected(plain, (models, gpus), notes)
    scan.text = without_past(without_dates(scan.original), notes)
    return scan


# --- numbers that are no quantities -----------------------------------------------------------------------------------

_MONTHS = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_NO_QUANTITY = (
    compiled(r"(?<![\w.])(?:19|20)\d\d-\d\d?-\d\d?(?:[T ]\d\d?:\d\d(?::\d\d)?)?(?![\w-])"),  # 2026-01-15
    compiled(r"(?<![\w./])\d\d?[./]\d\d?[./](?:\d\d){1,2}(?![\w./])"),  # 15.01.2026
    compiled(r"(?<![\w:.])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:\s*[ap]\.?m\b\.?)?(?![\w:])"),  # 10:30
    compiled(rf"(?<![\w.])(?:\d\d?(?:st|nd|rd|th)?\s+)?{_MONTHS}\s+\d\d?(?:st|nd|rd|th)?(?:,?\s+(?:19|20)\d\d)?\b(?!\s*(?:x|gpus?|h\d|a\d))"),
    compiled(r"\b(?:in|since|by|until|before|after|from|of|q[1-4]|year|late|early|mid)[ -](?:19|20)\d\d\b(?!\s*(?:tok|in\b|out\b|prompt|input|output|req|user|k\b|,\d))"),
    compiled(r"\b(?:rooms?|floors?|office|ticket|issue|page|chapter|section|slide|version|phase|line|building|extension|desk|aged?|#)\s*(?:no\.?\s*|number\s*|#\s*)?\d{1,9}\b"),
    compiled(r"\b(?:i'?m|i\s+am|he\s+is|she\s+is)\s+\d{1,3}\b(?:\s+years?\s+old)?|\b\d{1,3}[- ]years?[- ]old\b"),
    compiled(r"\b24\s*/\s*7(?:/365)?\b|\b\d{2}(?:\.\d{1,4})?\s*%\s*(?:up-?time|availability|sla)\b|\b(?:sla|up-?time|availability)\s+(?:of\s+)?\d{2}(?:\.\d{1,4})?\s*%"),
    compiled(rf"(?<![\w.]){COUNT}\s+(?:people|persons|colleagues|employees|engineers|developers|cats?|dogs?|kids|children|years?|months?|weeks?|regions?|countries|euros?|dollars?|customers)\b(?![^.;\n]{{0,50}}\b(?:at\s+(?:once|a\s+time|the\s+same\s+time)|simultaneous|concurren|in\s+parallel|online))"),
)  # fmt: skip


def without_dates(text: str) -> str:
    """The text with dates, times, years, rooms and ages eaten: numbers that measure nothing of a plan."""
    for pattern in _NO_QUANTITY:
        text = pattern.sub(lambda m: EATEN * len(m.group()), text)
    return text


# --- numbers that are about right ---------------------------------------------------------------------------------------

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
_DIGITS = {
    "one": 1,
    "a": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "twelve": 12,
    "fifteen": 15,
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "eighty": 80,
}
_ABOUT = compiled(
    rf"(?<![\w-])(?P<how>{'|'.join(sorted(_VAGUE, key=len, reverse=True))})[- ]+(?:of\s+)?(?P<scale>dozen|hundred|thousand|million|k)s?\b(?:\s+of\b)?"
)
_WORDED = compiled(
    rf"(?<![\w-])(?P<n>{'|'.join(sorted(_DIGITS, key=len, reverse=True))})[- ]+(?P<scale>hundred|thousand|million)s?\b"
    rf"(?:\s+and\s+(?P<tens>{'|'.join(w for w, n in _DIGITS.items() if n >= 10)}))?"
)
_UNIT_AHEAD = r"(?=\s*(?:-?\s*(?:tok|input|output|prompt|context|answer|response|in\b|out\b|ms\b|milli|s\b|sec|users?\b|req|concurr|chars?|gpus?\b|words?\b|long\b)|$|[,;.)]))"
_RANGE = compiled(
    r"(?<![\w.,/-])(?:between\s+|from\s+)?(?P<a>\d{1,7}(?:\.\d{1,3})?)\s?(?P<ak>k)?\s?(?:-|to|and(?=\s+\d+k?\s*tok)|bis|à|až|~)\s?(?P<b>\d{1,7}(?:\.\d{1,3})?)\s?(?P<bk>k)?\b"
    + _UNIT_AHEAD
)


def with_plain_numbers(text: str, notes: Notes) -> str:
    """`a few hundred`, `two thousand` and `2-4k` as one number each; what that took for granted is noted."""

    def about(match: re.Match[str]) -> str:
        amount = _VAGUE[match["how"].lower()] * _SCALES[match["scale"].lower()]
        notes.assume(f"`{match.group().strip()}` read as {amount:g}")
        return f"{amount:g}"

    def worded(match: re.Match[str]) -> str:
        tens = _DIGITS[match["tens"].lower()] if match["tens"] else 0
        return f"{_DIGITS[match['n'].lower()] * _SCALES[match['scale'].lower()] + tens}"

    def larger(match: re.Match[str]) -> str:
        low, high = float(match["a"]), float(match["b"])
        scale = match["bk"] or ""
        if low * (1000 if match["ak"] else 1) >= high * (1000 if scale else 1) and not (
            scale and not match["ak"] and low < high
        ):
            return match.group()
        notes.assume(f"`{match.group().strip()}` read as its upper end, {match['b']}{scale}")
        return f"{match['b']}{scale}"

    return _RANGE.sub(larger, _WORDED.sub(worded, _ABOUT.sub(about, text)))


# --- the past and corrections -------------------------------------------------------------------------------------------

_PAST = compiled(
    r"\b(?:last\s+(?:year|month|week|quarter)|previously|formerly|in\s+the\s+past|until\s+now|so\s+far|up\s+to\s+now|before\s+that|we\s+used\s+to|"
    r"we\s+(?:once\s+)?(?:ran|had|tried|were\s+running)|früher|bisher|auparavant|antes)\b[^;.\n]{0,200}?(?:;|\.\s|\n|,?\s*\b(?:but\s+)?(?:now|today|this\s+(?:time|quarter|year|month|week)|jetzt|maintenant|ahora)\b)"
)
_MARKER = compiled(
    r"[\s,;.(-]*(?:\b(?:(?:oh|no+|er+|uh+),?\s+wait|no(?=\s*[-:])|wait,?\s+no|scratch\s+that|strike\s+that|correction|sorry|oops|my\s+bad|i\s+mean|i\s+meant|or\s+rather|make\s+(?:that|it)|"
    r"actually|rather|nein|non|perdón|quatsch|ich\s+meine|je\s+veux\s+dire|quiero\s+decir)\b[\s,:;.-]*)+(?:(?:i\s+meant?|i\s+mean|make\s+(?:that|it)|it'?s|that'?s|with|on|of|is)\s+)*"
)
_NUMBER = compiled(
    r"(?<![\w.])(?:\d{1,6}|one|two|three|four|five|six|seven|eight|ten|twelve|sixteen|thirty-two)(?![\w.]*\d)(?!\w)"
)
_DEGREE = compiled(r"\s*\b(?P<kind>tp|pp|ep|dp|cp)[ =]?\d{1,5}\b")
_COUNT_AHEAD = re.compile(rf"\s*(?:{_NUMBER.pattern})?\s*(?:x\b)?\s*$", re.IGNORECASE)
_COUNT_BEFORE = re.compile(rf"(?:{_NUMBER.pattern})\s*(?:x\s*)?$", re.IGNORECASE)


def without_past(text: str, notes: Notes) -> str:
    """The text without what it says was so before (`last year we ran X; now ...`)."""

    def forget(match: re.Match[str]) -> str:
        if any(c.isdigit() for c in match.group()):
            notes.assume(f"ignored: `{' '.join(match.group().split())[:80]}` (told as past)")
        return EATEN * len(match.group())

    return _PAST.sub(forget, text)


def corrected(text: str, vocabularies: Sequence[Vocabulary], notes: Notes) -> str:
    """The text with its last words where it corrects itself: `8, no wait, 16 H100` is `16 H100`."""
    text = _DECIDED.sub(lambda m: _decided(m, notes), text)
    for _ in range(4):
        match = next((m for m in _MARKER.finditer(text) if _corrects(text, m, vocabularies) is not None), None)
        if match is None:
            return text
        start = _corrects(text, match, vocabularies)
        assert start is not None
        notes.assume(f"`{' '.join(text[start : match.end() + 12].split())}`: read what was said last")
        text = text[:start] + text[match.end() :]
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


def _corrects(text: str, marker: re.Match[str], vocabularies: Sequence[Vocabulary]) -> int | None:
    """Where the words start that those after the marker replace: the last ones of the same kind before it; None when there are none."""
    before, after = text[: marker.start()], text[marker.end() : marker.end() + 60]
    for vocabulary in vocabularies:
        new = next((m for m in vocabulary.mentions(after) if _COUNT_AHEAD.match(after[: m.span[0]])), None)
        old = vocabulary.mentions(before)
        if new is not None and old:
            start = old[-1].span[0]
            count = _COUNT_BEFORE.search(before[:start]) if _NUMBER.match(after.lstrip()) else None
            return count.start() if count is not None else start
    degree = _DEGREE.match(after)
    if degree is not None:
        same = [m for m in _DEGREE.finditer(before) if m["kind"].lower() == degree["kind"].lower()]
        return same[-1].start("kind") if same else None
    if _NUMBER.match(after.lstrip()) is None:
        return None
    numbers = list(_NUMBER.finditer(before))
    return numbers[-1].start() if numbers and len(before) - numbers[-1].end() <= 40 else None


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


def spelled(text: str, families: frozenset[str], notes: Notes) -> str:
    """The text with mistyped words of the trade and names of model families put right, one slip in each (two in long ones)."""

    def right(match: re.Match[str], words: Sequence[str]) -> str:
        word = match.group().lower()
        meant = word if word in _ENGLISH else _nearest(word, tuple(words))
        if meant == word:
            return match.group()
        notes.assume(f"`{match.group()}` read as {meant}")
        return meant

    text = _FAMILY_WORD.sub(lambda m: right(m, sorted(families)), text)
    return _LONG_WORD.sub(lambda m: right(m, _TRADE), text)


@cache
def _nearest(word: str, words: tuple[str, ...]) -> str:
    """The one word within a slip or two, or the word itself."""
    if word in words:
        return word
    close = [other for other in words if _slips(word, other) <= (2 if len(other) >= 10 else 1) and word[0] == other[0]]
    return close[0] if len(close) == 1 else word


def _slips(one: str, other: str) -> int:
    """Letters missing, added, changed or swapped with their neighbour (optimal string alignment)."""
    if abs(len(one) - len(other)) > 2:
        return 9
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]
