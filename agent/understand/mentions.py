"""Numbers of a text with what stands around them: the signs by which a learned reader tells what each of them is.

A sign is a short string (`L1:concurrent`, the word before; `u=ms`, the unit) that is kept as one of `BUCKETS` numbers. Names of models and
GPUs are masked, so that no sign can be a name: what was learned of one model's text holds for every other's.
"""

import bisect
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from agent.understand.names import Vocabulary
from agent.understand.roles import quantities
from agent.understand.scan import SPAN

BUCKETS = 1 << 15
REACH = 10
"""Words on each side that are looked at."""
NEAR = 6
"""Words on each side that count without their distance."""
_GPU, _MODEL = "\ue001", "\ue002"
"""Stand for the letters of names."""
_NUMBER = re.compile(
    r"(?<![\d.,])(?<!\d:)(?P<n>\d{1,3}(?:[,_' ]\d{3})+(?!\d)|\d{1,12}(?:\.\d{1,9})?)(?!\d)(?:\s?(?P<unit>%|percent\b|µs\b|us\b|ms\b|msecs?\b|milli\w+|s\b|secs?\b|seconds?\b|"
    r"mins?\b|minutes?\b|k(?![a-z])|M(?![a-z])|m\b|x\b|[KMGT]i?B\b|[kmgt]i?b\b|[kMGT]bit\w*|GB/s|Gb/s|tok(?:en)?s?\b|K(?![a-z])))?"
)
_WORD = re.compile(rf"{_GPU}+|{_MODEL}+|\d+(?:[.,_]\d+)*|[^\W\d_{_GPU}{_MODEL}]+|[^\w\s]|_|\n")
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_GLUED = re.compile(rf"(?:[^\W\d_xX{_GPU}{_MODEL}]|[^\W\d_][xX])$")
_SENTENCE_ENDS = frozenset(".;\n!?")
MOST_MENTIONS = 120
"""Numbers of a text that are looked at: a page of traffic has a dozen."""


@dataclass(frozen=True)
class Mention:
    """A number as it stands in a text: `digits` as written, `unit` in small letters (`k`, `ms`, `tok`, or none), `kind` as typed by its unit.

    `glued` says that it is the end of a word (`fp8`, `tp4`), not of a count (`x8`).
    """

    value: float
    span: SPAN
    digits: str
    unit: str
    kind: str
    glued: bool = False

    @property
    def form(self) -> str:
        """The unit in few words: `tok`, `s`, `ms`, `min`, `%`, `k`, `m`, `x`, `n` for none, `B` for all else."""
        for start, form in (
            ("tok", "tok"),
            ("sec", "s"),
            ("ms", "ms"),
            ("mill", "ms"),
            ("min", "min"),
            ("percent", "%"),
        ):
            if self.unit.startswith(start):
                return form
        return self.unit if self.unit in ("s", "%", "k", "x", "m") else "B" if self.unit else "n"

    @property
    def amount(self) -> float:
        """The value with its thousands, for comparing sizes."""
        return self.value * (1000 if self.unit == "k" else 1)


@dataclass(frozen=True)
class Word:
    """A word or a mark of a text."""

    text: str
    span: SPAN


@dataclass(frozen=True)
class Page:
    """A text whose names are masked, with its words and numbers."""

    text: str
    mentions: tuple[Mention, ...]

    @cached_property
    def words(self) -> list[Word]:
        """Words, marks and line ends in order."""
        return [word for match in _WORD.finditer(self.text) for word in _words_of(match)]

    @cached_property
    def starts(self) -> list[int]:
        """Where each word starts."""
        return [word.span[0] for word in self.words]

    @cached_property
    def lines(self) -> list[int]:
        """Where each line starts."""
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def around(self, span: SPAN, text: str) -> str:
        """What `text` says at a span, with two words on each side."""
        first, behind = bisect.bisect_left(self.starts, span[0]), bisect.bisect_left(self.starts, span[1])
        near = [word.span for word in self.words[max(0, first - 2) : behind + 2]]
        return text[min(near[0][0], span[0]) : max(near[-1][1], span[1])] if near else text[slice(*span)]


def page_of(text: str, models: Vocabulary, gpus: Vocabulary) -> Page:
    """The page of a text in which numbers that are written out are digits already."""
    masked = _masked(text, [mention.span for mention in models.mentions(text)], _MODEL)
    named = [
        mention.span for mention in gpus.mentions(masked) if any(c.isdigit() for c in masked[slice(*mention.span)])
    ]
    masked = _masked(masked, named, _GPU)
    kinds = {q.span[0]: q for q in quantities(masked)}
    spans = sorted(kinds)
    found = []
    for match in list(_NUMBER.finditer(masked))[:MOST_MENTIONS]:
        at = bisect.bisect_right(spans, match.start()) - 1
        typed = kinds[spans[at]] if at >= 0 else None
        kind = typed.kind if typed is not None and match.start() < typed.span[1] else "no"
        digits = match["n"]
        value = float(re.sub(r"[,_' ]", "", digits))
        glued = _GLUED.search(masked, max(0, match.start() - 2), match.start()) is not None
        found.append(Mention(value, match.span(), digits, (match["unit"] or "").lower(), kind, glued=glued))
    return Page(masked, tuple(found))


def _masked(text: str, spans: Iterable[SPAN], mark: str) -> str:
    for start, end in spans:
        text = text[:start] + mark * (end - start) + text[end:]
    return text


def _words_of(match: re.Match[str]) -> Iterator[Word]:
    """A word; scripts without spaces give a word for each character."""
    text, (start, end) = match.group(), match.span()
    if _IDEOGRAPH.match(text):
        yield from (Word(char, (start + i, start + i + 1)) for i, char in enumerate(text))
        return
    plain = {_GPU: "<gpu>", _MODEL: "<model>"}.get(text[0], "<n>" if text[0].isdigit() else text.lower())
    yield Word(plain, (start, end))


def buckets(signs: Iterable[str], known: Iterable[int] = ()) -> list[int]:
    """The buckets of signs beside those that are `known`; bucket 0 is always there (what is usual)."""
    return sorted({0, *known, *(zlib.crc32(sign.encode("utf-8", "replace")) & (BUCKETS - 1) for sign in signs)})


def signs_of_number(page: Page, index: int) -> list[str]:
    """What speaks for a number of a page being one thing or another."""
    mention = page.mentions[index]
    return [*_shape(page, mention), *_surroundings(page, mention.span, mention.form), *_order(page, index)]


def signs_of_name(page: Page, span: SPAN, what: str) -> list[str]:
    """What speaks for or against a model or GPU (`what`) that stands at `span`."""
    around = list(_surroundings(page, span, "name"))
    return [*around, *(what + sign for sign in around[:60])]


def _shape(page: Page, mention: Mention) -> Iterator[str]:
    """How a number is written, and how great it is."""
    form, value, size = mention.form, mention.value, _size(mention.value)
    start, end = mention.span
    yield from (f"k={form}", f"k={form}|m={size}", f"m={size}", f"kq={mention.kind}", f"kq={mention.kind}|m={size}")
    yield f"dig={len(mention.digits.partition('.')[0])}"
    yield f"dot={'.' in mention.digits}"
    yield f"sep={',' in mention.digits}"
    whole = value == int(value)
    yield f"pow={whole and value >= 1 and int(value) & (int(value) - 1) == 0}"
    yield f"round={value >= 10 and value % 10 == 0}|{value >= 100 and value % 100 == 0}"
    if whole and value <= 16:
        yield f"v={int(value)}"
    yield f"glueL={page.text[start - 1 : start].strip() or '_'}"
    yield f"glueR={page.text[end : end + 1].strip() or '_'}"


def _size(value: float) -> int:
    """The power of two at or below a value, within what matters; -5 for none."""
    return -5 if value <= 0 else max(-4, min(24, math.floor(math.log2(value))))


def _surroundings(page: Page, span: SPAN, form: str) -> Iterator[str]:
    """Words on both sides, and how the line begins."""
    first, behind = bisect.bisect_left(page.starts, span[0]), bisect.bisect_left(page.starts, span[1])
    words = page.words
    yield from _side("L", [word.text for word in words[max(0, first - REACH) : first][::-1]], form)
    yield from _side("R", [word.text for word in words[behind : behind + REACH]], form)
    if first > 0 and behind < len(words):
        yield f"LR:{words[first - 1].text}_{words[behind].text}"
    line = page.lines[bisect.bisect_right(page.lines, span[0]) - 1]
    begins = bisect.bisect_left(page.starts, line)
    key = [w.text for w in words[begins : min(first, begins + 4)] if w.text[0].isalpha() or w.text == "_"][:3]
    yield from (f"key:{word}|{len(page.lines) > 3}" for word in key)
    if key:
        yield f"keyj:{'_'.join(key)}"


def _side(side: str, words: Sequence[str], form: str) -> Iterator[str]:
    """Words of one side, the nearest first: as they are, by their beginnings and, when near, by their parts."""
    ended = ""
    for step, word in enumerate(words, 1):
        place = str(step) if step <= 3 else "4-6" if step <= NEAR else "7-10"
        yield f"{side}{place}:{word}"
        if step <= 3:
            yield f"{side}{place}:{word}|{form}"
        if step <= NEAR and len(word) > 1:
            yield f"{side}:{word}{ended}"
        if len(word) >= 4 and word.isalpha():
            yield f"{side}s:{word[:4]}{ended}" if step <= NEAR else f"{side}S:{word[:4]}"
            if step <= 4:
                yield from (f"{side}c:{word[i : i + 3]}" for i in range(len(word) - 2))
        ended = "!" if word in _SENTENCE_ENDS else ended
    if len(words) > 1:
        yield f"{side}b:{words[0]}_{words[1]}"
    if len(words) > 2:
        yield f"{side}t:{words[0]}_{words[1]}_{words[2]}"
    yield from _to_next_number(side, words)


def _to_next_number(side: str, words: Sequence[str]) -> Iterator[str]:
    gap = list(words[: words.index("<n>")] if "<n>" in words else words)
    yield from (f"{side}u:{word}" for word in gap if len(word) > 1)
    yield from (f"{side}us:{word[:4]}" for word in gap if len(word) > 4)
    yield f"{side}gap={len(gap)}"


def _order(page: Page, index: int) -> Iterator[str]:
    """Where a number stands among the others, and how it compares with its neighbours."""
    mentions, mention = page.mentions, page.mentions[index]
    form, count = mention.form, len(mentions)
    yield from (f"ord={min(index, 8)}", f"rord={min(count - 1 - index, 8)}", f"cnt={min(count, 12)}")
    for name, step in (("p", -1), ("n", 1), ("pp", -2), ("nn", 2)):
        if not 0 <= index + step < count:
            yield f"{name}k=none"
            continue
        other = mentions[index + step]
        yield f"{name}k={other.form}|{form}"
        yield f"{name}m={_size(other.value)}|{form}"
        yield f"{name}r={_size(mention.value / other.value if other.value else 0)}|{form}"
        first, last = sorted((mention.span, other.span))
        between = page.text[first[1] : last[0]]
        if abs(step) == 1 and len(between) <= 12:
            yield f"{name}g={between.strip().lower()}|{form}"
    larger = sum(other.amount > mention.amount for other in mentions)
    yield f"rank={min(larger, 6)}|{form}"
