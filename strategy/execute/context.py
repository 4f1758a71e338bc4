"""What context-parallel ranks exchange: K and V, queries, head shards for token shards."""

from dataclasses import replace

import numpy as np

from strategy.dag import AllGather
from strategy.execute.attention import gathered_sums, kv_part
from strategy.execute.ranks import whole
from strategy.execute.rows import Shard, check_growth, join_rows, same_tokens, slice_rows
from strategy.execute.site import Site, as_tensor
from strategy.execute.values import Floats, Heads, Ints, LogSums, RunError, Tensor, Value
from strategy.mesh import Axis

CARRIED_ALONG = {"kv": "tokens", "q": "heads", "lse": "partials"}
"""The dimension that each role of an all_gather belongs to."""


def gather_part(site: Site, node: AllGather, value: Value) -> Tensor | LogSums:
    """An all_gather that carries a part of its input: only K and V, only Q, or only the log-sum-exp."""
    assert node.role is not None
    if node.dim != CARRIED_ALONG[node.role]:
        raise RunError(f"role {node.role} gathers along {CARRIED_ALONG[node.role]}, not along {node.dim}")
    if node.role == "lse":
        return gathered_sums(value, site.ranks.members(node.axis), site.ranks.group_of(node.axis))
    if node.role == "kv":
        return join_rows(site, node.axis, kv_part(site, as_tensor(value)))
    return join_heads(site, node.axis, _queries(as_tensor(value)))


def _queries(x: Tensor) -> Tensor:
    """The query heads of a projection alone."""
    if x.heads is None or x.heads.query is None:
        raise RunError(f"needs query heads, got the result of `{x.source or 'another op'}`")
    if x.heads.kv is None:
        return x
    query, _, _ = split_heads(x)
    return replace(x, data=query, heads=Heads(x.heads.query))


def split_heads(x: Tensor) -> tuple[Floats, Floats, Floats]:
    """Features of Q, K and V of a fused projection."""
    assert x.heads is not None
    assert x.heads.query is not None
    assert x.heads.kv is not None  # that is what fused means
    queries, kv = x.heads.query.shape[1], x.heads.kv.shape[1]
    width = whole(x.width, queries + 2 * kv, f"features of `{x.source}` (by heads)")
    query, key, value = np.split(x.data, [queries * width, (queries + kv) * width], axis=-1)
    return query, key, value


def join_heads(site: Site, axis: Axis, x: Tensor) -> Tensor:
    """all_gather along heads: each rank's heads after those of the ranks before it, Q, K and V each on their own."""
    assert x.heads is not None
    same_tokens(site, x.rows, axis)
    if x.source == "linear_in":
        raise RunError("the projection of a recurrence is several tensors: it is not gathered along heads")
    if x.source == "kv_b":
        raise RunError("K and V expanded from a latent share a RoPE part: they are not gathered along heads")
    joined = Heads(*(None if part is None else _beside(site, axis, part) for part in (x.heads.query, x.heads.kv)))
    fused = x.heads.query is not None and x.heads.kv is not None
    parts = split_heads(x) if fused else (x.data,) if x.heads.query is not None else np.split(x.data, 2, axis=-1)
    return replace(x, data=np.concatenate([_beside(site, axis, part) for part in parts], axis=-1), heads=joined)


def _beside(site: Site, axis: Axis, part: Shard) -> Shard:
    members = site.ranks.members(axis)
    check_growth(part.size * members.shape[1])
    joined = np.concatenate([part[members[:, m]] for m in range(members.shape[1])], axis=-1)
    return joined[site.ranks.group_of(axis)]


def slice_heads(site: Site, axis: Axis, x: Tensor) -> Tensor:
    """Each rank's equal share of the query heads."""
    assert x.heads is not None
    if x.heads.query is None or x.heads.kv is not None:
        raise RunError(f"the heads of `{x.source}` are not all of one kind: they have no equal slices")
    size, place = site.ranks.size(axis), site.ranks.place(axis)
    count = whole(x.heads.query.shape[1], size, "heads")
    width = x.width // x.heads.query.shape[1]
    taken = place[:, None] * count + np.arange(count)
    heads = np.take_along_axis(x.heads.query, taken, axis=1)
    columns = (taken[:, :, None] * width + np.arange(width)).reshape(len(taken), -1)
    return replace(x, data=np.take_along_axis(x.data, columns[:, None, :], axis=2), heads=Heads(heads))


def scatter_heads(site: Site, axis: Axis, x: Tensor) -> Tensor:
    """Token shards of all heads become all tokens of a share of the heads, with the K and V heads that share needs."""
    if x.heads is None or x.heads.query is None or x.heads.kv is None:
        raise RunError(f"trades token shards for head shards of Q, K and V, got `{x.source or 'another op'}`")
    whole(
        site.real_model.attention.num_heads // site.ranks.real_size("tp"), site.ranks.real_size(axis), "heads of a rank"
    )
    members = site.ranks.members(axis)
    if (x.heads.query[members] != x.heads.query[members][:, :1]).any():
        raise RunError(f"ranks of a `{axis}` group have different heads: there are no common slices of them")
    query, key, value = split_heads(x)
    size, place = site.ranks.size(axis), site.ranks.place(axis)
    width = query.shape[-1] // x.heads.query.shape[1]
    count, held = whole(x.heads.query.shape[1], size, "query heads"), x.heads.kv.shape[1]
    if held % size and size % held:
        raise RunError(f"{held} K and V heads neither split over {size} ranks nor repeat evenly on them")
    queries = place[:, None] * count + np.arange(count)
    kv = place[:, None] * held // size + np.arange(max(1, held // size))
    rows = join_rows(site, axis, replace(x, heads=None, data=x.data[..., :0])).rows
    parts = [
        _kept(join_rows(site, axis, Tensor(part, x.rows)), taken, width)
        for part, taken in ((query, queries), (key, kv), (value, kv))
    ]
    heads = Heads(np.take_along_axis(x.heads.query, queries, axis=1), np.take_along_axis(x.heads.kv, kv, axis=1))
    return Tensor(np.concatenate(parts, axis=-1), rows, x.source, heads)


def _kept(x: Tensor, heads: Ints, width: int) -> Floats:
    columns = (heads[:, :, None] * width + np.arange(width)).reshape(len(heads), -1)
    return np.take_along_axis(x.data, columns[:, None, :], axis=2)


def gather_heads(site: Site, axis: Axis, x: Tensor) -> Tensor:
    """All tokens of a share of the heads become token shards of all heads."""
    if x.heads is None or x.heads.query is None or x.heads.kv is not None:
        raise RunError(f"trades head shards of the attention output for token shards, got `{x.source or 'another op'}`")
    return slice_rows(site, axis, join_heads(site, axis, x))


def pass_round(site: Site, axis: Axis, x: Tensor) -> Tensor:
    """What each rank gets when all of them hand their K and V to the next rank of the group, the last one to the first."""
    part = kv_part(site, x)
    members = site.ranks.members(axis)
    before = np.empty(site.ranks.count, dtype=np.int64)
    before[members] = np.roll(members, 1, axis=1)
    heads = None if part.heads is None or part.heads.kv is None else Heads(kv=part.heads.kv[before])
    return Tensor(part.data[before], part.rows[before], part.source, heads)
