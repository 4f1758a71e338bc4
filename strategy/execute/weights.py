"""The random weights: each materialised once in full from the seed; every rank takes its shard of it."""

import math
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from strategy.execute.values import Floats, RunError
from strategy.model import Mamba2, ModelSpec, RecurrentMixer
from strategy.ops import experts_first, shared_ffn_first

EPSILON = 1e-6
"""Below the square root of every norm."""


@dataclass(frozen=True)
class Recurrence:
    """The weights inside one recurrence, which no node names; each rank uses those of its heads."""

    kernel: Floats
    """[channels, taps]: of Q, K and V of all heads."""
    rate: Floats
    """[value heads]"""
    bias: Floats
    norm: Floats
    """[value_head_dim], or of a state space [heads, head_dim]"""
    shift: Floats
    """[channels]: the bias of the convolution; zero where it has none."""
    skip: Floats
    """[value heads]: how much of its input a head of a state space passes by its state; zero elsewhere."""

    def kernel_of_heads(self, net: RecurrentMixer) -> Floats:
        """[value heads, 2 * key_head_dim + value_head_dim, taps]: Q and K channels are those of the head's group."""
        return _by_heads(net, self.kernel)

    def shift_of_heads(self, net: RecurrentMixer) -> Floats:
        """[value heads, 2 * key_head_dim + value_head_dim]: the bias of the channels that a head meets."""
        return _by_heads(net, self.shift[:, None])[..., 0]


def _by_heads(net: RecurrentMixer, channels: Floats) -> Floats:
    """[value heads, 2 * key_head_dim + value_head_dim, n] of [channels, n]: Q and K of a group for each of its heads."""
    keys, count = net.num_key_heads, channels.shape[1]
    q, k, v = np.split(channels, [keys * net.key_head_dim, 2 * keys * net.key_head_dim])
    shared = np.concatenate([part.reshape(keys, -1, count) for part in (q, k)], axis=1)
    own = v.reshape(net.num_value_heads, -1, count)
    return np.concatenate([np.repeat(shared, net.num_value_heads // keys, axis=0), own], axis=1)


class Weights:
    """Full weights of a scaled model, by name and layer (None outside layers)."""

    def __init__(self, model: ModelSpec, seed: int) -> None:
        self._model = model
        self._seed = seed
        self._full: dict[tuple[str, int | None], Floats] = {}
        self._shapes: dict[tuple[str, str, ModelSpec], dict[str, tuple[int, ...]]] = {}
        self._outside = _outside_shapes(model)
        self._recurrences: dict[int | None, Recurrence] = {}

    def full(self, name: str, layer: int | None) -> Floats:
        """One weight. Raises RunError when the model has none of that name in that layer."""
        key = (name, layer)
        if key not in self._full:
            self._full[key] = self._make(name, layer)
        return self._full[key]

    def recurrence(self, layer: int | None) -> Recurrence:
        """The weights inside the recurrence of a layer that has one."""
        net = self._model.linear
        assert net is not None
        if layer not in self._recurrences:
            rng = np.random.default_rng([self._seed, crc32(b"recurrence"), 0 if layer is None else layer + 1])
            mamba = isinstance(net, Mamba2)
            normed = (net.num_value_heads, net.value_head_dim) if mamba else net.value_head_dim
            self._recurrences[layer] = Recurrence(
                rng.standard_normal((net.conv_channels, net.conv_kernel)) / math.sqrt(net.conv_kernel),
                rng.uniform(0.1, 0.6, net.num_value_heads),
                rng.standard_normal(net.num_value_heads),
                1.0 + 0.5 * rng.standard_normal(normed),
                rng.standard_normal(net.conv_channels) if mamba else np.zeros(net.conv_channels),
                rng.standard_normal(net.num_value_heads) if mamba else np.zeros(net.num_value_heads),
            )
        return self._recurrences[layer]

    def has(self, name: str, layer: int | None) -> bool:
        """Whether the model has that weight there."""
        return name in self._names(layer)

    def _names(self, layer: int | None) -> dict[str, tuple[int, ...]]:
        if layer is None:
            return self._outside
        place = (*self._model.layer_kind(layer), self._model.at(layer))
        if place not in self._shapes:
            mixer, ffn, view = place
            self._shapes[place] = _layer_shapes(view, mixer, ffn)
        return self._shapes[place]

    def _make(self, name: str, layer: int | None) -> Floats:
        shape = self._names(layer).get(name)
        if shape is None:
            where = "outside the layers" if layer is None else f"in layer {layer}"
            raise RunError(f"the model has no weight `{name}` {where}; there: {', '.join(sorted(self._names(layer)))}")
        if name in ("w_uk", "w_uv"):
            return self._half_of_kv_b(name, layer)
        if name == "lm_head" and self._model.tie_word_embeddings:
            return np.ascontiguousarray(self.full("embedding", None).T)
        rng = np.random.default_rng([self._seed, crc32(name.encode()), 0 if layer is None else layer + 1])
        if len(shape) == 1:
            return 1.0 + 0.5 * rng.standard_normal(shape)
        scale = 1.0 if name == "embedding" else 1.5 / math.sqrt(shape[-2])
        return scale * rng.standard_normal(shape)

    def _half_of_kv_b(self, name: str, layer: int | None) -> Floats:
        """`[heads, nope, latent]` for w_uk and `[heads, latent, value]` for w_uv."""
        attention = self._model.attention
        assert attention.kind == "mla"
        nope = attention.qk_nope_head_dim
        per_head = self.full("kv_b", layer).reshape(attention.kv_lora_rank, attention.num_heads, -1)
        if name == "w_uk":
            return np.ascontiguousarray(per_head[:, :, :nope].transpose(1, 2, 0))
        return np.ascontiguousarray(per_head[:, :, nope:].transpose(1, 0, 2))


def _outside_shapes(model: ModelSpec) -> dict[str, tuple[int, ...]]:
    h, vocab = model.hidden_size, model.vocab_size
    return {"embedding": (vocab, h), "final_norm": (h,), "lm_head": (h, vocab)}


def _layer_shapes(model: ModelSpec, mixer: str, ffn: str) -> dict[str, tuple[int, ...]]:
    h = model.hidden_size
    shapes: dict[str, tuple[int, ...]] = {}
    if mixer != "none":
        shapes = {"attention_norm": (h,)} | (_linear_shapes(model) if mixer == "linear" else _attention_shapes(model))
    if ffn != "none" and model.parallel_block != "one_norm":
        shapes["ffn_norm"] = (h,)
    if ffn == "dense" and model.intermediate_size is not None:
        f = model.intermediate_size
        shapes |= {"gate_up": (h, 2 * f)} if model.ffn_gated else {"up": (h, f)}
        shapes["down"] = (f, h)
    if ffn == "moe" and model.moe is not None:
        experts, m, shared = (
            model.moe.num_experts,
            model.moe.expert_intermediate_size,
            model.moe.shared_intermediate_size,
        )
        e, first = model.expert_features, 2 if model.ffn_gated else 1
        shapes |= {
            "router": (h, experts),
            experts_first(model): (experts, e, first * m),
            "experts_down": (experts, m, e),
        }
        if model.moe.latent_size is not None:
            shapes |= {"latent_in": (h, e), "latent_out": (e, h)}
        if shared:
            shapes |= {shared_ffn_first(model): (h, first * shared), "shared_down": (shared, h)}
    return shapes


def _linear_shapes(model: ModelSpec) -> dict[str, tuple[int, ...]]:
    h, net = model.hidden_size, model.linear
    assert net is not None  # a layer has a recurrence
    return {"linear_in": (h, net.projected), "linear_out": (net.num_value_heads * net.value_head_dim, h)}


def _attention_shapes(model: ModelSpec) -> dict[str, tuple[int, ...]]:
    h, attention = model.hidden_size, model.attention
    a = attention.num_heads
    if attention.kind == "gqa":
        d = attention.head_dim
        return {"qkv": (h, (a + 2 * attention.num_kv_heads) * d), "attention_out": (a * d, h)}
    c, r = attention.kv_lora_rank, attention.qk_rope_head_dim
    n, v, q_rank = attention.qk_nope_head_dim, attention.v_head_dim, attention.q_lora_rank
    if q_rank is None:
        shapes: dict[str, tuple[int, ...]] = {"q": (h, a * (n + r)), "kv_a": (h, c + r)}
    else:
        shapes = {"qkv_a": (h, q_rank + c + r), "q_a_norm": (q_rank,), "q_b": (q_rank, a * (n + r))}
    return shapes | {
        "kv_a_norm": (c,),
        "kv_b": (c, a * (n + v)),
        "w_uk": (a, n, c),
        "w_uv": (a, c, v),
        "attention_out": (a * v, h),
    }
