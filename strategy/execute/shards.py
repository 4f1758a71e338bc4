"""Which part of each weight a rank holds, given the split a node names."""

import numpy as np

from strategy.execute.ranks import Ranks, blocks_of, whole
from strategy.execute.values import Floats, Ints, RunError
from strategy.execute.weights import Weights
from strategy.mesh import Axis
from strategy.model import GqaAttention, ModelSpec

BY_HEADS = ("q", "q_b", "kv_b", "w_uk", "w_uv")
HALVES = ("gate_up", "shared_gate_up")
HEADS_INSIDE = (*BY_HEADS, "qkv", "attention_out")


class Shards:
    """Weights as the ranks of one pool hold them."""

    def __init__(self, model: ModelSpec, real_model: ModelSpec, weights: Weights, ranks: Ranks) -> None:
        self._model = model
        self._real = real_model
        self.weights = weights
        self._ranks = ranks
        self._held: dict[tuple[str, str, int | None], Floats] = {}
        self._columns: dict[str, Ints] = {}

    def axis_of(self, name: str) -> Axis:
        """The axis over whose ranks a weight is split."""
        pool = self._ranks.pool
        if name in ("gate_up", "down") and pool.dense_ffn == "gathered":
            return "stage"
        return "stage" if name == "lm_head" and pool.lm_head == "gathered" else "tp"

    def take(self, name: str, split: str, layer: int | None) -> Floats:
        """[ranks or 1, in, out]: every rank's shard (a stack of heads for w_uk and w_uv)."""
        key = (name, split, layer)
        if key not in self._held:
            self._held[key] = self._cut(name, split, layer)
        return self._held[key]

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
        axis = self.axis_of(name)
        self._check_real(name, axis)
        place = self._ranks.place(axis)
        if name in ("w_uk", "w_uv"):
            if split != "column":
                raise RunError(f"`{name}` is split by heads: {split} has no meaning for it")
            return full[blocks_of(len(full), self._ranks.size(axis))][place]
        if full.ndim != 2:
            raise RunError(f"`{name}` is no matrix and cannot be split by {split}")
        if split == "column":
            shards = full[:, self.columns(name, full.shape[1])]
            return np.ascontiguousarray(shards.transpose(1, 0, 2))[place]
        parts = self._ranks.size(axis)
        whole(full.shape[0], parts, f"rows of `{name}`")
        return full[blocks_of(full.shape[0], parts)][place]

    def columns(self, name: str, out: int) -> Ints:
        """[parts, columns]: output columns of each shard of a column-parallel weight with `out` columns."""
        if name not in self._columns:
            self._columns[name] = self._find_columns(name, out)
        return self._columns[name]

    def _find_columns(self, name: str, out: int) -> Ints:
        parts = self._ranks.size(self.axis_of(name))
        attention = self._model.attention
        if name == "qkv" and attention.kind == "gqa":
            return _qkv_columns(attention, parts)
        if name in HALVES:
            half = blocks_of(out // 2, parts)
            return np.concatenate([half, half + out // 2], axis=1)
        whole(out, parts, f"columns of `{name}`")
        return blocks_of(out, parts)

    def _check_real(self, name: str, axis: Axis) -> None:
        """The real weight must split into whole units too, whatever the scaled one does."""
        parts, attention = self._ranks.real_size(axis), self._real.attention
        if name in HEADS_INSIDE:
            whole(attention.num_heads, parts, f"attention heads of `{name}`")
        if name == "qkv" and attention.kind == "gqa":
            k = attention.num_kv_heads
            if k % parts and parts % k:
                raise RunError(f"{k} KV heads neither split over {parts} ranks nor repeat evenly on them")
        if name in ("gate_up", "down"):
            whole(self._real.intermediate_size or 0, parts, f"columns of `{name}`")
        if name in ("shared_gate_up", "shared_down") and self._real.moe is not None:
            whole(self._real.moe.shared_intermediate_size, parts, f"columns of `{name}`")


def _qkv_columns(attention: GqaAttention, parts: int) -> Ints:
    """Query heads in blocks, then the K and V heads those queries need (repeated on several ranks when there are fewer)."""
    a, k, d = attention.num_heads, attention.num_kv_heads, attention.head_dim
    queries = blocks_of(a, parts)
    kv = blocks_of(k, parts) if k >= parts else (np.arange(parts) * k // parts)[:, None]
    heads = np.concatenate([queries, a + kv, a + k + kv], axis=1)
    return (heads[:, :, None] * d + np.arange(d)).reshape(parts, -1)
