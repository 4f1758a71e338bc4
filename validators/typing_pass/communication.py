"""Communication ops and `chunk`: which placement each needs and what it makes of it."""

from collections.abc import Iterable
from dataclasses import replace

from strategy.dag import AllGather, AllReduce, AllToAll, AnyNode, Broadcast, Chunk, ReduceScatter, Send
from strategy.placement import WORDS, Letter, Placement
from validators.typing_pass.compute import Op, expert_input
from validators.typing_pass.site import PARTIAL_ATTENTION, UNNORMED, Data, Site
from validators.typing_pass.tables import FEATURE_DIMS
from validators.typing_pass.tensors import Tensor

AT_EXPERTS = ("dispatched", "expert_out")
"""Tokens between dispatch and combine, which expert tp gathers and sums."""


IN_TRANSIT = "in_transit:"
"""Before the content of what a send hands over: only a recv makes it a tensor of the rank it arrives at."""


SEVERAL = frozenset({"qkv", "linear_in", "kv_new", "kv_shard", "expanded_kv", "expanded_shard"})
"""K and V, with or without Q: nothing that is summed or cut as one, over however few ranks."""


def _one_tensor(site: Site, node: AnyNode, data: Data, also: Iterable[str] = ()) -> tuple[str, Tensor]:
    """The one input of a node that sums or cuts rows of features."""
    source, value = site.tensor(node, data, also)
    if value.content in SEVERAL:
        raise site.stop(node, "content", source=source, needed="one tensor", found=value.words())
    return source, value


def _all_reduce(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, AllReduce)
    source, value = _one_tensor(site, node, data, also=(UNNORMED,))
    digits = site.digits.of(node.axis)
    if value.content == UNNORMED:
        return _squares(site, node, source, value, digits)
    _need_partial(site, node, source, value, digits, node.axis)
    placement = value.placement.with_letter(digits, "R")
    return _after_reduce(value, placement)


def _squares(site: Site, node: AllReduce, source: str, value: Tensor, digits: tuple[int, ...]) -> Tensor:
    """The squares of the heads of all tp ranks, and of nothing else."""
    heads = site.digits.of("tp")
    if frozenset(digits) != frozenset(heads):
        raise site.stop(node, "not_partial", axis=node.axis, source=source, producer=value.producer, needed="a sum over tp",
                        found=f"a sum over {node.axis}", repair="use axis tp")  # fmt: skip
    return Tensor("squares", value.placement.with_letter(digits, "R"))


def _after_reduce(value: Tensor, placement: Placement) -> Tensor:
    left = any(letter == "P" for letter in placement.letters)
    return replace(
        value,
        placement=placement,
        producer=value.producer if left else "",
        producer_node=value.producer_node if left else "",
    )


def _need_partial(site: Site, node: AnyNode, source: str, value: Tensor, digits: tuple[int, ...], axis: str) -> None:
    bad = tuple(d for d in digits if value.placement.letters[d] != "P")
    if bad:
        on = site.digits.named(bad)
        letter = value.placement.letters[bad[0]]
        raise site.stop(
            node, "not_partial", axis=axis, letter=letter, source=source, producer=value.producer, needed=f"Partial over {axis}",
            found=f"{WORDS[letter]} over {on}" if letter != "R" else f"a value already complete over {on}",
            repair=_reduce_repair(site, value),
        )  # fmt: skip


def _reduce_repair(site: Site, value: Tensor) -> str:
    partial = tuple(d for d, letter in enumerate(value.placement.letters) if letter == "P")
    return f"use axis {site.digits.named(partial)}" if partial else "remove it"


def _reduce_scatter(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, ReduceScatter)
    source, value = _one_tensor(site, node, data, also=AT_EXPERTS)
    if node.role == "dispatch":
        raise site.stop(node, "content", source=source, needed="role combine, or none", found="role dispatch")
    digits = site.digits.of(node.axis)
    _need_partial(site, node, source, value, digits, node.axis)
    if node.dim != "tokens":
        _need_feature_dim(site, node, source, value)
        return _after_reduce(value, value.placement.with_letter(digits, "F"))
    placement = value.placement.cut_rows(digits) if digits else value.placement
    if placement is None:
        raise site.stop(node, "order", axis=node.axis, source=source, found=site.say(value.placement))
    return _after_reduce(value, placement)


def _all_gather(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, AllGather)
    source, value = _gather_input(site, node, data)
    digits = site.digits.of(node.axis)
    if node.role in CARRIED:
        value = _carried(site, node, source, value)
    if node.role == "lse":
        return value
    wanted: Letter = "T" if node.dim == "tokens" else "F"
    bad = tuple(d for d in digits if value.placement.letters[d] != wanted)
    if bad:
        site.need_complete(node, source, value, digits)
        letter = value.placement.letters[bad[0]]
        raise site.stop(
            node, "not_sharded", axis=node.axis, letter=letter, source=source, needed=f"Shard({node.dim}) over {node.axis}",
            found=f"{WORDS[letter]} over {site.digits.named(bad)}", repair="remove it" if letter == "R" else f"gather {WORDS[letter]}",
        )  # fmt: skip
    if wanted == "F":
        _need_feature_dim(site, node, source, value)
        return replace(value, placement=value.placement.with_letter(digits, "R"))
    return replace(value, placement=value.placement.gather_rows(digits))


CARRIED: dict[str | None, tuple[str, dict[str, str]]] = {
    "kv": ("tokens", {"qkv": "kv_new", "latent": "latent", "kv_a": "kv_a"}),
    "q": ("heads", {"qkv": "query", "query": "query", "absorbed_query": "absorbed_query"}),
    "lse": ("partials", {"partial_context": "lse", "partial_latent_context": "lse"}),
}
"""For roles that carry a part of their input: the dimension they gather, and what comes out of what."""


def _carried(site: Site, node: AllGather, source: str, value: Tensor) -> Tensor:
    """The part of its input that a gather with a role carries."""
    dim, contents = CARRIED[node.role]
    site.need_content(node, source, value, *contents)
    if node.dim != dim:
        raise site.stop(
            node,
            "not_sharded",
            axis=node.axis,
            source=source,
            needed=f"dim {dim} with role {node.role}",
            found=f"dim {node.dim}",
        )
    if node.role == "lse":
        _need_every_part(site, node, source, value)
    return replace(value, content=contents[value.content])


def _need_every_part(site: Site, node: AllGather, source: str, value: Tensor) -> None:
    """The log-sum-exp of all the parts, and of nothing else, is gathered."""
    parts = tuple(d for d, letter in enumerate(value.placement.letters) if letter == "P")
    if frozenset(parts) != frozenset(site.digits.of(node.axis)):
        needed = f"an axis over the parts: {site.digits.named(parts)}"
        raise site.stop(
            node,
            "not_partial",
            axis=node.axis,
            source=source,
            needed=needed,
            found=f"axis {node.axis}",
            repair=f"use axis {site.digits.named(parts)}",
        )


def _need_feature_dim(site: Site, node: AllGather | ReduceScatter, source: str, value: Tensor) -> None:
    dim = FEATURE_DIMS.get(value.content, "hidden")
    if value.content != "routing" and node.dim != dim:
        raise site.stop(
            node,
            "not_sharded",
            axis=node.axis,
            source=source,
            needed=f"Shard({node.dim}) over {node.axis}",
            found=f"Shard({dim})",
        )


def _gather_input(site: Site, node: AllGather, data: Data) -> tuple[str, Tensor]:
    """One tensor, or hidden states with the router's choice, which then travel together."""
    if len(data) == 2:
        (_, first), (source, second) = data
        hidden = next(((s, v) for s, v in data if v.content == site.expert_tokens), None)
        if {first.content, second.content} != {site.expert_tokens, "routing"} or hidden is None:
            raise site.stop(
                node,
                "content",
                needed="one input, or hidden states and the router's choice",
                found=f"{first.words()} and {second.words()}",
            )
        if first.placement != second.placement:
            raise site.stop(
                node, "placements", source=source, needed=site.say(first.placement), found=site.say(second.placement)
            )
        if node.role == "combine":
            raise site.stop(node, "content", source=source, needed="role dispatch, or none", found="role combine")
        return hidden[0], replace(hidden[1], content="pair")
    return site.tensor(
        node, data, also=("routing", "pair", *AT_EXPERTS, *(PARTIAL_ATTENTION if node.role == "lse" else ()))
    )


def _all_to_all(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, AllToAll)
    for source, value in data:
        if value.content != "expert_out":
            site.need_complete(node, source, value)
    if node.apply_router_weight and node.role != "combine":
        raise site.stop(node, "router_weight", needed="applied by the expert or its combine", found=f"applied by a {node.role}",
                        repair=f"leave apply_router_weight out of `{node.id}`")  # fmt: skip
    if node.role == "dispatch":
        return _dispatch(site, node, data)
    return _combine(site, node, data) if node.role == "combine" else _swap_heads(site, node, data)


def _swap_heads(site: Site, node: AllToAll, data: Data) -> Tensor:
    """Ulysses: token shards become head shards before attention, and head shards token shards after it."""
    source, value = site.single(node, data)
    digits = site.digits.of(node.axis)
    scatter = node.role == "scatter_heads"
    if site.pool.sp_kind != "cp_ulysses":
        raise site.stop(node, "content", needed="sp_kind cp_ulysses", found=f"sp_kind {site.pool.sp_kind}")
    site.need_content(node, source, value, *(("qkv",) if scatter else ("context",)))
    site.need_letter(
        node,
        source,
        value,
        digits,
        ("T",) if scatter else ("F",),
        f"{'tokens' if scatter else 'heads'} split over {node.axis}",
    )
    if scatter:
        return replace(value, placement=value.placement.gather_rows(digits).with_letter(digits, "F"))
    placement = value.placement.with_letter(digits, "R").cut_rows(digits)
    if placement is None:
        raise site.stop(node, "order", axis=node.axis, source=source, found=site.say(value.placement))
    return replace(value, placement=placement)


def _dispatch(site: Site, node: AllToAll, data: Data) -> Tensor:
    contents = sorted(value.content for _, value in data)
    if contents != sorted([site.expert_tokens, "routing"]):
        found = " and ".join(value.words() for _, value in data) or "nothing"
        raise site.stop(node, "content", needed="hidden states and the router's choice", found=found)
    _, value = expert_input(site, node, data)
    if node.axis != "ep":
        raise site.stop(node, "content", needed="axis ep", found=f"axis {node.axis}")
    digits = site.digits.of("ep")
    repeated = tuple(d for d in digits if value.placement.letters[d] == "R")
    if repeated:
        site.report(
            node, "duplicate", axis=site.digits.named(repeated), repair=f"chunk over {site.digits.named(repeated)}"
        )
    return Tensor("dispatched", value.placement.with_letter(digits, "E"), home=value.placement, weighted=False)


def _combine(site: Site, node: AllToAll, data: Data) -> Tensor:
    outputs = [(source, value) for source, value in data if value.content == "expert_out"]
    routing = [value for _, value in data if value.content == "routing"]
    if len(outputs) != 1 or len(data) != len(outputs) + len(routing) or len(routing) != 1:
        found = " and ".join(value.words() for _, value in data) or "nothing"
        raise site.stop(node, "content", needed="expert outputs and the router's choice", found=found)
    source, value = outputs[0]
    digits = site.digits.of("ep")
    if node.axis != "ep":
        raise site.stop(node, "content", needed="axis ep", found=f"axis {node.axis}")
    assert value.home is not None
    if node.apply_router_weight and value.weighted:
        raise site.stop(node, "router_weight", source=source, needed="applied once", found="applied a second time",
                        repair=f"leave apply_router_weight out of `{node.id}`, or set it to false in the expert node")  # fmt: skip
    if routing[0].placement != value.home:
        raise site.stop(
            node, "placements", source=source, needed=site.say(value.home), found=site.say(routing[0].placement)
        )
    placement = _returned(value, value.home, digits)
    if placement is None:
        raise site.stop(node, "placements", source=source, needed=site.say(value.home), found=site.say(value.placement))
    return Tensor(site.expert_delta, placement, value.parts, value.producer, value.producer_node,
                  weighted=value.weighted or bool(node.apply_router_weight))  # fmt: skip


def _returned(value: Tensor, home: Placement, ep_digits: tuple[int, ...]) -> Placement | None:
    """Where outputs lie once back at their tokens: as before dispatch, or still to be summed over ranks that had the same tokens."""
    letters: list[Letter] = []
    for d, before in enumerate(home.letters):
        after = value.placement.letters[d]
        if d not in ep_digits and after != before and not (after == "P" and before == "R"):
            return None
        letters.append(before if d in ep_digits else after)
    same_rows = (value.placement.rows, value.placement.cut) == (home.rows, home.cut)
    return replace(home, letters=tuple(letters)) if same_rows else None


def _chunk(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, Chunk)
    source, value = _one_tensor(site, node, data)
    digits = site.digits.of(node.axis)
    site.need_letter(node, source, value, digits, ("R",), "remove it")
    placement = value.placement.cut_rows(digits) if digits else value.placement
    if placement is None:
        raise site.stop(node, "order", axis=node.axis, source=source, found=site.say(value.placement))
    return replace(value, placement=placement)


def _broadcast(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, Broadcast)
    source, value = site.tensor(node, data, also=("ids", "token"))
    digits = site.digits.of(node.axis)
    if value.last_only and digits == site.digits.of("cp") and value.placement.on(digits) == {"T"}:
        return replace(value, placement=value.placement.gather_rows(digits))  # one rank holds the ends of all prompts
    site.need_letter(node, source, value, digits, ("R",), "remove it")
    return value


def _send(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, Send)
    source, value = site.tensor(node, data)
    site.need_complete(node, source, value)
    sent = value if node.axis is None else _passed_on(site, node, source, value)
    return replace(sent, content=IN_TRANSIT + sent.content)


def _passed_on(site: Site, node: Send, source: str, value: Tensor) -> Tensor:
    """One hop round the cp ranks: what arrives is the neighbour's."""
    site.need_content(node, source, value, "qkv", "kv_shard", "latent", "latent_shard")
    digits = site.digits.of("cp")
    site.need_letter(node, source, value, digits, ("T",), "tokens split over cp")
    content = "latent_shard" if value.content.startswith("latent") else "kv_shard"
    around = site.pool.attention.cp_size
    return replace(value, content=content, shards=frozenset((hop + 1) % around for hop in value.shards))


def _recv(site: Site, node: AnyNode, data: Data) -> Tensor:
    source, value = site.single(node, data)
    if not value.content.startswith(IN_TRANSIT):
        raise site.stop(node, "content", source=source, needed="what a send hands over", found=value.words())
    return replace(value, content=value.content.removeprefix(IN_TRANSIT))


COMMUNICATION: dict[str, Op] = {
    "all_reduce": _all_reduce,
    "reduce_scatter": _reduce_scatter,
    "all_gather": _all_gather,
    "all_to_all": _all_to_all,
    "chunk": _chunk,
    "broadcast": _broadcast,
    "send": _send,
    "recv": _recv,
}
