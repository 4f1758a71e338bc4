"""How well sections answer a question: four independent looks at it, each as a share of the best section's.

1. The section as a document: title, page, text and the words that people ask with, by BM25 over the field's terms.
2. The likest of the questions that the section answers (`data/questions.yaml`), by BM25 over single questions: asking looks like asking.
3. The text word for word, numbers, rare names and neighbouring words included: questions about a fact quote it.
4. The directions in which the words of our pages vary together (`knowledge.meanings`), which know words by the company they keep.

A section of a user's page has no questions; there the first look counts for the second.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import yaml

from knowledge.catalogue import SAFE_LOADER
from knowledge.meanings import stored
from knowledge.vocabulary import asked_terms, exact_terms, terms

if TYPE_CHECKING:
    import bm25s

DATA = Path(__file__).with_name("data")
ASKED = DATA / "asked.yaml"
QUESTIONS = DATA / "questions.yaml"
TITLE_WEIGHT = 6
PAGE_WEIGHT = 3
ASKED_WEIGHT = 8
UNDESCRIBED_WEIGHT = 3
"""Of the text of a section without words of `asked.yaml` (every section of a user's page): its text has to speak for them."""
SATURATION = 8.0
"""BM25's k1, in weighted terms: a term in the title and in the words that people ask with counts for more than in one of them."""
LENGTH_PENALTY = 0.3
QUESTION_WEIGHT = 1.5
QUESTION_SATURATION = 1.2
WORDING_WEIGHT = 1.5
WORDING_SATURATION = 2.0
WORDING_TITLE_WEIGHT = 3
USUAL_LENGTH_PENALTY = 0.5
MEANING_WEIGHT = 1.5
Scores = npt.NDArray[np.float64]
"""One number for each section."""


class Passage(Protocol):
    """What is ranked."""

    @property
    def ref(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def page(self) -> str: ...
    @property
    def text(self) -> str: ...


class Ranking:
    """The four looks at a fixed list of sections; safe to share between threads."""

    def __init__(self, sections: Sequence[Passage]) -> None:
        self._document = _index([_weighted_terms(s) for s in sections], SATURATION, LENGTH_PENALTY)
        self._questions = _question_index(sections)
        wording = [exact_terms(s.title) * WORDING_TITLE_WEIGHT + exact_terms(s.text) for s in sections]
        self._wording = _index(wording, WORDING_SATURATION, USUAL_LENGTH_PENALTY)
        self._meanings, _ = stored()
        self._places = self._meanings.rows([Counter(_words_of(section)) for section in sections])

    def scores(self, query: str) -> Scores:
        """How well each section answers `query`; 0 for those that share nothing with it."""
        document = _shares(_weighted(self._document, asked_terms(query)))
        exact = list(dict.fromkeys(exact_terms(query)))
        asked = np.zeros(len(document))
        np.maximum.at(asked, self._questions.owners, _plain(self._questions.index, exact))
        likeness = np.where(self._questions.described, _shares(asked), document)
        wording = _shares(_plain(self._wording, exact))
        found: Scores = document + QUESTION_WEIGHT * likeness + WORDING_WEIGHT * wording
        asks = self._meanings.rows([Counter(exact_terms(query, pairs=False))])[0]
        return found + MEANING_WEIGHT * _shares(np.maximum(self._places @ asks, 0.0)) * (found > 0)


@dataclass(frozen=True)
class _Questions:
    """An index of single questions, and the section that each belongs to."""

    index: "bm25s.BM25"
    owners: npt.NDArray[np.int64]
    described: npt.NDArray[np.bool_]
    """Whether a section has questions."""


def own_words() -> list[Counter[str]]:
    """The words of each section of our pages."""
    from knowledge.retrieval import PAGES, sections_of  # which reads this module

    return [Counter(_words_of(section)) for section in sections_of(PAGES)]


def _words_of(section: Passage) -> list[str]:
    """The words of a section, of what it is asked with, and of its questions."""
    parts = (section.title, section.text, _asked().get(section.ref, ""), *questions().get(section.ref, ()))
    return [word for part in parts for word in exact_terms(part, pairs=False)]


def _index(documents: Sequence[Sequence[str]], saturation: float, length_penalty: float) -> "bm25s.BM25":
    import bm25s  # here, since only a search should pay for a tenth of a second

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it asks for debug messages on import
    index = bm25s.BM25(method="lucene", k1=saturation, b=length_penalty)
    index.index(documents, show_progress=False)
    return index


def _question_index(sections: Sequence[Passage]) -> _Questions:
    pairs = [(at, one) for at, section in enumerate(sections) for one in questions().get(section.ref, ())]
    index = _index([exact_terms(question) for _, question in pairs], QUESTION_SATURATION, USUAL_LENGTH_PENALTY)
    owners = np.array([owner for owner, _ in pairs])
    return _Questions(index, owners, np.isin(np.arange(len(sections)), owners))


def _plain(index: "bm25s.BM25", words: Sequence[str]) -> Scores:
    """BM25 of every document, 0 where no word is known. All scores, because `retrieve` returns documents that match nothing."""
    known = [word for word in words if word in index.vocab_dict]
    return np.asarray(index.get_scores(known), dtype=np.float64) if known else np.zeros(index.scores["num_docs"])


def _weighted(index: "bm25s.BM25", weights: dict[str, float]) -> Scores:
    """BM25 with weights of the question's terms."""
    total: Scores = np.zeros(index.scores["num_docs"])
    for weight in set(weights.values()):
        total = total + weight * _plain(index, [term for term in weights if weights[term] == weight])
    return total


def _shares(scores: Scores) -> Scores:
    """Scores as shares of the best one."""
    return scores / max(float(scores.max(initial=0.0)), 1e-9)


def _weighted_terms(section: Passage) -> list[str]:
    asked = terms(_asked().get(section.ref, ""))
    return (
        terms(section.title) * TITLE_WEIGHT
        + terms(section.page) * PAGE_WEIGHT
        + asked * ASKED_WEIGHT
        + terms(section.text) * (1 if asked else UNDESCRIBED_WEIGHT)
    )


@cache
def _asked() -> dict[str, str]:
    """Section reference -> other words in which people ask about it; only for our own pages."""
    return dict(_entries(ASKED))


@cache
def questions() -> dict[str, tuple[str, ...]]:
    """Section reference -> the questions that it answers; only for our own pages."""
    return {ref: tuple(one.strip() for one in asked.split("?") if one.strip()) for ref, asked in _entries(QUESTIONS)}


def _entries(path: Path) -> list[tuple[str, str]]:
    pages = yaml.load(path.read_text(encoding="utf-8"), Loader=SAFE_LOADER)  # noqa: S506
    return [(f"{page}#{anchor}", words) for page, sections in pages.items() for anchor, words in sections.items()]
