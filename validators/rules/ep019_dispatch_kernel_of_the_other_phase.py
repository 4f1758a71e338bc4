"""EP019."""

from collections.abc import Iterator

from strategy.strategy import DispatchMode, DispatchModes, Phase
from validators.examples_moe import DEEPSEEK_V3, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject

_FITTING: dict[Phase, DispatchMode] = {"prefill": "throughput", "decode": "low_latency"}


@rule(
    code="EP019",
    stage="strategy",
    severity="warning",
    message="{phase} dispatches with {mode} kernels",
    hint="set dispatch_mode.{phase} to {fitting}",
    sources=(
        "vllm: docs/serving/expert_parallel_deployment.md Backend table",
        "sglang: arg_groups/moe_hook.py:383-398",
    ),
    knowledge="expert-parallelism.md#low-latency-and-throughput-kernels",
    passes=lambda: named("low latency in decode", lambda: planned(DEEPSEEK_V3, dp=8, ep=8)),
    fails=lambda: named(
        "throughput kernels in decode",
        lambda: planned(DEEPSEEK_V3, dp=8, ep=8, dispatch_mode=DispatchModes(decode="throughput")),
    ),
)
def dispatch_kernel_of_the_other_phase(subject: Subject) -> Iterator[Hit]:
    """Prefill sends many tokens and wants each sent once; decode sends few and wants fixed buffers and no host synchronisation."""
    for path, pool in subject.pools():
        if pool.experts is None or pool.experts.ep_size == 1 or pool.ep_lowering != "all_to_all":
            continue
        for phase in pool.phases:
            mode = getattr(pool.dispatch_mode, phase)
            if mode != _FITTING[phase]:
                yield Hit(f"{path}/dispatch_mode/{phase}", phase=phase, mode=mode, fitting=_FITTING[phase])
