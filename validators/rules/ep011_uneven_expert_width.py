"""EP011."""

from collections.abc import Iterator

from strategy.legality import expert_tp_divides, legal_moe_tp_sizes
from validators.choices import listed, precision_of
from validators.examples_moe import QWEN3_30B, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP011",
    stage="strategy",
    severity="error",
    message="moe tp_size={moe_tp} does not divide the expert width {width}",
    hint="set experts.tp_size to one of {choices}",
    sources=("vllm: model_executor/layers/fused_moe/config.py:1352",),
    knowledge="expert-parallelism.md#tensor-parallelism-inside-experts",
    settles=("X11",),
    passes=lambda: named("width 768 over 4 ranks", lambda: planned(QWEN3_30B, dp=8, ep=2, moe_tp=4)),
    fails=lambda: named("width 768 over 5 ranks", lambda: planned(QWEN3_30B, dp=5, moe_tp=5)),
)
def uneven_expert_width(subject: Subject) -> Iterator[Hit]:
    """Expert tensor parallelism cuts each expert's width into equal parts."""
    moe = subject.model.moe
    for path, pool in subject.pools():
        if moe is None or pool.experts is None or expert_tp_divides(subject.model, pool.experts.tp_size):
            continue
        yield Hit(
            f"{path}/experts/tp_size",
            moe_tp=pool.experts.tp_size,
            width=moe.expert_intermediate_size,
            choices=listed(legal_moe_tp_sizes(subject.model, pool.width, precision_of(subject))),
        )
