"""What people write beside a DAG and what the DAG already decides: rank groups, a Ray Serve file, an estimate.

None of it is needed, since groups and bytes follow from the strategy. Where it is given it is checked, so that a plan cannot say one thing
in its DAG and another beside it.
"""

from typing import Any

from pydantic import Field

from strategy.result import Estimate
from strategy.values import Count, Frozen

MAX_RANKS = 65_536
Ranks = tuple[Count, ...]
Rows = tuple[Ranks, ...]


class RankRow(Frozen):
    """Where one global rank sits, as the author says."""

    rank: Count
    replica: Count = 0
    pp: Count = 0
    dp: Count = 0
    cp: Count = 0
    tp: Count = 0


class Layout(Frozen):
    """Ranks written out: groups by axis (those of `strategy.mesh`, `pp` and `replica`), coordinates, pipeline pairs, experts of each ep rank."""

    groups: dict[str, Rows] = Field(default={}, max_length=16)
    ranks: tuple[RankRow, ...] = Field(default=(), max_length=MAX_RANKS)
    sends: tuple[tuple[Count, Count], ...] = Field(default=(), max_length=MAX_RANKS)
    """(sender, receiver) across stages."""
    experts: Rows = Field(default=(), max_length=MAX_RANKS)
    """Routed experts that each ep rank holds, by ep rank."""
    layers: tuple[tuple[Count, Count], ...] = Field(default=(), max_length=MAX_RANKS)
    """Half-open range of layers that each rank holds, by rank."""
    weights_gb: tuple[float, ...] = Field(default=(), max_length=MAX_RANKS)
    """Weights of each rank in 10^9 bytes, by rank."""
    tflop: tuple[float, ...] = Field(default=(), max_length=MAX_RANKS)
    """Arithmetic of each rank in one prefill of one prompt of the request, in 10^12 operations, by rank."""


class Suppression(Frozen):
    """A warning that the author has seen and accepts."""

    code: str = Field(pattern=r"^[A-Z]{2}[0-9]{3}$")
    reason: str = Field(min_length=1, max_length=500)


class Claims(Frozen):
    """Everything that may stand beside a DAG."""

    layout: Layout | None = None
    deployment: dict[str, Any] | None = None
    """A Ray Serve config file, or one `LLMConfig` of it, as plain data."""
    estimate: Estimate | None = None
    suppress: tuple[Suppression, ...] = Field(default=(), max_length=200)


NO_CLAIMS = Claims()
