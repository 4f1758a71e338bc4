"""TP004."""

from collections.abc import Iterator

from strategy.legality import dense_ffn_ways, ffn_divides, misfit, shared_expert_ways, shared_experts_divide
from validators.choices import divisor_choices, tp_choices
from validators.examples_moe import DEEPSEEK_V3, LLAMA_8B, named, planned, with_model
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP004",
    stage="strategy",
    severity="error",
    message="{what} of width {width} does not split over {ways} ranks",
    hint="split it over one of {choices} ranks",
    sources=("vllm: model_executor/layers/linear.py:731 (MergedColumnParallelLinear)",),
    knowledge="tensor-parallelism.md#intermediate-size-divisibility",
    requires=frozenset({"TP001", "TP002"}),
    passes=lambda: named(
        "width 18432 over 16 ranks", lambda: planned(DEEPSEEK_V3, tp=16, ep=16, ep_lowering="replicated")
    ),
    fails=lambda: named(
        "width 14344 over 16 ranks",
        lambda: with_model(planned(LLAMA_8B, tp=16), LLAMA_8B.model_copy(update={"intermediate_size": 14_344})),
    ),
)
def uneven_ffn_width(subject: Subject) -> Iterator[Hit]:
    """Gate, up and down are cut into equal parts, each of them on its own."""
    model = subject.model
    for path, pool in subject.pools():
        if (view := misfit(model.dense_sizes(), ffn_divides, dense_ffn_ways(pool))) is not None:
            yield Hit(
                f"{path}/attention/tp_size",
                what="the dense FFN",
                width=view.intermediate_size,
                ways=dense_ffn_ways(pool),
                choices=tp_choices(subject),
            )
        if model.moe is not None and not shared_experts_divide(model, pool):
            width = model.moe.shared_intermediate_size
            yield Hit(
                f"{path}/attention/tp_size",
                what="the shared experts",
                width=width,
                ways=shared_expert_ways(pool),
                choices=divisor_choices(width, pool.width),
            )
