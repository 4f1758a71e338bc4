"""Compute, control and state ops: what each needs of its inputs and what it yields."""

from collections.abc import Callable
from dataclasses import replace

from strategy.dag import AnyNode, AttentionNode, Embedding, Expert, Linear, Norm
from strategy.mesh import Axis
from strategy.placement import Placement
from validators.typing_pass.site import Data, Site, StopNode
from validators.typing_pass.tables import ACTIVATIONS, BATCHED_OVER_HEADS, INNER_NORMS, LINEAR, STREAM_NORMS
from validators.typing_pass.tensors import Tensor

Op = Callable[[Site, AnyNode, Data], Tensor]


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
    spec = site.weight(node)
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
    if value.parts != STREAM_NORMS[node.weight] or (node.weight == "final_norm") != (site.kind is None):
        needed = Tensor("residual", value.placement, STREAM_NORMS[node.weight]).words()
        raise site.stop(node, "content", source=source, needed=needed, found=value.words())
    return replace(value, content=f"normed:{node.weight}", parts=frozenset())


def _linear(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, Linear)
    source, value = site.single(node, data)
    spec = site.weight(node)
    if node.weight not in LINEAR:
        raise site.stop(node, "weight", needed=", ".join(w for w in LINEAR if w in site.weights), found=node.weight)
    needed, content, part = LINEAR[node.weight]
    site.need_content(node, source, value, needed)
    axis = site.split_axis(node.weight)
    digits = site.digits.of(axis)
    if digits and node.split not in spec.splits:
        raise site.stop(node, "split", axis=axis, needed=" or ".join(spec.splits), found=node.split)
    placement = _linear_placement(site, node, source, value, axis)
    if node.weight == "lm_head" and site.phase == "prefill" and not value.last_only:
        site.report(node, "all_rows")
    partial = any(letter == "P" for letter in placement.letters)
    producer, producer_node = (node.weight, node.id) if partial else ("", "")
    return Tensor(
        content, placement, frozenset([part] if part else []), producer, producer_node, last_only=value.last_only
    )


def _linear_placement(site: Site, node: Linear, source: str, value: Tensor, axis: Axis) -> Placement:
    digits = site.digits.of(axis)
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
    source, value = site.single(node, data)
    site.need_complete(node, source, value)
    mla = site.model.attention.kind == "mla"
    site.need_content(node, source, value, "latent" if mla else "qkv")
    site.need_letter(node, source, value, site.digits.of("cp"), ("R",), "all_gather over cp of the new K and V")
    if mla:
        site.need_letter(node, source, value, site.digits.of("tp"), ("R",), "a replicated latent")
    return replace(value, content="latent" if mla else "kv")


def _attention(site: Site, node: AnyNode, data: Data) -> Tensor:
    assert isinstance(node, AttentionNode)
    needs = _attention_needs(site, node)
    by_content = {value.content: (source, value) for source, value in data}
    for wanted in needs:
        if wanted not in by_content or len(data) != len(needs):
            found = ", ".join(value.words() for _, value in data) or "nothing"
            needed = " and ".join(Tensor(w, site.tokens()).words() for w in needs)
            raise site.stop(node, "content", needed=needed, found=found)
    for source, value in data:
        site.need_complete(node, source, value)
    source, query = by_content[needs[0]]
    site.need_letter(node, source, query, site.digits.of("tp"), ("F",), "heads split over tp")
    for wanted in needs[1:]:
        other_source, other = by_content[wanted]
        tokens = [(d, letter) for d, letter in enumerate(other.placement.letters) if d not in site.digits.of("tp")]
        if any(
            letter != query.placement.letters[d] and not (d in site.digits.of("cp") and letter == "R")
            for d, letter in tokens
        ):
            raise site.stop(
                node,
                "placements",
                source=other_source,
                needed=site.say(query.placement),
                found=site.say(other.placement),
            )
    return Tensor("latent_context" if node.form == "absorbed" else "context", query.placement)


def _attention_needs(site: Site, node: AttentionNode) -> tuple[str, ...]:
    if site.model.attention.kind == "gqa":
        if node.form is not None:
            raise site.stop(node, "content", needed="no `form` (only MLA has two)", found=f"form={node.form}")
        return ("qkv", "kv_state")
    if node.form is None:
        raise site.stop(node, "content", needed="form: expanded or absorbed", found="no form")
    return ("query", "expanded_kv", "kv_state") if node.form == "expanded" else ("absorbed_query", "kv_state")


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
        raise site.stop(node, "router_weight", needed="applied once", found="never applied")
    parts = _joined(site, node, data)
    made = next((v for _, v in data if v.producer), first)
    if residuals and parts == site.parts_of_layer(site.kind or "dense"):
        parts = frozenset()
    content = "residual" if residuals else "delta"
    return Tensor(content, first.placement, parts, made.producer, made.producer_node, weighted=weighted)


def _joined(site: Site, node: AnyNode, data: Data) -> frozenset[str]:
    """Parts of all inputs, each of which may occur once; attention is added before the FFN reads the stream."""
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
    if any(v.content == "residual" for _, v in data) and "attention" not in parts:
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
    source, value = site.single(node, data)
    site.need_complete(node, source, value)
    whole = (*site.digits.of("tp"), *site.digits.of("cp"))
    site.need_letter(node, source, value, whole, ("R", "F"), "all_gather of the tokens")
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
        content, partial = "delta", group
    return Tensor(
        content, value.placement.with_letter(partial, "P"), frozenset({"experts"}), "expert" if partial else "", node.id,
        home=value.home, weighted=node.apply_router_weight,
    )  # fmt: skip


def expert_input(site: Site, node: AnyNode, data: Data) -> tuple[str, Tensor]:
    """Tokens with the router's choice: from a dispatch in one tensor, or side by side."""
    contents = sorted(value.content for _, value in data)
    if contents in (["dispatched"], ["pair"]):
        return data[0]
    if contents == ["normed:ffn_norm", "routing"]:
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
    "add": _add,
    "select_last": _select_last,
    "sample": _sample,
    "routing": _routing,
    "expert": _expert,
}
