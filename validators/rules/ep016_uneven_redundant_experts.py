"""EP016."""

from collections.abc import Iterator

from strategy.legality import ep_within_experts, expert_slots_divide
from strategy.strategy import Pool
from validators.choices import listed
from validators.examples_moe import DEEPSEEK_V3, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP016",
    stage="strategy",
    severity="error",
    message="{num_experts} experts and {redundant} redundant ones do not spread evenly over ep_size={ep_size}",
    hint="set redundant_experts to one of {choices}",
    sources=(
        "vllm: config/parallel.py:563-592",
        "vllm: model_executor/layers/fused_moe/layer.py:274-279",
        "vllm: distributed/eplb/policy/default.py:130",
    ),
    knowledge="moe.md#redundant-experts",
    passes=lambda: named("256 + 32 over 144 ranks", lambda: planned(DEEPSEEK_V3, dp=144, ep=144, redundant_experts=32)),
    fails=lambda: named("256 + 10 over 32 ranks", lambda: planned(DEEPSEEK_V3, dp=32, ep=32, redundant_experts=10)),
)
def uneven_redundant_experts(subject: Subject) -> Iterator[Hit]:
    """Experts and their copies fill the same number of slots on every rank of an EP group of more than one."""
    moe = subject.model.moe
    for path, pool in subject.pools():
        if moe is None or pool.experts is None or not ep_within_experts(subject.model, pool):
            continue
        if not expert_slots_divide(subject.model, pool):
            yield Hit(
                f"{path}/redundant_experts",
                num_experts=moe.num_experts,
                redundant=pool.redundant_experts,
                ep_size=pool.experts.ep_size,
                choices=listed(_even_numbers(moe.num_experts, pool)),
            )


def _even_numbers(num_experts: int, pool: Pool) -> list[int]:
    """The three smallest numbers of copies that fill all slots; none when there is one rank to put them on."""
    ep_size = 1 if pool.experts is None else pool.experts.ep_size
    least = -num_experts % ep_size
    return [0] if ep_size == 1 else [least, least + ep_size, least + 2 * ep_size]
