"""EN001."""

from collections.abc import Iterator

from strategy.engine_limits import experts_span_stage
from validators.choices import engine_row, experts_of
from validators.examples_moe import QWEN3_30B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN001",
    stage="strategy",
    severity="error",
    message="vLLM spreads experts over all {width} ranks of a stage and cuts none; the plan has ep_size={ep}, moe tp_size={moe_tp}, dp_size={moe_dp}",
    hint="set experts to {{dp_size: 1, ep_size: {width}, tp_size: 1}}",
    sources=("vllm: model_executor/layers/fused_moe/config.py:1226-1245",),
    knowledge="vllm.md#expert-parallelism-in-vllm",
    settles=("X11",),
    passes=lambda: named(
        "EP8 over 8 ranks",
        lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="vllm"), tp=8, ep=8, ep_lowering="replicated"),
    ),
    fails=lambda: named(
        "EP4 over 8 ranks",
        lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="vllm"), tp=8, ep=4, moe_tp=2, ep_lowering="replicated"),
    ),
)
def expert_parallelism_over_part_of_a_stage(subject: Subject) -> Iterator[Hit]:
    """In vLLM expert parallelism is a switch: on, experts spread whole over every rank of the stage."""
    row = engine_row(subject, "EN001")
    if row is None:
        return
    for path, pool in subject.pools():
        if not experts_span_stage(row, subject.model, pool):
            yield Hit(
                f"{path}/experts",
                width=pool.width,
                ep=experts_of(pool).ep_size,
                moe_tp=experts_of(pool).tp_size,
                moe_dp=experts_of(pool).dp_size,
            )
