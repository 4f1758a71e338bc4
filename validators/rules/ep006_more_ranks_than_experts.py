"""EP006."""

from collections.abc import Iterator

from strategy.legality import ep_within_experts, legal_ep_sizes
from validators.choices import listed
from validators.examples_moe import DEEPSEEK_V3, QWEN3_30B, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP006",
    stage="strategy",
    severity="error",
    message="ep_size={ep_size} exceeds {slots} expert slots ({num_experts} experts and {redundant} redundant ones)",
    hint="set experts.ep_size to one of {choices}, or redundant_experts to {missing}",
    sources=("aiconfigurator: sdk/models/deepseek.py (num_experts >= moe_ep_size)",),
    knowledge="expert-parallelism.md#legal-sizes",
    passes=lambda: named(
        "320 ranks, 256 experts and 64 copies", lambda: planned(DEEPSEEK_V3, dp=320, ep=320, redundant_experts=64)
    ),
    fails=lambda: named("128 experts over 256 ranks", lambda: planned(QWEN3_30B, dp=256, ep=256)),
)
def more_ranks_than_experts(subject: Subject) -> Iterator[Hit]:
    """A rank of an EP group without an expert only waits."""
    moe = subject.model.moe
    for path, pool in subject.pools():
        if moe is None or pool.experts is None or ep_within_experts(subject.model, pool):
            continue
        ep_size = pool.experts.ep_size
        yield Hit(
            f"{path}/experts/ep_size",
            ep_size=ep_size,
            slots=moe.num_experts + pool.redundant_experts,
            num_experts=moe.num_experts,
            redundant=pool.redundant_experts,
            choices=listed(legal_ep_sizes(subject.model, moe.num_experts)),
            missing=ep_size - moe.num_experts,
        )
