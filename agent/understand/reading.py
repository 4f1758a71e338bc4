"""A language model's reading of a text: the same request, checked by the same code.

The patterns read first. A model is asked only about texts that they leave open, and what it says counts only where they found nothing:
its names must be in the catalogue, its numbers in the text, and every value taken from it is a listed assumption.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from agent.understand.assemble import Understanding, catalogue_names, concluded, read_document
from agent.understand.models import unplannable_mentions
from agent.understand.names import Vocabulary, simplest
from agent.understand.notes import ORIGINS, Notes
from agent.understand.scan import NUMBER_WORDS, Scan
from agent.wire import WireReading

Json = dict[str, Any]


_PLACES: dict[str, tuple[str, ...]] = {
    **{name: ("workload", name) for name in ("isl", "osl", "concurrency", "request_rate", "prefix_hit_ratio")},
    **{name: ("slo", name) for name in ("ttft_ms", "tpot_ms")},
    **{name: ("precision", name) for name in ("weights", "activations", "kv")},
    **{name: ("constraints", "fix", name) for name in ("tp_size", "pp_size", "ep_size", "dp_size", "replicas")},
    **{name: (name,) for name in ("objective", "serving", "engine")},
}
_TOPICS = {
    "request rate": "request_rate",
    "prefix hit ratio": "prefix_hit_ratio",
    "weights precision": "weights",
    "kv precision": "kv",
    "activations precision": "activations",
}
_CLUSTER_TOPICS = frozenset({"gpu", "cluster", "GPUs", "hosts", "GPUs per host", "racks"})
_DIGITS = re.compile(r"(?<![A-Za-z.\d])\d+(?:[.,]\d+)*(?![\d.]*[bB]\b)")
"""Numbers, not those of names (`H100`, `70B`)."""
_WORD = re.compile(r"[^\W\d_]+")


def is_open(question: str | None, assumptions: Sequence[str]) -> bool:
    """Whether the patterns left something of a text: a question, or words that look like a wish."""
    return question is not None or any(note.startswith("ignored: ") for note in assumptions)


def with_reading(text: str, reading: WireReading) -> Understanding:
    """What the patterns and a language model together read in `text`."""
    names = catalogue_names()
    document, notes = read_document(text, names)
    said = _numbers_in(text)
    _name_model(document, notes, reading, names.models)
    _size_cluster(document, notes, reading, names.gpus, said)
    for field, place in _PLACES.items():
        value = getattr(reading, field)
        if value is not None and _fill(document, notes, field, place, value, said):
            notes.take_back("default", field)
    return concluded(document, notes)


def _name_model(document: Json, notes: Notes, reading: WireReading, models: Vocabulary) -> None:
    if document["model"] is not None or reading.model is None or unplannable_mentions(reading.model):
        return
    key = _known(reading.model, models)
    if key is not None:
        document["model"] = key
        notes.questions.pop("model", None)
        notes.assume(f"model {key}: as the language model reads the text")


def _size_cluster(document: Json, notes: Notes, reading: WireReading, gpus: Vocabulary, said: frozenset[float]) -> None:
    """The cluster, when the patterns have none: a known GPU, and numbers that stand in the text (or one host)."""
    guessed = notes.comes_from("learned", "cluster")
    if (document["cluster"] is not None and not guessed) or reading.gpu is None or reading.gpus_per_host is None:
        return
    key, hosts, per_host = _known(reading.gpu, gpus), reading.hosts or 1, reading.gpus_per_host
    counted = {float(per_host), float(hosts * per_host)} & said and (
        hosts == 1 or {float(hosts), float(hosts * per_host)} & said
    )
    if key is None or not counted:
        return
    document["cluster"] = {"gpu": key, "gpus_per_host": per_host, "hosts": hosts}
    for topic in _CLUSTER_TOPICS:
        notes.questions.pop(topic, None)
    notes.take_back("learned", "cluster")
    notes.assume(f"{hosts} hosts of {per_host} {key}: as the language model reads the text")


def _known(name: str, vocabulary: Vocabulary) -> str | None:
    """The one key that a name stands for."""
    mentions = vocabulary.mentions(name)
    keys = simplest(mentions[0].keys) if len(mentions) == 1 else ()
    return keys[0] if len(keys) == 1 else None


def _fill(document: Json, notes: Notes, field: str, place: tuple[str, ...], value: Any, said: frozenset[float]) -> bool:
    """Put a value where the patterns have none; False when they have one, or when the text has no such number."""
    asked = {_TOPICS.get(topic, topic) for topic in notes.questions}
    at = document
    for part in place[:-1]:
        at = at.setdefault(part, {})
    open_ = field in asked or any(notes.comes_from(origin, field) for origin in ORIGINS)
    if place[-1] in at and not open_:
        return False
    if isinstance(value, int | float) and not _grounded(float(value), said):
        notes.assume(f"ignored: the language model's {field} {value:g} (the text has no such number)")
        return False
    at[place[-1]] = value
    notes.take_back("learned", field)
    for topic in [topic for topic in notes.questions if _TOPICS.get(topic, topic) == field]:
        del notes.questions[topic]
    notes.assume(f"{field} {value}: as the language model reads the text")
    return True


def _numbers_in(text: str) -> frozenset[float]:
    """Every number that a text gives, in digits or as a word."""
    return frozenset(_numbers(Scan(text).original))


def _numbers(text: str) -> Iterator[float]:
    for match in _DIGITS.finditer(text):
        plain = match.group()
        for form in (plain.replace(",", ""), plain.replace(".", ""), plain.replace(",", ".")):
            if form.count(".") <= 1:
                yield float(form)
    for match in _WORD.finditer(text.lower()):
        if match.group() in NUMBER_WORDS:
            yield float(NUMBER_WORDS[match.group()])


_SCALES = (1, 1000, 1024, 1000 * 1000, 1024 * 1024, 1 / 60, 1 / 3600, 1 / 86_400, 0.01, 12, 100)


def _grounded(value: float, said: frozenset[float]) -> bool:
    """Whether a value is a number of the text in another unit: thousands, seconds to milliseconds, a rate per minute, tokens a second."""
    exact = [number * scale for number in said for scale in _SCALES]
    rounded = [1000 / number for number in said if number > 0]
    if any(abs(value - one) <= 1e-6 * abs(one) for one in exact):
        return True
    return any(abs(value - one) <= 1e-2 * one for one in rounded) or (value in (500.0, 1000.0) and 1.0 in said)


def reading_of(document: Json) -> WireReading | None:
    """A reply's document as a reading; None when it has another shape. What it leaves out it does not say."""
    blank: Json = dict.fromkeys(WireReading.model_fields, None) | {"forbid": []}
    try:
        return WireReading.model_validate({**blank, **document})
    except ValidationError:
        return None
