"""DP012."""

from collections.abc import Iterator

from validators.examples_moe import LLAMA_8B, QWEN3_30B, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DP012",
    stage="strategy",
    severity="warning",
    message="attention dp_size={dp_size} on the dense model `{model}`: coordinated replicas without experts to share",
    hint="set replicas to {replicas} and attention.dp_size to 1",
    sources=("S2 Non-MoE models", "vllm: config/parallel.py:1030-1034"),
    knowledge="data-parallel-attention.md#dense-models-gain-nothing",
    settles=("X19",),
    passes=lambda: named("an MoE model", lambda: planned(QWEN3_30B, dp=16, ep=16)),
    fails=lambda: named("a dense model", lambda: planned(LLAMA_8B, dp=4)),
)
def attention_replicas_of_a_dense_model(subject: Subject) -> Iterator[Hit]:
    """DP attention pays because replicas share experts; a dense model has none, and independent replicas wait for nobody."""
    if subject.model.moe is not None:
        return
    for path, pool in subject.pools():
        dp_size = pool.attention.dp_size
        if dp_size > 1:
            yield Hit(
                f"{path}/attention/dp_size", dp_size=dp_size, model=subject.model.name, replicas=pool.replicas * dp_size
            )
