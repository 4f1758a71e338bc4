"""The canonical DAG of a strategy: which blocks, which collectives on which axis, for each phase (templates of S1 §6).

`build` writes what an engine does for these degrees and nothing else: an axis of one rank has no node (CM001). Phases share a block
when it comes out equal, and have one each when it does not. Legality is not judged here: an illegal strategy gets the DAG that its
degrees imply, and the rules say what is wrong with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from strategy.dag import AnyNode, Block, Branch, Branches, Dag, LayerStamp, Link
from strategy.errors import InputError
from strategy.mesh import Axis, axis_size
from strategy.model import FfnKind, ModelSpec
from strategy.strategy import Phase, Pool, Strategy

_NODE: TypeAdapter[AnyNode] = TypeAdapter(AnyNode)


def build(model: ModelSpec, strategy: Strategy) -> Dag:
    """The canonical DAG. Raises `InputError` for parts of the space that have no canonical DAG yet (context parallelism, DCP)."""
    parts: dict[Phase, dict[str, Block]] = {}
    for phase in ("prefill", "decode"):
        site = Site(model, strategy.pool_for(phase), phase)
        _refuse_unbuilt(site.pool)
        parts[phase] = {
            "embed": _embed(site),
            "attention": _mla(site) if model.attention.kind == "mla" else _gqa(site),
            **{_ffn_name(kind): _ffn_block(site, kind) for kind in sorted({kind for _, _, kind in model.ffn_runs()})},
            **({"boundary": _boundary()} if site.pool.pp_size > 1 else {}),
            "head": _head(site),
        }
    names, blocks = _name_blocks(parts)
    branches = Branches(prefill=_branch(model, names["prefill"]), decode=_branch(model, names["decode"]))
    return Dag(model=model.name, strategy=strategy, blocks=tuple(blocks), branches=branches, links=tuple(_links(names)))


@dataclass(frozen=True)
class Site:
    """Where blocks are written for: a model, a pool and a phase."""

    model: ModelSpec
    pool: Pool
    phase: Phase

    def size(self, axis: Axis) -> int:
        """Ranks of one group of `axis`."""
        return axis_size(self.pool, axis)

    @property
    def megatron(self) -> bool:
        """Whether activations between matrix pairs are split by tokens over the tp ranks."""
        return self.pool.sp_kind == "megatron" and self.phase == "prefill" and self.size("tp") > 1

    @property
    def coordinated(self) -> bool:
        """Whether attention replicas of one stage meet in collectives."""
        return self.pool.attention.dp_size > 1


class Writer:
    """Appends nodes to a block; an omitted collective hands its input on."""

    def __init__(self) -> None:
        self.nodes: list[AnyNode] = []

    def add(self, node_id: str, op: str, inputs: Sequence[str] = (), **fields: Any) -> str:
        """Append a node and return its id."""
        self.nodes.append(_NODE.validate_python({"id": node_id, "op": op, "inputs": tuple(inputs), **fields}))
        return node_id

    def linear(self, node_id: str, source: str, weight: str, split: str) -> str:
        """Append a linear."""
        return self.add(node_id, "linear", [source], weight=weight, split=split)

    def block(self, name: str, output: str) -> Block:
        """The finished block."""
        return Block(name=name, nodes=tuple(self.nodes), output=output)


def _refuse_unbuilt(pool: Pool) -> None:
    if pool.attention.cp_size > 1 or pool.sp_kind.startswith("cp_"):
        raise InputError(f"no canonical DAG for context parallelism yet (pool `{pool.name}`: sp_kind={pool.sp_kind})")
    if pool.dcp_size > 1:
        raise InputError(
            f"no canonical DAG for decode context parallelism yet (pool `{pool.name}`: dcp_size={pool.dcp_size})"
        )


def _embed(site: Site) -> Block:
    w = Writer()
    inputs = [w.add("ingress", "ingress")]
    if site.coordinated:
        inputs.append("sync:" + w.add("sync", "step_sync", inputs, axis="dp"))
    out = w.add("embedding", "embedding", inputs, split="vocab")
    return w.block("embed", _complete(w, site, out))


def _complete(w: Writer, site: Site, source: str) -> str:
    """Complete a tensor that is Partial over tp, as this phase keeps its residual stream."""
    if site.size("tp") == 1:
        return source
    if site.megatron:
        return w.add("reduce", "reduce_scatter", [source], axis="tp", dim="tokens")
    return w.add("reduce", "all_reduce", [source], axis="tp")


def _norm(w: Writer, site: Site, weight: str) -> str:
    """The norm that opens a block, followed by the gather that column-parallel weights need under token shards."""
    source = w.add("norm", "norm", ["in"], weight=weight)
    return w.add("spread", "all_gather", [source], axis="tp", dim="tokens") if site.megatron else source


def _gqa(site: Site) -> Block:
    w = Writer()
    qkv = w.linear("qkv", _norm(w, site, "attention_norm"), "qkv", "column")
    kv = w.add("kv", "kv_cache_update", [qkv])
    attend = w.add("attend", "attention", [qkv, f"sync:{kv}"])
    out = _complete(w, site, w.linear("o", attend, "attention_out", "row"))
    return w.block("attention", w.add("add", "add", ["in", out]))


def _mla(site: Site) -> Block:
    w = Writer()
    norm = _norm(w, site, "attention_norm")
    query, latent = _mla_query(w, site.model, norm)
    kv_norm = w.add("kv_norm", "norm", [latent], weight="kv_a_norm")
    if site.phase == "prefill":
        kv = w.add("kv", "kv_cache_update", [kv_norm])
        expanded = w.linear("kv_b", kv, "kv_b", "column")
        out = w.add("attend", "attention", [query, expanded, f"sync:{kv}"], form="expanded")
    else:
        absorbed = w.linear("w_uk", query, "w_uk", "column")
        kv = w.add("kv", "kv_cache_update", [kv_norm])
        attend = w.add("attend", "attention", [absorbed, f"sync:{kv}"], form="absorbed")
        out = w.linear("w_uv", attend, "w_uv", "column")
    out = _complete(w, site, w.linear("o", out, "attention_out", "row"))
    return w.block(f"mla_{site.phase}", w.add("add", "add", ["in", out]))


def _mla_query(w: Writer, model: ModelSpec, norm: str) -> tuple[str, str]:
    """Query projection and the node that holds the latent, with or without a low-rank query."""
    if model.attention.kind == "mla" and model.attention.q_lora_rank is None:
        return w.linear("q", norm, "q", "column"), w.linear("kv_a", norm, "kv_a", "replicated")
    qkv_a = w.linear("qkv_a", norm, "qkv_a", "replicated")
    q_norm = w.add("q_norm", "norm", [qkv_a], weight="q_a_norm")
    return w.linear("q_b", q_norm, "q_b", "column"), qkv_a


def _ffn_name(kind: FfnKind) -> str:
    return "ffn" if kind == "dense" else "moe"


def _ffn_block(site: Site, kind: FfnKind) -> Block:
    if kind == "moe":
        return _moe_replicated(site) if site.pool.ep_lowering == "replicated" else _moe_exchanged(site)
    return _ffn_gathered(site) if site.coordinated and site.pool.dense_ffn == "gathered" else _ffn_local(site)


def _mlp(w: Writer, source: str, splits: tuple[str, str], prefix: str = "") -> str:
    """Gate and up, activation, down."""
    gate_up = w.linear(f"{prefix}gate_up", source, f"{prefix}gate_up", splits[0])
    act = w.add(f"{prefix}act", "activation", [gate_up])
    return w.linear(f"{prefix}down", act, f"{prefix}down", splits[1])


def _ffn_local(site: Site) -> Block:
    w = Writer()
    out = _complete(w, site, _mlp(w, _norm(w, site, "ffn_norm"), ("column", "row")))
    return w.block("ffn", w.add("add", "add", ["in", out]))


def _ffn_gathered(site: Site) -> Block:
    """Every rank of the stage sees all tokens and holds 1/W of the FFN, then takes its own tokens back (DA007)."""
    w = Writer()
    tokens = _own_tokens(w, site, w.add("norm", "norm", ["in"], weight="ffn_norm"))
    gathered = w.add("gather", "all_gather", [tokens], axis="stage", dim="tokens")
    out = w.add("scatter", "reduce_scatter", [_mlp(w, gathered, ("column", "row"))], axis="stage", dim="tokens")
    return w.block("ffn", w.add("add", "add", ["in", _all_tokens(w, site, out)]))


def _own_tokens(w: Writer, site: Site, source: str) -> str:
    """Split tokens that are replicated over tp, so that no token is processed twice (EP010)."""
    if site.size("tp") == 1 or site.megatron:
        return source
    return w.add("chunk", "chunk", [source], axis="tp", dim="tokens")


def _all_tokens(w: Writer, site: Site, source: str) -> str:
    """Undo `_own_tokens`."""
    if site.size("tp") == 1 or site.megatron:
        return source
    return w.add("regather", "all_gather", [source], axis="tp", dim="tokens")


def _moe_replicated(site: Site) -> Block:
    """Tokens are already on every rank of the expert group: no dispatch, one sum over routed and shared experts."""
    w = Writer()
    norm = _norm(w, site, "ffn_norm")
    routing = w.add("routing", "routing", [norm])
    routed = w.add("experts", "expert", [norm, routing], apply_router_weight=True)
    folded = site.size("ep") * site.size("moe_tp") == site.size("tp")
    if not folded:
        for axis in ("ep", "moe_tp"):
            if site.size(axis) > 1:
                routed = w.add(f"combine_{axis}", "all_reduce", [routed], axis=axis)
    merged = _merge_shared(w, site, norm, routed, ("column", "row") if folded else ("replicated", "replicated"))
    if folded:
        merged = _complete(w, site, merged)
    elif site.megatron:
        merged = w.add("chunk", "chunk", [merged], axis="tp", dim="tokens")
    return w.block("moe", w.add("add", "add", ["in", merged]))


def _moe_exchanged(site: Site) -> Block:
    """Tokens travel to the ranks of their experts and back."""
    w = Writer()
    tokens = _own_tokens(w, site, w.add("norm", "norm", ["in"], weight="ffn_norm"))
    routing = w.add("routing", "routing", [tokens])
    if site.pool.ep_lowering == "all_to_all":
        routed = _by_all_to_all(w, site, tokens, routing)
    else:
        routed = _by_all_gather(w, site, tokens, routing)
    merged = _merge_shared(w, site, tokens, routed, ("replicated", "replicated"))
    return w.block("moe", w.add("add", "add", ["in", _all_tokens(w, site, merged)]))


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
    shared = _mlp(w, source, splits, prefix="shared_")
    return w.add("merge", "add", [routed, shared])


def _boundary() -> Block:
    w = Writer()
    send = w.add("send", "send", ["in"])
    return w.block("boundary", w.add("recv", "recv", [f"pipeline:{send}"]))


def _head(site: Site) -> Block:
    w = Writer()
    out = w.add("norm", "norm", ["in"], weight="final_norm")
    if site.megatron:
        out = w.add("spread", "all_gather", [out], axis="tp", dim="tokens")
    if site.phase == "prefill":
        out = w.add("last", "select_last", [out])
    gathered = site.coordinated and site.pool.lm_head == "gathered"
    if gathered:
        out = w.add("rows", "all_gather", [out], axis="dp", dim="tokens")
    out = w.linear("lm_head", out, "lm_head", "column")
    if gathered:
        out = w.add("gather", "all_gather", [out], axis="stage", dim="vocab")
        out = w.add("own_rows", "chunk", [out], axis="dp", dim="tokens")
    elif site.size("tp") > 1:
        out = w.add("gather", "all_gather", [out], axis="tp", dim="vocab")
    return w.block(f"head_{site.phase}", w.add("sample", "sample", [out]))


def _name_blocks(parts: dict[Phase, dict[str, Block]]) -> tuple[dict[Phase, dict[str, str]], list[Block]]:
    """Final names per phase and part: a block that is equal in both phases is written once."""
    names: dict[Phase, dict[str, str]] = {"prefill": {}, "decode": {}}
    blocks: dict[str, Block] = {}
    for part in dict.fromkeys([*parts["prefill"], *parts["decode"]]):
        versions = {phase: made[part] for phase, made in parts.items() if part in made}
        shared = len(set(versions.values())) == 1 or len({b.name for b in versions.values()}) == len(versions)
        for phase, block in versions.items():
            name = block.name if shared else f"{block.name}_{phase}"
            names[phase][part] = name
            blocks[name] = block.model_copy(update={"name": name})
    return names, list(blocks.values())


def _branch(model: ModelSpec, names: dict[str, str]) -> Branch:
    layers = tuple(
        LayerStamp(range=(start, end), blocks=(names["attention"], names[_ffn_name(kind)]))
        for start, end, kind in model.ffn_runs()
    )
    return Branch(embed=names["embed"], layers=layers, boundary=names.get("boundary"), head=names["head"])


def _links(names: dict[Phase, dict[str, str]]) -> list[Link]:
    """What crosses phases and steps: KV and the sampled token, and nothing else (PH002, PH005)."""
    prefill, decode = names["prefill"], names["decode"]
    attend, ingress = f"decode.{decode['attention']}.attend", f"decode.{decode['embed']}.ingress"
    return [
        Link(source=f"prefill.{prefill['attention']}.kv", target=attend, kind="sync"),
        Link(source=f"prefill.{prefill['head']}.sample", target=ingress, kind="data"),
        Link(source=f"decode.{decode['attention']}.kv", target=attend, kind="sync", loop=True),
        Link(source=f"decode.{decode['head']}.sample", target=ingress, kind="data", loop=True),
    ]
