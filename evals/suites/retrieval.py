"""Retrieval: questions as engineers ask them, and the sections that answer them; and citations, of which only shown ones stand."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from evals.suite import Sample, Score, Suite, measure
from knowledge.retrieval import Library, cite

DATA = Path(__file__).parent.parent / "data"
FILES = (
    "retrieval_questions.yaml",
    "retrieval_fresh.yaml",
    "retrieval_unseen.yaml",
    "retrieval_unseen_2.yaml",
    "retrieval_unseen_3.yaml",
    "retrieval_unseen_4.yaml",
    "retrieval_unseen_5.yaml",
    "retrieval_unseen_6.yaml",
    "retrieval_unseen_7.yaml",
)
SHOWN = 5


@cache
def _library() -> Library:
    return Library()


def samples() -> Sequence[Sample]:
    """The questions of every file."""
    rows = [row for name in FILES for row in yaml.safe_load((DATA / name).read_text(encoding="utf-8"))]
    return [
        Sample(f"{n:03} {row['question'][:60]}", row["question"], {"sections": row["sections"]})
        for n, row in enumerate(rows)
    ]


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """The best sections, and what is left of citations of which half are invented."""
    shown = [section.ref for section in _library().search(sample.input, SHOWN)]
    invented = [f"{ref}-and-more" for ref in shown] + ["no-such-page.md#anchor", "../secrets.md#key"]
    accepted = cite([ref for pair in zip(shown, invented, strict=False) for ref in pair], shown).accepted
    return {"summary": ", ".join(shown[:2]), "shown": shown, "accepted": list(accepted)}


def recall(sample: Sample, output: dict[str, Any]) -> Score:
    """A section that answers is among the first five."""
    found = set(sample.target["sections"]) & set(output["shown"])
    return Score("recall@5", float(bool(found)), f"expected one of {sample.target['sections']}, got {output['shown']}")


def first(sample: Sample, output: dict[str, Any]) -> Score:
    """The first section answers."""
    hit = bool(output["shown"]) and output["shown"][0] in sample.target["sections"]
    return measure("precision@1", float(hit), better="higher")


def citations(_sample: Sample, output: dict[str, Any]) -> Score:
    """Every citation that stands was shown, and every shown one that was cited stands."""
    right = output["accepted"] == output["shown"]
    return Score("citation_precision", float(right), f"accepted {output['accepted']} of {output['shown']}")


RETRIEVAL = Suite(
    name="retrieval", about="knowledge sections for questions", samples=samples, solve=solve, scorers=(recall, first, citations)
)  # fmt: skip
