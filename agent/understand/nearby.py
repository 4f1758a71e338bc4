"""The second look: numbers that no pattern took go to the field whose word stands nearest in the same clause.

People put the words between a number and its name in more ways than patterns can list. What is read this way is noted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from agent.understand.notes import Notes
from agent.understand.scan import SPAN, Scan, compiled, number_of

_CLAUSE = re.compile(r"[^;\n.]+(?:\.(?=\d)[^;\n.]*)*")
_TOKEN = re.compile(r"\d[\d,_.]*\d|\d|[^\W\d_]+|[,:()=/]")
_NUMBER = compiled(
    r"(?<![\w.,/$€-])(?P<n>\d{1,3}(?:[,_]\d{3})+|\d{1,9}(?:[.,]\d{1,3})?)[ ]?(?P<unit>k|ms|s|tok\w*|[^\W\d_]+)?(?![\w%])"
)

_LENGTH_UNITS = ("", "k", "tok")
_TIME = re.compile(r"(?:ms|msecs?|milli\w*|s|secs?|seconds?)$", re.IGNORECASE)
_PARTS = frozenset({",", "/", "and", "und", "et", "y", "e", "plus", "with", "then"})
APART = 3.0
"""Words that part what they stand between count this much."""
_USERS = re.compile(r"(?:users?|requests?|streams?|sessions?|chats?|clients?|people|sequences?)$")
_ELSE = re.compile(
    r"(?:[kmgt]i?b|gigs?|gbps|gpus?|cards?|nodes?|hosts?|servers?|machines?|x|layers?|w|kw|watts?|hours?|days?|min|minutes?|percent|replicas?|stages?|way|bits?)$"
)
"""Units of things that are neither tokens nor users."""
FARTHEST = 6
"""Words that may stand between a number and the word that names it."""
FARTHEST_CHARACTERS = 240
"""Room for that many long words: no number looks back over a whole text."""


@dataclass(frozen=True)
class Cue:
    """Words that name a field, and what a number must be for it."""

    words: re.Pattern[str]
    wants: str
    """`length`, `time` or `count`."""


CUES: Mapping[str, Cue] = {
    "isl": Cue(compiled(r"^(?:in|input|inputs|prompts?|context|ctx|isl|documents?|docs?|contexts|prefill|articles?|questions?|messages?)$"), "length"),
    "osl": Cue(compiled(r"^(?:out|output|outputs|osl|answers?|repl(?:y|ies)|responses?|completions?|generat\w+|summar(?:y|ies)|labels?|decode|produces?|returns?)$"), "length"),
    "ttft_ms": Cue(compiled(r"^(?:ttft|first|starts?|begins?|begin)$"), "time"),
    "tpot_ms": Cue(compiled(r"^(?:tpot|itl|between|every|each|per|inter|stream\w*)$"), "time"),
    "concurrency": Cue(compiled(r"^(?:concurrent|concurrency|simultaneous\w*|once)$"), "count"),
}  # fmt: skip


def take_nearby(scan: Scan, notes: Notes, wanted: tuple[str, ...]) -> dict[str, float]:
    """Values of the fields `wanted` that have a word of theirs near a number that is left. Lengths in tokens, times in ms."""
    found: dict[str, float] = {}
    for clause in _CLAUSE.finditer(scan.text):
        for match in _NUMBER.finditer(clause.group()):
            span = (clause.start() + match.start(), clause.start() + match.end())
            field = _nearest_field(scan, (clause.start(), clause.end()), span, match, wanted)
            if field is None or field in found:
                continue
            found[field] = _value(match, CUES[field].wants)
            notes.assume(f"`{scan.words(span)}` read as {field} {found[field]:g}")
            scan.eat(span)
    return found


def _nearest_field(scan: Scan, clause: SPAN, span: SPAN, match: re.Match[str], wanted: tuple[str, ...]) -> str | None:
    """The field whose word is nearest; None when there is none, or when two are as near."""
    kind = _kind(match)
    unit_is_word = match["unit"] is not None and kind == "other"
    near = max(clause[0], span[0] - FARTHEST_CHARACTERS)
    before = [w.group() for w in _TOKEN.finditer(scan.original, near, span[0])][-FARTHEST:][::-1]
    end = span[0] + len(match["n"]) if unit_is_word else span[1]
    after = [w.group() for w in islice(_TOKEN.finditer(scan.original, end, clause[1]), FARTHEST)]
    reach: dict[str, float] = {}
    for words, behind in ((before, 0.0), (after, 0.5)):
        steps = 0.0
        for at, word in enumerate(words):
            steps += APART if word.lower() in _PARTS else 1.0
            if word[0].isdigit():
                break
            for field, cue in CUES.items():
                if (
                    cue.words.match(word)
                    and _fits(kind, cue.wants)
                    and not _of_place(words, at, reverse=words is before)
                ):
                    reach.setdefault(field, steps + behind)
    best = min(reach, key=lambda f: reach[f], default=None)
    if best is None or best not in wanted or not _named_token(best, before, after):
        return None
    return best


_AFTER_IN = compiled(r"^(?:and|und|et|y|e|out|tokens?|tok|about|around|up|is|of|avg|average|[\W\d].*)$")


def _of_place(words: list[str], at: int, *, reverse: bool) -> bool:
    """Whether an `in` is said of a place (`12 in Zurich`), not of a prompt; `words` run away from the number."""
    if words[at].lower() not in ("in", "out"):
        return False
    following = at - 1 if reverse else at + 1
    return 0 <= following < len(words) and not _AFTER_IN.match(words[following])


def _named_token(field: str, before: list[str], after: list[str]) -> bool:
    """A time is one of the two limits only where tokens, an answer or the limit itself are spoken of."""
    if CUES[field].wants != "time":
        return True
    words = {word.lower() for word in (*before, *after)}
    return bool(words & {"token", "tokens", "tok", "answer", "answers", "response", "reply", "ttft", "tpot", "itl"})


def _kind(match: re.Match[str]) -> str:
    unit = (match["unit"] or "").lower()
    if _TIME.match(unit):
        return "time"
    if _USERS.match(unit):
        return "users"
    if _ELSE.match(unit):
        return "else"
    if unit in _LENGTH_UNITS or unit.startswith("tok"):
        return "number" if unit == "" else "length"
    return "other"


def _fits(kind: str, wants: str) -> bool:
    if wants == "time":
        return kind == "time"
    return kind in (("length", "number", "other") if wants == "length" else ("number", "users"))


def _value(match: re.Match[str], wants: str) -> float:
    number, unit = number_of(match["n"]), (match["unit"] or "").lower()
    if wants == "time":
        return number if unit.startswith("m") else round(number * 1000, 6)
    scale = (1024 if wants == "length" else 1000) if unit == "k" else 1
    return float(round(number * scale))
