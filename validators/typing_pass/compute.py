"""Compute, control and state ops: what each needs of its inputs and what it yields."""

from collections.abc import Callable
from dataclasses import replace

from strategy.dag import AnyNode, AttentionNode, Embedding, Expert, Linear, Norm
from strategy.ops import DENSE_FFN_FIRST, dense_ffn_norm
from strategy.placement import Letter, Placement
from validators.typing_pass.site import UNNORMED, Data, Site, StopNode
from validators.typing_pass.tables import (
    ACTIVATIONS,
    BATCHED_OVER_HEADS,
    INNER_NORMS,
    LINEAR,
    MIXERS,
    STREAM_NORMS,
)
from validators.typing_pass.tensors import CONTENT_WORDS, Tensor

Op = Callable[[Site, AnyNode, Data], Tensor]
NEVER_WEIGHTED = (
    "set apply_router_weight of the expert node to true, or of the combine that brings its outputs back to their tokens"
)


def _ingress(site: Site, _node: AnyNode, _data: Data) -> Tensor:
    return site.ids()


def _step_sync(site: Site, _node: AnyNode, _data: Data) -> Tensor:
    return Tensor("sync", site.tokens())


def _embedding(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, Embedding)
    source, ids = site.single(node, data)
    site.need_content(node, source, ids, "ids")
    placement = ids.placement.with_letter(site.digits.of("tp"), "P") if node.split == "vocab" else ids.placement
    return Tensor("residual", placement, producer="embedding", producer_node=node.id)


def _norm(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, Norm)
    source, value = site.single(node, data)
    spec = site.named_weight(node)
    if spec.weight_class != "norm":
        raise site.stop(
            node,
            "weight",
            needed=", ".join(w for w, s in site.weights.items() if s.weight_class == "norm"),
            found=node.weight,
        )
    site.need_whole_features(node, source, value)
    if node.weight in INNER_NORMS:
        wanted, content = INNER_NORMS[node.weight]
        site.need_content(node, source, value, *sorted(wanted))
        return replace(value, content=content)
    site.need_content(node, source, value, "residual")
    done = site.added_before(STREAM_NORMS[node.weight])
    if value.parts != done or (node.weight == "final_norm") != (site.kind is None):
        needed = Tensor("residual", value.placement, done).words()
        raise site.stop(node, "content", source=source, needed=needed, found=value.words())
    return replace(value, content=f"normed:{node.weight}", parts=frozenset())


def _linear(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, Linear)
    source, value = site.single(node, data)
    spec = site.named_weight(node)
    if node.weight not in LINEAR:
        raise site.stop(node, "weight", needed=", ".join(w for w in LINEAR if w in site.weights), found=node.weight)
    site.need_mixer(node, MIXERS.get(node.weight))
    needed, content, part = LINEAR[node.weight]
    if node.weight in DENSE_FFN_FIRST:
        needed = f"normed:{dense_ffn_norm(site.model)}"
    if node.weight == "kv_b" and value.content in ("latent", "latent_shard"):
        needed, content = value.content, "expanded_shard"
    site.need_content(node, source, value, needed)
    site.need_layer_kind(node, {"dense_ffn": "dense", "shared_expert": "moe"}.get(spec.weight_class))
    digits = site.split_digits(node.weight)
    if node.split not in spec.splits and (digits or node.split != "replicated"):  # over one rank, whole is any split
        raise site.stop(
            node, "split", axis=site.digits.named(digits), needed=" or ".join(spec.splits), found=node.split
        )
    if node.weight == "latent_out":  # the projection of a partial sum is a partial sum
        return replace(value, content=content)
    placement = _linear_placement(site, node, source, value)
    if node.weight == "lm_head" and site.phase == "prefill" and not value.last_only:
        site.report(node, "all_rows")
    partial = any(letter == "P" for letter in placement.letters)
    producer, producer_node = (node.weight, node.id) if partial else ("", "")
    parts = frozenset([part] if part else [])
    return Tensor(content, placement, parts, producer, producer_node, shards=value.shards, last_only=value.last_only)


def _linear_placement(site: Site, node: Linear, source: str, value: Tensor) -> Placement:
    digits = site.split_digits(node.weight)
    axis = site.digits.named(digits)
    elsewhere = tuple(d for d in range(len(site.digits.sizes)) if d not in digits)
    site.need_letter(node, source, value, elsewhere, ("R", "T"), "all_gather of the features")
    if node.split == "row":
        site.need_letter(node, source, value, digits, ("F",), f"a column split before `{node.id}`")
        return value.placement.with_letter(digits, "P")
    if node.split == "column" and node.weight in BATCHED_OVER_HEADS:
        site.need_letter(node, source, value, digits, ("F",), f"heads split over {axis}")
        return value.placement
    if node.split == "column":
        site.need_letter(node, source, value, digits, ("R",), f"all_gather over {axis} before `{node.id}`")
        return value.placement.with_letter(digits, "F")
    site.need_letter(node, source, value, digits, ("R", "T"), "all_gather of the features")
    return value.placement


def _activation(site: Site, node: AnyNode, data: Data) -> Tensor:
    source, value = site.single(node, data)
    site.need_complete(node, source, value)
    site.need_content(node, source, value, *ACTIVATIONS)
    return replace(value, content=ACTIVATIONS[value.content])


def _kv_cache_update(site: Site, node: AnyNode, data: Data) -> Tensor:
    mla = site.model.attention.kind == "mla" and site.mixer != "linear"
    wanted: tuple[str, ...] = ("latent", "latent_shard") if mla else ("qkv", "kv_new", "kv_shard")
    if site.mixer == "linear":
        wanted = ("linear_in",)
    if not data:
        raise site.stop(node, "content", needed="new K and V", found="nothing")
    for source, value in data:
        site.need_complete(node, source, value)
        site.need_content(node, source, value, *wanted)
        if mla:
            site.need_letter(node, source, value, site.digits.of("tp"), ("R",), "a replicated latent")
    source, value = data[0]
    _need_distinct_shards(site, node, data)
    placement = value.placement
    if len(data) == site.pool.attention.cp_size > 1:
        placement = placement.gather_rows(site.digits.of("cp"))
    sliced = site.pool.cp_decode_use == "tp_slice"
    allowed: tuple[Letter, ...] = ("R", "F") if sliced else ("R",)
    whole = replace(value, placement=placement)
    site.need_letter(node, source, whole, site.digits.of("cp"), allowed, "all_gather over cp of the new K and V")
    return Tensor("cached_latent" if mla else "kv", placement)


def _need_distinct_shards(site: Site, node: AnyNode, data: Data) -> None:
    """Of what travelled round the cp ranks, each rank's part once."""
    hops = sorted(hop for _, value in data for hop in value.shards)
    if hops != list(range(len(hops))):
        told = ", ".join(str(hop) for hop in hops)
        raise site.stop(node, "content", needed="each cp rank's tokens once", found=f"parts {told} ranks away")


def _attention(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, AttentionNode)
    for source, value in data:
        site.need_complete(node, source, value)
    query_source, query, keys = _attention_inputs(site, node, data)
    cached = any(value.content == "kv_state" for _, value in keys)
    spread = site.digits.of("dcp") if site.phase == "decode" and cached else ()
    heads = tuple(d for d in site.digits.of("tp") if d not in spread)
    site.need_letter(node, query_source, query, heads, ("F",), "heads split over tp")
    site.need_letter(node, query_source, query, spread, ("R",), "all_gather of Q over dcp")
    if not node.partial and (spread or not cached):
        needed = "partial: true, as " + ("the cache is split by positions" if spread else "it sees part of the context")
        raise site.stop(node, "content", needed=needed, found="partial: false")
    _need_norm(site, node)
    for source, value in keys:
        _need_same_tokens(site, node, query, source, value)
    content = {"absorbed": "latent_context", "recurrent": "linear_context"}.get(node.form or "", "context")
    shards = frozenset(hop for _, value in keys if value.content != "kv_state" for hop in value.shards) or frozenset(
        {0}
    )
    placement = query.placement.with_letter(spread, "P")
    return Tensor(f"partial_{content}" if node.partial else content, placement, shards=shards)


def _need_norm(site: Site, node: AttentionNode) -> None:
    """A recurrence is partial where its norm goes over the heads of all tp ranks, and only there."""
    if site.mixer != "linear":
        return
    net = site.model.linear
    shared = net is not None and net.repeated > 0 and bool(site.digits.of("tp"))
    if bool(node.partial) != shared:
        needed = "partial: true, as its norm goes over the heads of all tp ranks" if shared else "no partial recurrence"
        raise site.stop(node, "content", needed=needed, found=f"partial: {'true' if node.partial else 'false'}")


def _attention_inputs(site: Site, node: AttentionNode, data: Data) -> tuple[str, Tensor, Data]:
    """The query, and what holds K and V: the cache, or one shard of the prompt."""
    options = _attention_needs(site, node)
    contents = sorted(value.content for _, value in data)
    for needs in options:
        if sorted(needs) == contents:
            source, query = next((s, v) for s, v in data if v.content == needs[0])
            keys = [(s, v) for s, v in data if v is not query] or [(source, query)]
            return source, query, keys
    found = ", ".join(value.words() for _, value in data) or "nothing"
    needed = " and ".join(Tensor(w, site.tokens()).words() for w in options[0])
    raise site.stop(node, "content", needed=needed, found=found)


def _attention_needs(site: Site, node: AttentionNode) -> tuple[tuple[str, ...], ...]:
    """Contents that may stand together at an attention node, the usual ones first."""
    if (node.form == "recurrent") != (site.mixer == "linear"):
        wanted = "form: recurrent" if site.mixer == "linear" else "attention over the context"
        raise site.stop(node, "mixer", needed=wanted, found=f"form={node.form}" if node.form else "no form")
    if site.mixer == "linear":
        return (("linear_in", "kv_state"),)
    if site.model.attention.kind == "gqa":
        if node.form is not None:
            raise site.stop(node, "content", needed="no `form` (only MLA has two)", found=f"form={node.form}")
        over_cache: tuple[tuple[str, ...], ...] = (("qkv", "kv_state"), ("query", "kv_state"))
        return (("qkv",), ("qkv", "kv_shard")) if node.partial and site.phase == "prefill" else over_cache
    if node.form is None:
        raise site.stop(node, "content", needed="form: expanded or absorbed", found="no form")
    if node.form == "absorbed":
        return (("absorbed_query", "kv_state"),)
    if node.partial and site.phase == "prefill":
        return (("query", "expanded_shard"),)
    # Without chunks the new latents are all there are, so K and V may come from them as well as from the cache.
    whole = (("query", "expanded_kv", "kv_state"), ("query", "expanded_shard", "kv_state"))
    return whole if site.pool.chunk_tokens is None and site.phase == "prefill" else whole[:1]


def _need_same_tokens(site: Site, node: AttentionNode, query: Tensor, source: str, value: Tensor) -> None:
    """K and V are of the same sequences as the queries: alike on dp, and on cp alike or whole."""
    for d, letter in enumerate(value.placement.letters):
        over_cp = d in site.digits.of("cp")
        partly = over_cp and letter == "T" and not node.partial
        if d in site.digits.of("tp") or (over_cp and letter == "R"):
            continue
        if partly or letter != query.placement.letters[d]:
            needed, found = site.say(query.placement), site.say(value.placement)
            raise site.stop(node, "placements", source=source, needed=needed, found=found)


def _attention_merge(site: Site, node: AnyNode, data: Data) -> Tensor:
    data = [(source, value) for source, value in data if value.content != "kv_state"]  # an order, not a tensor
    parts = [(source, value) for source, value in data if value.content.startswith("partial_")]
    gathered = [value for _, value in data if value.content in ("lse", "squares")]
    if not parts or len(data) != len(parts) + len(gathered) or (gathered and len(parts) != 1):
        found = " and ".join(value.words() for _, value in data) or "nothing"
        raise site.stop(
            node, "content", needed="partial attention outputs, or one with the log-sum-exp of all parts", found=found
        )
    source, first = parts[0]
    if UNNORMED in {value.content for _, value in parts} or any(value.content == "squares" for _, value in data):
        return _normed_over_ranks(site, node, data)
    content = first.content.removeprefix("partial_")
    if gathered:
        return Tensor(content, first.placement, producer="attention", producer_node=node.id)
    site.need_complete(node, source, first)
    _need_distinct_shards(site, node, parts)
    if len(parts) != site.pool.attention.cp_size:
        raise site.stop(
            node, "content", needed=f"the parts of {site.pool.attention.cp_size} cp ranks", found=f"{len(parts)}"
        )
    return Tensor(content, first.placement)


def _normed_over_ranks(site: Site, node: AnyNode, data: Data) -> Tensor:
    """The output of a state space under the norm over the heads of all ranks."""
    if sorted(value.content for _, value in data) != sorted([UNNORMED, "squares"]):
        found = " and ".join(value.words() for _, value in data)
        needed = f"{CONTENT_WORDS[UNNORMED]}, with {CONTENT_WORDS['squares']}"
        raise site.stop(node, "content", needed=needed, found=found)
    first = next(value for _, value in data if value.content == UNNORMED)
    return Tensor("linear_context", first.placement)


def _add(site: Site, node: AnyNode, data: Data) -> Tensor:
    if len(data) < 2:
        raise site.stop(node, "content", needed="two inputs or more", found=f"{len(data)}")
    for source, value in data:
        site.need_content(node, source, value, "residual", "delta")
    residuals = [value for _, value in data if value.content == "residual"]
    if residuals:
        for source, value in data:
            site.need_complete(node, source, value)
    first_source, first = data[0]
    for source, value in data[1:]:
        if value.placement != first.placement:
            raise _differing(site, node, first_source, first, source, value)
    if len(residuals) > 1:
        raise site.stop(node, "content", needed="one residual stream", found=f"{len(residuals)}")
    weighted = all(value.weighted for _, value in data)
    if residuals and not weighted:
        raise site.stop(node, "router_weight", needed="applied once", found="never applied", repair=NEVER_WEIGHTED)
    parts = _joined(site, node, data)
    made = next((v for _, v in data if v.producer), first)
    content = "residual" if residuals else "delta"
    return Tensor(content, first.placement, parts, made.producer, made.producer_node, weighted=weighted)


def _joined(site: Site, node: AnyNode, data: Data) -> frozenset[str]:
    """Parts of all inputs, each of which may occur once; attention is added before an FFN that comes after it reads the stream."""
    parts: frozenset[str] = frozenset()
    for source, value in data:
        if parts & value.parts:
            raise site.stop(
                node,
                "content",
                source=source,
                needed="each sub-layer added once",
                found=f"{value.words()} a second time",
            )
        parts |= value.parts
    due = site.added_before(frozenset({"attention"})) - parts
    if due and any(v.content == "residual" for _, v in data):
        raise site.stop(
            node,
            "content",
            needed="the residual stream with attention of this layer",
            found=" and ".join(v.words() for _, v in data),
        )
    return parts


def _differing(site: Site, node: AnyNode, first_source: str, first: Tensor, source: str, value: Tensor) -> StopNode:
    """Two inputs that lie differently: an unreduced sum among complete values, or shards among whole tensors."""
    for name, one in ((first_source, first), (source, value)):
        other = value if one is first else first
        on = tuple(
            d for d, letter in enumerate(one.placement.letters) if letter == "P" and other.placement.letters[d] != "P"
        )
        if on:
            axis = site.digits.named(on)
            return site.stop(node, "partial", axis=axis, source=name, producer=one.producer, producer_node=one.producer_node,
                             needed=site.say(other.placement), found=site.say(one.placement), repair=f"all_reduce over {axis}")  # fmt: skip
    return site.stop(
        node, "placements", source=source, needed=site.say(first.placement), found=site.say(value.placement)
    )


def _select_last(site: Site, node: AnyNode, data: Data) -> Tensor:
    source, value = site.tensor(node, data)
    if site.phase == "decode":
        return value
    if value.last_only:
        raise site.stop(
            node, "content", source=source, needed="every position of each prompt", found="the last ones only"
        )
    if site.kind is not None:
        raise site.stop(node, "content", source=source, needed="a place in the head", found="every position of a layer")
    return replace(value, last_only=True)


def _sample(site: Site, node: AnyNode, data: Data) -> Tensor:
    source, value = site.single(node, data)
    site.need_complete(node, source, value)
    site.need_content(node, source, value, "logits")
    everywhere = tuple(range(len(site.digits.sizes)))
    site.need_letter(node, source, value, everywhere, ("R", "T"), "all_gather of the vocabulary")
    if site.phase == "prefill" and not value.last_only:
        raise site.stop(
            node,
            "content",
            source=source,
            needed="logits of the last position of each sequence",
            found="logits of every position",
        )
    return Tensor("token", value.placement)


def _routing(site: Site, node: AnyNode, data: Data) -> Tensor:
    source, value = site.single(node, data)
    site.need_layer_kind(node, "moe")
    site.need_whole_features(node, source, value)
    site.need_content(node, source, value, "normed:ffn_norm")
    return Tensor("routing", value.placement)


def _expert(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, Expert)
    site.need_layer_kind(node, "moe")
    for source, value in data:
        site.need_complete(node, source, value)
    source, value = expert_input(site, node, data)
    inside = site.digits.of("moe_tp")
    if value.content == "dispatched":
        site.need_letter(node, source, value, inside, ("R",), "all_gather over moe_tp of the tokens")
        content, partial = "expert_out", inside
    else:
        group = (*site.digits.of("ep"), *inside)
        site.need_letter(node, source, value, group, ("R",), "all_to_all (dispatch) over ep")
        content, partial = site.expert_delta, group
    return Tensor(
        content, value.placement.with_letter(partial, "P"), frozenset({"experts"}), "expert" if partial else "", node.id,
        home=value.home, weighted=node.apply_router_weight,
    )  # fmt: skip


def expert_input(site: Site, node: AnyNode, data: Data) -> tuple[str, Tensor]:
    """Tokens with the router's choice: from a dispatch in one tensor, or side by side."""
    contents = sorted(value.content for _, value in data)
    if contents in (["dispatched"], ["pair"]):
        return data[0]
    if contents == sorted([site.expert_tokens, "routing"]):
        (_, first), (source, second) = data
        if first.placement != second.placement:
            raise site.stop(
                node, "placements", source=source, needed=site.say(first.placement), found=site.say(second.placement)
            )
        return next((s, v) for s, v in data if v.content != "routing")
    found = " and ".join(value.words() for _, value in data) or "nothing"
    raise site.stop(
        node, "content", needed="tokens from a dispatch, or hidden states and the router's choice", found=found
    )


COMPUTE: dict[str, Op] = {
    "ingress": _ingress,
    "step_sync": _step_sync,
    "embedding": _embedding,
    "norm": _norm,
    "linear": _linear,
    "activation": _activation,
    "kv_cache_update": _kv_cache_update,
    "attention": _attention,
    "attention_merge": _attention_merge,
    "add": _add,
    "select_last": _select_last,
    "sample": _sample,
    "routing": _routing,
    "expert": _expert,
}
