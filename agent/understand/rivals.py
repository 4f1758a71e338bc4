"""What becomes of the names that a text does not stand by: they are passed over and said back, unless nothing else is named."""

from collections.abc import Sequence

from agent.understand.notes import Notes
from agent.understand.scan import COUNT, EATEN, SPAN, Scan, compiled
from agent.understand.standing import CLAUSE, SENTENCE, Place, around, weight

_AHEAD = compiled(rf"(?:(?:{COUNT}|nodes?|servers?|hosts?|box(?:es)?|of|with|x|the|in|on)[\s(x*-]*){{0,6}}$")
_BEHIND = compiled(
    rf"s?\b(?:[\s-]*(?:gpus?|cards?|sxm\d?|box(?:es)?|nodes?|servers?|machines?|clusters?|racks?)\b)*(?:\s*(?:in|on|over|across|[(,])\s*{COUNT}\s*(?:nodes?|servers?|hosts?|box(?:es)?|machines?)\b\)?)?"
)


MOST_PASSED_OVER = 24


def without_rivals(scan: Scan, kept: str, places: Sequence[Place], others: Sequence[SPAN], notes: Notes) -> None:
    """Eat the places that name something else than `kept`, with the clause that tells of it or else with its count.

    `others` are places of another kind, of which one has to stay.
    """
    stay = [place.span for place in places if place.key == kept]
    for place in places[:MOST_PASSED_OVER]:
        if place.key == kept or EATEN in scan.text[slice(*place.span)]:
            continue
        told = weight(scan.original, place.span) < 0
        span = around(scan.original, place.span, CLAUSE if told else SENTENCE)
        if not told or any(span[0] <= a < span[1] for a, _ in stay) or not _leaves_one(scan, others, span):
            ahead = _AHEAD.search(scan.text, max(0, place.span[0] - 40), place.span[0])
            behind = _BEHIND.match(scan.text, place.span[1])
            span = (
                ahead.start() if ahead is not None else place.span[0],
                behind.end() if behind is not None else place.span[1],
            )
        words = scan.words(span).strip(" ,;:.")
        notes.assume(f"ignored: `{words[:80]}` ({kept} is what the text stands by)")
        scan.eat(span)


def _leaves_one(scan: Scan, others: Sequence[SPAN], span: SPAN) -> bool:
    """Whether one of the places stands outside of a span, or none within."""
    left = [a for a, b in others if EATEN not in scan.text[a:b]]
    return any(not span[0] <= a < span[1] for a in left) or not left


_MEASURES = compiled(
    r"(?<![\w.])\d+(?:[.,]\d+)?\s?(?:ms|milliseconds?|s|sec|seconds?|tok\w*\s*(?:/|per|a)\s*s\w*)\b|\b(?:tp|pp|ep|dp|cp)\W?\d{1,4}\b"
)


def restored(scan: Scan, place: Place, notes: Notes, *, alone: bool) -> None:
    """Bring back a name (`alone`) or the sentence around it, but for its times and degrees: nothing else of the text names such a thing."""
    low, high = around(scan.original, place.span, SENTENCE)
    start, end = place.span if alone else (low, high)
    scan.text = scan.text[:start] + scan.original[start:end] + scan.text[end:]
    for match in list(_MEASURES.finditer(scan.text, low, high)):
        scan.eat(match.span())
    notes.assume(f"{place.key}: only `{scan.words((low, high))[:80]}` names one")
