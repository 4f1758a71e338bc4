"""Text as something that extractors eat: what one of them understood, the next ones no longer see."""

import re
import unicodedata

from agent.understand.glossary import in_english
from agent.understand.numerals import in_digits

MAX_CHARACTERS = 8_000
"""A request is a sentence or a page; what comes after this many characters is not read."""

EATEN = "\x1f"
"""Stands where text was understood: no pattern matches it, and positions stay as they were."""

_SAME = str.maketrans(
    {"×": "x", "–": "-", "—": "-", "‑": "-", "−": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "\xa0": " "}
)

NUMBER_WORDS = {
    "a": 1, "an": 1, "one": 1, "single": 1, "two": 2, "pair": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "dozen": 12, "fourteen": 14, "fifteen": 15, "sixteen": 16, "eighteen": 18,
    "twenty": 20, "twenty-four": 24, "thirty": 30, "thirty-two": 32, "forty": 40, "forty-eight": 48, "fifty": 50, "sixty": 60,
    "sixty-four": 64, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
    "ein": 1, "eine": 1, "einer": 1, "einem": 1, "zwei": 2, "vier": 4, "acht": 8, "sechzehn": 16,
    "un": 1, "une": 1, "deux": 2, "quatre": 4, "huit": 8, "seize": 16, "dos": 2, "cuatro": 4, "ocho": 8,
}  # fmt: skip

_WORDS = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
COUNT = rf"(?<![0-9a-wyz_])(?<!\d[.,])(?:\d{{1,3}}(?:[,_]\d{{3}})+|\d{{1,9}}|(?:{_WORDS})(?![a-z]))(?![,._]?\d)"
"""A whole number, in digits or as a word; never a part of a longer number."""

SPAN = tuple[int, int]


class Scan:
    """A text, and what of it has been understood so far."""

    def __init__(self, text: str) -> None:
        clean = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).translate(_SAME)
        self.original = in_english(in_digits("".join(c if c.isprintable() or c in "\n\t" else " " for c in clean)))
        self.text = self.original

    def take(self, pattern: re.Pattern[str]) -> list[re.Match[str]]:
        """Every match of `pattern` in what is left; matches are eaten."""
        found = list(pattern.finditer(self.text))
        for match in found:
            self.eat(match.span())
        return found

    def eat(self, span: SPAN) -> None:
        """Mark `span` as understood."""
        start, end = span
        self.text = self.text[:start] + EATEN * (end - start) + self.text[end:]

    def words(self, span: SPAN) -> str:
        """What the text said at `span`, in one line."""
        return " ".join(self.original[slice(*span)].split())


def count_of(words: str) -> int:
    """A whole number from digits (`16`, `1,024`) or a word (`eight`)."""
    plain = words.strip().lower()
    return NUMBER_WORDS[plain] if plain in NUMBER_WORDS else int(plain.replace(",", "").replace("_", ""))


def thousand(number: float) -> int:
    """What `k` says behind a number of tokens: 1,024 after a power of two, as contexts are told (`8k`, `128k`), else 1,000 (`1.5k`, `20k`)."""
    return 1024 if number >= 1 and number.is_integer() and int(number).bit_count() == 1 else 1000


def number_of(words: str) -> float:
    """A decimal number: `0.5`, `1,024`, `1.5`; a comma before one or two last digits is a decimal comma (`1,5`)."""
    if re.fullmatch(r"\d+,\d{1,2}", words):
        return float(words.replace(",", "."))
    return float(words.replace(",", "").replace("_", ""))


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern that ignores case."""
    return re.compile(pattern, re.IGNORECASE)
