"""The pages of the knowledge base: links lead somewhere, sections are of readable size, every contradiction is settled."""

import re
from pathlib import Path

import pytest

from knowledge.markdown import Passage, passages
from knowledge.retrieval import PAGES

FILES = sorted(PAGES.glob("*.md"))
LINK = re.compile(r"\[[^\[\]]+\]\(([^()\s]+)\)")
WORDS = re.compile(r"\w+")
FEWEST_WORDS, MOST_WORDS = 50, 260
CONTRADICTIONS = 30


def _passages(path: Path) -> list[Passage]:
    return passages(path.read_text(encoding="utf-8"), path.stem)


def _anchors() -> set[str]:
    return {f"{path.name}#{passage.anchor}" for path in FILES for passage in _passages(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_link_leads_to_a_section(path: Path) -> None:
    anchors = _anchors()
    names = {file.name for file in FILES}

    for target in LINK.findall(path.read_text(encoding="utf-8")):
        full = path.name + target if target.startswith("#") else target
        assert full in anchors or full in names, full


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_sections_are_long_enough_to_stand_alone_and_short_enough_to_cite(path: Path) -> None:
    sizes = {passage.title: len(WORDS.findall(passage.text)) for passage in _passages(path)}

    assert sizes
    assert {title: size for title, size in sizes.items() if not FEWEST_WORDS <= size <= MOST_WORDS} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_page_opens_with_its_title_and_repeats_no_heading(path: Path) -> None:
    found = _passages(path)

    assert path.read_text(encoding="utf-8").startswith(f"# {found[0].title}\n")
    titles = [passage.title for passage in found]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("number", range(1, CONTRADICTIONS + 1))
def test_every_contradiction_of_the_sources_is_settled_on_a_page_and_listed_in_the_index(number: int) -> None:
    settled = [
        f"{path.name}#{passage.anchor}"
        for path in FILES
        for passage in _passages(path)
        if re.search(rf"Contradiction X{number}\b", passage.text)
    ]
    index = next(p.text for p in _passages(PAGES / "terms.md") if p.title == "Where the source documents disagree")

    assert settled
    assert re.search(rf"\bX{number}\b", index)


def test_the_index_links_each_contradiction_to_a_section_that_speaks_of_it() -> None:
    index = next(p.text for p in _passages(PAGES / "terms.md") if p.title == "Where the source documents disagree")
    texts = {f"{path.name}#{p.anchor}": p.text for path in FILES for p in _passages(path)}

    for label, target in re.findall(r"\[(X[\d, X]+)\]\(([^()\s]+)\)", index):
        section = texts[target if not target.startswith("#") else f"terms.md{target}"]
        assert all(re.search(rf"\b{name}\b", section) for name in label.split(", ")), (label, target)
