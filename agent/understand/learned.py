"""A learned reader of numbers: a linear model that tells the role of each number of a text by the words around it.

It knows no phrase. Its weights are fitted on labelled texts (`python -m evals fit-reading`), so it also places numbers in wordings that no
pattern foresees. It reads twice: the second time it knows what it took the other numbers for, so that a role goes to one number. It
has no say by itself; `opinions` decides where it is heard.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.understand.mentions import Mention, Page, buckets, signs_of_name, signs_of_number
from agent.understand.scan import SPAN, thousand

Floats = NDArray[np.float64]
FILE = Path(__file__).parent / "weights.npz"
LENGTH = 8.0
"""Length to which every list of signs is scaled: a number in a long sentence is no surer than one in a short one."""

ROLES = (
    "none", "isl", "osl", "concurrency", "rate_s", "rate_m", "rate_h", "rate_d", "ttft_ms", "tpot_ms", "speed", "prefix",
    "gpus", "hosts", "per_host", "fix_tp", "fix_pp", "fix_ep", "fix_dp", "fix_replicas",
)  # fmt: skip
"""What a number can be: a rate by its time, a time per token or a speed, a degree that is fixed."""
_SECONDS = {"rate_s": 1, "rate_m": 60, "rate_h": 3600, "rate_d": 86_400}
FIELD_ROLES: Mapping[str, tuple[str, ...]] = {
    "isl": ("isl",), "osl": ("osl",), "concurrency": ("concurrency",), "request_rate": tuple(_SECONDS), "ttft_ms": ("ttft_ms",),
    "tpot_ms": ("tpot_ms", "speed"), "prefix_hit_ratio": ("prefix",), "gpus": ("gpus",), "hosts": ("hosts",), "per_host": ("per_host",),
}  # fmt: skip
"""Roles whose numbers give a field's value."""
COUNTS = ("gpus", "hosts", "per_host")
_DEGREES = ("fix_tp", "fix_pp", "fix_ep", "fix_dp", "fix_replicas")
_TIMES = ("ttft_ms", "tpot_ms")
_LENGTHS = ("isl", "osl")


def roles_of(mention: Mention) -> frozenset[str]:
    """Roles that a number can play by its unit; `none` is always one of them."""
    form, plain = mention.form, mention.form in ("n", "x")
    roles = {"none"}
    if plain or form in ("k", "m", "tok"):
        roles |= {*_LENGTHS}
    if plain or form == "k":
        roles |= {"concurrency", *_SECONDS}
    if plain:
        roles |= {*_DEGREES, *(() if mention.glued else COUNTS)}
    if form in ("n", "s", "ms"):
        roles |= {*_TIMES}
    if plain or (form == "tok" and mention.value > 0):
        roles |= {"speed"}
    if form == "%" or (form == "n" and 0 < mention.value < 1):
        roles |= {"prefix"}
    return frozenset(roles)


def value_as(role: str, mention: Mention) -> float:
    """The value of a number in a role, in the unit of its field: tokens, requests per second, milliseconds, a ratio."""
    value, power = mention.value, {"k": 1, "m": 2}.get(mention.unit, 0)
    if role in _LENGTHS:
        return float(round(value * thousand(value) ** power))
    if role in _TIMES:
        return round(value * (1000 if mention.form == "s" else 1), 6)
    if role == "speed":
        return round(1000 / value, 6) if value else 0.0
    if role == "prefix":
        return value / 100 if mention.form == "%" else value
    return round(value * 1000.0**power / _SECONDS.get(role, 1), 6)


# --- weights --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """What was learned: a row for each bucket of signs and a column for each role; of names one column."""

    first: Floats
    second: Floats
    names: Floats


@cache
def weights() -> Weights:
    """The shipped weights, read once."""
    with np.load(FILE, allow_pickle=False) as stored:
        return Weights(*(stored[name] * float(stored[f"{name}_step"]) for name in ("first", "second", "names")))


def stored(found: Weights) -> dict[str, Any]:
    """Weights as they are stored: whole steps of one byte each."""
    document: dict[str, Any] = {}
    for name in ("first", "second", "names"):
        table: Floats = getattr(found, name)
        step = float(np.abs(table).max() or 1.0) / 127
        document |= {name: np.round(table / step).astype(np.int8), f"{name}_step": np.float64(step)}
    return document


def roles_allowed(page: Page) -> NDArray[np.bool_]:
    """Which role (column) each number (row) can play."""
    return np.array([[role in fits for role in ROLES] for fits in map(roles_of, page.mentions)], bool).reshape(
        -1, len(ROLES)
    )


def scores(rows: Sequence[Sequence[int]], table: Floats) -> Floats:
    """The sums of the weights of lists of buckets, each scaled to `LENGTH`."""
    found = [table[row].sum(axis=0) * (LENGTH / math.sqrt(len(row))) for row in rows]
    return np.array(found).reshape(-1, table.shape[1])


def shares(scored: Floats, allowed: NDArray[np.bool_]) -> Floats:
    """Probabilities (number x role) from scores: the softmax over the roles that are allowed."""
    shifted = np.where(allowed, scored, -np.inf)
    raised = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def signs_of_others(chances: Floats) -> list[list[str]]:
    """What a first reading says of each number: its neighbours' roles, and whether another one has a better claim to its own."""
    likely, count = chances.argmax(axis=1), len(chances)
    return [[*_neighbours(likely, at, count), *_claims(chances, at)] for at in range(count)]


def _neighbours(likely: NDArray[np.intp], at: int, count: int) -> Iterator[str]:
    for name, step in (("p", -1), ("n", 1), ("pp", -2), ("nn", 2)):
        if 0 <= at + step < count:
            yield f"S{name}={ROLES[likely[at + step]]}"


CLEAR = 1.5
"""How many times likelier one number must be to have a role before another."""


def _claims(chances: Floats, at: int) -> Iterator[str]:
    others = np.delete(chances, at, axis=0).max(axis=0, initial=0.0)
    for index, role in enumerate(ROLES[1:], 1):
        mine, best = float(chances[at, index]), float(others[index])
        if mine > 0.05:
            yield f"Sm:{role}:{int(mine * 5)}"
            yield f"Sc:{role}:{'win' if mine > best * CLEAR else 'lose' if best > mine * CLEAR else 'tie'}"
        elif best > 0.5:
            yield f"So:{role}"


# --- opinions -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A value that a text may give for a field, how likely that is (0 to 1), and where it stands."""

    value: float
    chance: float
    span: SPAN


@dataclass(frozen=True)
class Size:
    """GPUs in all on so many hosts (None: the text does not say), and how likely a text says so (0 to 1)."""

    gpus: int
    hosts: int | None
    chance: float


@dataclass(frozen=True)
class Opinion:
    """What the learned reader makes of a page: `chances` of each number (row) in each role (column)."""

    page: Page
    chances: Floats

    def claims(self, field: str) -> list[Claim]:
        """Values of a field, the likeliest first; what stands in several places is likelier by each of them."""
        best: dict[float, Claim] = {}
        for role in FIELD_ROLES[field]:
            column = ROLES.index(role)
            for mention, chance in zip(self.page.mentions, self.chances[:, column], strict=True):
                value = value_as(role, mention)
                old = best.get(value, Claim(value, 0.0, mention.span))
                span = mention.span if chance > old.chance else old.span
                best[value] = Claim(value, 1 - (1 - old.chance) * (1 - float(chance)), span)
        return sorted(best.values(), key=lambda claim: -claim.chance)

    @cached_property
    def size(self) -> Size | None:
        """The likeliest size of the cluster."""
        return likeliest_size({field: self.claims(field)[:MOST_CLAIMS] for field in ("gpus", "hosts", "per_host")})


MOST_CLAIMS = 4


def opinion_of(page: Page, learned: Weights | None = None) -> Opinion:
    """Read every number of a page, twice."""
    if not page.mentions:
        return Opinion(page, np.zeros((0, len(ROLES))))
    learned = learned or weights()
    allowed = roles_allowed(page)
    rows = [buckets(signs_of_number(page, at)) for at in range(len(page.mentions))]
    first = shares(scores(rows, learned.first), allowed)
    rows = [buckets(more, row) for more, row in zip(signs_of_others(first), rows, strict=True)]
    return Opinion(page, shares(scores(rows, learned.second), allowed))


def score_of_name(page: Page, span: SPAN, what: str, learned: Weights | None = None) -> float:
    """How much speaks for the model or GPU (`what`) at `span` being the one that the text is about, in log odds against its rivals."""
    return float(scores([buckets(signs_of_name(page, span, what))], (learned or weights()).names)[0, 0])


def likeliest_size(claims: Mapping[str, Sequence[Claim]]) -> Size | None:
    """The size that GPUs, hosts and GPUs per host make together; what contradicts itself counts against every size."""
    chances: dict[tuple[int, int | None] | None, float] = {}
    options = [[*(c for c in claims[field] if _counts(c.value)), None] for field in ("gpus", "hosts", "per_host")]
    for gpus, hosts, per_host in itertools.product(*options):
        weight = math.prod(_weight(taken, given) for taken, given in zip((gpus, hosts, per_host), options, strict=True))
        key = _size_of(*(None if claim is None else int(claim.value) for claim in (gpus, hosts, per_host)))
        chances[key] = chances.get(key, 0.0) + weight
    best = max((key for key in chances if key is not None), key=lambda key: chances[key], default=None)
    return None if best is None else Size(*best, chance=chances[best] / sum(chances.values()))


def _counts(value: float) -> bool:
    return value >= 1 and value == int(value)


def _weight(taken: Claim | None, given: Sequence[Claim | None]) -> float:
    """How likely one of the claims holds and the others do not."""
    chances = [(claim is taken, min(max(claim.chance, 1e-4), 0.9999)) for claim in given if claim is not None]
    return math.prod(chance if holds else 1 - chance for holds, chance in chances)


def _size_of(gpus: int | None, hosts: int | None, per_host: int | None) -> tuple[int, int | None] | None:
    """GPUs in all and hosts; None where the numbers contradict each other or say too little."""
    if per_host is None:
        return None if gpus is None or gpus % (hosts or 1) else (gpus, hosts)
    if gpus is None:
        return per_host * (hosts or 1), hosts or 1
    if gpus % per_host or (hosts is not None and gpus != hosts * per_host):
        return None
    return gpus, gpus // per_host
