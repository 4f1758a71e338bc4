"""Finding catalogue names in running text: whole names first, then unique shortenings (`qwen3 235b`), then the nearest names."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

from agent.understand.scan import SPAN

_WORD = re.compile(r"(?:\d{1,6}x)+(?=[A-Za-z])|\br\+|[A-Za-z0-9]+(?:\.\d+)*", re.IGNORECASE)
"""Runs of letters and digits, and the one name that ends in a plus (Command R+)."""
_PIECE = re.compile(r"[a-z]{3,}(?=\d)|[a-z0-9.]+")
_VERSION = re.compile(r"\d{1,2}(?:\.\d{1,2})*")
_QUANTISED = re.compile(r"-(?:fp8|nvfp4|mxfp4|int4|int8|awq|gptq)")
_SIZE = re.compile(r"\d{1,4}(?:\.\d)?b")
_ANOTHER = re.compile(r"[-_ ]?distill|-(?:lite|flash|mini|coder|vl|omni|math|vision)\b", re.IGNORECASE)
"""What makes another model of the one whose name it follows."""
EVERYDAY = frozenset(
    {"apertus", "bloom", "falcon", "granite", "hermes", "moonlight", "phi", "seed", "step", "vicuna", "yi"}
)
"""Families whose name alone says other things too: a seed, a step, a colleague."""
_ONE_SLIP_AWAY = frozenset({"internvl", "msft"})
"""Families whose names are a slip away from words (`internal`)."""
_GOES_ON = re.compile(r"-\w")
"""After a family's name alone: the name of a model of it that is not known."""
_SIZE_BEHIND = re.compile(r"(?:-[A-Za-z][A-Za-z0-9_.]{0,20}){1,3}-(?P<size>\d{2,4}[bB])(?![A-Za-z0-9])")
"""A size in the rest of a name: another model than those of other sizes."""
LONGEST_NAME = 10
"""Words that one name may span."""


@dataclass(frozen=True)
class Word:
    """A run of letters and digits, in lower case."""

    text: str
    span: SPAN


@dataclass(frozen=True)
class Mention:
    """A place in the text that names something: the keys it may mean, and whether the name was given in full."""

    keys: tuple[str, ...]
    span: SPAN
    exact: bool


def squash(name: str) -> str:
    """A name without case and punctuation, a plus in words: `Llama-3.1-70B` is `llama3170b`."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("+", "plus"))


def words_of(text: str) -> list[Word]:
    """Words of a text with their places."""
    return [Word(m.group().lower(), m.span()) for m in _WORD.finditer(text)]


def pieces(text: str) -> tuple[str, ...]:
    """The parts a name is made of: `qwen3-235b-a22b` is qwen, 3, 235b, a22b."""
    return tuple(p for word in words_of(text) for p in _PIECE.findall(word.text))


class Vocabulary:
    """Names of one kind of thing, by key."""

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        """`names`: key -> other names of it; the key is a name of itself."""
        self.names = {key: (key, *others) for key, others in names.items()}

    @cached_property
    def _whole(self) -> dict[str, str]:
        return {squash(name): key for key, names in self.names.items() for name in names}

    @cached_property
    def _starts(self) -> frozenset[str]:
        """Every beginning of a whole name."""
        return frozenset(name[:end] for name in self._whole for end in range(1, len(name) + 1))

    @cached_property
    def _holders(self) -> dict[str, list[tuple[str, bool, frozenset[str]]]]:
        """By family: the names that hold its word, as their key, whether the name is the key of that family, and their pieces."""
        found: dict[str, list[tuple[str, bool, frozenset[str]]]] = {family: [] for family in self.families}
        for key, names in self.names.items():
            for name in names:
                held = frozenset(pieces(name))
                for family in held & self.families:
                    found[family].append((key, name == key and family == self._heads[key], held))
        return found

    @cached_property
    def _heads(self) -> dict[str, str]:
        """The family of every key: the first piece of it."""
        return {key: pieces(key)[0] for key in self.names}

    @cached_property
    def families(self) -> frozenset[str]:
        """First pieces of the keys: where a shortened name may start."""
        return frozenset(self._heads.values())

    @property
    def unlike_words(self) -> frozenset[str]:
        """Families that a mistyped word may be meant to be: those that are no everyday words, nor nearly ones."""
        return self.families - EVERYDAY - _ONE_SLIP_AWAY

    def mentions(self, text: str) -> list[Mention]:
        """Every place of `text` that names a key, in order and without overlap.

        A family's name that is an everyday word names nothing beside another name, and no single key.
        """
        words = words_of(text)
        found: list[Mention] = []
        at = 0
        while at < len(words):
            mention, used = self._at(text, words[at : at + LONGEST_NAME])
            if mention is not None:
                found.append(mention)
            at += max(1, used)
        named = [mention for mention in found if text[slice(*mention.span)].lower() not in EVERYDAY]
        return named or [mention for mention in found if len(mention.keys) > 1]

    def _at(self, text: str, words: Sequence[Word]) -> tuple[Mention | None, int]:
        """The longest mention that starts with the first of `words`, and how many words it takes; a whole name is preferred to a shortened one."""
        whole, short = self._complete(text, words), self._shortened(text, words)
        counted = whole[1] and all(word.text.isdigit() for word in words[whole[1] : short[1]])
        mention, used = whole if counted else max(whole, short, key=lambda one: one[1])
        if mention is not None and _ANOTHER.match(text, mention.span[1]):
            return None, used
        return mention, used

    def _complete(self, text: str, words: Sequence[Word]) -> tuple[Mention | None, int]:
        """The longest whole name that starts with the first of `words`."""
        found: tuple[Mention | None, int] = (None, 0)
        name = ""
        for length, word in enumerate(words, 1):
            name += squash(word.text)
            if length > 1 and not _close_together(text, words[length - 2 : length]):
                break
            for form in (name, name.removesuffix("s")):
                if form in self._whole and not _is_article(text, word):
                    end = word.span[1] - (len(name) - len(form))
                    found = Mention((self._whole[form],), (words[0].span[0], end), exact=True), length
                    break
            if name not in self._starts:
                break
        return found

    def _shortened(self, text: str, words: Sequence[Word]) -> tuple[Mention | None, int]:
        """A family name and as many following pieces as some key has."""
        head = _PIECE.findall(words[0].text)
        if not head or head[0] not in self.families:
            return None, 0
        wanted, used = tuple(head), 1
        keys = self._named(wanted)
        while keys and used < len(words) and _close_together(text, words[: used + 1]):
            more = (*wanted, *_PIECE.findall(words[used].text))
            fewer = self._named(more)
            if not fewer:
                break
            keys, wanted, used = fewer, more, used + 1
        span = (words[0].span[0], words[used - 1].span[1])
        size = _SIZE_BEHIND.match(text, span[1])
        if size is not None and not any(size["size"].lower() in pieces(key) for key in keys):
            return None, used
        if len(wanted) == 1 and _GOES_ON.match(text, span[1]):
            return None, used
        return (Mention(simplest(keys), span, exact=False), used) if keys else (None, 0)

    @cached_property
    def _named(self) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
        """Keys of the family that have all these pieces; keys that have them only in another name of theirs when there are no such keys."""
        return lru_cache(maxsize=4_096)(self._with_pieces)

    def _with_pieces(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        having = [(key, own) for key, own, held in self._holders[wanted[0]] if _has_all(held, wanted)]
        return tuple(key for key, own in having if own) or tuple(dict.fromkeys(key for key, _ in having))

    def nearest(self, name: str, limit: int = 3) -> tuple[str, ...]:
        """Keys whose names look most like `name`, best first."""
        wanted = squash(name)[:80]
        scores = {
            key: max(difflib.SequenceMatcher(None, wanted, squash(n)).ratio() for n in names)
            for key, names in self.names.items()
        }
        best = sorted(scores, key=lambda key: (-scores[key], key))
        return tuple(key for key in best[:limit] if scores[key] >= 0.3)


def _has_all(held: frozenset[str], wanted: Sequence[str]) -> bool:
    """Whether a name has every piece; a bare version stands for its minor versions (3 for 3.1)."""
    return all(p in held or (p.isdigit() and any(h.startswith(f"{p}.") for h in held)) for p in wanted)


@lru_cache(maxsize=1_024)
def simplest(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Keys that are really different.

    Quantised checkpoints of another key are left out, of versions of one model the newest is kept, and a plain name is preferred to
    longer ones that say all it says (`qwen3-32b` to `qwen3-vl-32b`), whatever their version where it says a size (to `qwen2.5-coder-32b`).
    """
    plain = [
        key for key in keys if not any(_QUANTISED.fullmatch(key.removeprefix(other)) for other in keys if key != other)
    ]
    newest: dict[tuple[str, ...], str] = {}
    for key in plain:
        parts = pieces(key)
        kind = _kind(parts)
        if kind not in newest or _versions(parts) > _versions(pieces(newest[kind])):
            newest[kind] = key
    left = tuple(newest.values())
    return tuple(key for key in left if not any(_says_less(pieces(other), pieces(key)) for other in left))


def _says_less(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether a longer name says all that the first one says."""
    kind = frozenset(_kind(one))
    return set(one) < set(other) or (kind < set(_kind(other)) and any(map(_SIZE.fullmatch, kind)))


def _kind(parts: Sequence[str]) -> tuple[str, ...]:
    """The pieces of a name that are no versions."""
    return tuple(part for part in parts if not _VERSION.fullmatch(part))


def _versions(parts: Sequence[str]) -> list[tuple[int, ...]]:
    return [tuple(int(n) for n in p.split(".")) for p in parts if _VERSION.fullmatch(p)]


def _close_together(text: str, words: Sequence[Word]) -> bool:
    """Whether only separators of a name stand between neighbours."""
    return all(_joins(text[a.span[1] : b.span[0]], a.text, b.text) for a, b in pairwise(words))


def _joins(gap: str, before: str, after: str) -> bool:
    """Whether a name goes on over a gap; a single digit behind a digit is another number (`V3 / 2 x H200`) unless a hyphen ties it."""
    if re.fullmatch(r"[ \t]{0,2}|[ ]?[-_][ ]?|[/.:]", gap) is None or (gap and _is_counted(before, after)):
        return False
    return gap in ("-", "_") or not (before[-1].isdigit() and re.fullmatch(r"\d|\d{1,3}x", after))


def _is_article(text: str, word: Word) -> bool:
    """Whether a name would end in the article: `Command A` and `command-a` are a model, `the command a user gives` is not."""
    start, end = word.span
    return text[start:end] == "a" and text[start - 1 : start].isspace()


def _is_counted(before: str, after: str) -> bool:
    """Whether a letter and a number apart are words: `a 40-token answer` names no A40, though `A 100` is an A100."""
    return before in ("a", "l", "t") and after.isdigit() and after != "100"


def slips(one: str, other: str) -> int:
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
