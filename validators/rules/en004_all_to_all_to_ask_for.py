"""EN004."""

from collections.abc import Iterator

from validators.choices import engine_row
from validators.examples_moe import QWEN3_30B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN004",
    stage="strategy",
    severity="info",
    message="vLLM exchanges tokens by all_gather and reduce_scatter unless asked: pool `{pool}` plans all_to_all",
    hint="set --all2all-backend (our export does), or ep_lowering all_gather, whose bytes do not depend on top_k",
    sources=("vllm: config/parallel.py:220", "vllm: distributed/device_communicators/all2all.py:55-161"),
    knowledge="vllm.md#all-to-all-backends",
    settles=("X16",),
    passes=lambda: named("all_gather", lambda: _vllm("all_gather")),
    fails=lambda: named("all_to_all", lambda: _vllm("all_to_all")),
)
def all_to_all_to_ask_for(subject: Subject) -> Iterator[Hit]:
    """In vLLM the kernels of an all_to_all are a choice of their own, and the default has none."""
    row = engine_row(subject, "EN004")
    if row is None:
        return
    for path, pool in subject.pools():
        spread = pool.experts is not None and pool.experts.ep_size > 1 and pool.attention.dp_size > 1
        if spread and pool.ep_lowering != row.lowerings_replicated[0]:
            yield Hit(f"{path}/ep_lowering", pool=pool.name)


def _vllm(lowering: str) -> Subject:
    return planned(QWEN3_30B, asked(QWEN3_30B, engine="vllm"), tp=2, dp=4, ep=8, ep_lowering=lowering)
