"""TP002."""

from collections.abc import Iterator

from strategy.legality import kv_heads_compatible, misfit
from validators.choices import tp_choices
from validators.examples_moe import LLAMA_8B, named, planned, with_model
from validators.registry import Hit, rule
from validators.subject import Subject

_WIDE = LLAMA_8B.model_copy(update={"attention": LLAMA_8B.attention.model_copy(update={"num_heads": 48})})


@rule(
    code="TP002",
    stage="strategy",
    severity="error",
    message="attention tp_size={tp_size} and {kv_heads} KV heads: neither divides the other",
    hint="set attention.tp_size to one of {choices}",
    sources=("vllm: model_executor/layers/linear.py:1066-1071", "megatron: transformer_config.py:1461-1467"),
    knowledge="tensor-parallelism.md#kv-head-divisibility",
    requires=frozenset({"TP001"}),
    passes=lambda: named("8 KV heads over 4 ranks", lambda: planned(LLAMA_8B, tp=4)),
    fails=lambda: named("8 KV heads over 12 ranks", lambda: with_model(planned(LLAMA_8B, tp=12), _WIDE)),
)
def unmatched_kv_heads(subject: Subject) -> Iterator[Hit]:
    """A rank holds either a whole number of KV heads or one whole copy of a KV head."""
    for path, pool in subject.pools():
        tp_size = pool.attention.tp_size
        view = misfit(subject.model.attention_sizes(), kv_heads_compatible, tp_size)
        if view is not None and view.attention.kind == "gqa":
            yield Hit(
                f"{path}/attention/tp_size",
                tp_size=tp_size,
                kv_heads=view.attention.num_kv_heads,
                choices=tp_choices(subject),
            )
