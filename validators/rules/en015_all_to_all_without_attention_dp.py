"""EN015."""

from collections.abc import Iterator

from strategy.engine_limits import all_to_all_fits
from validators.choices import engine_row, experts_of
from validators.examples_moe import QWEN3_30B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN015",
    stage="strategy",
    severity="error",
    message="TensorRT-LLM uses all_to_all only with attention DP; the plan has attention dp_size=1 and ep_size={ep}",
    hint="set ep_lowering to replicated, or attention {{dp_size: {width}, tp_size: 1}}",
    sources=("aiconfigurator: sdk/models/helpers.py:256-310",),
    knowledge="tensorrt-llm.md#wide-expert-parallelism",
    passes=lambda: named("attention DP8", lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="trtllm"), dp=8, ep=8)),
    fails=lambda: named(
        "TP8 with all_to_all", lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="trtllm"), tp=8, ep=8)
    ),
)
def all_to_all_without_attention_dp(subject: Subject) -> Iterator[Hit]:
    """TensorRT-LLM dispatches between attention replicas; without them all ranks hold the same tokens."""
    row = engine_row(subject, "EN015")
    if row is None:
        return
    for path, pool in subject.pools():
        if not all_to_all_fits(row, subject.model, pool):
            yield Hit(
                f"{path}/ep_lowering",
                width=pool.width,
                ep=experts_of(pool).ep_size,
                moe_tp=experts_of(pool).tp_size,
                moe_dp=experts_of(pool).dp_size,
            )
