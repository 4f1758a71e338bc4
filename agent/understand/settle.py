"""Two readers of one text: what the patterns found, and what the alignment of numbers and role names found, become one value each.

Where they agree the text says so. Where one alone has a value it is taken; where they differ the one whose name stands right at the number
is taken, and both are told. No number of the text is dropped without a word: `leftovers` names what neither could place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.understand.names import Vocabulary
from agent.understand.notes import Notes
from agent.understand.roles import NAMED, SHORTEST, Quantity, Reading, Role, quantities, read_roles
from agent.understand.scan import EATEN, Scan, compiled, count_of
from agent.understand.traffic import NO_TEXT

Json = dict[str, Any]

SURE = 0.6
"""Words between a number and its name up to which nothing else can be meant."""
SLACK = 2.0
"""A reading that stands this much farther from its name than the best one is no rival of it."""
PLACES: Mapping[Role, tuple[str, str]] = {
    "isl": ("workload", "isl"), "osl": ("workload", "osl"), "concurrency": ("workload", "concurrency"),
    "request_rate": ("workload", "request_rate"), "ttft_ms": ("slo", "ttft_ms"), "tpot_ms": ("slo", "tpot_ms"),
}  # fmt: skip
TOPICS: Mapping[Role, str] = {"request_rate": "request rate"}
WHOLE = frozenset({"isl", "osl", "concurrency"})


@dataclass(frozen=True)
class Look:
    """What the second reader sees: numbers with their roles, and lengths in tokens that have none."""

    readings: Sequence[Reading]
    loose: Sequence[Quantity]


def second_look(scan: Scan, gpus: Vocabulary) -> Look:
    """Every number that has a role, in a text whose models have been read, and the lengths that nothing names."""
    text = scan.text
    for mention in gpus.mentions(text):
        start, end = mention.span
        if any(c.isdigit() for c in text[start:end]):
            text = text[:start] + NAMED * (end - start) + text[end:]
    readings = read_roles(text)
    placed = {r.quantity.span for r in readings}
    loose = [
        q
        for q in quantities(text)
        if q.kind == "tokens" and q.span not in placed and not _VOLUME.match(text, q.span[1])
    ]
    return Look(readings, loose)


_VOLUME = compiled(
    r"\s*(?:of\s+\w+\s+|in\s+total\s+)?(?:/|per|an?|each|every)\s*(?:hour|day|week|month|minute|min|h|d)\b"
)


def settle(document: Json, look: Look, scan: Scan, notes: Notes) -> None:
    """Bring the second reader's values into `document`, field by field."""
    readings = [r for r in look.readings if not any(a <= r.quantity.span[0] < b for a, b in notes.spent)]
    for role, (part, field) in PLACES.items():
        others = _claimed(document, field, notes)
        mine = [r for r in readings if r.role == role and r.amount > 0]
        rivals = _rivals(
            [r for r in mine if r.cost <= SURE or r.amount not in others.get(r.quantity.kind, others["any"])]
        )
        if not rivals or (role in ("concurrency", "request_rate") and _has_other_load(document, role)):
            continue
        first = None if notes.comes_from("default", field) else document[part].get(field)
        topic = TOPICS.get(role, role)
        if topic in notes.chosen and (len(rivals) > 1 or rivals[0].cost > SURE):
            continue
        if _settled(None if topic in notes.chosen else first, rivals, notes, topic, readings):
            continue
        reading = _weighed(rivals, notes, topic)
        document[part][field] = int(reading.amount) if field in WHOLE else reading.amount
        forget(notes, field, topic)
        words = scan.words(reading.words)
        notes.assume(f"`{words}` read as {field} {reading.amount:g}" + ("" if first is None else f", not {first:g}"))
    _by_order(document, look, scan, notes)
    _second_length(document, look, scan, notes)
    _two_limits(document, scan, notes)
    _as_long(document, scan, notes)
    for reading in readings:
        if reading.role in PLACES:
            scan.eat(reading.quantity.span)


LONG = 1000
"""Tokens from which a length that nothing names is taken for a prompt's."""


def _by_order(document: Json, look: Look, scan: Scan, notes: Notes) -> None:
    """Lengths in tokens whose nouns nobody here knows: what is read stands before what is written, and is longer when it is alone."""
    loose = [q for q in look.loose if EATEN not in scan.text[slice(*q.span)]]
    open_fields = [f for f in ("isl", "osl") if notes.comes_from("default", f) and f not in notes.questions]
    if len(loose) == 1 and open_fields == ["isl", "osl"] and loose[0].value >= LONG:
        open_fields = ["isl"]
    if not open_fields or len(loose) != len(open_fields):
        return
    for field, quantity in zip(open_fields, loose, strict=True):
        document["workload"][field] = round(quantity.value)
        forget(notes, field, field)
        notes.assume(
            f"`{scan.words(quantity.span)}` read as {field} {round(quantity.value)}: the order in which lengths are told"
        )
        scan.eat(quantity.span)


_UNNAMED_LENGTH = compiled(
    r"(?:^|(?<=[.,;:(\n]\s)|(?<=\n)|\b(?:the|an?|its|their|each|every|one|and)\s)(?P<what>[a-z]{4,16})\s+(?:(?:we|they|it)\s+[a-z]{3,8}\s+(?:back\s+)?)?(?:(?:is|are|of|being|runs?\s+to|comes?\s+to)\s+)?(?:around|about|roughly|close\s+to|closer\s+to|near|some|avg|average|averages|averaging|approximately|~)\s*(?P<n>\d{1,3}(?:,\d{3})+|\d{2,6})(?=\s*(?:[,;)\n]|\.(?!\d)|$))"
)
"""A noun with a bare number: `the letter around 700`."""


def _second_length(document: Json, look: Look, scan: Scan, notes: Notes) -> None:
    """The answer's length where the prompt's is known and one more length follows it that nothing else claims (`transcript avg 18,000, notes avg 1,100`)."""
    isl = document["workload"].get("isl")
    if (
        not notes.comes_from("default", "osl")
        or notes.comes_from("default", "isl")
        or {"isl", "osl"} & set(notes.questions)
    ):
        return
    read = [r for r in look.readings if r.role == "isl" and r.naming is not None and _is_length(scan, r.quantity)]
    names = {_stem(scan, r) for r in read if _same(r.amount, isl)}
    after = min((r.quantity.span[0] for r in read if _same(r.amount, isl)), default=0)
    found = [
        (round(r.amount), r.quantity.span) for r in read if r.quantity.span[0] > after and _stem(scan, r) not in names
    ]
    placed = {r.quantity.span[0] for r in look.readings}
    found += [
        (count_of(m["n"]), m.span())
        for m in _UNNAMED_LENGTH.finditer(scan.text)
        if m.start("n") not in placed and count_of(m["n"]) >= 4 * SHORTEST and not NO_TEXT.match(m["what"])
    ]
    if len(found) != 1 or found[0][0] == isl:
        return
    document["workload"]["osl"], span = found[0]
    forget(notes, "osl", "osl")
    notes.assume(f"`{scan.words(span)}` read as osl {found[0][0]}: the order in which lengths are told")
    scan.eat(span)


_ABOUT = compiled(r"\b(?:around|about|roughly|close\s+to|closer\s+to|near|some|avg|average|approximately)\s*$")


def _is_length(scan: Scan, quantity: Quantity) -> bool:
    """Whether a number counts tokens: by its unit, or since it is an estimate."""
    start = quantity.span[0]
    return quantity.kind == "tokens" or (
        quantity.kind == "plain" and _ABOUT.search(scan.original[max(0, start - 16) : start]) is not None
    )


def _stem(scan: Scan, reading: Reading) -> str:
    """The word that names a length, singular."""
    assert reading.naming is not None
    return scan.original[slice(*reading.naming.span)].lower().rstrip("s")


_KIND_FIELDS: Mapping[str, frozenset[str]] = {
    "time": frozenset({"ttft_ms", "tpot_ms"}),
    "tokens": frozenset({"isl", "osl"}),
    "any": frozenset(name for _, name in PLACES.values()),
}
"""Fields that a number of a kind can have gone to."""


APART = 4.0
"""Factor by which the time to the first token must exceed the time per token where neither is named."""
SLOWEST_TOKEN = 500.0
_TWO_LIMITS = compiled(
    r"(?<![\w.,])(?P<a>\d{1,5}(?:\.\d{1,3})?)\s?(?P<au>ms|s|sec|seconds?|milliseconds?)\s*(?:and|/|,|\+|&|und|et|y|e)\s*(?P<b>\d{1,5}(?:\.\d{1,3})?)\s?(?P<bu>ms|s|sec|seconds?|milliseconds?)\b"
)


def _two_limits(document: Json, scan: Scan, notes: Notes) -> None:
    """Two times side by side that nothing names, where no limit is known: the long one is to the first token, the short one per token."""
    pairs = list(_TWO_LIMITS.finditer(scan.text))
    if len(pairs) != 1 or document["slo"] or {"ttft_ms", "tpot_ms"} & set(notes.questions):
        return
    times = sorted(float(pairs[0][n]) * (1 if pairs[0][f"{n}u"].lower().startswith("m") else 1000) for n in "ab")
    if times[0] > SLOWEST_TOKEN or times[1] < APART * times[0] or times[0] <= 0:
        return
    notes.assume(f"`{scan.words(pairs[0].span())}` read as ttft_ms {times[1]:g} and tpot_ms {times[0]:g}")
    for name, value in zip(("ttft_ms", "tpot_ms"), reversed(times), strict=True):
        document["slo"][name] = value
        forget(notes, name, name)
    scan.eat(pairs[0].span())


_AS_LONG = compiled(
    r"\b(?:(?:just\s+|about\s+|roughly\s+)?as\s+long|equally\s+long|(?:of\s+)?the\s+same\s+length|genauso\s+lang|aussi\s+long\w*|igual\s+de\s+larg\w+)\b(?!\s+as\s+(?:it|possible|we|you|the\s+(?!prompt|input|question|text|document|original)))"
)


def _as_long(document: Json, scan: Scan, notes: Notes) -> None:
    """What is read and what is written are equally long, and one length is told."""
    if _AS_LONG.search(scan.text) is None:
        return
    told = [f for f in ("isl", "osl") if not notes.comes_from("default", f) and f not in notes.questions]
    if len(told) == 1:
        other = "osl" if told == ["isl"] else "isl"
        document["workload"][other] = document["workload"][told[0]]
        forget(notes, other, other)
        notes.assume(f"{other} {document['workload'][other]}: told to be as long as {told[0]}")


def _claimed(document: Json, field: str, notes: Notes) -> dict[str, set[float]]:
    """Values that the first reader gave to other fields, by the kind of number they can come from."""
    given = [(name, document[part].get(name)) for part, name in PLACES.values() if name != field]
    taken = [(name, value) for name, value in given if value is not None and not notes.comes_from("default", name)]
    return {kind: {value for name, value in taken if name in fields} for kind, fields in _KIND_FIELDS.items()}


def _rivals(readings: Sequence[Reading]) -> list[Reading]:
    """The nearest reading, and those with another value that stand about as near."""
    found: list[Reading] = []
    for reading in sorted(readings, key=lambda r: r.cost):
        near = reading.cost <= _floor(readings) + SLACK
        if near and all(abs(reading.amount - other.amount) > 1e-6 for other in found):
            found.append(reading)
    return found


def _floor(readings: Sequence[Reading]) -> float:
    """The least cost."""
    return min(r.cost for r in readings)


def _settled(
    first: float | None, rivals: Sequence[Reading], notes: Notes, topic: str, readings: Sequence[Reading]
) -> bool:
    """Whether the first reader's answer stands (or its question, or a new one)."""
    values = [r.amount for r in rivals]
    if first is not None and any(_same(first, value) for value in values):
        return True
    if len(values) > 1:
        return first is not None or topic in notes.questions
    if first is None:
        return topic in notes.questions and rivals[0].cost > SURE
    taken = any(r.role != rivals[0].role and r.role in PLACES and _same(first, r.amount) for r in readings)
    return rivals[0].cost > SURE and not taken


def _weighed(rivals: Sequence[Reading], notes: Notes, topic: str) -> Reading:
    """The reading that the text stands by; nearness to the name counts as well."""
    amounts = [r.amount for r in rivals]
    taken = notes.one_of(topic, amounts, [r.quantity.span for r in rivals], [-r.cost for r in rivals])
    return next((r for r in rivals if r.amount == taken), rivals[0])


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-3 * max(1.0, abs(other))


def _has_other_load(document: Json, role: Role) -> bool:
    """Whether the load is given in the other form: concurrency and rate exclude each other."""
    other = "request_rate" if role == "concurrency" else "concurrency"
    return document["workload"].get(other) is not None


def forget(notes: Notes, field: str, topic: str) -> None:
    """Take back the default's assumption, and the question that the second reader answers."""
    notes.take_back("default", field)
    notes.questions.pop(topic, None)
