"""EP007."""

from collections.abc import Iterator

from strategy.model import Moe
from validators.choices import divisor_choices
from validators.examples_moe import DEEPSEEK_V3, named, planned, with_model
from validators.registry import Hit, rule
from validators.subject import Subject

_SEVEN_GROUPS = DEEPSEEK_V3.model_copy(
    update={"moe": Moe(num_experts=256, top_k=8, expert_intermediate_size=2048, num_expert_groups=7, top_k_groups=4)}
)


@rule(
    code="EP007",
    stage="strategy",
    severity="error",
    message="routing of `{model}` cannot work: {problem}",
    hint="{change}",
    sources=("megatron: transformer_config.py:2682-2690", "vllm: fused_moe/experts/trtllm_fp8_moe.py:463"),
    knowledge="moe.md#top-k-and-grouped-routing",
    passes=lambda: named("8 experts from 4 of 8 groups", lambda: planned(DEEPSEEK_V3, dp=8, ep=8)),
    fails=lambda: named("256 experts in 7 groups", lambda: with_model(planned(DEEPSEEK_V3, dp=8, ep=8), _SEVEN_GROUPS)),
)
def impossible_top_k(subject: Subject) -> Iterator[Hit]:
    """A token's top-k experts must exist within the groups that it may choose from."""
    if subject.model.moe is None:
        return
    for wrong, change in _routing_faults(subject.model.moe):
        yield Hit("/model", model=subject.model.name, problem=wrong, change=change)


def _routing_faults(moe: Moe) -> Iterator[tuple[str, str]]:
    experts, groups, chosen = moe.num_experts, moe.num_expert_groups, moe.top_k_groups
    if experts % groups:
        yield (
            f"{experts} experts do not form {groups} equal groups",
            f"set num_expert_groups to one of {divisor_choices(experts, experts)}",
        )
    elif chosen > groups:
        yield f"top_k_groups={chosen} exceeds {groups} groups", f"set top_k_groups to at most {groups}"
    elif moe.top_k > chosen * (experts // groups):
        room = chosen * (experts // groups)
        yield f"top_k={moe.top_k} exceeds the {room} experts of {chosen} groups", f"set top_k to at most {room}"
