"""Attention blocks: GQA and MLA, under every context-parallel kind and decode use.

Slots of the templates: A1 brings K and V of other ranks to the cache, A3 brings outputs back to the ranks whose weights need them.
"""

from strategy.build.site import Site, Writer, complete, normed
from strategy.dag import Block
from strategy.errors import InputError
from strategy.mesh import Axis


def attention_block(site: Site) -> Block:
    """Norm, projections, cache update, attention, output projection, residual add."""
    return _mla(site) if site.model.attention.kind == "mla" else _gqa(site)


def linear_block(site: Site) -> Block:
    """Norm, projection, state update, recurrence, output projection, residual add: heads split over tp as in attention.

    Where one norm goes over the heads of all ranks, they sum the squares that it divides by before the output projection.
    Raises `InputError` under context parallelism: a state passes from token to token, so a shard of tokens has none to start from.
    """
    net = site.model.linear
    assert net is not None  # a layer has a recurrence
    if site.context or site.size("dcp") > 1:
        raise InputError(
            f"{net.words} layers pass a state from token to token: their tokens cannot be split over cp or dcp ranks"
        )
    w = Writer()
    projected = w.linear("project", normed(w, site, "attention_norm"), "linear_in", "column")
    state = w.add("state", "kv_cache_update", [projected])
    over_ranks = {"partial": True} if net.repeated and site.size("tp") > 1 else {}
    attend = w.add("attend", "attention", [projected, f"sync:{state}"], form="recurrent", **over_ranks)
    if over_ranks:
        squares = w.add("squares", "all_reduce", [attend], axis="tp")
        attend = w.add("normed", "attention_merge", [attend, squares])
    out = complete(w, site, w.linear("o", attend, "linear_out", "row"))
    return w.block(net.words.replace("-", "_"), w.add("add", "add", ["in", out]))


def _gqa(site: Site) -> Block:
    w = Writer()
    qkv = w.linear("qkv", normed(w, site, "attention_norm"), "qkv", "column")
    out = complete(w, site, gqa_output(w, site, qkv))
    return w.block("attention", w.add("add", "add", ["in", out]))


def gqa_output(w: Writer, site: Site, qkv: str) -> str:
    """Attention and its output projection, Partial over tp."""
    return _over_tp(w, site, w.linear("o", _gqa_attend(w, site, qkv), "attention_out", "row"))


def _gqa_attend(w: Writer, site: Site, qkv: str) -> str:
    """The cache update and the attention itself."""
    if site.context == "cp_ring":
        return _ring(w, site, qkv, qkv)
    if site.context == "cp_ulysses":
        return _ulysses(w, site, qkv)
    kv = w.add("kv", "kv_cache_update", [_new_kv(w, site, qkv)])
    if site.phase == "decode" and site.size("dcp") > 1:
        return _dcp(w, site, qkv, kv)
    return w.add("attend", "attention", [qkv, f"sync:{kv}"])


def _new_kv(w: Writer, site: Site, source: str) -> str:
    """K and V of all the positions (or sequences) that the cp ranks hold, where each rank's cache is to be complete."""
    if site.context or site.decode_use == "batch_shard":
        return w.add("kv_gather", "all_gather", [source], axis="cp", dim="tokens", role="kv")
    return source


def _ring(w: Writer, site: Site, query: str, shard: str) -> str:
    """K and V travel round the cp ranks; each step attends to one shard, and the partial outputs are merged."""
    if site.pool.chunk_tokens is not None:
        raise InputError(
            "cp_ring passes the shards of a whole prompt round: leave out chunk_tokens, or use cp_allgather"
        )
    mla = site.model.attention.kind == "mla"
    shards = [shard]
    for step in range(1, site.size("cp")):
        send = w.add(f"send_{step}", "send", [shards[-1]], axis="cp")
        shards.append(w.add(f"recv_{step}", "recv", [f"pipeline:{send}"]))
    kv = w.add("kv", "kv_cache_update", shards)
    parts = []
    for step, one in enumerate(shards):
        keys = w.linear(f"kv_b_{step}", one, "kv_b", "column") if mla else one
        inputs = [query] if keys == query else [query, keys]
        form = {"form": "expanded"} if mla else {}
        parts.append(w.add(f"attend_{step}", "attention", inputs, partial=True, **form))
    return w.add("attend", "attention_merge", [*parts, f"sync:{kv}"])


def _ulysses(w: Writer, site: Site, qkv: str) -> str:
    """Token shards become head shards for the attention, and back."""
    heads = w.add("to_heads", "all_to_all", [qkv], axis="cp", role="scatter_heads")
    kept = heads if site.pool.cp_decode_use == "tp_slice" else _new_kv(w, site, qkv)
    kv = w.add("kv", "kv_cache_update", [kept])
    attend = w.add("attend", "attention", [heads, f"sync:{kv}"])
    return w.add("to_tokens", "all_to_all", [attend], axis="cp", role="gather_heads")


def _dcp(w: Writer, site: Site, query: str, kv: str, **form: str) -> str:
    """Each dcp rank attends with all its group's heads over its part of the context (AT008).

    cp ranks in the group repeat the heads of the others: heads are gathered and given back over tp alone then, and the parts summed over cp.
    """
    across = site.size("dcp") > site.size("tp")
    axis: Axis = "tp" if across else "dcp"
    heads = w.add("q_gather", "all_gather", [query], axis=axis, dim="heads", role="q") if site.size(axis) > 1 else query
    part = w.add("attend", "attention", [heads, f"sync:{kv}"], partial=True, **form)
    lse = w.add("lse", "all_gather", [part], axis="dcp", dim="partials", role="lse")
    out = w.add("rescale", "attention_merge", [part, lse])
    if site.size(axis) > 1:
        out = w.add("to_heads", "reduce_scatter", [out], axis=axis, dim="heads")
    return w.add("sum_parts", "all_reduce", [out], axis="cp") if across else out


def _over_tp(w: Writer, site: Site, source: str) -> str:
    """The output projection as a sum over tp alone; attention weights sliced over cp as well leave one over cp too."""
    return w.add("reduce_cp", "all_reduce", [source], axis="cp") if site.decode_use == "tp_slice" else source


def _mla(site: Site) -> Block:
    w = Writer()
    norm = normed(w, site, "attention_norm")
    query, latent = _mla_query(w, site, norm)
    attend = _mla_prefill(w, site, query, latent) if site.phase == "prefill" else _mla_decode(w, site, query, latent)
    out = complete(w, site, _over_tp(w, site, w.linear("o", attend, "attention_out", "row")))
    return w.block(f"mla_{site.phase}", w.add("add", "add", ["in", out]))


def _mla_query(w: Writer, site: Site, norm: str) -> tuple[str, str]:
    """Query projection and the normalised latent, with or without a low-rank query."""
    attention = site.model.attention
    if attention.kind == "mla" and attention.q_lora_rank is None:
        query, latent = w.linear("q", norm, "q", "column"), w.linear("kv_a", norm, "kv_a", "replicated")
    else:
        latent = w.linear("qkv_a", norm, "qkv_a", "replicated")
        query = w.linear("q_b", w.add("q_norm", "norm", [latent], weight="q_a_norm"), "q_b", "column")
    return query, w.add("kv_norm", "norm", [latent], weight="kv_a_norm")


def _mla_prefill(w: Writer, site: Site, query: str, latent: str) -> str:
    """The expanded form: K and V of every head from the latent."""
    if site.context == "cp_ring":
        return _ring(w, site, query, latent)
    if site.context == "cp_ulysses":
        raise InputError(
            "cp_ulysses splits K and V by heads, and MLA has one latent for all heads: use cp_allgather or cp_ring"
        )
    kv = w.add("kv", "kv_cache_update", [_new_kv(w, site, latent)])
    expanded = w.linear("kv_b", kv, "kv_b", "column")
    return w.add("attend", "attention", [query, expanded, f"sync:{kv}"], form="expanded")


def _mla_decode(w: Writer, site: Site, query: str, latent: str) -> str:
    """The absorbed form: queries in latent space attend to the latent itself."""
    absorbed = w.linear("w_uk", query, "w_uk", "column")
    kv = w.add("kv", "kv_cache_update", [_new_kv(w, site, latent)])
    if site.size("dcp") > 1:
        attend = _dcp(w, site, absorbed, kv, form="absorbed")
    else:
        attend = w.add("attend", "attention", [absorbed, f"sync:{kv}"], form="absorbed")
    return w.linear("w_uv", attend, "w_uv", "column")
