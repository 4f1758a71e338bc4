"""TP003."""

from collections.abc import Iterator

from strategy.legality import most_kv_heads
from validators.examples_moe import QWEN3_30B, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP003",
    stage="strategy",
    severity="warning",
    message="attention tp_size={tp_size} exceeds {kv_heads} KV heads: each KV head is stored {copies} times",
    hint="use attention.tp_size <= {kv_heads} and attention.dp_size for the rest, or dcp_size up to {most}",
    sources=("vllm: config/model.py:1679-1683", "S2 When not to use data parallel attention"),
    knowledge="tensor-parallelism.md#replicated-kv-heads",
    passes=lambda: named("4 KV heads over 4 ranks", lambda: planned(QWEN3_30B, tp=4, ep=4, ep_lowering="replicated")),
    fails=lambda: named("4 KV heads over 8 ranks", lambda: planned(QWEN3_30B, tp=8, ep=8, ep_lowering="replicated")),
)
def duplicated_kv_heads(subject: Subject) -> Iterator[Hit]:
    """Ranks beyond the number of KV heads add copies of the cache, not room in it."""
    kv_heads = most_kv_heads(subject.model)
    if kv_heads is None:
        return
    for path, pool in subject.pools():
        tp_size = pool.attention.tp_size
        copies = tp_size // kv_heads // pool.dcp_size
        if tp_size % kv_heads == 0 and copies > 1:
            yield Hit(
                f"{path}/attention/tp_size",
                tp_size=tp_size,
                kv_heads=kv_heads,
                copies=copies,
                most=tp_size // kv_heads,
            )
