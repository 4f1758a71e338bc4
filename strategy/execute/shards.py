"""Which part of each weight a rank holds, given the split a node names."""

import math

import numpy as np

from strategy.execute.ranks import Ranks, blocks_of, whole
from strategy.execute.values import Floats, Heads, Ints, RunError
from strategy.execute.weights import Weights
from strategy.mesh import Axis
from strategy.model import GqaAttention, ModelSpec, RecurrentMixer
from strategy.ops import DENSE_FFN, SHARED_FFN, experts_first
from strategy.strategy import Phase

HALVES = ("gate_up", "shared_gate_up")
QUERIES = ("q", "q_b", "w_uk", "w_uv")
COLUMNS = (*QUERIES, "kv_b", "qkv", "linear_in", "gate_up", "up", "shared_gate_up", "shared_up", "lm_head")
ROWS = ("attention_out", "linear_out", "down", "shared_down")
"""First matrices of a pair are cut by columns, second ones by rows; every other weight is whole everywhere."""
HEADS_INSIDE = (*QUERIES, "kv_b", "qkv", "attention_out")


class Shards:
    """Weights as the ranks of one pool hold them in one phase."""

    def __init__(
        self, model: ModelSpec, real_model: ModelSpec, weights: Weights, ranks: Ranks, phase: Phase = "prefill"
    ) -> None:
        self._phase: Phase = phase
        self._sliced = phase == "decode" and ranks.pool.cp_decode_use == "tp_slice"
        self._model = model
        self._real = real_model
        self.weights = weights
        self.ranks = ranks
        self._held: dict[tuple[str, str, int | None], Floats] = {}
        self._columns: dict[str, Ints] = {}
        self._experts: dict[tuple[int | None, int], tuple[Floats, Floats]] = {}
        self._heads: dict[tuple[str, str], Heads | None] = {}
        self._sized: dict[tuple[ModelSpec, ModelSpec], Shards] = {}

    def at(self, layer: int | None) -> "Shards":
        """The shards of a layer whose sizes may be its own."""
        if layer is None or not self._real.layer_shapes:
            return self
        views = self._model.at(layer), self._real.at(layer)
        if views not in self._sized:
            self._sized[views] = Shards(*views, self.weights, self.ranks, self._phase)
        return self._sized[views]

    def axes_of(self, name: str) -> tuple[Axis, ...]:
        """The axes over whose ranks a weight is split, slowest first.

        Attention that is sliced over cp as well is cut by tp first: a rank's heads are then among those that its tp place had in
        prefill, so the cache it filled there holds their K and V.
        """
        pool = self.ranks.pool
        gathered = pool.attention.dp_size > 1
        if name in DENSE_FFN and gathered and pool.dense_ffn == "gathered":
            return ("stage",)
        if name == "lm_head" and gathered and pool.lm_head == "gathered":
            return ("stage",)
        return ("tp", "cp") if self._sliced and name in HEADS_INSIDE else ("tp",)

    def parts(self, name: str) -> int:
        """Shards of a split weight."""
        return math.prod(self.ranks.size(axis) for axis in self.axes_of(name))

    def place(self, name: str) -> Ints:
        """[ranks]: which of its shards each rank holds."""
        place = np.zeros(self.ranks.count, dtype=np.int64)
        for axis in self.axes_of(name):
            place = place * self.ranks.size(axis) + self.ranks.place(axis)
        return place

    def heads(self, name: str, split: str) -> Heads | None:
        """Which heads every rank has of the result of a linear; None when it yields none."""
        if (name, split) not in self._heads:
            self._heads[name, split] = self._find_heads(name, split)
        return self._heads[name, split]

    def _find_heads(self, name: str, split: str) -> Heads | None:
        attention = self._model.attention
        if name not in (*QUERIES, "kv_b", "qkv", "linear_in") or split == "row":
            return None
        parts, place = (
            (self.parts(name), self.place(name)) if split == "column" else (1, np.zeros(self.ranks.count, int))
        )
        if name == "linear_in":
            return Heads(*[value_blocks(self._model, parts)[place]] * 2)
        query = blocks_of(attention.num_heads, parts)[place]
        if attention.kind == "gqa":
            return Heads(query, kv_blocks(attention, parts)[place])
        return Heads(kv=query) if name == "kv_b" else Heads(query)

    def take(self, name: str, split: str, layer: int | None) -> Floats:
        """[ranks or 1, in, out]: every rank's shard (a stack of heads for w_uk and w_uv)."""
        key = (name, split, layer)
        if key not in self._held:
            self._held[key] = self._cut(name, split, layer)
        return self._held[key]

    def experts(self, layer: int | None, parts: int) -> tuple[Floats, Floats]:
        """Gate and up (or up alone) `[experts * parts, features, 2 * columns]` and down `[experts * parts, columns, features]`, by parts of each expert."""
        key = (layer, parts)
        if key not in self._experts:
            self._experts[key] = self._cut_experts(layer, parts)
        return self._experts[key]

    def _cut_experts(self, layer: int | None, parts: int) -> tuple[Floats, Floats]:
        first, down = self.full(experts_first(self._model), layer), self.full("experts_down", layer)
        width = down.shape[1]
        columns = blocks_of(width, parts)
        halves = [columns + start for start in range(0, first.shape[2], width)]
        both = first[:, :, np.concatenate(halves, axis=1)].transpose(0, 2, 1, 3)
        return (
            np.ascontiguousarray(both).reshape(-1, *both.shape[2:]),
            down.reshape(-1, width // parts, down.shape[2]),
        )

    def forget_beyond(self, limit: int) -> None:
        """Keep the shards for the next proof only when they take at most `limit` bytes."""
        for own in self._sized.values():
            own.forget_beyond(limit)
        copies = sum(shard.nbytes for shard in list(self._held.values()) if shard.base is None)
        if copies + sum(gate_up.nbytes for gate_up, _ in list(self._experts.values())) > limit:
            self._held.clear()
            self._experts.clear()

    def full(self, name: str, layer: int | None) -> Floats:
        """The whole weight, as replicated weights are held."""
        return self.weights.full(name, layer)

    def has(self, name: str, layer: int | None) -> bool:
        """Whether the model has that weight there."""
        return self.weights.has(name, layer)

    def _cut(self, name: str, split: str, layer: int | None) -> Floats:
        full = self.weights.full(name, layer)
        if split == "replicated":
            return full[None]
        if (name not in COLUMNS or split != "column") and (name not in ROWS or split != "row"):
            raise RunError(f"`{name}` is not split by {split}")
        self._check_real(name)
        parts, place = self.parts(name), self.place(name)
        if name in ("w_uk", "w_uv"):
            if split != "column":
                raise RunError(f"`{name}` is split by heads: {split} has no meaning for it")
            return full[blocks_of(len(full), parts)][place]
        if full.ndim != 2:
            raise RunError(f"`{name}` is no matrix and cannot be split by {split}")
        if parts == 1:
            return full[None]
        if split == "column":
            shards = full[:, self.columns(name, full.shape[1])]
            return np.ascontiguousarray(shards.transpose(1, 0, 2))[place]
        whole(full.shape[0], parts, f"rows of `{name}`")
        return full[blocks_of(full.shape[0], parts)][place]

    def columns(self, name: str, out: int) -> Ints:
        """[parts, columns]: output columns of each shard of a column-parallel weight with `out` columns."""
        if name not in self._columns:
            self._columns[name] = self._find_columns(name, out)
        return self._columns[name]

    def _find_columns(self, name: str, out: int) -> Ints:
        parts = self.parts(name)
        attention = self._model.attention
        if name == "qkv" and attention.kind == "gqa":
            return _qkv_columns(attention, parts)
        if name == "linear_in" and self._model.linear is not None:
            return _linear_columns(self._model.linear, parts)
        if name in HALVES:
            half = blocks_of(out // 2, parts)
            return np.concatenate([half, half + out // 2], axis=1)
        whole(out, parts, f"columns of `{name}`")
        return blocks_of(out, parts)

    def _check_real(self, name: str) -> None:
        """The real weight must split into whole units too, whatever the scaled one does."""
        parts = math.prod(self.ranks.real_size(axis) for axis in self.axes_of(name))
        attention = self._real.attention
        if name in HEADS_INSIDE:
            whole(attention.num_heads, parts, f"attention heads of `{name}`")
        if name == "qkv" and attention.kind == "gqa":
            k = attention.num_kv_heads
            if k % parts and parts % k:
                raise RunError(f"{k} KV heads neither split over {parts} ranks nor repeat evenly on them")
        if name in ("linear_in", "linear_out") and self._real.linear is not None:
            net = self._real.linear
            whole(net.num_value_heads if net.repeated else net.num_key_heads, parts, f"key heads of `{name}`")
        if name in DENSE_FFN:
            whole(self._real.intermediate_size or 0, parts, f"columns of `{name}`")
        if name in SHARED_FFN and self._real.moe is not None:
            whole(self._real.moe.shared_intermediate_size, parts, f"columns of `{name}`")


def _qkv_columns(attention: GqaAttention, parts: int) -> Ints:
    """Query heads in blocks, then the K and V heads those queries need (repeated on several ranks when there are fewer)."""
    a, k, d = attention.num_heads, attention.num_kv_heads, attention.head_dim
    queries, kv = blocks_of(a, parts), kv_blocks(attention, parts)
    heads = np.concatenate([queries, a + kv, a + k + kv], axis=1)
    return (heads[:, :, None] * d + np.arange(d)).reshape(parts, -1)


def _linear_columns(net: RecurrentMixer, parts: int) -> Ints:
    """Q and K of a block of key heads; V, gate and numbers of the value heads that share them."""
    k, v = net.num_key_heads, net.num_value_heads
    columns, start = [], 0
    numbers = ((v, 1),) * net.numbers_per_head
    for heads, width in ((k, net.key_head_dim),) * 2 + ((v, net.value_head_dim),) * 2 + numbers:
        held = np.zeros((parts, 1), dtype=np.int64) if net.repeated and heads == 1 else blocks_of(heads, parts)
        columns.append(start + (held[:, :, None] * width + np.arange(width)).reshape(parts, -1))
        start += heads * width
    return np.concatenate(columns, axis=1)


def value_blocks(model: ModelSpec, parts: int) -> Ints:
    """[parts, heads]: the value heads of each of `parts` shards of a recurrence."""
    assert model.linear is not None  # a layer has a recurrence
    return blocks_of(model.linear.num_value_heads, parts)


def kv_blocks(attention: GqaAttention, parts: int) -> Ints:
    """[parts, heads]: the K and V heads of each of `parts` shards."""
    k = attention.num_kv_heads
    return blocks_of(k, parts) if k >= parts else (np.arange(parts) * k // parts)[:, None]
