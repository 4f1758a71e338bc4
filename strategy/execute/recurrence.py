"""The recurrences on all virtual ranks of a stage at once, token after token, from the rows that reached its state.

A state is not carried as a matrix: like a KV cache it is what was written, in the order of positions, and the recurrence runs over all of
it. So a hand-over that is lost, heads that another rank holds, or a token that comes twice leave another state than one device has.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from strategy.dag import AttentionNode
from strategy.execute.rows import blank_padding, same_tokens
from strategy.execute.site import Site, as_tensor, needs_width, same_rows
from strategy.execute.values import (
    SPAN,
    Arrived,
    ContextPart,
    Floats,
    Heads,
    Ints,
    LogSums,
    RunError,
    Tensor,
    Written,
)
from strategy.execute.weights import EPSILON, Recurrence
from strategy.mesh import Axis
from strategy.model import GatedDeltaNet, Mamba2, RecurrentMixer


@dataclass(frozen=True)
class Projected:
    """A result of `linear_in` by the value heads of its rank: each with the Q and K of its group."""

    net: RecurrentMixer
    x: Tensor
    heads: Ints
    """[ranks, heads]: value heads."""

    @cached_property
    def _parts(self) -> list[Floats]:
        """Q, K, V, gate, numbers: [ranks, rows, heads, features]; Q and K repeated for the value heads that share them."""
        net, count = self.net, self.heads.shape[1]
        group = min(count, net.num_value_heads // net.num_key_heads)
        numbers = (1,) * net.numbers_per_head
        widths = (net.key_head_dim, net.key_head_dim, net.value_head_dim, net.value_head_dim, *numbers)
        counts = (count // group, count // group, count, count, *(count * n for n in numbers))
        ends = np.cumsum([w * c for w, c in zip(widths, counts, strict=True)])
        split = np.split(self.x.data, ends[:-1], axis=-1)
        parts = [p.reshape(*p.shape[:2], c, w) for p, c, w in zip(split, counts, widths, strict=True)]
        return [*(np.repeat(part, group, axis=2) for part in parts[:2]), *parts[2:]]

    def written(self) -> Written:
        """What enters the state: Q and K as keys, V with its numbers as values."""
        q, k, v, _, *numbers = self._parts
        keys, values = np.concatenate([q, k], axis=-1), np.concatenate([v, *numbers], axis=-1)
        return Written(keys, values, self.x.rows, self.heads, recurrent=True)

    @property
    def gate(self) -> Floats:
        """The output gate: [ranks, rows, heads, value_head_dim]."""
        return self._parts[3]


def is_linear(site: Site) -> bool:
    """Whether the layer at hand has a recurrence in place of attention."""
    return site.layer is not None and site.model.mixer(site.layer) == "linear"


def projected(site: Site, x: Tensor) -> Projected:
    """A tensor as the projection of a recurrence. Raises RunError when it is none."""
    net = site.model.linear
    assert net is not None  # a layer has a recurrence
    if x.source != "linear_in" or x.heads is None or x.heads.query is None:
        raise RunError(
            f"the recurrence of this layer takes the result of `linear_in`, got `{x.source or 'another op'}`"
        )
    heads = x.heads.query
    count = heads.shape[1]
    keys = count // min(count, net.num_value_heads // net.num_key_heads)
    width = keys * 2 * net.key_head_dim + count * (2 * net.value_head_dim + net.numbers_per_head)
    needs_width(x, width, f"the recurrence ({heads.shape[1]} value heads on a rank)")
    return Projected(net, x, heads)


def recur(site: Site, node: AttentionNode, arrived: Arrived) -> Tensor | ContextPart:
    """The output of the recurrence for the rows that arrived, from the state that edges and links delivered."""
    if node.form != "recurrent":
        raise RunError("this layer has a recurrence: its attention is `form: recurrent`")
    if len(arrived.data) != 1:
        raise RunError(f"a recurrence takes one projection, got {len(arrived.data)} tensors")
    asked = projected(site, as_tensor(arrived.data[0]))
    if not arrived.caches:
        raise RunError("no edge or link delivers the state of this layer")
    for written in arrived.caches:
        if not written.recurrent or written.heads.shape != asked.heads.shape or (written.heads != asked.heads).any():
            raise RunError("the state is of other heads than the projection")
    grid = _Grid.of(arrived.caches)
    weights = site.shards.weights.recurrence(site.layer)
    if isinstance(asked.net, Mamba2):
        found = grid.at(_scanned(weights, asked.net, asked.heads, grid), asked.x.rows) * _silu(asked.gate)
        if _norm_is_shared(asked.net, asked.heads) or node.partial:
            return _unnormed(node, asked, blank_padding(found, asked.x.rows))
        shown = _normed_by_groups(asked.net, found) * weights.norm[asked.heads][:, None]
    elif node.partial:
        raise RunError("this recurrence norms each head by itself: it is never partial")
    else:
        found = grid.at(_outputs(weights, asked.net, asked.heads, grid), asked.x.rows)
        shown = _normed(found) * weights.norm * _silu(asked.gate)
    shown = blank_padding(shown, asked.x.rows)
    return Tensor(shown.reshape(*shown.shape[:2], -1), asked.x.rows, "attention", Heads(asked.heads))


def _norm_is_shared(net: Mamba2, heads: Ints) -> bool:
    """Whether the norm of a group goes over heads of several ranks."""
    return int(heads.shape[1]) < net.num_heads // net.num_groups


def _unnormed(node: AttentionNode, asked: Projected, gated: Floats) -> ContextPart:
    """Gated outputs with their squares, which wait for those of other ranks."""
    if not node.partial or not isinstance(asked.net, Mamba2) or not _norm_is_shared(asked.net, asked.heads):
        raise RunError("a state space is partial where its norm goes over the heads of several ranks, and only there")
    squares = (gated * gated).sum(axis=(2, 3))
    return ContextPart(gated, squares, asked.x.rows, asked.heads, recurrent=True)


def sum_squares(site: Site, axis: Axis, part: ContextPart) -> LogSums:
    """all_reduce of the squares of a norm: every rank of a group must have the same tokens."""
    same_tokens(site, part.rows, axis)
    members = site.ranks.members(axis)
    total = np.empty_like(part.lse)
    total[members] = part.lse[members].sum(axis=1, keepdims=True)
    return LogSums(total[:, None, :, None], part.rows, part.heads)


def merge_norm(site: Site, part: ContextPart, sums: LogSums) -> Tensor:
    """Gated outputs of a rank under the norm over the heads of all ranks."""
    net = site.model.linear
    assert isinstance(net, Mamba2)  # what was not normed came from one
    same_rows(part.rows, sums.rows, "outputs and squares")
    size = net.num_heads // net.num_groups * net.head_dim
    shown = part.data / np.sqrt(sums.lse[:, 0, :, :, None] / size + EPSILON)
    shown = blank_padding(shown * site.shards.weights.recurrence(site.layer).norm[part.heads][:, None], part.rows)
    return Tensor(shown.reshape(*shown.shape[:2], -1), part.rows, "attention", Heads(part.heads))


@dataclass(frozen=True)
class _Grid:
    """Rows of all writes by sequence and position: [ranks, sequences of a rank, positions, heads, features]."""

    keys: Floats
    values: Floats
    present: np.ndarray
    """[ranks, sequences, positions]"""
    sequences: list[Ints]
    """Per rank, the numbers of its sequences, ascending."""

    @classmethod
    def of(cls, writes: list[Written]) -> "_Grid":
        rows = np.concatenate([write.rows for write in writes], axis=1)
        keys = np.concatenate([write.keys for write in writes], axis=1)
        values = np.concatenate([write.values for write in writes], axis=1)
        sequences = [np.unique(row[row >= 0] // SPAN) for row in rows]
        places = max(1, *(len(own) for own in sequences)), int(max(0, (rows % SPAN * (rows >= 0)).max(initial=0))) + 1
        shape = (len(rows), *places)
        found = cls(
            np.zeros((*shape, *keys.shape[2:])), np.zeros((*shape, *values.shape[2:])), np.zeros(shape, int), sequences
        )
        for rank, row in enumerate(rows):
            real = (row >= 0).nonzero()[0]
            place = (np.searchsorted(sequences[rank], row[real] // SPAN), row[real] % SPAN)
            np.add.at(found.present[rank], place, 1)
            found.keys[rank][place], found.values[rank][place] = keys[rank, real], values[rank, real]
        twice = np.flatnonzero(found.present.max(axis=(1, 2)) > 1)
        if len(twice):
            raise RunError("the state takes the same tokens twice", ranks=tuple(int(rank) for rank in twice))
        return found

    def at(self, out: Floats, rows: Ints) -> Floats:
        """[ranks, rows, heads, features] of `out`. Raises RunError for a token that the state has not taken."""
        found = np.zeros((*rows.shape, *out.shape[3:]))
        for rank, row in enumerate(rows):
            real = (row >= 0).nonzero()[0]
            own = self.sequences[rank]
            sequence = np.minimum(np.searchsorted(own, row[real] // SPAN), max(0, len(own) - 1))
            position = row[real] % SPAN
            held = len(own) and position.max(initial=0) < out.shape[2]
            if (
                not held
                or (own[sequence] != row[real] // SPAN).any()
                or not self.present[rank, sequence, position].all()
            ):
                raise RunError("reads a state that has not taken these tokens", ranks=(rank,))
            found[rank, real] = out[rank, sequence, position]
        return found


def _outputs(weights: Recurrence, net: GatedDeltaNet, heads: Ints, grid: _Grid) -> Floats:
    """[ranks, sequences, positions, heads, value_head_dim]: the delta rule, one position after the other."""
    d = net.key_head_dim
    kernel = weights.kernel_of_heads(net)[heads][:, None]  # [ranks, 1, heads, 2 * key + value features, taps]
    raw = np.concatenate([grid.keys, grid.values[..., :-2]], axis=-1)
    beta = 1 / (1 + np.exp(-grid.values[..., -2]))
    decay = np.exp(
        -weights.rate[heads][:, None, None] * np.logaddexp(0, grid.values[..., -1] + weights.bias[heads][:, None, None])
    )
    state = np.zeros((*raw.shape[:2], raw.shape[3], d, net.value_head_dim))
    window = np.zeros((net.conv_kernel, *raw[:, :, 0].shape))
    out = np.zeros((*raw.shape[:4], net.value_head_dim))
    for p in range(raw.shape[2]):
        window = np.concatenate([window[1:], raw[None, :, :, p]])
        mixed = _silu(sum(window[tap] * kernel[..., tap] for tap in range(net.conv_kernel)))
        q, k, v = _unit(mixed[..., :d]) / np.sqrt(d), _unit(mixed[..., d : 2 * d]), mixed[..., 2 * d :]
        kept = state * decay[:, :, p, :, None, None]
        change = (v - (kept * k[..., None]).sum(axis=-2)) * beta[:, :, p, :, None]
        there = grid.present[:, :, p, None, None, None] > 0
        state = np.where(there, kept + k[..., None] * change[..., None, :], state)
        out[:, :, p] = (state * q[..., None]).sum(axis=-2)
    return out


def _scanned(weights: Recurrence, net: Mamba2, heads: Ints, grid: _Grid) -> Floats:
    """[ranks, sequences, positions, heads, head_dim]: a step of each state, one position after the other."""
    n = net.state_size
    kernel, shift = (found(net)[heads][:, None] for found in (weights.kernel_of_heads, weights.shift_of_heads))
    raw = np.concatenate([grid.keys, grid.values[..., :-1]], axis=-1)
    step = np.logaddexp(0, grid.values[..., -1] + weights.bias[heads][:, None, None])
    decay = np.exp(-weights.rate[heads][:, None, None] * step)
    state = np.zeros((*raw.shape[:2], raw.shape[3], n, net.head_dim))
    window = np.zeros((net.conv_kernel, *raw[:, :, 0].shape))
    out = np.zeros((*raw.shape[:4], net.head_dim))
    for p in range(raw.shape[2]):
        window = np.concatenate([window[1:], raw[None, :, :, p]])
        mixed = _silu(sum(window[tap] * kernel[..., tap] for tap in range(net.conv_kernel)) + shift)
        c, b, x = mixed[..., :n], mixed[..., n : 2 * n], mixed[..., 2 * n :]
        added = (b * step[:, :, p, :, None])[..., None] * x[..., None, :]
        there = grid.present[:, :, p, None, None, None] > 0
        state = np.where(there, state * decay[:, :, p, :, None, None] + added, state)
        out[:, :, p] = (state * c[..., None]).sum(axis=-2) + weights.skip[heads][:, None, :, None] * x
    return out


def _normed_by_groups(net: Mamba2, x: Floats) -> Floats:
    """[ranks, rows, heads, head_dim] with each group of heads normed together, of which a rank has whole ones."""
    grouped = x.reshape(*x.shape[:2], -1, net.num_heads // net.num_groups * net.head_dim)
    return _normed(grouped).reshape(x.shape)


def _unit(x: Floats) -> Floats:
    return np.asarray(x / np.sqrt((x * x).sum(axis=-1, keepdims=True) + EPSILON))


def _normed(x: Floats) -> Floats:
    return np.asarray(x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + EPSILON))


def _silu(x: Floats) -> Floats:
    return np.asarray(x / (1.0 + np.exp(-x)))
