"""TP001."""

from collections.abc import Iterator

from strategy.legality import heads_divide, misfit
from validators.choices import tp_choices
from validators.examples_moe import LLAMA_8B, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP001",
    stage="strategy",
    severity="error",
    message="attention tp_size={tp_size} does not divide the {heads} attention heads of `{model}`",
    hint="set attention.tp_size to one of {choices}",
    sources=("vllm: config/model.py:1557-1564", "sglang: models/llama.py:183", "S3 Rules of thumb"),
    knowledge="tensor-parallelism.md#head-divisibility",
    passes=lambda: named("32 heads over 8 ranks", lambda: planned(LLAMA_8B, tp=8)),
    fails=lambda: named("32 heads over 7 ranks", lambda: planned(LLAMA_8B, tp=7)),
)
def uneven_attention_heads(subject: Subject) -> Iterator[Hit]:
    """Tensor parallelism gives each rank a whole number of attention heads, counted over the attention tp group and not over W."""
    for path, pool in subject.pools():
        tp_size = pool.attention.tp_size
        if (view := misfit(subject.model.attention_sizes(), heads_divide, tp_size)) is not None:
            yield Hit(
                f"{path}/attention/tp_size",
                tp_size=tp_size,
                heads=view.attention.num_heads,
                model=subject.model.name,
                choices=tp_choices(subject),
            )
