"""SP010."""

from collections.abc import Iterator

from validators.estimates import estimate_hits
from validators.examples_claims import estimated, llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP010",
    stage="memory",
    severity="warning",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("vllm: config/parallel.py:144-146, v1/attention/ops/pcp.py:17-24",),
    knowledge="sequence-parallelism.md#what-memory-it-saves",
    settles=("X7",),
    passes=lambda: named("cache not divided", lambda: estimated(llama(tp=2, sp_kind="megatron"))),
    fails=lambda: named(
        "cache halved by two token shards", lambda: estimated(llama(tp=2, sp_kind="megatron"), scale={"kv": 0.5})
    ),
)
def cache_divided_by_token_shards(subject: Subject) -> Iterator[Hit]:
    """Token shards of prefill save activations; every rank keeps the whole cache of its heads."""
    return estimate_hits(subject, "SP010")
