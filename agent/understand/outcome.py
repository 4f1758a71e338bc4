"""Counts of one kind that differ: which of them the others come to (`six nodes, two are reserved, so four`)."""

from collections.abc import Sequence

from agent.understand.scan import SPAN, compiled

Count = tuple[int, SPAN]
"""A number, and where it stands."""
REACH = 48
"""Characters before a number within which the word stands that makes it the result."""
_SO = compiled(
    r"\b(?:so|thus|hence|therefore|thereby|leaves?|leaving|left\s+with|that'?s|makes?|making|remain(?:s|ing)?|rest|count(?:ing)?\s+(?:with|on)|reckon\w*|plan(?:ning)?\s+(?:it\s+)?(?:for|with|on)|size\s+(?:it\s+)?for|over\s+all|across\s+all|total(?:ling|s)?|sum|correct(?:ed)?(?:\s+(?:figures?|numbers?|values?|is|are))?|"
    r"dus|reken\w*|also|bleib\w*|somit|macht|insgesamt|alt?så|donc|reste(?:nt)?|ainsi|soit|así\s+que|entonces|quedan?|por\s+tanto|quindi|rest(?:a|ano)|dunque|então|portanto|sobram?|ficam?|yani|więc|zatem|zostaj\w*|поэтому|значит|остаётся|остается|итого)\b"
    r"[\s,:]*(?:(?!(?:not|no|if)\b)[^\W\d]+['’]?[^\W\d]*[\s,:=]+){0,4}$"
)
_SO_BEHIND = compiled(
    r"(?:\s+(?:gpus?|cards?|nodes?|hosts?|servers?|machines?|box(?:es)?|trays?|systems?))?\s*(?:in\s+(?:all|total)|altogether|all\s+told|overall|together|left|remain(?:s|ing)?|for\s+us|kal[ıi]\w+|übrig|restant\w*|en\s+tout|en\s+total|au\s+total|in\s+totale|totaal|insgesamt|zusammen)\b"
)
_OUTDATED = compiled(
    r"(?:\s+[a-z]+)?[\s,;:(-]+(?:(?:both|all|these|those|that|this|which|it|they|and)\s+){0,2}(?:are|is|was|were)\s+(?:now\s+|both\s+|all\s+)?(?:outdated|obsolete|wrong|old|incorrect|superseded|stale|overtaken|no\s+longer)\b"
)


def outcome(text: str, counts: Sequence[Count]) -> int | None:
    """The one count that the text itself calls the result, or the last one that is the first less another one; None when neither."""
    current = {value for value, (_, end) in counts if not _OUTDATED.match(text, end)}
    told = {value for value, (start, end) in counts if _is_told(text, start, end)}
    told = current if len(current) == 1 else told & current
    if len(told) == 1:
        return told.pop()
    ordered = [value for value, _ in sorted(counts, key=lambda count: count[1])]
    first, *others = ordered
    results = [value for at, value in enumerate(others) if at and first - value in others[:at]]
    return results[-1] if results else None


def _is_told(text: str, start: int, end: int) -> bool:
    """Whether words of a result stand around a number."""
    return _SO.search(text[max(0, start - REACH) : start]) is not None or _SO_BEHIND.match(text, end) is not None


def parts_of_sum(text: str, counts: Sequence[Count]) -> tuple[int, ...]:
    """The counts that the last one is told to be the sum of (`8 here and 4 there, 12 in all`); none when it is not."""
    *parts, (total, place) = sorted(counts, key=lambda count: count[1])
    values = tuple(value for value, _ in parts)
    return values if len(values) > 1 and sum(values) == total and _is_told(text, *place) else ()
