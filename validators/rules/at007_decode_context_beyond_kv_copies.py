"""AT007."""

from collections.abc import Iterator

from strategy.legality import dcp_fits_kv_heads, divisors, misfit
from validators.choices import listed
from validators.examples_moe import QWEN3_30B, named, planned, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="AT007",
    stage="strategy",
    severity="error",
    message="dcp_size={dcp} with {kv_heads} KV heads over tp_size={tp}: only {copies} rank(s) hold the same KV head",
    hint="set dcp_size to one of {choices}",
    sources=("vllm: config/model.py:1578-1607",),
    knowledge="decode-context-parallelism.md#legal-sizes",
    requires=frozenset({"AT006"}),
    passes=lambda: named("TP8, no DCP", lambda: planned(QWEN3_30B, tp=8, ep=8, ep_lowering="replicated")),
    fails=lambda: named(
        "4 KV heads, TP8, DCP4",
        lambda: with_pool(planned(QWEN3_30B, tp=8, ep=8, ep_lowering="replicated"), dcp_size=4),
    ),
)
def decode_context_beyond_kv_copies(subject: Subject) -> Iterator[Hit]:
    """With KV heads, ranks can share a sequence only if they would otherwise hold copies of one KV head."""
    for path, pool in subject.pools():
        view = misfit(subject.model.attention_sizes(), dcp_fits_kv_heads, pool)
        if view is None or view.attention.kind != "gqa":
            continue
        attention = view.attention
        tp, kv_heads = pool.attention.tp_size, attention.num_kv_heads
        copies = max(1, tp // kv_heads)
        legal = [n for n in divisors(copies) if (attention.num_heads // kv_heads) % n == 0]
        yield Hit(f"{path}/dcp_size", dcp=pool.dcp_size, kv_heads=kv_heads, tp=tp, copies=copies, choices=listed(legal))
