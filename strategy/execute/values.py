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
Flags = NDArray[np.bool_]
SPAN = 1 << 20
"""A token's label is `sequence * SPAN + position`."""
NOBODY = -SPAN
"""The label of a padding row, where ranks hold unequal numbers of rows: it belongs to no sequence."""
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
class Heads:
    """Which attention heads the features of a row are, on every rank: the query heads first, then the heads of K and of V."""

    query: Ints | None = None
    """[ranks, heads]"""
    kv: Ints | None = None
    """[ranks, heads], of K and of V alike."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Rows of features on every rank."""

    data: Floats
    """[ranks, rows, features]"""
    rows: Ints
    """[ranks, rows]: token labels."""
    source: str = ""
    """The weight (or op) whose result this is; survives collectives."""
    heads: Heads | None = None
    """None for features that are no heads (any more)."""

    @property
    def width(self) -> int:
        """Features of a row."""
        return int(self.data.shape[-1])

    def with_data(self, data: Floats) -> "Tensor":
        """The same rows with other features."""
        return Tensor(data, self.rows, self.source, self.heads)


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


@dataclass(frozen=True, slots=True)
class Written:
    """K and V heads of some rows, or their MLA latents: what one kv_cache_update wrote in one step, or what attention reads."""

    keys: Floats
    """[ranks, rows, kv heads, head_dim] with positions turned in; for MLA [ranks, rows, 1, latent + rope], not turned."""
    values: Floats
    rows: Ints
    """[ranks, rows]"""
    heads: Ints
    """[ranks, kv heads]"""
    recurrent: bool = False
    """What enters the state of a recurrence, by value heads: keys are Q and K, values are V with its numbers (beta and decay, or the time step), all before the convolution."""


@dataclass(frozen=True, slots=True)
class ContextPart:
    """Attention over part of the context."""

    data: Floats
    """[ranks, rows, heads, features]: normalised within the part."""
    lse: Floats
    """[ranks, rows, heads]: log of the sum of exponentials of the part's scores."""
    rows: Ints
    heads: Ints
    """[ranks, heads]: query heads."""
    recurrent: bool = False
    """Gated outputs of a recurrence on the heads of a rank, before a norm over those of all: `lse` is then [ranks, rows], their squares."""


@dataclass(frozen=True, slots=True)
class LogSums:
    """Log-sum-exp of several parts of the context."""

    lse: Floats
    """[ranks, parts, rows, heads]"""
    rows: Ints
    heads: Ints


@dataclass(frozen=True, slots=True)
class Ordering:
    """The result of a node that carries no tensor: a send, a step_sync."""

    op: str


@dataclass(frozen=True, slots=True)
class Sent(Ordering):
    """A send, with what its recv may take."""

    value: "Value"
    stage_offset: int
    """0 when it goes round the ranks of a stage."""


Value = Tensor | Tokens | Routes | Gathered | Copies | Written | ContextPart | LogSums | Ordering


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
    ContextPart: "attention over part of the context",
    LogSums: "log-sum-exps",
    Ordering: "no tensor",
    Sent: "no tensor",
}


def kind_of(value: Value) -> str:
    """A value's kind in words."""
    return KINDS[type(value)]
