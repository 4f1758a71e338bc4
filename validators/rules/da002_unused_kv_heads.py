"""DA002."""

from collections.abc import Iterator

from strategy.legality import legal_tp_sizes
from validators.choices import engine_of
from validators.examples_moe import QWEN3_30B, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DA002",
    stage="strategy",
    severity="warning",
    message="attention dp_size={dp_size} with tp_size={tp_size}, although {kv_heads} KV heads could be split over tp first",
    hint="consider attention.tp_size={better} and dp_size={rest}",
    sources=("S2 When not to use: sufficient tensor parallelism",),
    knowledge="data-parallel-attention.md#gqa-first-uses-tp",
    passes=lambda: named("TP4 over 4 KV heads, then DP", lambda: planned(QWEN3_30B, tp=4, dp=4, ep=16)),
    fails=lambda: named("DP16 with 4 KV heads", lambda: planned(QWEN3_30B, dp=16, ep=16)),
)
def unused_kv_heads(subject: Subject) -> Iterator[Hit]:
    """With KV heads, tp splits weights and cache; DP attention copies the weights and is for what tp cannot split."""
    attention = subject.model.attention
    if attention.kind != "gqa" or subject.model.moe is None:
        return  # DP012 speaks of dense models
    for path, pool in subject.pools():
        dp_size, tp_size = pool.attention.dp_size, pool.attention.tp_size
        room = min(attention.num_kv_heads, dp_size * tp_size)
        legal = legal_tp_sizes(subject.model, room, engine=engine_of(subject))
        better = [n for n in legal if n > tp_size and dp_size * tp_size % n == 0]
        if dp_size > 1 and better:
            yield Hit(
                f"{path}/attention/tp_size",
                dp_size=dp_size,
                tp_size=tp_size,
                kv_heads=attention.num_kv_heads,
                better=better[-1],
                rest=dp_size * tp_size // better[-1],
            )
