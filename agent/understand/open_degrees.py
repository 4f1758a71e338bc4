"""Degrees that a text asks about: alternatives in a question, undecided ones, and those that may be changed.

A degree binds a plan only where a clause demands it. Here are the places where none does, whatever the language: a question that sets one
degree against another or against something else, two degrees of which none is decided, and what the text says may be changed freely.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from agent.understand.scan import SPAN, compiled

_TALK = re.compile(r"(?:[^.;!?\n]|\.(?=\w))++[.;!?\n]?")
_ONE = compiled(
    r"(?<![a-z-])(?P<kind>tp|pp|ep|dp|cp|tensor|pipeline|expert|data|context)(?:[-_ ]*(?:parall?el\w*|size|degree|stages))*[\s=:-]{0,2}(?P<n>\d{1,4})(?![\w.]*\d|%)"
)
_AGAINST = compiled(
    r"\b(?:or|vs\.?|versus|hay|oder|ou|czy|lub|albo|eller|atau|of|или|либо|yoksa|veya|mi|mı|mu|mü|o|u)\b|还\s*是|或\s*者|ま\s*た\s*は|そ\s*れ\s*と\s*も|또는|아니면"
)
"""Sets one thing against another, or asks (`mı`)."""
_DEMANDS = compiled(
    r"\b(?:must|mandatory|required?|fixed|has\s+to|have\s+to|need(?:s|ed)?\s+to\s+(?:be|stay|remain)|only\s+(?:use|with)|keep\w*|exactly|muss|obligatoire|obligatorio|doit)\b"
)
_UNDECIDED = compiled(
    r"\b(?:undecided|unsure|(?:have\s+not|haven't|not|n't)\s+(?:yet\s+)?(?:decided|sure|settled|chosen|know)|can'?t\s+decide|unentschieden|unschlüssig|indécis|pas\s+(?:encore\s+)?décidé|indecis[oa]s?|no\s+(?:lo\s+)?(?:hemos\s+decidido|sabemos)|kararsız\w*|karar\s+ver\w*|nie\s+wiemy|не\s+(?:решили|знаем))\b"
    r"|没\s*(?:有\s*)?(?:决\s*定|想\s*好)|不\s*确\s*定|未\s*定|迷\s*っ|決\s*め\s*(?:て\s*い|か\s*ね)|정하지|결정하지|고민"
)
_YES_OR_NO = compiled(r"\W{0,3}(?:yes\s*(?:/|or)\s*no|y\s*/\s*n|ja\s*(?:/|oder)\s*nein|oui\s*/\s*non|s[íi]\s*/\s*no)\b")
_MAY_CHANGE = compiled(
    r"\b(?:may|can|could|free\s+to|welcome\s+to|allowed\s+to)\s+(?:freely\s+|also\s+)?(?:change|alter|touch|tune|adjust|drop|replace|vary|modify|rearrange)\s+(?:(?:the|all|any|our|of|those|these)\s+)*(?:parallel\w*|tp|degrees?|sharding|layout|split)"
    r"|\bparalleli\w+\s+(?:\w+\s+)?(?:is|are)\s+(?:all\s+|fully\s+|entirely\s+)?(?:open|free|negotiable|up\s+for\s+grabs|up\s+to\s+you)\b"
)
_CHANGED_NOT = compiled(r"\b(?:not|no|nobody|never|n't)\s+(?:\w+\s+)?$")


def open_degrees(text: str) -> Iterator[SPAN]:
    """Stretches of a text whose degrees fix nothing."""
    for match in _ONE.finditer(text):
        answer = _YES_OR_NO.match(text, match.end())
        if answer is not None:
            yield match.start(), answer.end()
    for sentence in _TALK.finditer(text):
        yield from _open_in(text, sentence.span())
    for match in _MAY_CHANGE.finditer(text):
        if _CHANGED_NOT.search(text[max(0, match.start() - 24) : match.start()]) is None:
            yield 0, match.start()


def _open_in(text: str, sentence: SPAN) -> Iterator[SPAN]:
    """The part of a sentence whose degrees are alternatives that it asks about."""
    found = list(_ONE.finditer(text, *sentence))
    if not found:
        return
    span = _clause_start(text, sentence[0], found[0].start()), sentence[1]
    asks = text[sentence[1] - 1] == "?"
    if _DEMANDS.search(text, *span) is not None or not (asks or _UNDECIDED.search(text, *sentence)):
        return
    kinds = [(m["kind"][0].lower(), int(m["n"])) for m in found]
    differ = any(a == b and m != n for a, m in kinds for b, n in kinds)
    weighed = asks and any(_AGAINST.search(text, m.end(), end) for m, end in _reaches(found, sentence[1]))
    if differ or weighed:
        yield span


def _reaches(found: list[re.Match[str]], end: int) -> Iterator[tuple[re.Match[str], int]]:
    """Each degree with the place up to which a word may set something against it."""
    ends = [*(later.start() for _, later in pairwise(found)), end]
    yield from ((match, min(stop, match.end() + FARTHEST)) for match, stop in zip(found, ends, strict=True))


FARTHEST = 40
"""Characters behind a degree within which a word sets something against it."""
_CLAUSE = re.compile(r"[;:(]|,\s")


def _clause_start(text: str, low: int, place: int) -> int:
    """Where the clause of the first degree begins."""
    return max((m.end() for m in _CLAUSE.finditer(text, low, place)), default=low)
