"""The weights of the learned reader of numbers, fitted on the labelled texts and measured on sets held out.

What a number is nobody labelled; a text's fields are. A number may have every role whose value it equals, and three rounds of
expectation and maximisation settle which (`80` may be a user or a GPU's memory; other texts tell). Each set is by one writer, so what
is measured is what another writer's texts would give.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize

from agent.understand.assemble import catalogue_names
from agent.understand.learned import (
    COUNTS,
    FIELD_ROLES,
    LENGTH,
    ROLES,
    Opinion,
    Weights,
    opinion_of,
    roles_allowed,
    shares,
    signs_of_others,
    value_as,
)
from agent.understand.mentions import BUCKETS, Mention, Page, buckets, page_of, signs_of_name, signs_of_number
from agent.understand.notes import Notes
from agent.understand.scan import SPAN
from agent.understand.wording import scanned
from evals.suites.understanding import DATA, FILES

Json = dict[str, Any]
Floats = NDArray[np.float64]
Name = tuple[SPAN, str, bool]
"""Where a model or a GPU is named, which of both, and whether it is the one that the text is about."""
SETS = ("understanding.yaml", *FILES)
FOLDS = 3
"""Parts for which the second reading is fitted on what the first one, fitted on the others, says of them."""
ROUNDS = (60, 30, 30)
"""Steps of the optimiser in each round of settling which role a number has."""
PENALTY, NAME_PENALTY = 1.0, 0.3
"""How far weights may go from zero, of roles and of names: of names there are few texts to learn from."""
LEAST = 0.02
"""Weights below this are dropped: half of a step of their storage or less."""
SAME = 2e-3
HELD_OUT = 0.3
"""Chance from which a value counts as read where the learned reader is measured alone."""
FIELDS = ("isl", "osl", "concurrency", "request_rate", "ttft_ms", "tpot_ms", "prefix_hit_ratio")


@dataclass(frozen=True)
class Labelled:
    """A text as it is read, what it says, and its set."""

    page: Page
    says: Json
    set: str
    names: tuple[Name, ...]

    @cached_property
    def signs(self) -> list[list[str]]:
        """The signs of each number."""
        return [signs_of_number(self.page, at) for at in range(len(self.page.mentions))]


def labelled(sets: Sequence[str] = SETS) -> list[Labelled]:
    """The texts of the sets that say something, and those of which a number of GPUs has to be asked."""
    rows = ((name, row) for name in sets for row in yaml.safe_load((DATA / name).read_text(encoding="utf-8")))
    return [_labelled(name, row) for name, row in rows if row.get("says") or _asks_count(row)]


_COUNT_ASKED = re.compile(r"how many|number|count|hosts?|nodes?")


def _asks_count(row: Json) -> bool:
    """Whether a text must be asked how many GPUs there are: none of its numbers says so, or they contradict each other."""
    return any(_COUNT_ASKED.fullmatch(word) for word in row.get("asks", ()))


def _labelled(name: str, row: Json) -> Labelled:
    names, says = catalogue_names(), dict(row.get("says", {}))
    text = scanned(row["text"], names.models, names.gpus, Notes()).original
    if isinstance(says.get("gpus"), int) and isinstance(says.get("hosts"), int) and says["hosts"] > 1:
        says["per_host"] = says["gpus"] // says["hosts"]
    found = []
    for what, vocabulary in (("model", names.models), ("gpu", names.gpus)):
        mentions = [
            m for m in vocabulary.mentions(text) if what == "model" or any(c.isdigit() for c in text[slice(*m.span)])
        ]
        found += [(m.span, what, says[what] in m.keys) for m in mentions if what in says]
    return Labelled(page_of(text, names.models, names.gpus), says, name, tuple(found))


def roles_by_value(text: Labelled) -> NDArray[np.bool_]:
    """Which roles (column) each number (row) has by its value; `none` where it is no field's. Where only a count is known to be missing, every other one."""
    found, says = roles_allowed(text.page), text.says
    if not says:
        found[:, [ROLES.index(role) for role in COUNTS]] = False
        return found
    for row, mention in zip(found, text.page.mentions, strict=True):
        row &= [role != "none" and _is_value(role, mention, says) for role in ROLES]
        row[0] = not row.any()
    return found


def _is_value(role: str, mention: Mention, says: Json) -> bool:
    expected = says.get("fix", {}).get(_degree(role)) if role.startswith("fix_") else says.get(_field(role))
    several = expected if isinstance(expected, list) else [expected]
    values = {value_as(role, mention)}
    if role in ("isl", "osl") and mention.unit in ("k", "m"):
        values.add(mention.value * (1000 if mention.unit == "k" else 1_000_000))
    known = [float(one) for one in several if isinstance(one, int | float)]
    return any(abs(value - one) <= SAME * max(1e-9, abs(one)) for value in values for one in known)


def _degree(role: str) -> str:
    name = role.removeprefix("fix_")
    return name if name == "replicas" else f"{name}_size"


def _field(role: str) -> str:
    return next((field for field, roles in FIELD_ROLES.items() if role in roles), role)


# --- fitting ------------------------------------------------------------------------------------------------------------------


def fit(texts: Sequence[Labelled]) -> Weights:
    """Weights by the texts alone: nothing is drawn at random, so the same texts give the same weights."""
    first_rows = [buckets(signs) for text in texts for signs in text.signs]
    design, may = _design(first_rows), np.vstack([roles_by_value(text) for text in texts])
    allowed = np.vstack([roles_allowed(text.page) for text in texts])
    order = {name: index for index, name in enumerate(dict.fromkeys(text.set for text in texts))}
    fold = np.array([order[text.set] % FOLDS for text in texts for _ in text.page.mentions])
    unseen = np.zeros(may.shape)
    for part in set(fold.tolist()):
        held = fold == part
        known = _settled(design[~held], may[~held]) if (~held).any() else np.zeros((BUCKETS, len(ROLES)))
        unseen[held] = shares(design[held] @ known, allowed[held])
    second = _settled(_design(_second_rows(texts, unseen)), may)
    return Weights(_trimmed(_settled(design, may)), _trimmed(second), _trimmed(_names(texts)))


def _second_rows(texts: Sequence[Labelled], chances: Floats) -> list[list[int]]:
    """Buckets of each number with what a first reading says of the others."""
    rows, at = [], 0
    for text in texts:
        count = len(text.page.mentions)
        others = signs_of_others(chances[at : at + count]) if count else []
        rows += [buckets([*signs, *more]) for signs, more in zip(text.signs, others, strict=True)]
        at += count
    return rows


def _design(rows: Sequence[Sequence[int]]) -> sparse.csr_matrix:
    """Rows of buckets as a matrix whose rows all have the same length."""
    counts = np.array([len(row) for row in rows])
    values = np.repeat(LENGTH / np.sqrt(counts), counts)
    indices = np.concatenate([np.asarray(row) for row in rows])
    return sparse.csr_matrix((values, indices, np.concatenate([[0], counts.cumsum()])), shape=(len(rows), BUCKETS))


def _settled(design: sparse.csr_matrix, may: NDArray[np.bool_]) -> Floats:
    """Weights for roles of which each row has one of those it may have: fitted, asked, and fitted again."""
    wanted: Floats = may / may.sum(axis=1, keepdims=True)
    found = np.zeros((BUCKETS, may.shape[1]))
    for steps in ROUNDS:
        found = _fitted(design, wanted, found, steps)
        wanted = shares(design @ found, may)
    return found


def _fitted(design: sparse.csr_matrix, wanted: Floats, start: Floats, steps: int, penalty: float = PENALTY) -> Floats:
    """The multinomial logistic regression towards `wanted` (shares of each row), with a squared penalty."""
    columns = np.unique(design.indices)
    used = design[:, columns]
    turned = used.T.tocsr()
    shape = (len(columns), wanted.shape[1])
    everything = np.ones(wanted.shape, bool)

    def loss(flat: Floats) -> tuple[float, Floats]:
        table = flat.reshape(shape)
        given = shares(used @ table, everything)
        miss = -float((wanted * np.log(np.maximum(given, 1e-300))).sum())
        return miss + float(flat @ flat) / (2 * penalty), (turned @ (given - wanted) + table / penalty).ravel()

    best = minimize(loss, start[columns].ravel(), jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 6})
    found = np.zeros((design.shape[1], wanted.shape[1]))
    found[columns] = best.x.reshape(shape)
    return found


def _names(texts: Sequence[Labelled]) -> Floats:
    """One column: how much a sign speaks for a name being the one that is meant, by the texts that name several."""
    found = [(text.page, span, what, right) for text in texts for span, what, right in _rivals(text.names)]
    if not found:
        return np.zeros((BUCKETS, 1))
    meant = np.array([right for *_, right in found])
    design = _design([buckets(signs_of_name(page, span, what)) for page, span, what, _ in found])
    wanted = np.column_stack([~meant, meant]).astype(float)
    both = _fitted(design, wanted, np.zeros((BUCKETS, 2)), ROUNDS[0], NAME_PENALTY)
    return both[:, 1:] - both[:, :1]


def _rivals(names: Sequence[Name]) -> list[Name]:
    """Those of a kind of which a text names one that is meant and another one."""
    kinds = {what for what in ("model", "gpu") if len({right for _, kind, right in names if kind == what}) > 1}
    return [name for name in names if name[1] in kinds]


def _trimmed(table: Floats) -> Floats:
    return np.where(np.abs(table) < LEAST, 0.0, table)


# --- measuring ----------------------------------------------------------------------------------------------------------------


def held_out(texts: Sequence[Labelled], told: Callable[[str], None]) -> dict[str, tuple[int, int]]:
    """For each field: how many values of texts whose set was not fitted are read right, of how many."""
    counts: dict[str, list[int]] = {name: [0, 0] for name in FIELDS}
    for name in dict.fromkeys(text.set for text in texts):
        learned = fit([text for text in texts if text.set != name])
        for text in texts:
            if text.set == name:
                _count(counts, opinion_of(text.page, learned), text.says)
        told(f"held out: {name}")
    return {name: (right, all_) for name, (right, all_) in counts.items()}


def _count(counts: Mapping[str, list[int]], opinion: Opinion, says: Json) -> None:
    for field in FIELDS:
        if field in says:
            counts[field][0] += reads(opinion, field, says[field])
            counts[field][1] += 1


def reads(opinion: Opinion, field: str, expected: Any) -> bool:
    """Whether the likeliest value of a field is the expected one (a list names several)."""
    claims = opinion.claims(field)
    known = [float(one) for one in (expected if isinstance(expected, list) else [expected])]
    return (
        bool(claims)
        and claims[0].chance >= HELD_OUT
        and any(abs(claims[0].value - one) <= SAME * max(1e-9, abs(one)) for one in known)
    )
