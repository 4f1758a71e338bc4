"""EN014."""

from collections.abc import Iterator

from strategy.engine_limits import meshes_fit
from validators.choices import engine_row, experts_of
from validators.examples_moe import QWEN3_30B, asked, named, planned
from validators.nearest import nearest_fit
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN014",
    stage="strategy",
    severity="error",
    message="TensorRT-LLM: moe dp_size={moe_dp} must be 1, and attention dp_size={dp} needs tp_size=1 (found {tp})",
    hint="make moe tp_size x ep_size equal to {width}, and use attention {{dp_size: {width}, tp_size: 1}} or {{dp_size: 1, tp_size: {width}}}{nearest}",
    sources=("tensorrt-llm: mapping.py MappingBase",),
    knowledge="tensorrt-llm.md#product-rules",
    passes=lambda: named("attention DP8", lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="trtllm"), dp=8, ep=8)),
    fails=lambda: named(
        "attention DP2 x TP4", lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="trtllm"), tp=4, dp=2, ep=8)
    ),
)
def meshes_that_tensorrt_llm_lacks(subject: Subject) -> Iterator[Hit]:
    """TensorRT-LLM writes both meshes as one tp: moe_tp x moe_ep fills it, and attention DP takes all of it."""
    row = engine_row(subject, "EN014")
    if row is None:
        return
    for path, pool in subject.pools():
        if not meshes_fit(row, subject.model, pool):
            yield Hit(
                f"{path}",
                dp=pool.attention.dp_size,
                tp=pool.attention.tp_size,
                width=pool.width,
                ep=experts_of(pool).ep_size,
                moe_tp=experts_of(pool).tp_size,
                moe_dp=experts_of(pool).dp_size,
                nearest=nearest_fit(subject, pool),
            )
