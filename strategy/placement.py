"""The placement algebra's data: how a tensor lies over the ranks of one stage.

The attention mesh (dp, cp, tp) and the expert mesh (moe_dp, ep, moe_tp) number the same W ranks. Their common refinement is a list of
*digits*: mixed-radix digits of a rank's place w, slowest first, such that every axis of both meshes is a run of consecutive digits. A
placement gives each digit one letter, so "Partial over tp" and "Partial over ep and moe_tp" are one placement when they are the
same ranks, and going from one mesh to the other needs no rule of its own.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from strategy.mesh import Axis, axis_size
from strategy.strategy import ExpertMesh, Pool

Letter = Literal["R", "T", "F", "P", "E"]
"""Replicated, Shard(tokens), Shard(features: heads, hidden or vocab), Partial sum, Shard(experts)."""

WORDS: dict[str, str] = {
    "R": "Replicated",
    "T": "Shard(tokens)",
    "F": "Shard(features)",
    "P": "Partial",
    "E": "Shard(experts)",
}


@dataclass(frozen=True)
class Digits:
    """The refinement of one pool's two meshes: digit sizes, slowest first, and the digits of each axis."""

    sizes: tuple[int, ...]
    axes: dict[Axis, tuple[int, ...]] = field(hash=False)

    def of(self, axis: Axis) -> tuple[int, ...]:
        """Digits of `axis`, slowest first; empty when the axis has one rank."""
        return self.axes[axis]

    def named(self, digits: tuple[int, ...] | frozenset[int]) -> str:
        """Axes that make up `digits`, in words: an attention axis where there is one."""
        wanted = frozenset(digits)
        for axis in ("tp", "cp", "dp", "stage", "dcp", "ep", "moe_tp", "moe_dp"):
            if self.axes[axis] and frozenset(self.axes[axis]) == wanted:
                return axis
        parts = [axis for axis in ("dp", "cp", "tp") if wanted & frozenset(self.axes[axis])]
        return " and ".join(parts)


@lru_cache(maxsize=1024)
def refine(pool: Pool) -> Digits | None:
    """Digits of a pool whose meshes both have width W, or None when neither mesh's cuts refine the other's."""
    experts = pool.experts or ExpertMesh.model_construct(dp_size=pool.width)
    attention_order: tuple[Axis, ...] = ("tp", "cp", "dp")
    expert_order: tuple[Axis, ...] = (
        ("moe_tp", "ep", "moe_dp") if pool.moe_layout == "moe_tp_fastest" else ("ep", "moe_tp", "moe_dp")
    )
    if experts.width != pool.width:
        return None
    spans = {
        **_spans(pool, attention_order),
        **_spans(pool, expert_order),
        "stage": (1, pool.width),
        "dcp": (1, pool.dcp_size),
    }
    cuts = sorted({cut for span in spans.values() for cut in span})
    if any(high % low for low, high in pairwise(cuts)):
        return None
    steps = list(pairwise(cuts))[::-1]
    axes = {
        axis: tuple(i for i, (low, high) in enumerate(steps) if start <= low and high <= end)
        for axis, (start, end) in spans.items()
    }
    return Digits(tuple(high // low for low, high in steps), axes)


def _spans(pool: Pool, fastest_first: tuple[Axis, ...]) -> dict[Axis, tuple[int, int]]:
    """Each axis as the interval of strides that it covers."""
    found: dict[Axis, tuple[int, int]] = {}
    stride = 1
    for axis in fastest_first:
        size = axis_size(pool, axis)
        found[axis] = (stride, stride * size)
        stride *= size
    return found


@dataclass(frozen=True)
class Placement:
    """How a tensor lies over the digits of a stage.

    Concatenating shards makes the gathered digits the slowest in a rank's row order, and slicing cuts by the slowest, so the order
    of rows is a stack: `rows` holds gathered digits, slowest first, and `cut` the digits that a replicated tensor was sliced by.
    """

    letters: tuple[Letter, ...]
    rows: tuple[int, ...] = ()
    cut: tuple[int, ...] = ()

    def on(self, digits: tuple[int, ...]) -> frozenset[Letter]:
        """Letters that occur on some digits."""
        return frozenset(self.letters[d] for d in digits)

    def with_letter(self, digits: tuple[int, ...], letter: Letter) -> "Placement":
        """The same with one letter on some digits."""
        wanted = frozenset(digits)
        letters = tuple(letter if d in wanted else old for d, old in enumerate(self.letters))
        return Placement(letters, self.rows, self.cut)

    def gather_rows(self, digits: tuple[int, ...]) -> "Placement":
        """Concatenate token shards over `digits`."""
        rows, cut = (*digits, *self.rows), self.cut
        while rows and cut and rows[-1] == cut[-1]:
            rows, cut = rows[:-1], cut[:-1]
        return replace(self.with_letter(digits, "R"), rows=rows, cut=cut)

    def cut_rows(self, digits: tuple[int, ...]) -> "Placement | None":
        """Keep one of the equal slices over `digits`; None when those slices are not what the ranks own."""
        sliced = self.with_letter(digits, "T")
        if not self.rows:
            return replace(sliced, cut=(*self.cut, *digits))
        if self.rows[: len(digits)] == digits:
            return replace(sliced, rows=self.rows[len(digits) :])
        if len(self.rows) < len(digits) and digits[: len(self.rows)] == self.rows:
            return replace(sliced, rows=(), cut=(*self.cut, *digits[len(self.rows) :]))
        return None
