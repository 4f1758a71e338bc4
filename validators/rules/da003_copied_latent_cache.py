"""DA003."""

from collections.abc import Iterator

from validators.examples_moe import DEEPSEEK_V3, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DA003",
    stage="strategy",
    severity="warning",
    message="MLA over tp_size={tp_size} stores the latent cache {tp_size} times",
    hint="use attention.dp_size={dp_size} with tp_size=1 for more cache, or dcp_size={tp_size}; keep tp for lowest latency",
    sources=(
        "S2 Why: KV cache cannot be sharded along the head dimension",
        "vllm: config/model.py:1673-1675",
        "vllm: docs/serving/context_parallel_deployment.md",
    ),
    knowledge="data-parallel-attention.md#mla-and-the-duplicated-latent",
    passes=lambda: named("DP16", lambda: planned(DEEPSEEK_V3, dp=16, ep=16)),
    fails=lambda: named("TP16", lambda: planned(DEEPSEEK_V3, tp=16, ep=16, ep_lowering="replicated")),
)
def copied_latent_cache(subject: Subject) -> Iterator[Hit]:
    """The latent serves all heads, so every tp rank keeps all of it: tp buys latency, not cache."""
    if subject.model.attention.kind != "mla":
        return
    for path, pool in subject.pools():
        tp_size = pool.attention.tp_size
        if tp_size > 1 and pool.dcp_size == 1:
            yield Hit(f"{path}/attention/tp_size", tp_size=tp_size, dp_size=pool.attention.dp_size * tp_size)
