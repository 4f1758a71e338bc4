"""FFN blocks: dense and MoE, in the three lowerings of expert parallelism."""

from collections.abc import Sequence

from strategy.build.site import Site, Writer, all_tokens, complete, normed, own_tokens
from strategy.dag import Block
from strategy.layers import FfnKind
from strategy.mesh import Axis
from strategy.ops import dense_ffn_first, has_latent_experts


def ffn_name(kind: FfnKind) -> str:
    """How the block of an FFN kind is called; a layer without an FFN has none."""
    return "ffn" if kind == "dense" else kind


def ffn_block(site: Site, kind: FfnKind) -> Block:
    """The block of one FFN kind."""
    if kind == "moe":
        return _moe_replicated(site) if site.pool.ep_lowering == "replicated" else _moe_exchanged(site)
    return _ffn_gathered(site) if is_gathered(site) else _ffn_local(site)


def dense_mlp(w: Writer, site: Site, source: str) -> str:
    """The dense FFN behind its norm, Partial over the axis that splits it."""
    return _mlp(w, source, dense_ffn_first(site.model), ("column", "row"))


def is_gathered(site: Site) -> bool:
    """Whether dense FFNs are split over the whole stage, whose tokens they gather (DA007)."""
    return site.coordinated and site.pool.dense_ffn == "gathered"


def gathered_mlp(w: Writer, site: Site, norm: str, after: Sequence[str] = ()) -> str:
    """Every rank of the stage sees all tokens and holds 1/W of the FFN, then takes its own tokens back (DA007).

    `after` are collectives that the gather waits for, where no data orders them.
    """
    inputs = [own_tokens(w, site, norm), *(f"sync:{node}" for node in after)]
    gathered = w.add("gather", "all_gather", inputs, axis="stage", dim="tokens")
    out = w.add("scatter", "reduce_scatter", [dense_mlp(w, site, gathered)], axis="stage", dim="tokens")
    return all_tokens(w, site, out)


def _mlp(w: Writer, source: str, first: str, splits: tuple[str, str], prefix: str = "") -> str:
    """Gate and up (or up alone), activation, down."""
    opened = w.linear(f"{prefix}{first}", source, f"{prefix}{first}", splits[0])
    act = w.add(f"{prefix}act", "activation", [opened])
    return w.linear(f"{prefix}down", act, f"{prefix}down", splits[1])


def _ffn_local(site: Site) -> Block:
    w = Writer()
    out = complete(w, site, dense_mlp(w, site, normed(w, site, "ffn_norm")))
    return w.block("ffn", w.add("add", "add", ["in", out]))


def _ffn_gathered(site: Site) -> Block:
    w = Writer()
    out = gathered_mlp(w, site, w.add("norm", "norm", ["in"], weight="ffn_norm"))
    return w.block("ffn", w.add("add", "add", ["in", out]))


def _moe_replicated(site: Site) -> Block:
    """Tokens are already on every rank of the expert group: no dispatch, one sum over routed and shared experts."""
    w = Writer()
    norm = normed(w, site, "ffn_norm")
    routing = w.add("routing", "routing", [norm])
    routed = w.add("experts", "expert", [_entering(w, site, norm), routing], apply_router_weight=True)
    folded = site.size("ep") * site.size("moe_tp") == site.size("tp")
    if not folded:
        for axis in ("ep", "moe_tp"):
            if site.size(axis) > 1:
                routed = w.add(f"combine_{axis}", "all_reduce", [routed], axis=axis)
    routed = _leaving(w, site, routed)
    merged = _merge_shared(w, site, norm, routed, ("column", "row") if folded else ("replicated", "replicated"))
    if folded:
        merged = complete(w, site, merged)
    elif site.megatron:
        merged = w.add("chunk", "chunk", [merged], axis="tp", dim="tokens")
    return w.block("moe", w.add("add", "add", ["in", merged]))


def _moe_exchanged(site: Site) -> Block:
    """Tokens travel to the ranks of their experts and back."""
    w = Writer()
    tokens = own_tokens(w, site, w.add("norm", "norm", ["in"], weight="ffn_norm"))
    routing = w.add("routing", "routing", [tokens])
    exchange = _by_all_to_all if site.pool.ep_lowering == "all_to_all" else _by_all_gather
    routed = _leaving(w, site, exchange(w, site, _entering(w, site, tokens), routing))
    merged = _merge_shared(w, site, tokens, routed, ("replicated", "replicated"))
    return w.block("moe", w.add("add", "add", ["in", all_tokens(w, site, merged)]))


def _entering(w: Writer, site: Site, tokens: str) -> str:
    """What the experts read: the tokens, or their projection into the latent space of the experts."""
    return w.linear("latent_in", tokens, "latent_in", "replicated") if has_latent_experts(site.model) else tokens


def _leaving(w: Writer, site: Site, routed: str) -> str:
    """Hidden states from what the experts gave; a projection of a partial sum is a partial sum."""
    return w.linear("latent_out", routed, "latent_out", "replicated") if has_latent_experts(site.model) else routed


def _by_all_to_all(w: Writer, site: Site, tokens: str, routing: str) -> str:
    """Each token visits the ranks that hold its experts; expert TP gathers and reduces inside."""
    inputs = [tokens, routing]
    if site.size("ep") > 1:
        inputs = [w.add("dispatch", "all_to_all", inputs, axis="ep", role="dispatch")]
    if site.size("moe_tp") > 1:
        inputs = [w.add("expert_gather", "all_gather", inputs, axis="moe_tp", dim="tokens")]
    out = w.add("experts", "expert", inputs, apply_router_weight=True)
    if site.size("moe_tp") > 1:
        out = w.add("expert_reduce", "reduce_scatter", [out], axis="moe_tp", dim="tokens")
    if site.size("ep") > 1:
        out = w.add("combine", "all_to_all", [out, routing], axis="ep", role="combine")
    return out


def _by_all_gather(w: Writer, site: Site, tokens: str, routing: str) -> str:
    """Every rank of the expert group sees all its tokens, and the partial sums are scattered back to their owners."""
    axes = _exchange_axes(site)
    inputs = [tokens, routing]
    for axis in axes:
        name = "dispatch" if len(axes) == 1 else f"dispatch_{axis}"
        inputs = [w.add(name, "all_gather", inputs, axis=axis, dim="tokens", role="dispatch")]
    out = w.add("experts", "expert", inputs, apply_router_weight=True)
    for axis in reversed(axes):
        name = "combine" if len(axes) == 1 else f"combine_{axis}"
        out = w.add(name, "reduce_scatter", [out], axis=axis, dim="tokens", role="combine")
    return out


def _exchange_axes(site: Site) -> list[Axis]:
    """Axes whose groups together are one expert group: `ep` alone, the stage, or one after the other."""
    if site.size("ep") == site.pool.width:
        return ["ep"] if site.pool.width > 1 else []
    if site.size("moe_dp") == 1:
        return ["stage"]
    axes: tuple[Axis, ...] = ("moe_tp", "ep")
    return [axis for axis in axes if site.size(axis) > 1]


def _merge_shared(w: Writer, site: Site, source: str, routed: str, splits: tuple[str, str]) -> str:
    """Add the shared experts, which read the tokens before dispatch (EP015)."""
    moe = site.model.moe
    if moe is None or not moe.shared_intermediate_size:
        return routed
    shared = _mlp(w, source, dense_ffn_first(site.model), splits, prefix="shared_")
    return w.add("merge", "add", [routed, shared])
