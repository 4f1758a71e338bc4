"""Routing, dispatch, experts and combine: every token copy really travels, is processed where its expert is, and returns."""

from dataclasses import replace

import numpy as np

from strategy.dag import AllToAll, Expert, Routing
from strategy.execute.ranks import whole
from strategy.execute.site import Site, activated, as_tensor, hidden_and_routes, needs_width, only_tensor, same_rows
from strategy.execute.values import (
    MAX_ELEMENTS,
    Arrived,
    Copies,
    Floats,
    Gathered,
    Ints,
    Routes,
    RunError,
    Tensor,
    kind_of,
)
from strategy.mesh import Axis
from strategy.model import Moe


def _moe(site: Site) -> Moe:
    moe = site.model.moe
    if moe is None or site.layer is None or not site.shards.has("router", site.layer):
        raise RunError("this layer has no routed experts")
    return moe


def route(site: Site, _node: Routing, arrived: Arrived) -> Routes:
    """The top-k experts of every row and their normalised weights, from complete hidden states."""
    moe = _moe(site)
    x = only_tensor(arrived)
    needs_width(x, site.model.hidden_size, "the router")
    scores = x.data @ site.shards.full("router", site.layer)
    chosen = np.argsort(-_in_best_groups(moe, scores), axis=-1, kind="stable")[..., : moe.top_k]
    top = np.take_along_axis(scores, chosen, axis=-1)
    weights = np.exp(top - top.max(axis=-1, keepdims=True))
    return Routes(chosen, weights / weights.sum(axis=-1, keepdims=True), x.rows)


def _in_best_groups(moe: Moe, scores: Floats) -> Floats:
    """Node-limited routing: experts outside the best groups, by the sum of a group's two best scores, are out of the choice."""
    if moe.num_expert_groups == 1:
        return scores
    grouped = scores.reshape(*scores.shape[:-1], moe.num_expert_groups, -1)
    strength = np.sort(grouped, axis=-1)[..., -2:].sum(axis=-1)
    best = np.argsort(-strength, axis=-1, kind="stable")[..., : moe.top_k_groups]
    allowed = np.zeros(strength.shape, dtype=bool)
    np.put_along_axis(allowed, best, values=True, axis=-1)
    return np.where(allowed[..., None], grouped, -np.inf).reshape(scores.shape)


def _slots(site: Site, routes: Routes) -> Ints:
    """[ranks, rows, top_k]: the expert slot for each choice.

    Slots after the experts are replicas of the first ones, and a token uses one of the two, by its label.
    """
    experts, redundant = _moe(site).num_experts, site.ranks.pool.redundant_experts
    replicated = (routes.experts < redundant) & (routes.rows[..., None] % 2 == 1)
    return np.where(replicated, routes.experts + experts, routes.experts)


def _home(site: Site, slots: Ints) -> Ints:
    """The ep coordinate that holds each slot: contiguous blocks."""
    moe, real, pool = _moe(site), site.real_model.moe, site.ranks.pool
    ep_size = site.ranks.size("ep")
    assert real is not None
    whole(real.num_experts + site.ranks.real.redundant_experts, site.ranks.real_size("ep"), "expert slots")
    return slots // whole(moe.num_experts + pool.redundant_experts, ep_size, "expert slots")


def exchange_copies(site: Site, node: AllToAll, arrived: Arrived) -> Copies | Tensor:
    """all_to_all of tokens to their experts (dispatch) or of expert outputs to their tokens (combine)."""
    if node.axis != "ep":
        raise RunError(f"experts lie over `ep`, and this {node.role} goes over `{node.axis}`")
    if node.role == "dispatch":
        if node.apply_router_weight:
            raise RunError("a dispatch has no expert outputs to weight")
        hidden, routes = hidden_and_routes(arrived)
        return _dispatch(site, node.axis, hidden, routes)
    return _combine(site, node, arrived)


def _dispatch(site: Site, axis: Axis, hidden: Tensor, routes: Routes) -> Copies:
    """Send each (token, expert) copy to the rank of the sender's group on `axis` that holds the expert."""
    slots = _slots(site, routes)
    source, row, choice = (index.ravel() for index in np.indices(slots.shape))
    holder = _holders(site, axis)[source, _home(site, slots).ravel()]
    if (holder < 0).any():
        lost = sorted({int(rank) for rank in source[holder < 0]})
        raise RunError(f"no rank of the sender's `{axis}` group holds some of the chosen experts", ranks=tuple(lost))
    return Copies(
        data=hidden.data[source, row],
        holder=holder,
        owner=holder,
        source=source,
        row=row,
        slot=slots.ravel(),
        weight=routes.weights[source, row, choice],
        key=np.arange(len(source)),
        origin_rows=hidden.rows,
    )


def _holders(site: Site, axis: Axis) -> Ints:
    """[ranks, ep_size]: who in a rank's group on `axis` has each ep coordinate, -1 where nobody does."""
    members = site.ranks.members(axis)
    table = np.full((len(members), site.ranks.size("ep")), -1)
    for column in members.T[::-1]:
        table[np.arange(len(members)), site.ranks.place("ep")[column]] = column
    return table[site.ranks.group_of(axis)]


def _combine(site: Site, node: AllToAll, arrived: Arrived) -> Tensor:
    """Return every processed copy to its sender, which adds up the copies of each row, weighted if the node says so."""
    copies = [value for value in arrived.data if isinstance(value, Copies)]
    routes = [value for value in arrived.data if isinstance(value, Routes)]
    if len(copies) != 1 or len(routes) > 1 or len(copies) + len(routes) != len(arrived.data):
        got = ", ".join(map(kind_of, arrived.data)) or "nothing"
        raise RunError(f"combine needs the experts' output (and may need routes), got {got}")
    back = copies[0]
    if not back.processed:
        raise RunError("combine returns copies that no expert has processed")
    for route_ in routes:
        same_rows(route_.rows, back.origin_rows, "dispatched tokens and routes")
    if node.apply_router_weight and not routes:
        raise RunError("combine applies router weights, and no routes reach it")
    group = site.ranks.group_of(node.axis)
    strayed = group[back.holder] != group[back.source]
    if strayed.any():
        raise RunError(f"copies cannot return to their senders over `{node.axis}`", ranks=_some(back.holder[strayed]))
    data = back.data * back.weight[:, None] if node.apply_router_weight else back.data
    out = np.zeros((*back.origin_rows.shape, site.model.expert_features))
    np.add.at(out, (back.source, back.row), data)
    return Tensor(out, back.origin_rows, "experts")


def _some(ranks: Ints) -> tuple[int, ...]:
    return tuple(sorted({int(rank) for rank in ranks}))


def run_experts(site: Site, node: Expert, arrived: Arrived) -> Copies | Tensor:
    """The experts a rank holds: on dispatched copies, or on all rows it has (then each rank adds only its experts' part)."""
    if len(arrived.data) == 1 and isinstance(arrived.data[0], Copies):
        return _process(site, node, arrived.data[0])
    if len(arrived.data) == 1 and isinstance(arrived.data[0], Gathered):
        hidden, routes = arrived.data[0].hidden, arrived.data[0].routes
    else:
        hidden, routes = hidden_and_routes(arrived)
    return _local_part(site, node, hidden, routes)


def _local_part(site: Site, node: Expert, hidden: Tensor, routes: Routes) -> Tensor:
    slots = _slots(site, routes)
    mine = _home(site, slots) == site.ranks.place("ep")[:, None, None]
    rank, row, choice = mine.nonzero()
    copies = Copies(
        data=hidden.data[rank, row],
        holder=rank,
        owner=rank,
        source=rank,
        row=row,
        slot=slots[rank, row, choice],
        weight=routes.weights[rank, row, choice],
        key=np.arange(len(rank)),
        origin_rows=hidden.rows,
    )
    done = _process(site, node, copies)
    out = np.zeros((*hidden.rows.shape, site.model.expert_features))
    np.add.at(out, (done.source, done.row), done.data)
    return Tensor(out, hidden.rows, "experts")


def _process(site: Site, node: Expert, copies: Copies) -> Copies:
    """The FFN of each copy by its expert; a moe_tp rank has 1/M of the intermediate columns, so its result is a partial sum."""
    if copies.processed:
        raise RunError("expert input has been through an expert already")
    needs_width(as_tensor(Tensor(copies.data[None], copies.origin_rows)), site.model.expert_features, "an expert")
    away = _home(site, copies.slot) != site.ranks.place("ep")[copies.holder]
    if away.any():
        raise RunError("copies arrived at ranks that do not hold their expert", ranks=_some(copies.holder[away]))
    out = _expert_ffn(site, copies)
    if node.apply_router_weight:
        out = out * copies.weight[:, None]
    return replace(copies, data=out, processed=True)


def _expert_ffn(site: Site, copies: Copies) -> Floats:
    moe, real = _moe(site), site.real_model.moe
    parts = site.ranks.size("moe_tp")
    assert real is not None
    whole(real.expert_intermediate_size, site.ranks.real_size("moe_tp"), "columns of each expert")
    first, down = site.shards.experts(site.layer, parts)
    expert = copies.slot % moe.num_experts
    part = site.ranks.place("moe_tp")[copies.holder]
    together = expert * parts + part
    order = np.argsort(together, kind="stable")
    found, starts = np.unique(together[order], return_index=True)
    out = np.empty_like(copies.data)
    for key, some in zip(found, np.split(order, starts[1:]), strict=True):
        out[some] = activated(site, copies.data[some] @ first[key]) @ down[key]
    return out


def gather_copies(site: Site, axis: Axis, dim: str, copies: Copies) -> Copies:
    """all_gather of dispatched copies: every member of a holder's group holds them too."""
    _along_tokens(dim)
    if copies.data.size * site.ranks.size(axis) > MAX_ELEMENTS:
        raise RunError("gathers more token copies than the proof runs")
    members = site.ranks.members(axis)[site.ranks.group_of(axis)[copies.holder]]
    count = members.shape[1]
    index = np.repeat(np.arange(len(copies.holder)), count)
    return Copies(
        data=copies.data[index],
        holder=members.ravel(),
        owner=copies.owner[index],
        source=copies.source[index],
        row=copies.row[index],
        slot=copies.slot[index],
        weight=copies.weight[index],
        key=copies.key[index],
        origin_rows=copies.origin_rows,
        processed=copies.processed,
    )


def _along_tokens(dim: str) -> None:
    if dim != "tokens":
        raise RunError(f"dispatched copies are tokens, they cannot be gathered or scattered along {dim}")


def reduce_copies(site: Site, axis: Axis, dim: str, copies: Copies) -> Copies:
    """reduce_scatter of gathered copies: a group's results for one copy are summed and stay with its owner."""
    _along_tokens(dim)
    group = site.ranks.group_of(axis)
    if (group[copies.holder] != group[copies.owner]).any():
        raise RunError(f"copies cannot return to their owners over `{axis}`")
    kept, first, inverse, counts = np.unique(copies.key, return_index=True, return_inverse=True, return_counts=True)
    if len(kept) and (counts != site.ranks.size(axis)).any():
        raise RunError(f"sums copies that are not on every rank of their `{axis}` group")
    total = np.zeros((len(kept), copies.data.shape[1]))
    np.add.at(total, inverse, copies.data)
    owner = copies.owner[first]
    return Copies(
        data=total,
        holder=owner,
        owner=owner,
        source=copies.source[first],
        row=copies.row[first],
        slot=copies.slot[first],
        weight=copies.weight[first],
        key=kept,
        origin_rows=copies.origin_rows,
        processed=copies.processed,
    )
