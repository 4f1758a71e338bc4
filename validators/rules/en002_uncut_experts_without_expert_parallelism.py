"""EN002."""

from collections.abc import Iterator

from validators.choices import engine_row, experts_of
from validators.examples_moe import QWEN3_30B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN002",
    stage="strategy",
    severity="warning",
    message="without expert parallelism vLLM cuts each expert over all {width} ranks of a stage; the plan has moe tp_size={moe_tp}",
    hint="set experts to {{dp_size: 1, ep_size: 1, tp_size: {width}}}, or use ep_size {width}",
    sources=(
        "vllm: model_executor/layers/fused_moe/config.py:1105-1114",
        "vllm: docs/serving/data_parallel_deployment.md",
    ),
    knowledge="vllm.md#expert-parallelism-in-vllm",
    passes=lambda: named(
        "experts cut over 2 ranks",
        lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="vllm"), tp=2, moe_tp=2, ep_lowering="replicated"),
    ),
    fails=lambda: named(
        "experts whole on 2 replicas", lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="vllm"), dp=2)
    ),
)
def uncut_experts_without_expert_parallelism(subject: Subject) -> Iterator[Hit]:
    """Without expert parallelism vLLM cuts every expert over all ranks of the stage, attention replicas included."""
    row = engine_row(subject, "EN002")
    if row is None:
        return
    for path, pool in subject.pools():
        switched_off = pool.experts is not None and pool.experts.ep_size == 1 and not row.ep_over_part
        if switched_off and experts_of(pool).tp_size != pool.width:
            yield Hit(
                f"{path}/experts/tp_size",
                width=pool.width,
                ep=experts_of(pool).ep_size,
                moe_tp=experts_of(pool).tp_size,
                moe_dp=experts_of(pool).dp_size,
            )
