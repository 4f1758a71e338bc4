"""One device: a plain decoder-only transformer over whole sequences. No cache, no split, no DAG.

It exists to be compared with, so it shares nothing with the interpreter but the full weights.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from strategy.execute.recall import recalled
from strategy.execute.values import SPAN, Floats, Ints
from strategy.execute.weights import Weights
from strategy.model import GatedDeltaNet, GqaAttention, Mamba2, MlaAttention, ModelSpec, Moe, RecurrentMixer
from strategy.ops import experts_first, shared_ffn_first

ROPE_BASE = 100.0


@dataclass
class Reference:
    """What one device computes for every token of every sequence."""

    lengths: Ints
    """[sequences]: prompt lengths."""
    tokens: Ints
    """[sequences, positions]: prompts and what was sampled after them; unused positions are 0."""
    logits: Floats
    """[sequences, positions, vocab]"""
    states: dict[tuple[str, int | None], Floats] = field(default_factory=dict)
    """Intermediate results by name (a weight, `attention`, `after_attention`, `after_ffn`) and layer: [sequences, positions, width]."""

    def at(self, name: str, layer: int | None, rows: Ints) -> Floats | None:
        """The expected rows of a named result: rows [..., n] give [..., n, width]."""
        full = self.logits if name == "lm_head" else self.states.get((name, layer))
        index = None if full is None else _index(rows, *full.shape[:2])
        return None if full is None or index is None else full.reshape(-1, full.shape[-1])[index]


@recalled
def _index(rows: Ints, sequences: int, positions: int) -> Ints | None:
    """[..., n]: where rows stand in [sequences * positions]; padding is answered with the first one, None when there are more sequences."""
    if rows.size and int(rows.max()) >= sequences * SPAN:
        return None
    real = np.maximum(rows, 0)
    return np.asarray(real // SPAN * positions + np.minimum(real % SPAN, positions - 1))


def run_reference(
    model: ModelSpec, layers: tuple[int, ...], weights: Weights, prompts: list[Ints], steps: int
) -> Reference:
    """Greedy generation of `steps` + 1 tokens for every prompt by the given layers of the model."""
    lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
    tokens = np.zeros((len(prompts), int(lengths.max()) + steps), dtype=np.int64)
    for sequence, prompt in enumerate(prompts):
        tokens[sequence, : len(prompt)] = prompt
    everyone = np.arange(len(prompts))
    for step in range(steps):
        logits = _Transformer(model, weights, {}).forward(tokens[:, : int(lengths.max()) + step], layers)
        tokens[everyone, lengths + step] = logits[everyone, lengths + step - 1].argmax(axis=-1)
    states: dict[tuple[str, int | None], Floats] = {}
    return Reference(lengths, tokens, _Transformer(model, weights, states).forward(tokens, layers), states)


@dataclass
class _Transformer:
    model: ModelSpec
    weights: Weights
    states: dict[tuple[str, int | None], Floats]

    def forward(self, tokens: Ints, layers: tuple[int, ...]) -> Floats:
        """Logits [sequences, positions, vocab] of tokens [sequences, positions]."""
        x = self.keep("embedding", None, self.weights.full("embedding", None)[tokens])
        for layer in layers:
            x = self.keep("after_ffn", layer, self.layer(layer, x))
        return self.times("lm_head", None, self.norm("final_norm", None, x))

    def layer(self, layer: int, x: Floats) -> Floats:
        """What leaves a layer: the stream with each half added that the layer has."""
        mixer, ffn = self.model.layer_kind(layer)
        if self.model.parallel_block:
            return x + self.side_by_side(layer, self.norm("attention_norm", layer, x), x)
        if mixer != "none":
            mix = self.linear if mixer == "linear" else self.attend
            x = self.keep("after_attention", layer, x + mix(layer, self.norm("attention_norm", layer, x)))
        if ffn == "none":
            return x
        return x + (self.dense if ffn == "dense" else self.moe)(layer, self.norm("ffn_norm", layer, x))

    def side_by_side(self, layer: int, normed: Floats, x: Floats) -> Floats:
        """Attention and FFN of the same input, added."""
        own = normed if self.model.parallel_block == "one_norm" else self.norm("ffn_norm", layer, x)
        return self.attend(layer, normed) + self.dense(layer, own)

    def keep(self, name: str, layer: int | None, value: Floats) -> Floats:
        self.states[name, layer] = value
        return value

    def times(self, name: str, layer: int | None, x: Floats) -> Floats:
        return self.keep(name, layer, x @ self.weights.full(name, layer))

    def norm(self, name: str, layer: int | None, x: Floats) -> Floats:
        return self.keep(name, layer, _rms(x) * self.weights.full(name, layer))

    def linear(self, layer: int, x: Floats) -> Floats:
        """What a layer with a recurrence adds to the stream."""
        net = self.model.linear
        assert net is not None
        shown = self.scan(net, layer, x) if isinstance(net, Mamba2) else self.delta(net, layer, x)
        return self.times("linear_out", layer, self.keep("attention", layer, shown))

    def scan(self, net: Mamba2, layer: int, x: Floats) -> Floats:
        """A state space over a whole sequence at once: attention without a softmax, under a mask that fades with distance."""
        inner = self.weights.recurrence(layer)
        whole = self.times("linear_in", layer, x)
        c, b, v = self.convolved(net, layer, whole)
        gate, step = np.split(whole[..., net.conv_channels :], [net.num_heads * net.head_dim], axis=-1)
        step = np.logaddexp(0.0, step + inner.bias).transpose(0, 2, 1)
        past = np.cumsum(step * inner.rate[:, None], axis=-1)
        faded = np.tril(np.exp(np.minimum(past[..., None, :] - past[..., :, None], 0.0)))
        group = net.num_heads // net.num_groups
        c, b, v = (np.moveaxis(h, 2, 1) for h in (np.repeat(c, group, axis=2), np.repeat(b, group, axis=2), v))
        out = (c @ np.swapaxes(b, 2, 3) * faded * step[..., None, :]) @ v + inner.skip[:, None, None] * v
        gated = np.moveaxis(out, 1, 2).reshape(gate.shape) * gate / (1.0 + np.exp(-gate))
        by_group = gated.reshape(*x.shape[:2], net.num_groups, -1)
        return np.asarray(_rms(by_group).reshape(gated.shape) * inner.norm.ravel())

    def delta(self, net: GatedDeltaNet, layer: int, x: Floats) -> Floats:
        """The gated delta rule over a whole sequence at once: a triangular system gives what every position adds to the state."""
        inner = self.weights.recurrence(layer)
        q, k, v, gate, beta, decay = self.projections(net, layer, x)
        log_decay = np.cumsum(-inner.rate * np.logaddexp(0.0, decay + inner.bias), axis=1).transpose(0, 2, 1)
        faded = np.tril(np.exp(np.minimum(log_decay[..., :, None] - log_decay[..., None, :], 0.0)))
        seen = k @ np.swapaxes(k, 2, 3) * faded * (1.0 / (1.0 + np.exp(-beta))).transpose(0, 2, 1)[..., None]
        system = np.eye(x.shape[1]) + np.tril(seen, -1)
        added = np.linalg.solve(system, v * (1.0 / (1.0 + np.exp(-beta))).transpose(0, 2, 1)[..., None])
        out = np.moveaxis((q @ np.swapaxes(k, 2, 3) * faded) @ added, 1, 2)
        shown = _rms(out) * inner.norm * gate / (1.0 + np.exp(-gate))
        return np.asarray(shown.reshape(*x.shape[:2], -1))

    def convolved(self, net: RecurrentMixer, layer: int, whole: Floats) -> list[Floats]:
        """Q, K and V [sequences, positions, heads, d] behind the convolution and its SiLU."""
        inner, channels = self.weights.recurrence(layer), net.conv_channels
        padded = np.pad(whole[..., :channels], ((0, 0), (net.conv_kernel - 1, 0), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, net.conv_kernel, axis=1)
        mixed = np.einsum("spct,ct->spc", windows, inner.kernel) + inner.shift
        mixed = mixed / (1.0 + np.exp(-mixed))
        keys = net.num_key_heads * net.key_head_dim
        parts = np.split(mixed, [keys, 2 * keys], axis=-1)
        sizes = (net.key_head_dim, net.key_head_dim, net.value_head_dim)
        return [part.reshape(*whole.shape[:2], -1, size) for part, size in zip(parts, sizes, strict=True)]

    def projections(self, net: GatedDeltaNet, layer: int, x: Floats) -> list[Floats]:
        """Q, K and V [sequences, heads, positions, d] behind the convolution, then gate, beta and decay by position."""
        whole, channels = self.times("linear_in", layer, x), net.conv_channels
        heads, values = self.convolved(net, layer, whole), net.num_value_heads * net.value_head_dim
        group = net.num_value_heads // net.num_key_heads
        q, k = (np.repeat(h / np.sqrt(np.sum(h * h, axis=-1, keepdims=True) + 1e-6), group, axis=2) for h in heads[:2])
        gate, beta, decay = np.split(whole[..., channels:], [values, values + net.num_value_heads], axis=-1)
        moved = [np.moveaxis(h, 2, 1) for h in (q / math.sqrt(net.key_head_dim), k, heads[2])]
        return [*moved, gate.reshape(*x.shape[:2], net.num_value_heads, -1), beta, decay]

    def attend(self, layer: int, x: Floats) -> Floats:
        attention = self.model.at(layer).attention
        q, k, v = self.gqa(attention, layer, x) if attention.kind == "gqa" else self.mla(attention, layer, x)
        positions = np.arange(x.shape[1])
        visible = positions[None, :] <= positions[:, None]
        if self.model.window is not None and layer in self.model.window.layers:
            size = self.model.window.size_tokens
            if self.model.window.kind == "sliding":
                visible = visible & (positions[:, None] - positions[None, :] < size)
            else:
                visible = visible & (positions[:, None] // size == positions[None, :] // size)
        q, k, v = (np.moveaxis(heads, 2, 1) for heads in (q, k, v))
        scores = q @ np.swapaxes(k, 2, 3) / math.sqrt(q.shape[-1])
        scores = np.where(visible, scores, -np.inf)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        probabilities = scores / scores.sum(axis=-1, keepdims=True)
        out = np.moveaxis(probabilities @ v, 1, 2).reshape(*x.shape[:2], -1)
        return self.times("attention_out", layer, self.keep("attention", layer, out))

    def gqa(self, attention: GqaAttention, layer: int, x: Floats) -> tuple[Floats, Floats, Floats]:
        a, k, d = attention.num_heads, attention.num_kv_heads, attention.head_dim
        heads = self.times("qkv", layer, x).reshape(*x.shape[:2], a + 2 * k, d)
        query, key, value = heads[:, :, :a], heads[:, :, a : a + k], heads[:, :, a + k :]
        if attention.qk_norm:
            query, key = _rms(query), _rms(key)
        return _rotate(query), np.repeat(_rotate(key), a // k, axis=2), np.repeat(value, a // k, axis=2)

    def mla(self, attention: MlaAttention, layer: int, x: Floats) -> tuple[Floats, Floats, Floats]:
        a, c, n = attention.num_heads, attention.kv_lora_rank, attention.qk_nope_head_dim
        if attention.q_lora_rank is None:
            query = self.times("q", layer, x)
            compressed = self.times("kv_a", layer, x)
        else:
            both = self.times("qkv_a", layer, x)
            query = self.times("q_b", layer, self.norm("q_a_norm", layer, both[..., : attention.q_lora_rank]))
            compressed = both[..., attention.q_lora_rank :]
        latent = self.norm("kv_a_norm", layer, compressed[..., :c])
        up = self.times("kv_b", layer, latent).reshape(*x.shape[:2], a, -1)
        query = query.reshape(*x.shape[:2], a, -1)
        key_rope = np.repeat(_rotate(compressed[..., None, c:]), a, axis=2)
        q = np.concatenate([query[..., :n], _rotate(query[..., n:])], axis=-1)
        return q, np.concatenate([up[..., :n], key_rope], axis=-1), up[..., n:]

    def dense(self, layer: int, x: Floats) -> Floats:
        if self.model.ffn_gated:
            return self.times("down", layer, _swiglu(self.times("gate_up", layer, x)))
        return self.times("down", layer, _gelu(self.times("up", layer, x)))

    def moe(self, layer: int, x: Floats) -> Floats:
        moe = self.model.moe
        assert moe is not None
        logits = _limit_groups(x @ self.weights.full("router", layer), moe)
        chosen = logits >= np.sort(logits, axis=-1)[..., -moe.top_k, None]
        gates = np.where(chosen, np.exp(logits - logits.max(axis=-1, keepdims=True)), 0.0)
        gates /= gates.sum(axis=-1, keepdims=True)
        activation = _swiglu if self.model.ffn_gated else _gelu
        read = x if moe.latent_size is None else self.times("latent_in", layer, x)
        up = np.asarray(
            np.einsum("sph,ehm->spem", read, self.weights.full(experts_first(self.model), layer), optimize=True)
        )
        weighted = activation(up) * gates[..., None]
        down = self.weights.full("experts_down", layer)
        out: Floats = np.einsum("spem,emh->sph", weighted, down, optimize=True)
        self.keep("experts", layer, out)
        if moe.latent_size is not None:
            out = out @ self.weights.full("latent_out", layer)
        if moe.shared_intermediate_size:
            opened = self.times(shared_ffn_first(self.model), layer, x)
            out = out + self.times("shared_down", layer, activation(opened))
        return out


def _limit_groups(logits: Floats, moe: Moe) -> Floats:
    """Minus infinity for experts outside the `top_k_groups` strongest groups (a group is as strong as its two best experts)."""
    size = moe.num_experts // moe.num_expert_groups
    if size == moe.num_experts:
        return logits
    best_two = np.stack([np.partition(g, -min(2, size), axis=-1)[..., -2:].sum(axis=-1) for g in _groups(logits, size)])
    threshold = np.sort(best_two, axis=0)[-moe.top_k_groups]
    weak = np.repeat(best_two < threshold, size, axis=0)
    return np.where(np.moveaxis(weak, 0, -1), -np.inf, logits)


def _groups(logits: Floats, size: int) -> list[Floats]:
    return [logits[..., start : start + size] for start in range(0, logits.shape[-1], size)]


def _rms(x: Floats) -> Floats:
    return np.asarray(x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6))


def _swiglu(x: Floats) -> Floats:
    gate, up = np.split(x, 2, axis=-1)
    return np.asarray(gate / (1.0 + np.exp(-gate)) * up)


def _gelu(x: Floats) -> Floats:
    return np.asarray(x * (0.5 + 0.5 * np.tanh(0.851 * x)))


def _rotate(x: Floats) -> Floats:
    """RoPE on [sequences, positions, heads, d]: feature pairs (j, j + d/2) as complex numbers turned by position."""
    half = x.shape[-1] // 2
    frequency = ROPE_BASE ** (-np.arange(half) / half)
    turn = np.exp(1j * np.arange(x.shape[1])[:, None] * frequency)[:, None, :]
    turned = (x[..., :half] + 1j * x[..., half:]) * turn
    return np.concatenate([turned.real, turned.imag], axis=-1)
