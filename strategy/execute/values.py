"""What travels along the edges of a DAG while it runs: plain arrays with a leading axis of virtual ranks.

A Partial value is nothing special here: it is an array that nobody has summed yet, so a collective that is missing or doubled
gives a wrong number. Every row knows which token it belongs to (its label), as an engine's batch metadata does.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from strategy.errors import ExecutionError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SPAN = 1 << 20
"""A token's label is `sequence * SPAN + position`."""
MAX_ELEMENTS = 1 << 22
"""Numbers in one value: no sound document comes near it."""
MAX_SCORES = 1 << 25
"""Numbers in the attention scores of one node."""


class RunError(ExecutionError):
    """A DAG that cannot run as written: where, on which ranks of the stage, and why."""

    def __init__(self, message: str, *, node: str = "", layer: int | None = None, ranks: tuple[int, ...] = ()) -> None:
        super().__init__(message, node=node)
        self.layer = layer
        self.ranks = ranks


@dataclass(frozen=True, slots=True)
class Tensor:
    """Rows of features on every rank."""

    data: Floats
    """[ranks, rows, features]"""
    rows: Ints
    """[ranks, rows]: token labels."""
    source: str = ""
    """The weight (or op) whose result this is; survives collectives."""

    @property
    def width(self) -> int:
        """Features of a row."""
        return int(self.data.shape[-1])

    def with_data(self, data: Floats) -> "Tensor":
        """The same rows with other features."""
        return Tensor(data, self.rows, self.source)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids: a prompt, or what was sampled (its label is then the row the token was sampled from)."""

    ids: Ints
    """[ranks, rows]"""
    rows: Ints


@dataclass(frozen=True, slots=True)
class Routes:
    """The router's choice for every row."""

    experts: Ints
    """[ranks, rows, top_k]"""
    weights: Floats
    rows: Ints


@dataclass(frozen=True, slots=True)
class Gathered:
    """Hidden states and their routes after one all_gather carried both."""

    hidden: Tensor
    routes: Routes


@dataclass(frozen=True, slots=True)
class Copies:
    """Token copies on their way to and from experts, one entry per (token, chosen expert, holder)."""

    data: Floats
    """[copies, features]"""
    holder: Ints
    """[copies]: the rank where the copy is."""
    owner: Ints
    """The rank to which the dispatch brought it (an all_gather over moe_tp adds holders, not owners)."""
    source: Ints
    """The rank that sent it."""
    row: Ints
    """Its row at the source."""
    slot: Ints
    """Expert slot that must process it."""
    weight: Floats
    """Router weight."""
    key: Ints
    """Identity of the copy, whoever holds it."""
    origin_rows: Ints
    """[ranks, rows]: labels of the tensor that was dispatched."""
    processed: bool = False
    weighted: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What one kv_cache_update wrote in one step: K and V heads, or the MLA latent."""

    keys: Floats
    """[ranks, rows, kv heads, head_dim], or [ranks, rows, 1, latent + rope] for MLA."""
    values: Floats
    rows: Ints
    raw: Floats
    """[ranks, rows, features]: the K and V part (or the latent) as it arrived; a data edge from the update carries it on."""


@dataclass(frozen=True, slots=True)
class Ordering:
    """The result of a node that carries no tensor: a send, a step_sync."""

    op: str


@dataclass(frozen=True, slots=True)
class Sent(Ordering):
    """A send, with what a recv of the right stage may take."""

    value: "Value"
    stage_offset: int


Value = Tensor | Tokens | Routes | Gathered | Copies | Written | Ordering


@dataclass(slots=True)
class Arrived:
    """What reached a node over its in-edges and links."""

    data: list[Value] = field(default_factory=list)
    caches: list[Written] = field(default_factory=list)
    """KV writes that sync edges and links deliver to an attention."""


KINDS = {
    Tensor: "a tensor",
    Tokens: "token ids",
    Routes: "routes",
    Gathered: "gathered hidden states with routes",
    Copies: "dispatched token copies",
    Written: "a KV cache write",
    Ordering: "no tensor",
    Sent: "no tensor",
}


def kind_of(value: Value) -> str:
    """A value's kind in words."""
    return KINDS[type(value)]
