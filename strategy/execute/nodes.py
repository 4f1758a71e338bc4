"""What each op does, apart from attention and experts: on all virtual ranks of a stage at once."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from strategy.dag import (
    Activation,
    Add,
    AllGather,
    AllReduce,
    AllToAll,
    AnyNode,
    Broadcast,
    Chunk,
    Embedding,
    Linear,
    Norm,
    ReduceScatter,
    Sample,
    SelectLast,
    StepSync,
)
from strategy.execute.attention import attend, merge, write_cache
from strategy.execute.context import (
    CARRIED_ALONG,
    gather_heads,
    gather_part,
    join_heads,
    scatter_heads,
    slice_heads,
)
from strategy.execute.experts import (
    exchange_copies,
    gather_copies,
    reduce_copies,
    route,
    run_experts,
)
from strategy.execute.ranks import whole
from strategy.execute.recall import recalled
from strategy.execute.recurrence import sum_squares
from strategy.execute.rows import check_growth, join, join_rows, same_tokens, slice_rows
from strategy.execute.site import (
    Site,
    activated,
    as_tensor,
    hidden_and_routes,
    needs_width,
    only_tensor,
    only_tokens,
    same_rows,
)
from strategy.execute.values import (
    NOBODY,
    SPAN,
    Arrived,
    ContextPart,
    Copies,
    Flags,
    Floats,
    Gathered,
    Heads,
    Ints,
    Ordering,
    Routes,
    RunError,
    Tensor,
    Tokens,
    Value,
)
from strategy.mesh import Axis

EPSILON = 1e-6


def run_node(site: Site, node: AnyNode, arrived: Arrived) -> Value:
    """The value of one node on every rank. Raises RunError when the node cannot run on what arrived."""
    return _OPS[node.op](site, node, arrived)


def _embedding(site: Site, node: Embedding, arrived: Arrived) -> Value:
    tokens = only_tokens(arrived)
    table = site.shards.full("embedding", None)
    if node.split == "replicated":
        return Tensor(table[tokens.ids], tokens.rows, "embedding")
    whole(site.model.vocab_size, site.ranks.size("tp"), "vocabulary entries")
    held = site.model.vocab_size // site.ranks.size("tp")
    mine = tokens.ids // held == site.ranks.place("tp")[:, None]
    return Tensor(np.where(mine[..., None], table[tokens.ids], 0.0), tokens.rows, "embedding")


def _linear(site: Site, node: Linear, arrived: Arrived) -> Value:
    x = only_tensor(arrived)
    weight = site.shards.take(node.weight, node.split, site.layer)
    attention = site.model.attention
    if weight.ndim == 1 or node.weight.startswith("experts_") or node.weight in ("router", "embedding"):
        raise RunError(f"`{node.weight}` is not the weight of a linear")
    if attention.kind == "mla" and node.weight in ("w_uk", "w_uv"):
        return _per_head(node.weight, x, weight, attention.qk_nope_head_dim)
    data, passed = x.data, None
    if attention.kind == "mla" and node.weight == "kv_b":
        needs_width(x, attention.kv_lora_rank + attention.qk_rope_head_dim, "`kv_b` (latent and RoPE part)")
        data, passed = data[..., : attention.kv_lora_rank], data[..., attention.kv_lora_rank :]
    if data.shape[-1] != weight.shape[-2]:
        raise RunError(f"`{node.weight}` split {node.split} takes {weight.shape[-2]} features, got {data.shape[-1]}")
    out = data @ weight
    if passed is not None:
        out = np.concatenate([out, passed], axis=-1)
    return Tensor(out, x.rows, node.weight, site.shards.heads(node.weight, node.split))


def _per_head(name: str, x: Tensor, weight: Floats, nope: int) -> Tensor:
    """A batched linear over heads: `weight` is [ranks or 1, heads, in, out]; w_uk passes the RoPE part of each head."""
    heads = weight.shape[1]
    whole(x.width, heads, f"features of the input of `{name}`")
    per_head = x.data.reshape(*x.data.shape[:2], heads, -1)
    taken = per_head[..., :nope] if name == "w_uk" else per_head
    if taken.shape[-1] != weight.shape[2]:
        raise RunError(f"`{name}` takes {weight.shape[2]} features a head, got {taken.shape[-1]}")
    out = (taken.transpose(0, 2, 1, 3) @ weight).transpose(0, 2, 1, 3)
    if name == "w_uk":
        out = np.concatenate([out, per_head[..., nope:]], axis=-1)
    return Tensor(out.reshape(*x.data.shape[:2], -1), x.rows, name, x.heads and Heads(x.heads.query))


def _norm(site: Site, node: Norm, arrived: Arrived) -> Value:
    x = only_tensor(arrived)
    weight = site.shards.full(node.weight, site.layer)
    if weight.ndim != 1:
        raise RunError(f"`{node.weight}` is not the weight of a norm")
    before, data, after = _normed_part(site, node.weight, x)
    if data.shape[-1] != len(weight):
        raise RunError(f"`{node.weight}` takes {len(weight)} features, got {data.shape[-1]}")
    scaled = data / np.sqrt(np.add.reduce(data * data, axis=-1, keepdims=True) / len(weight) + EPSILON) * weight
    parts = [part for part in (before, scaled, after) if part is not None]
    return Tensor(scaled if len(parts) == 1 else np.concatenate(parts, axis=-1), x.rows, node.weight)


def _normed_part(site: Site, name: str, x: Tensor) -> tuple[Floats | None, Floats, Floats | None]:
    """What a norm passes before, normalises, and passes after: MLA's norms take their part of the fused projection."""
    attention = site.model.attention
    if attention.kind != "mla" or name not in ("q_a_norm", "kv_a_norm"):
        return None, x.data, None
    q_rank, latent, rope = attention.q_lora_rank or 0, attention.kv_lora_rank, attention.qk_rope_head_dim
    fused = x.width == q_rank + latent + rope and q_rank > 0
    if name == "q_a_norm":
        return None, x.data[..., :q_rank] if fused else x.data, None
    data = x.data[..., q_rank:] if fused else x.data
    if data.shape[-1] != latent + rope:
        raise RunError(f"`kv_a_norm` takes {latent + rope} features (latent and RoPE part), got {data.shape[-1]}")
    return None, data[..., :latent], data[..., latent:]


def _activation(site: Site, _node: Activation, arrived: Arrived) -> Value:
    x = only_tensor(arrived)
    return Tensor(activated(site, x.data), x.rows, "activation")


def _add(_site: Site, _node: Add, arrived: Arrived) -> Value:
    if len(arrived.data) < 2:
        raise RunError(f"adds at least two tensors, got {len(arrived.data)}")
    terms = [as_tensor(value) for value in arrived.data]
    total = terms[0].data
    for term in terms[1:]:
        same_rows(terms[0].rows, term.rows, "terms")
        needs_width(term, terms[0].width, "the sum")
        total = total + term.data
    return Tensor(total, terms[0].rows, "sum")


def _one_tensor(arrived: Arrived) -> Tensor:
    """What is summed or cut as one: not K and V, with or without Q, which are several."""
    x = only_tensor(arrived)
    if x.heads is not None and x.heads.kv is not None:
        raise RunError(f"the result of `{x.source}` is several tensors, not one")
    return x


def _all_reduce(site: Site, node: AllReduce, arrived: Arrived) -> Value:
    if len(arrived.data) == 1 and isinstance(part := arrived.data[0], ContextPart) and part.recurrent:
        return sum_squares(site, node.axis, part)
    x = _one_tensor(arrived)
    members = site.ranks.members(node.axis)
    same_tokens(site, x.rows, node.axis)
    total = np.empty_like(x.data)
    total[members] = x.data[members].sum(axis=1, keepdims=True)
    return x.with_data(total)


def _all_gather(site: Site, node: AllGather, arrived: Arrived) -> Value:
    if node.role in CARRIED_ALONG and len(arrived.data) == 1:
        return gather_part(site, node, arrived.data[0])
    if len(arrived.data) == 2:
        hidden, routes = hidden_and_routes(arrived)
        return _gather_both(site, node, hidden, routes)
    if len(arrived.data) != 1:
        raise RunError(f"gathers one tensor (or hidden states with their routes), got {len(arrived.data)} inputs")
    value = arrived.data[0]
    if isinstance(value, Gathered):
        return _gather_both(site, node, value.hidden, value.routes)
    if isinstance(value, Copies):
        return gather_copies(site, node.axis, node.dim, value)
    if isinstance(value, Routes):
        return _gather_routes(site, node.axis, value)
    x = as_tensor(value)
    if node.dim == "tokens":
        return join_rows(site, node.axis, x)
    same_tokens(site, x.rows, node.axis)
    _check_features(node.dim, x)
    if x.heads is not None:
        return join_heads(site, node.axis, x)
    members = site.ranks.members(node.axis)
    check_growth(x.data.size * members.shape[1])
    joined = np.concatenate([x.data[members[:, m]] for m in range(members.shape[1])], axis=-1)
    return x.with_data(joined[site.ranks.group_of(node.axis)])


def _check_features(dim: str, x: Tensor) -> None:
    """Logits have a vocabulary dimension, heads have a heads dimension, other features are hidden ones."""
    if dim != ("vocab" if x.source == "lm_head" else "hidden" if x.heads is None else "heads"):
        raise RunError(f"the features of `{x.source}` are not a {dim} dimension")


def _gather_both(site: Site, node: AllGather, hidden: Tensor, routes: Routes) -> Value:
    if node.dim != "tokens" or node.role not in (None, "dispatch"):
        raise RunError(
            f"hidden states with routes are dispatched along tokens, not gathered along {node.dim} to {node.role or 'share'}"
        )
    joined = Tensor(join(site, node.axis, hidden.data), join(site, node.axis, hidden.rows), hidden.source)
    return Gathered(joined, _gather_routes(site, node.axis, routes))


def _gather_routes(site: Site, axis: Axis, routes: Routes) -> Routes:
    experts, weights = join(site, axis, routes.experts), join(site, axis, routes.weights)
    return Routes(experts, weights, join(site, axis, routes.rows))


def _reduce_scatter(site: Site, node: ReduceScatter, arrived: Arrived) -> Value:
    if node.role == "dispatch":
        raise RunError("a dispatch does not sum: its reduce_scatter would mix different tokens' results")
    if len(arrived.data) == 1 and isinstance(arrived.data[0], Copies):
        return reduce_copies(site, node.axis, node.dim, arrived.data[0])
    x = as_tensor(_all_reduce(site, AllReduce(id=node.id, op="all_reduce", axis=node.axis), arrived))
    if node.dim == "tokens":
        return slice_rows(site, node.axis, x)
    _check_features(node.dim, x)
    return _slice_features(site, node.axis, x) if x.heads is None else slice_heads(site, node.axis, x)


def _slice_features(site: Site, axis: Axis, x: Tensor) -> Tensor:
    count = whole(x.width, site.ranks.size(axis), "features")
    taken = site.ranks.place(axis)[:, None] * count + np.arange(count)
    return x.with_data(np.take_along_axis(x.data, taken[:, None, :], axis=2))


def _chunk(site: Site, node: Chunk, arrived: Arrived) -> Value:
    x = _one_tensor(arrived)
    same_tokens(site, x.rows, node.axis)
    return slice_rows(site, node.axis, x)


def _broadcast(site: Site, node: Broadcast, arrived: Arrived) -> Value:
    if len(arrived.data) != 1:
        raise RunError(f"broadcasts one value, got {len(arrived.data)}")
    value = arrived.data[0]
    root = _root(site, node.axis, value)
    if isinstance(value, Tokens):
        return Tokens(value.ids[root], value.rows[root])
    x = as_tensor(value)
    heads = x.heads and Heads(*(None if part is None else part[root] for part in (x.heads.query, x.heads.kv)))
    return Tensor(x.data[root], x.rows[root], x.source, heads)


def _root(site: Site, axis: Axis, value: Value) -> Ints:
    """[ranks]: who sends in each rank's group: the one that has rows, where the others have padding only, else the first."""
    members = site.ranks.members(axis)
    rows = value.rows if isinstance(value, Tensor | Tokens) else np.zeros((site.ranks.count, 1), dtype=np.int64)
    has = np.asarray((rows >= 0).any(axis=1))[members]
    first = np.where(has.sum(axis=1) == 1, has.argmax(axis=1), 0)
    return np.asarray(members[np.arange(len(members)), first][site.ranks.group_of(axis)])


def _select_last(site: Site, _node: SelectLast, arrived: Arrived) -> Value:
    """The rows at the end of their sequence, where a rank has them; ranks with fewer get padding rows."""
    x = only_tensor(arrived)
    last, chosen, found, rows = _last_rows(x.rows, site.newest)
    if site.phase == "prefill" and (last | (x.rows < 0)).all():
        raise RunError("has the last position of each sequence already, and no other")
    if not rows.size:
        raise RunError("no rank holds the last position of a sequence")
    data = np.where(found[..., None], np.take_along_axis(x.data, chosen[..., None], axis=1), 0.0)
    return replace(x, data=data, rows=rows)


@recalled
def _last_rows(rows: Ints, newest: Ints) -> tuple[Flags, Ints, Flags, Ints]:
    """[ranks, rows]: which are last in their sequence; [ranks, n]: where they stand, whether one stands there, and their labels."""
    last = (rows >= 0) & (rows % SPAN == newest[np.maximum(rows, 0) // SPAN])
    chosen = np.argsort(~last, axis=1, kind="stable")[:, : int(last.sum(axis=1).max())]
    found = np.take_along_axis(last, chosen, axis=1)
    return last, chosen, found, np.where(found, np.take_along_axis(rows, chosen, axis=1), NOBODY)


def _all_to_all(site: Site, node: AllToAll, arrived: Arrived) -> Value:
    if node.role in ("dispatch", "combine"):
        return exchange_copies(site, node, arrived)
    swap = scatter_heads if node.role == "scatter_heads" else gather_heads
    return swap(site, node.axis, only_tensor(arrived))


def _sample(site: Site, _node: Sample, arrived: Arrived) -> Value:
    logits = only_tensor(arrived)
    needs_width(logits, site.model.vocab_size, "sampling from complete logits")
    return Tokens(logits.data.argmax(axis=-1), logits.rows)


def _step_sync(_site: Site, _node: StepSync, _arrived: Arrived) -> Value:
    return Ordering("step_sync")


_OPS: dict[str, Callable[..., Value]] = {
    "embedding": _embedding,
    "linear": _linear,
    "norm": _norm,
    "activation": _activation,
    "add": _add,
    "all_reduce": _all_reduce,
    "all_gather": _all_gather,
    "reduce_scatter": _reduce_scatter,
    "chunk": _chunk,
    "broadcast": _broadcast,
    "select_last": _select_last,
    "sample": _sample,
    "step_sync": _step_sync,
    "kv_cache_update": write_cache,
    "attention": attend,
    "attention_merge": merge,
    "routing": route,
    "expert": run_experts,
    "all_to_all": _all_to_all,
}
