"""EP005."""

from collections.abc import Iterator

from strategy.legality import ep_divides, ep_within_experts, legal_ep_sizes
from validators.choices import gpus_of, listed
from validators.examples_moe import DEEPSEEK_V3, QWEN3_30B, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP005",
    stage="strategy",
    severity="error",
    message="{num_experts} experts do not spread evenly over ep_size={ep_size}",
    hint="set experts.ep_size to one of {choices}, or add {missing} redundant_experts",
    sources=(
        "megatron: arguments.py:1657-1658",
        "sglang: layers/moe/fused_moe_triton/layer.py:414",
        "vllm: fused_moe/expert_map_manager.py:66-71",
    ),
    knowledge="expert-parallelism.md#legal-sizes",
    passes=lambda: named("128 experts over 8 ranks", lambda: planned(QWEN3_30B, dp=8, ep=8)),
    fails=lambda: named("256 experts over 12 ranks", lambda: planned(DEEPSEEK_V3, dp=12, ep=12)),
)
def uneven_experts(subject: Subject) -> Iterator[Hit]:
    """Every rank of an EP group holds the same number of experts; vLLM can run a remainder, which leaves the first ranks the slowest."""
    moe = subject.model.moe
    for path, pool in subject.pools():
        if moe is None or pool.experts is None or pool.redundant_experts or not ep_within_experts(subject.model, pool):
            continue  # EP016 and EP006 speak of those
        ep_size = pool.experts.ep_size
        if not ep_divides(subject.model, ep_size):
            yield Hit(
                f"{path}/experts/ep_size",
                num_experts=moe.num_experts,
                ep_size=ep_size,
                choices=listed(legal_ep_sizes(subject.model, gpus_of(subject))),
                missing=-moe.num_experts % ep_size,
            )
