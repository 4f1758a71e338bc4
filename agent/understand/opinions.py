"""Where the learned reader is heard: about what the patterns left empty, doubtful or contradictory. Whatever it says stands among the assumptions.

The patterns say what a known phrase means; the learned reader guesses by the words around a number. So it fills a field that would get its
default, and it overrules a value only where it is sure of another number and sure that the patterns' number is something else. Values that
stand nowhere in the text (sums, means, loads of each GPU) are not its to change.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.understand.learned import Claim, Opinion, score_of_name
from agent.understand.notes import ESSENTIAL, Notes
from agent.understand.scan import EATEN, Scan, compiled
from agent.understand.settle import PLACES, TOPICS, WHOLE, forget
from agent.understand.standing import UNDECIDED, Place, in_one_breath

Json = dict[str, Any]

FILLS: Mapping[str, float] = {
    "isl": 0.8, "osl": 0.8, "concurrency": 0.4, "request_rate": 0.4, "prefix_hit_ratio": 0.6, "ttft_ms": 0.8, "tpot_ms": 0.8,
}  # fmt: skip
"""Chance from which a value fills a field that nothing else gives. A limit that nobody asked for costs more than one that is missing."""
SURE, UNLIKELY = 0.9, 0.1
"""Chances of the new value and of the patterns' one between which it is overruled."""
SURE_OF_SIZE = 0.8
AHEAD = 1.0
"""Log odds by which a name must lead where the patterns cannot decide: of 107 texts held out 95 have such a lead, and 91 of those rightly."""
SAME = 1.5e-3
_FIELDS: dict[str, tuple[str, str]] = {
    **{str(role): place for role, place in PLACES.items()},
    "prefix_hit_ratio": ("workload", "prefix_hit_ratio"),
}
_LOADS = {"concurrency": "request_rate", "request_rate": "concurrency"}
LEARNED = "learned from labelled texts, no phrase that is known"


@dataclass(frozen=True)
class Hearing:
    """A request that is being read, and what the learned reader makes of its text."""

    document: Json
    opinion: Opinion
    scan: Scan
    notes: Notes

    def told(self, field: str) -> float | None:
        """What the patterns found for a field; None for a default."""
        part, name = _FIELDS[field]
        value = self.document[part].get(name)
        return None if value is None or self.notes.comes_from("default", field) else float(value)

    def take(self, field: str, claim: Claim, instead_of: float | None = None) -> None:
        """Put a value into the request, and say so."""
        part, name = _FIELDS[field]
        value = round(claim.value) if field in WHOLE else claim.value
        self.document[part][name] = value
        forget(self.notes, field, _topic(field))
        words = " ".join(self.opinion.page.around(claim.span, self.scan.original).split())
        other = "" if instead_of is None else f", not {instead_of:g}"
        self.notes.assume(
            f"`{words}` read as {field} {value:g}{other}: {LEARNED} (chance {claim.chance:.2f})", learned=field
        )
        self.scan.eat(claim.span)


def _topic(field: str) -> str:
    return "prefix hit ratio" if field == "prefix_hit_ratio" else TOPICS.get(field, field)  # type: ignore[call-overload]


def hear(document: Json, opinion: Opinion, scan: Scan, notes: Notes) -> None:
    """Let the learned reader correct what it is sure of, then fill what is empty."""
    hearing = Hearing(document, opinion, scan, notes)
    for field in _FIELDS:
        if not (field in ("isl", "osl") and _swaps(hearing)):
            _overrule(hearing, field)
    for field, other in _LOADS.items():
        _exchange(hearing, other, field)
    for field in _FIELDS:
        _fill(hearing, field)


def _swaps(hearing: Hearing) -> bool:
    """Whether the learned reader only exchanges the two lengths, which the patterns have by their names."""
    isl, osl = hearing.told("isl"), hearing.told("osl")
    read, written = hearing.opinion.claims("isl"), hearing.opinion.claims("osl")
    if isl is None or osl is None or not read or not written or _same(isl, osl):
        return False
    return _same(read[0].value, osl) and _same(written[0].value, isl)


def _overrule(hearing: Hearing, field: str) -> None:
    told, claims = hearing.told(field), hearing.opinion.claims(field)
    if (
        claims
        and claims[0].chance >= SURE
        and _is_doubtful(hearing, field)
        and not (field in ("isl", "osl") and _is_of_something_else(hearing, field, claims[0]))
    ):
        hearing.take(field, claims[0], instead_of=told)


def _is_doubtful(hearing: Hearing, field: str) -> bool:
    """Whether the patterns gave a field a number of the text that is most likely something else."""
    told = hearing.told(field)
    if told is None or _topic(field) in hearing.notes.questions:
        return False
    mine = [claim.chance for claim in hearing.opinion.claims(field) if _same(claim.value, told)]
    return bool(mine) and max(mine) <= UNLIKELY


def _exchange(hearing: Hearing, old: str, new: str) -> None:
    """One form of load for the other, since both cannot be given."""
    claims = hearing.opinion.claims(new)
    if not claims or claims[0].chance < SURE or not _is_doubtful(hearing, old):
        return
    if _is_of_something_else(hearing, new, claims[0]):
        return
    part, name = _FIELDS[old]
    hearing.notes.assume(f"{old} {hearing.document[part].pop(name):g}: set aside, the load is told as {new}")
    hearing.take(new, claims[0])


def _fill(hearing: Hearing, field: str) -> None:
    claims = hearing.opinion.claims(field)
    if not claims or claims[0].chance < FILLS[field] or claims[0].value <= 0 or hearing.told(field) is not None:
        return
    topic, load = _topic(field), _LOADS.get(field)
    if topic in hearing.notes.questions or topic in hearing.notes.chosen or (load and hearing.told(load) is not None):
        return
    if (
        _is_taken(hearing, field, claims[0])
        or _is_part(hearing, claims[0])
        or _is_of_something_else(hearing, field, claims[0])
    ):
        return
    hearing.take(field, claims[0])


_CLAUSE_END = re.compile(r"[.;!?\n,](?!\d)")
_TIMED = compiled(
    r"(?<![a-z])(?:daily|hourly|monthly|users?|people|employees|seconds?|secs?|minutes?|mins?|hours?|days?|weeks?|months?|"
    r"sekund\w*|minut\w*|stund\w*|tag(?:e|lich|es)?|täglich|heures?|jours?|secondes?|horas?|segundos?|minutos?|d[ií]as?|"
    r"giorn\w*|or[ae]|secondo|gi[ờâ]\w*|phút|ngày|saat\w*|dakika\w*|saniye\w*|gün\w*|godzin\w*|dzie[nń]\w*|timm\w*|uur|dag\w*|"
    r"час\w*|минут\w*|секунд\w*|день|сут\w*|rps|qps|rpm)(?![a-z])|/\s*(?:s|h|min)\b|[秒天日]|分钟|小时|時間|초당|분당|시간|하루"
)
"""Words of time and of people: a number in their clause counts what comes in a time or who is there, no tokens and no requests in flight."""


YEARS = range(1990, 2040)
_TOKENS = compiled(r"tok|トークン|토큰|токен|टोकन|رمز|词元")


_GOES_OUT = compiled(r"[\d.,]+\s?k?(?:\s*tok(?:en)?s?)?\s+(?:out|output|generated|back)\b")
_GOES_IN = compiled(r"[\d.,]+\s?k?(?:\s*tok(?:en)?s?)?\s+(?:in|input)(?=\s*(?:[.,;:)/]|$|and\b))")
"""A number whose own next word says which way it goes."""


def _is_of_something_else(hearing: Hearing, field: str, claim: Claim) -> bool:
    """Whether a number that would be a length or a load may count time or people, or be a year."""
    if field not in ("isl", "osl", "concurrency"):
        return False
    text = hearing.scan.original
    other = {"isl": _GOES_OUT, "osl": _GOES_IN}.get(field)
    if other is not None and other.match(text, claim.span[0]) is not None:
        return True
    ends = [0, *(m.end() for m in _CLAUSE_END.finditer(text, 0, claim.span[0]))]
    after = _CLAUSE_END.search(text, claim.span[1])
    clause = text[ends[-1] : len(text) if after is None else after.start()]
    is_year = claim.value in YEARS and _TOKENS.search(clause) is None
    return is_year or _TIMED.search(clause) is not None


def _is_part(hearing: Hearing, claim: Claim) -> bool:
    """Whether a number is the end of a word (`bf16`), or was passed over by the patterns: what is told of others binds nothing."""
    return EATEN in hearing.scan.text[slice(*claim.span)] or any(
        mention.span == claim.span and mention.glued for mention in hearing.opinion.page.mentions
    )


def _is_taken(hearing: Hearing, field: str, claim: Claim) -> bool:
    """Whether the patterns gave the number to another field, and it stands in the text once."""
    others = (hearing.told(name) for name in _FIELDS if name != field)
    taken = any(value is not None and _same(value, claim.value) for value in others)
    standing = [m for m in hearing.opinion.page.mentions if _same(m.amount, claim.value) or m.span == claim.span]
    return taken and len(standing) < 2


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SAME * max(1e-9, abs(other))


# --- hardware and names ---------------------------------------------------------------------------------------------------

_SIZES = ESSENTIAL | {"cluster"}
_CONTRADICTED = re.compile(r"\bvalues for\b|\bbut also\b")
"""Questions about a text that contradicts itself, which is not to be guessed away."""


def size_heard(
    keys: Sequence[str], usual: Mapping[str, int], opinion: Opinion, notes: Notes
) -> dict[str, object] | None:
    """The cluster of the one kind of GPU in `keys` where the patterns ask how many there are and the learned reader is sure."""
    size = opinion.size
    asked = [question for topic, question in notes.questions.items() if topic in _SIZES]
    if not asked or len(set(keys)) != 1 or size is None or size.chance < SURE_OF_SIZE:
        return None
    if any(_CONTRADICTED.search(question) for question in asked):
        return None
    hosts = size.hosts or max(1, size.gpus // usual[keys[0]])
    if size.gpus % hosts:
        return None
    for topic in _SIZES:
        notes.questions.pop(topic, None)
    per_host = size.gpus // hosts
    notes.assume(f"{hosts} hosts of {per_host} {keys[0]}: {LEARNED} (chance {size.chance:.2f})", learned="cluster")
    return {"gpu": keys[0], "gpus_per_host": per_host, "hosts": hosts}


def meant(text: str, places: Sequence[Place], what: str, opinion: Opinion, notes: Notes) -> str | None:
    """Which of several models or GPUs (`what`) a text is about, where the patterns cannot tell and the text does not leave it open."""
    best: dict[str, float] = {}
    for place in places[:MOST_PLACES]:
        score = score_of_name(opinion.page, place.span, what)
        best[place.key] = max(best.get(place.key, score), score)
    first, *others = sorted(best, key=lambda key: -best[key])
    clear = others and best[first] - best[others[0]] >= AHEAD and UNDECIDED.search(text) is None
    if not clear or any(in_one_breath(text, places, place) for place in places if place.key == first):
        return None
    notes.assume(f"{what} {first}, not {' or '.join(others)}: {LEARNED}")
    return first


MOST_PLACES = 24
