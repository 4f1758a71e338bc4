"""SP014."""

from collections.abc import Iterator

from strategy.legality import ulysses_heads_divide
from strategy.strategy import AttentionMesh
from validators.choices import divisor_choices
from validators.examples_moe import LLAMA_8B, named, planned, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP014",
    stage="strategy",
    severity="error",
    message="cp_ulysses trades tokens for heads: {heads} of a tp rank do not split over cp_size={cp}",
    hint="set attention.cp_size to one of {choices}, or use cp_allgather or cp_ring",
    sources=("tensorrt-llm: mapping.py (fallback to ulysses: attn_tp = tp x cp)",),
    knowledge="sequence-parallelism.md#ulysses",
    requires=frozenset({"SP002"}),
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
    """After the exchange each cp rank has all tokens of a whole number of heads."""
    for path, pool in subject.pools():
        heads = subject.model.attention.num_heads // pool.attention.tp_size
        mla = subject.model.attention.kind == "mla"
        if not ulysses_heads_divide(subject.model, pool):
            choices = "1" if mla else divisor_choices(heads, heads)
            what = "the one latent" if mla else f"{heads} heads"
            yield Hit(f"{path}/attention/cp_size", heads=what, cp=pool.attention.cp_size, choices=choices)
