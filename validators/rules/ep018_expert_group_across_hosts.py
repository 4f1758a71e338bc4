"""EP018."""

from collections.abc import Iterator

from strategy.legality import inside_domain
from validators.examples_moe import DEEPSEEK_V3, QWEN3_30B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP018",
    stage="layout",
    severity="warning",
    message="ep_size={ep_size} exceeds the {domain} GPU(s) of one {fabric} domain: dispatch and combine leave it",
    hint="use node-limited or hierarchical all_to_all kernels, or ep_size <= {domain}",
    sources=("deepep: docs/legacy.md (43-58 GB/s over RDMA, 153-158 GB/s over NVLink on H800)",),
    knowledge="expert-parallelism.md#across-hosts",
    passes=lambda: named("EP8 in a host of 8", lambda: planned(QWEN3_30B, asked(QWEN3_30B), dp=8, ep=8)),
    fails=lambda: named("EP16 over two hosts", lambda: planned(DEEPSEEK_V3, asked(DEEPSEEK_V3, hosts=2), dp=16, ep=16)),
)
def expert_group_across_hosts(subject: Subject) -> Iterator[Hit]:
    """Wide EP pays with slower links for more room; it is normal at scale, and its cost is worth knowing."""
    if subject.problem is None:
        return
    cluster = subject.problem.cluster
    for path, pool in subject.pools():
        if pool.experts is not None and pool.ep_lowering != "replicated" and not inside_domain(pool, "ep", cluster):
            yield Hit(
                f"{path}/experts/ep_size",
                ep_size=pool.experts.ep_size,
                domain=cluster.domain,
                fabric=cluster.gpu.scale_up,
            )
