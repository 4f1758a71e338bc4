"""EP020."""

from collections.abc import Iterator

from validators.examples_moe import DEEPSEEK_V3, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP020",
    stage="strategy",
    severity="warning",
    message="ep_size={ep_size} with top_k={top_k}: nearly every token visits every rank, so all_to_all saves little",
    hint="set ep_lowering to all_gather or replicated, or ep_size above {top_k}",
    sources=("aiconfigurator: sdk/models/helpers.py:288-294", "templates: all_to_all against all_gather bytes"),
    knowledge="expert-parallelism.md#when-all-to-all-pays",
    passes=lambda: named("EP16, top 8", lambda: planned(DEEPSEEK_V3, dp=16, ep=16)),
    fails=lambda: named("EP4, top 8", lambda: planned(DEEPSEEK_V3, dp=4, ep=4)),
)
def pointless_all_to_all(subject: Subject) -> Iterator[Hit]:
    """all_to_all sends less than all_gather only when a token's experts leave some ranks out."""
    moe = subject.model.moe
    for path, pool in subject.pools():
        if moe is None or pool.experts is None or pool.ep_lowering != "all_to_all":
            continue
        if 1 < pool.experts.ep_size <= moe.top_k:
            yield Hit(f"{path}/ep_lowering", ep_size=pool.experts.ep_size, top_k=moe.top_k)
