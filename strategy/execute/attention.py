"""The KV cache and attention over it, on all virtual ranks of a stage at once."""

import math
from dataclasses import replace

import numpy as np

from strategy.dag import AttentionMerge, AttentionNode, KvCacheUpdate
from strategy.execute.recall import recalled
from strategy.execute.recurrence import is_linear, merge_norm, projected, recur
from strategy.execute.rows import blank_padding
from strategy.execute.site import Site, as_tensor, needs_width, same_rows
from strategy.execute.values import (
    MAX_SCORES,
    SPAN,
    Arrived,
    ContextPart,
    Flags,
    Floats,
    Heads,
    Ints,
    LogSums,
    RunError,
    Tensor,
    Value,
    Written,
    kind_of,
)
from strategy.model import GqaAttention, MlaAttention

ROPE_BASE = 100.0


def write_cache(site: Site, _node: KvCacheUpdate, arrived: Arrived) -> Written:
    """K and V heads (or the latent) of all rows that arrived, every one of which must be new to this write."""
    if not arrived.data:
        raise RunError("nothing arrives that could enter the cache")
    if is_linear(site):
        return _write_state(site, arrived)
    parts = [keys_and_values(site, kv_part(site, as_tensor(value))) for value in arrived.data]
    if any(part.heads.shape != parts[0].heads.shape or (part.heads != parts[0].heads).any() for part in parts):
        raise RunError("the inputs are about different K and V heads")
    keys, values, rows = _rows_of_all(parts)
    _refuse_twice(rows)
    return Written(keys, values, rows, parts[0].heads)


def _write_state(site: Site, arrived: Arrived) -> Written:
    """The rows that arrived, as the state of a recurrence takes them."""
    if len(arrived.data) != 1:
        raise RunError(f"a state takes one projection, got {len(arrived.data)}")
    written = projected(site, as_tensor(arrived.data[0])).written()
    _refuse_twice(written.rows)
    return written


def _refuse_twice(rows: Ints) -> None:
    """A write appends a position once."""
    if ranks := _ranks_that_repeat(rows):
        raise RunError("appends the same positions twice", ranks=ranks)


@recalled
def _ranks_that_repeat(rows: Ints) -> tuple[int, ...]:
    if (rows[:, 1:] > rows[:, :-1]).all():
        return ()
    in_order = np.sort(rows, axis=1)
    twice = ((in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0)).any(axis=1)
    return tuple(int(rank) for rank in twice.nonzero()[0])


def kv_part(site: Site, x: Tensor) -> Tensor:
    """Only K and V (or the latent) of a projection: no queries come out of it."""
    attention = site.model.attention
    if attention.kind == "mla":
        needs_width(x, attention.kv_lora_rank + attention.qk_rope_head_dim, "the latent cache")
        return replace(x, heads=None)
    if x.heads is None or x.heads.kv is None:
        raise RunError(f"needs K and V heads, got the result of `{x.source or 'another op'}`")
    queries = 0 if x.heads.query is None else x.heads.query.shape[1]
    needs_width(x, (queries + 2 * x.heads.kv.shape[1]) * attention.head_dim, "K and V")
    return replace(x, data=x.data[..., queries * attention.head_dim :], heads=Heads(kv=x.heads.kv))


def keys_and_values(site: Site, x: Tensor) -> Written:
    """What a `kv_part` puts into the cache."""
    attention = site.model.attention
    if attention.kind == "mla":
        entry = x.data[..., None, :]
        return Written(entry, entry, x.rows, np.zeros((len(x.data), 1), dtype=np.int64))
    assert x.heads is not None
    assert x.heads.kv is not None  # or `kv_part` had refused it
    heads = x.data.reshape(*x.data.shape[:2], 2, x.heads.kv.shape[1], attention.head_dim)
    return Written(turn(_qk_normed(attention, heads[:, :, 0]), x.rows), heads[:, :, 1], x.rows, x.heads.kv)


def cached_tensor(site: Site, writes: list[Written]) -> Tensor:
    """What a data edge from a cache update carries: the cache of the layer as it now is."""
    if any(write.recurrent for write in writes):
        raise RunError("the state of a recurrence is no tensor: a sync edge brings it to its attention")
    if site.model.attention.kind == "mla":
        data = np.concatenate([write.keys[:, :, 0] for write in writes], axis=1)
        return Tensor(data, np.concatenate([write.rows for write in writes], axis=1), "cache")
    new = writes[-1]
    data = np.concatenate([new.keys, new.values], axis=2)
    return Tensor(data.reshape(*data.shape[:2], -1), new.rows, "cache")


def _qk_normed(attention: GqaAttention, heads: Floats) -> Floats:
    if not attention.qk_norm:
        return heads
    return np.asarray(heads / np.sqrt(np.mean(heads * heads, axis=-1, keepdims=True) + 1e-6))


def turn(heads: Floats, rows: Ints) -> Floats:
    """Rotary position embedding of [ranks, rows, heads, d], positions taken from the labels."""
    half = heads.shape[-1] // 2
    cosine, sine = _rotation(rows, half)
    first, second = heads[..., :half], heads[..., half:]
    return np.concatenate([first * cosine - second * sine, first * sine + second * cosine], axis=-1)


@recalled
def _rotation(rows: Ints, half: int) -> tuple[Floats, Floats]:
    """Cosines and sines [ranks, rows, 1, half]."""
    angle = (rows % SPAN)[:, :, None, None] / ROPE_BASE ** (np.arange(half) / half)
    return np.cos(angle), np.sin(angle)


def attend(site: Site, node: AttentionNode, arrived: Arrived) -> Tensor | ContextPart:
    """Attention of the rows that arrived over what edges and links delivered of the context, and nothing else."""
    if is_linear(site):
        return recur(site, node, arrived)
    if node.form == "recurrent":
        raise RunError("this layer has attention over its context, no recurrence")
    tensors = [as_tensor(value) for value in arrived.data]
    queries = [x for x in tensors if x.heads is not None and x.heads.query is not None]
    if len(queries) != 1 or len(tensors) > 2:
        raise RunError(f"needs one tensor with queries and at most one beside it, got {len(queries)} of {len(tensors)}")
    query = queries[0]
    beside = next((x for x in tensors if x is not query), None)
    if not arrived.caches and not node.partial:
        raise RunError("no edge or link delivers K and V of this layer")
    attention = site.model.attention
    if attention.kind == "gqa":
        if node.form is not None:
            raise RunError(f"form {node.form} belongs to latent attention (MLA); the model has K and V heads")
        return _grouped(site, attention, node, query, beside, arrived.caches)
    if node.form is None:
        raise RunError("latent attention needs a form: expanded or absorbed")
    if node.form == "absorbed":
        return _absorbed(site, attention, node, query, beside, arrived.caches)
    return _expanded(site, attention, node, query, beside, arrived.caches)


def _query_heads(query: Tensor, width: int, what: str) -> tuple[Floats, Ints]:
    """[ranks, rows, heads, width] and the numbers of the heads; a fused projection has K and V behind its queries."""
    assert query.heads is not None
    assert query.heads.query is not None  # it was chosen for them
    numbers = query.heads.query
    count = numbers.shape[1]
    others = 0 if query.heads.kv is None else 2 * query.heads.kv.shape[1]
    needs_width(query, (count + others) * width, f"{what} ({count} query heads on a rank)")
    return query.data[..., : count * width].reshape(*query.data.shape[:2], count, width), numbers


def _grouped(
    site: Site,
    attention: GqaAttention,
    node: AttentionNode,
    query: Tensor,
    beside: Tensor | None,
    caches: list[Written],
) -> Tensor | ContextPart:
    """K and V from the cache, or (in part) from a data edge: the neighbour's, or a rank's own."""
    if caches and beside is not None:
        raise RunError(f"has the cache and the result of `{beside.source or 'another op'}`: which are K and V?")
    sources = caches or [keys_and_values(site, kv_part(site, query if beside is None else beside))]
    q, numbers = _query_heads(query, attention.head_dim, "attention")
    q = turn(_qk_normed(attention, q), query.rows)
    needed = _needed(numbers, attention.num_kv_heads, attention.num_heads)
    return _over(site, node, query, q, _chosen(sources, needed), attention.head_dim)


@recalled
def _needed(numbers: Ints, num_kv_heads: int, num_heads: int) -> Ints:
    """[ranks, n]: the K and V heads of query heads, one for each run of them that shares one."""
    return _runs(numbers * num_kv_heads // num_heads)


def _absorbed(
    site: Site,
    attention: MlaAttention,
    node: AttentionNode,
    query: Tensor,
    beside: Tensor | None,
    caches: list[Written],
) -> Tensor | ContextPart:
    """Queries already in latent space attend over the latents themselves; the result is a latent for each head."""
    if beside is not None or not caches:
        raise RunError("absorbed attention needs a query in latent space and the cache, and nothing else")
    c, r = attention.kv_lora_rank, attention.qk_rope_head_dim
    q, numbers = _query_heads(query, c + r, "absorbed attention")
    q = np.concatenate([q[..., :c], turn(q[..., c:], query.rows)], axis=-1)
    latents = [_turned_latents(write, c) for write in caches]
    only = np.zeros((len(numbers), 1), dtype=np.int64)
    return _over(site, node, query, q, _chosen(latents, only), attention.qk_nope_head_dim + r)


def _turned_latents(write: Written, latent: int) -> Written:
    turned = np.concatenate([write.keys[..., :latent], turn(write.keys[..., latent:], write.rows)], axis=-1)
    return replace(write, keys=turned, values=turned[..., :latent])


def _expanded(
    site: Site,
    attention: MlaAttention,
    node: AttentionNode,
    query: Tensor,
    beside: Tensor | None,
    caches: list[Written],
) -> Tensor | ContextPart:
    """K and V heads that `kv_b` expanded, with the RoPE part of the latents beside them."""
    if beside is None or beside.source != "kv_b" or beside.heads is None or beside.heads.kv is None:
        raise RunError("expanded attention needs a query and one result of `kv_b`")
    n, r, v = attention.qk_nope_head_dim, attention.qk_rope_head_dim, attention.v_head_dim
    q, numbers = _query_heads(query, n + r, "expanded attention")
    q = np.concatenate([q[..., :n], turn(q[..., n:], query.rows)], axis=-1)
    heads = beside.heads.kv
    needs_width(beside, heads.shape[1] * (n + v) + r, f"expanded K and V ({heads.shape[1]} heads on a rank)")
    if heads.shape != numbers.shape or (heads != numbers).any():
        raise RunError("`kv_b` has expanded K and V of other heads than the queries are")
    if caches:
        _refuse_uncached(beside.rows, np.concatenate([write.rows for write in caches], axis=1))
    kv = beside.data[..., :-r].reshape(*beside.data.shape[:2], heads.shape[1], n + v)
    rope = turn(beside.data[..., None, -r:], beside.rows)
    keys = np.concatenate([kv[..., :n], np.broadcast_to(rope, (*kv.shape[:3], r))], axis=-1)
    return _over(site, node, query, q, Written(keys, kv[..., n:], beside.rows, heads), n + r)


def _refuse_uncached(rows: Ints, cached: Ints) -> None:
    """Expanded K and V are of rows that the cache holds."""
    if rows.shape == cached.shape and (rows == cached).all():
        return
    for rank, (wanted, held) in enumerate(zip(rows, cached, strict=True)):
        if not np.isin(wanted[wanted >= 0], held).all():
            raise RunError("expanded K and V are about tokens that the cache does not hold", ranks=(rank,))


def _chosen(sources: list[Written], wanted: Ints) -> Written:
    """All rows of `sources`, with the K and V heads [ranks, n] that the query heads need."""
    taken = [_with_heads(write, wanted) for write in sources]
    keys, values, rows = _rows_of_all(taken)
    return Written(keys, values, rows, wanted)


def _rows_of_all(parts: list[Written]) -> tuple[Floats, Floats, Ints]:
    """Keys, values and labels of several writes, one behind the other."""
    first = parts[0]
    if len(parts) == 1:
        return first.keys, first.values, first.rows
    return (
        np.concatenate([part.keys for part in parts], axis=1),
        np.concatenate([part.values for part in parts], axis=1),
        _joined(*[part.rows for part in parts]),
    )


@recalled
def _joined(*rows: Ints) -> Ints:
    return np.concatenate(rows, axis=1)


def _runs(needed: Ints) -> Ints:
    """One number for each of the longest equal runs in which all ranks' numbers [ranks, n] come alike."""
    count = needed.shape[1]
    group = next(g for g in range(count, 0, -1) if count % g == 0 and _in_groups(needed, g))
    return needed[:, ::group]


def _in_groups(needed: Ints, group: int) -> bool:
    """Whether every run of `group` query heads needs one K and V head."""
    runs = needed.reshape(len(needed), -1, group)
    return bool((runs == runs[..., :1]).all())


def _with_heads(write: Written, wanted: Ints) -> Written:
    if write.heads.shape == wanted.shape and (write.heads == wanted).all():
        return write
    matches = write.heads[:, None, :] == wanted[:, :, None]
    missing = ~matches.any(axis=2).all(axis=1)
    if missing.any():
        ranks = tuple(int(rank) for rank in missing.nonzero()[0])
        raise RunError("these ranks do not hold the K and V heads that their query heads need", ranks=ranks)
    index = matches.argmax(axis=2)[:, None, :, None]
    return Written(
        np.take_along_axis(write.keys, index, axis=2),
        np.take_along_axis(write.values, index, axis=2),
        write.rows,
        wanted,
    )


def _over(
    site: Site, node: AttentionNode, query: Tensor, q: Floats, context: Written, scale: int
) -> Tensor | ContextPart:
    """Attention of q [ranks, n, heads, d] over a context: finished, or with its log-sum-exp where it is only a part."""
    assert query.heads is not None
    assert query.heads.query is not None
    data, lse = _softmax_sum(site, q, context, query.rows, scale)
    if node.partial:
        return ContextPart(np.where(np.isneginf(lse)[..., None], 0.0, data), lse, query.rows, query.heads.query)
    return Tensor(
        blank_padding(data, query.rows).reshape(*data.shape[:2], -1),
        query.rows,
        "attention",
        Heads(query.heads.query),
    )


def _softmax_sum(site: Site, q: Floats, context: Written, q_rows: Ints, scale: int) -> tuple[Floats, Floats]:
    """Causal attention inside each sequence, and the log-sum-exp of its scores; not a number where a query sees nothing."""
    keys, values = context.keys, context.values
    ranks, n, heads, d = q.shape
    if keys.shape[-1] != d:
        raise RunError(f"query heads of {d} features meet keys of {keys.shape[-1]}")
    if ranks * heads * n * keys.shape[1] > MAX_SCORES:
        raise RunError(f"attention of {n} rows over {keys.shape[1]} cached ones is more than the proof runs")
    grouped = q.reshape(ranks, n, keys.shape[2], -1, d).transpose(0, 2, 3, 1, 4)
    scores = grouped @ keys.transpose(0, 2, 3, 1)[:, :, None]
    scores /= math.sqrt(scale)
    np.copyto(scores, -np.inf, where=_hidden(q_rows, context.rows, *_window(site)))
    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    largest = np.where(np.isneginf(largest), 0.0, largest)
    scores -= largest
    exponent = np.exp(scores, out=scores)
    total = exponent.sum(axis=-1, keepdims=True)
    mixed = exponent @ values.transpose(0, 2, 1, 3)[:, :, None] / total
    lse = (largest + np.log(total))[..., 0]
    return (
        np.asarray(mixed.transpose(0, 3, 1, 2, 4).reshape(ranks, n, heads, -1)),
        np.asarray(lse.transpose(0, 3, 1, 2).reshape(ranks, n, heads)),
    )


def _window(site: Site) -> tuple[str, int]:
    """Kind and tokens of the layer's window; 0 tokens when it has none."""
    window = site.model.window
    if window is None or site.layer is None or site.model.window_tokens(site.layer) is None:
        return "none", 0
    return window.kind, window.size_tokens


@recalled
def _hidden(query_rows: Ints, key_rows: Ints, kind: str, tokens: int) -> Flags:
    """[ranks, 1, 1, queries, keys]: which keys a query does not see: other sequences, the future, what is outside the layer's window."""
    query, key = query_rows[:, :, None], key_rows[:, None, :]
    distance = query - key
    seen = (query // SPAN == key // SPAN) & (distance >= 0) & (key >= 0)
    if kind == "sliding":
        seen &= distance < tokens
    elif tokens:
        seen &= query % SPAN // tokens == key % SPAN // tokens
    return np.asarray(~seen[:, None, None])


def merge(site: Site, _node: AttentionMerge, arrived: Arrived) -> Tensor:
    """Parts weighted by their log-sum-exp: several into their sum, or one by the log-sum-exps of all (a summand then)."""
    parts = [value for value in arrived.data if isinstance(value, ContextPart)]
    sums = [value for value in arrived.data if isinstance(value, LogSums)]
    if not parts or len(parts) + len(sums) != len(arrived.data) or (sums and (len(parts), len(sums)) != (1, 1)):
        got = ", ".join(map(kind_of, arrived.data)) or "nothing"
        raise RunError(f"merges partial attentions, or one with the log-sum-exps of all parts, got {got}")
    first = parts[0]
    if any(part.recurrent for part in parts):
        if len(parts) != 1 or len(sums) != 1:
            raise RunError("outputs of a state space are normed by the squares of all ranks, and by nothing else")
        return merge_norm(site, first, sums[0])
    others: list[ContextPart | LogSums] = [*parts[1:], *sums]
    for other in others:
        _same_queries(first, other)
    lse = sums[0].lse if sums else np.stack([part.lse for part in parts], axis=1)
    total = np.logaddexp.reduce(lse, axis=1)
    data = sum(part.data * np.exp(part.lse - total)[..., None] for part in parts)
    data = blank_padding(data, first.rows)
    return Tensor(data.reshape(*data.shape[:2], -1), first.rows, "attention", Heads(first.heads))


def _same_queries(first: ContextPart, other: ContextPart | LogSums) -> None:
    same_rows(first.rows, other.rows, "parts of the context")
    if first.heads.shape != other.heads.shape or (first.heads != other.heads).any():
        raise RunError("parts of the context are about different query heads")
    if isinstance(other, ContextPart) and first.data.shape != other.data.shape:
        raise RunError("parts of the context have different widths")


def gathered_sums(part: Value, members: Ints, group_of: Ints) -> LogSums:
    """all_gather of log-sum-exps: those of every rank of a group, which must be about the same queries."""
    if not isinstance(part, ContextPart) or part.recurrent:
        raise RunError(f"gathers log-sum-exps of partial attention, got {kind_of(part)}")
    for about, what in ((part.rows, "tokens"), (part.heads, "query heads")):
        grouped = about[members]
        if (grouped != grouped[:, :1]).any():
            raise RunError(f"gathers log-sum-exps of different {what}")
    return LogSums(part.lse[members][group_of], part.rows, part.heads)
