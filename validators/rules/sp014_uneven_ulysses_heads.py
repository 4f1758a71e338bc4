"""SP014."""

from collections.abc import Iterator

from strategy.legality import heads_divide_over_cp, misfit
from strategy.strategy import AttentionMesh
from validators.choices import divisor_choices
from validators.examples_moe import LLAMA_8B, named, planned, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP014",
    stage="strategy",
    severity="error",
    message="{what} splits heads over cp: {heads} of a tp rank do not split over cp_size={cp}",
    hint="set attention.cp_size to one of {choices}, or use cp_allgather or cp_ring with another cp_decode_use",
    sources=("tensorrt-llm: mapping.py (fallback to ulysses: attn_tp = tp x cp)",),
    knowledge="sequence-parallelism.md#ulysses",
    requires=frozenset({"DA001", "SP002"}),
    passes=lambda: named("no ulysses", lambda: planned(LLAMA_8B, tp=8)),
    fails=lambda: named(
        "4 heads over 8 cp ranks",
        lambda: with_pool(
            planned(LLAMA_8B, tp=8),
            attention=AttentionMesh(tp_size=8, cp_size=8),
            sp_kind="cp_ulysses",
            cp_decode_use="replicate",
        ),
    ),
)
def uneven_ulysses_heads(subject: Subject) -> Iterator[Hit]:
    """Where heads are split over cp as well (Ulysses, and tp_slice in decode) each rank has a whole number of heads and KV heads."""
    for path, pool in subject.pools():
        view = misfit(subject.model.attention_sizes(), heads_divide_over_cp, pool)
        if view is None:
            continue
        attention = view.attention
        heads = attention.num_heads // pool.attention.tp_size
        kv_heads = heads if attention.kind == "mla" else max(1, attention.num_kv_heads // pool.attention.tp_size)
        latent = attention.kind == "mla" and pool.sp_kind == "cp_ulysses"
        yield Hit(
            f"{path}/attention/cp_size",
            what="cp_ulysses" if pool.sp_kind == "cp_ulysses" else "cp_decode_use tp_slice",
            heads="the one latent" if latent else f"{heads} heads and {kv_heads} KV heads",
            cp=pool.attention.cp_size,
            choices="1" if latent else divisor_choices(kv_heads, heads),
        )
