"""Directions in which the words of our pages vary together: `python -m knowledge.meanings` writes them to `data/meanings.npz`.

Latent semantic analysis over our sections, with the words that people ask with and the questions: words that never meet in one section
come near each other when they keep the same company. Computed beforehand, since a first search should not wait for it; words that came
later are unknown to it until it is written again.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

FILE = Path(__file__).with_name("data") / "meanings.npz"
DIRECTIONS = 60
"""Fewer than our sections by far, or each would be a meaning of its own."""

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Meanings:
    """Words with their places, how rare each is, and words x directions."""

    places: dict[str, int]
    rarity: Rows
    directions: Rows

    def rows(self, bags: Sequence[Counter[str]]) -> Rows:
        """Bags of words as vectors of length one [bags, directions]; one without known words is 0."""
        return unit(weighted(bags, self.places, self.rarity) @ self.directions)


def unit(rows: Rows) -> Rows:
    """Rows of length one (a row of zeros stays)."""
    lengths: Rows = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-9)


def weighted(bags: Sequence[Counter[str]], places: dict[str, int], rarity: Rows) -> Rows:
    """Words by how often they stand in a bag and how rare they are [bags, words]."""
    rows = np.zeros((len(bags), len(places)))
    for row, bag in zip(rows, bags, strict=True):
        times = {places[word]: count for word, count in bag.items() if word in places}
        at = np.fromiter(times, np.intp, len(times))
        row[at] = np.log1p(np.fromiter(times.values(), np.float64, len(times))) * rarity[at]
    return rows


def computed(bags: Sequence[Counter[str]]) -> Meanings:
    """The main directions of some bags of words; words of a single bag have none."""
    seen = Counter(word for bag in bags for word in bag)
    places = {word: at for at, word in enumerate(sorted(word for word, times in seen.items() if times > 1))}
    rarity = np.array([np.log(len(bags) / seen[word]) for word in places])
    _, _, directions = np.linalg.svd(unit(weighted(bags, places, rarity)), full_matrices=False)
    return Meanings(places, rarity, np.ascontiguousarray(directions[:DIRECTIONS].T))


def fingerprint(bags: Iterable[Counter[str]]) -> str:
    """What the directions were computed from (16 hex digits)."""
    told = "\n".join(" ".join(f"{word}:{times}" for word, times in sorted(bag.items())) for bag in bags)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


@cache
def stored() -> tuple[Meanings, str]:
    """The directions of the file, and the fingerprint of what they were computed from."""
    with np.load(FILE) as file:
        words, steps = file["words"].tolist(), file["directions"]
        directions = steps.astype(np.float64) * file["scale"]
        return Meanings(
            {word: at for at, word in enumerate(words)}, file["rarity"].astype(np.float64), directions
        ), str(file["of"])


def store(bags: Sequence[Counter[str]]) -> None:
    """Write the directions of `bags`, each in 255 steps."""
    meanings = computed(bags)
    scale = np.abs(meanings.directions).max(axis=0) / 127
    np.savez_compressed(
        FILE,
        words=np.array(list(meanings.places)),
        rarity=meanings.rarity.astype(np.float32),
        directions=np.round(meanings.directions / scale).astype(np.int8),
        scale=scale.astype(np.float32),
        of=np.array(fingerprint(bags)),
    )


def main() -> None:
    """Write the file from our own pages."""
    from knowledge.ranking import own_words

    store(own_words())


if __name__ == "__main__":
    main()
