"""The KV cache and attention over it, on all virtual ranks of a stage at once."""

import math

import numpy as np

from strategy.dag import AttentionNode, KvCacheUpdate
from strategy.execute.site import Site, as_tensor, needs_width, only_tensor
from strategy.execute.values import MAX_SCORES, SPAN, Arrived, Floats, Ints, RunError, Tensor, Written
from strategy.model import GqaAttention, MlaAttention

ROPE_BASE = 100.0


def write_cache(site: Site, _node: KvCacheUpdate, arrived: Arrived) -> Written:
    """K and V heads (or the latent) of the rows that arrived, with positions turned in."""
    x = only_tensor(arrived)
    attention = site.model.attention
    if attention.kind == "mla":
        needs_width(x, attention.kv_lora_rank + attention.qk_rope_head_dim, "the latent cache")
        latent = x.data[..., : attention.kv_lora_rank]
        rope = turn(x.data[..., None, attention.kv_lora_rank :], x.rows)[..., 0, :]
        entry = np.concatenate([latent, rope], axis=-1)[..., None, :]
        return Written(entry, entry, x.rows, x.data)
    queries, keys, values = _split_heads(site, attention, x)
    passed = x.data[..., queries.shape[2] * attention.head_dim :]
    return Written(turn(_qk_normed(attention, keys), x.rows), values, x.rows, passed)


def _split_heads(site: Site, attention: GqaAttention, x: Tensor) -> tuple[Floats, Floats, Floats]:
    """[ranks, rows, heads, head_dim] of Q, K and V, for the heads that one rank of a tp group has."""
    tp_size, d = site.ranks.size("tp"), attention.head_dim
    a, k = attention.num_heads // tp_size, max(1, attention.num_kv_heads // tp_size)
    needs_width(x, (a + 2 * k) * d, f"attention ({a} query and {k} KV heads on a rank)")
    heads = x.data.reshape(*x.data.shape[:2], a + 2 * k, d)
    return heads[:, :, :a], heads[:, :, a : a + k], heads[:, :, a + k :]


def _qk_normed(attention: GqaAttention, heads: Floats) -> Floats:
    if not attention.qk_norm:
        return heads
    return np.asarray(heads / np.sqrt(np.mean(heads * heads, axis=-1, keepdims=True) + 1e-6))


def turn(heads: Floats, rows: Ints) -> Floats:
    """Rotary position embedding of [ranks, rows, heads, d], positions taken from the labels."""
    half = heads.shape[-1] // 2
    angle = (rows % SPAN)[:, :, None, None] / ROPE_BASE ** (np.arange(half) / half)
    cosine, sine = np.cos(angle), np.sin(angle)
    first, second = heads[..., :half], heads[..., half:]
    return np.concatenate([first * cosine - second * sine, first * sine + second * cosine], axis=-1)


def attend(site: Site, node: AttentionNode, arrived: Arrived) -> Tensor:
    """Attention of the rows that arrived over what edges and links delivered of the cache, and nothing else."""
    if not arrived.caches:
        raise RunError("no edge or link delivers K and V of this layer")
    keys, values, rows = (np.concatenate(parts, axis=1) for parts in zip(*_parts(arrived.caches), strict=True))
    attention = site.model.attention
    if attention.kind == "gqa":
        if node.form is not None:
            raise RunError(f"form {node.form} belongs to latent attention (MLA); the model has K and V heads")
        query = only_tensor(arrived)
        q = turn(_qk_normed(attention, _split_heads(site, attention, query)[0]), query.rows)
        return _result(query, _softmax_sum(site, q, keys, values, query.rows, rows, attention.head_dim))
    if node.form is None:
        raise RunError("latent attention needs a form: expanded or absorbed")
    if node.form == "absorbed":
        return _absorbed(site, attention, only_tensor(arrived), keys, rows)
    return _expanded(site, attention, arrived, keys, rows)


def _parts(caches: list[Written]) -> list[tuple[Floats, Floats, Ints]]:
    return [(written.keys, written.values, written.rows) for written in caches]


def _result(query: Tensor, heads: Floats) -> Tensor:
    return Tensor(heads.reshape(*heads.shape[:2], -1), query.rows, "attention")


def _absorbed(site: Site, attention: MlaAttention, query: Tensor, cache: Floats, rows: Ints) -> Tensor:
    """Queries already in latent space attend over the latents themselves; the result is a latent for each head."""
    c, r = attention.kv_lora_rank, attention.qk_rope_head_dim
    heads = attention.num_heads // site.ranks.size("tp")
    needs_width(query, heads * (c + r), f"absorbed attention ({heads} heads on a rank)")
    q = query.data.reshape(*query.data.shape[:2], heads, c + r)
    q = np.concatenate([q[..., :c], turn(q[..., c:], query.rows)], axis=-1)
    scale = attention.qk_nope_head_dim + r
    return _result(query, _softmax_sum(site, q, cache, cache[..., :c], query.rows, rows, scale))


def _expanded(site: Site, attention: MlaAttention, arrived: Arrived, cache: Floats, rows: Ints) -> Tensor:
    """K and V heads of the rows that `kv_b` expanded; their RoPE part is in the cache."""
    tensors = [as_tensor(value) for value in arrived.data]
    expanded = [x for x in tensors if x.source == "kv_b"]
    queries = [x for x in tensors if x.source != "kv_b"]
    if len(expanded) != 1 or len(queries) != 1:
        raise RunError("expanded attention needs a query and one result of `kv_b`")
    heads = attention.num_heads // site.ranks.size("tp")
    n, r, v = attention.qk_nope_head_dim, attention.qk_rope_head_dim, attention.v_head_dim
    needs_width(queries[0], heads * (n + r), f"expanded attention ({heads} heads on a rank)")
    needs_width(expanded[0], heads * (n + v), f"expanded K and V ({heads} heads on a rank)")
    q = queries[0].data.reshape(*queries[0].data.shape[:2], heads, n + r)
    q = np.concatenate([q[..., :n], turn(q[..., n:], queries[0].rows)], axis=-1)
    kv = expanded[0].data.reshape(*expanded[0].data.shape[:2], heads, n + v)
    rope = _rows_of_cache(cache[..., attention.kv_lora_rank :], rows, expanded[0].rows)
    keys = np.concatenate([kv[..., :n], np.broadcast_to(rope, (*kv.shape[:3], r))], axis=-1)
    return _result(queries[0], _softmax_sum(site, q, keys, kv[..., n:], queries[0].rows, expanded[0].rows, n + r))


def _rows_of_cache(cache: Floats, rows: Ints, wanted: Ints) -> Floats:
    """Cache entries of the wanted rows."""
    found = wanted[:, :, None] == rows[:, None, :]
    if not found.any(axis=2).all():
        raise RunError("expanded K and V are about tokens that the cache does not hold")
    return np.asarray(np.take_along_axis(cache, found.argmax(axis=2)[:, :, None, None], axis=1))


def _softmax_sum(site: Site, q: Floats, keys: Floats, values: Floats, q_rows: Ints, k_rows: Ints, scale: int) -> Floats:
    """Queries [ranks, n, heads, d], keys and values [ranks, m, KV heads, d]: causal attention inside each sequence."""
    ranks, n, heads, d = q.shape
    if keys.shape[-1] != d or heads % keys.shape[2]:
        raise RunError(f"{heads} query heads of {d} features meet {keys.shape[2]} KV heads of {keys.shape[-1]}")
    if ranks * heads * n * keys.shape[1] > MAX_SCORES:
        raise RunError(f"attention of {n} rows over {keys.shape[1]} cached ones is more than the proof runs")
    grouped = q.reshape(ranks, n, keys.shape[2], -1, d).transpose(0, 2, 3, 1, 4)
    scores = grouped @ keys.transpose(0, 2, 3, 1)[:, :, None] / math.sqrt(scale)
    hidden = ~_visible(site, q_rows[:, :, None], k_rows[:, None, :])[:, None, None]
    scores = np.where(hidden, -np.inf, scores)
    exponent = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = exponent @ values.transpose(0, 2, 1, 3)[:, :, None] / exponent.sum(axis=-1, keepdims=True)
    return np.asarray(mixed.transpose(0, 3, 1, 2, 4).reshape(ranks, n, heads, -1))


def _visible(site: Site, query: Ints, key: Ints) -> np.ndarray:
    """Which keys a query sees: its own sequence, not the future, within the layer's window."""
    distance = query - key
    seen = (query // SPAN == key // SPAN) & (distance >= 0)
    window = site.model.window
    if window is None or site.layer is None or site.model.window_tokens(site.layer) is None:
        return np.asarray(seen)
    if window.kind == "sliding":
        return np.asarray(seen & (distance < window.size_tokens))
    return np.asarray(seen & (query % SPAN // window.size_tokens == key % SPAN // window.size_tokens))
