"""DP008."""

from collections.abc import Iterator

from strategy.request import Workload
from validators.choices import decodes
from validators.examples_moe import LLAMA_8B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject

_TWO_AT_ONCE = asked(LLAMA_8B, workload=Workload(isl=4096, osl=512, concurrency=2))


@rule(
    code="DP008",
    stage="strategy",
    severity="warning",
    message="{replicas} replicas (replicas x attention dp_size) for {concurrency} concurrent sequence(s): some have nothing to do",
    hint="lower replicas x attention.dp_size to at most {concurrency}, and use tp_size for the other GPUs",
    sources=("S0 Decode Phase", "vllm: docs/serving/data_parallel_deployment.md"),
    knowledge="data-parallelism.md#enough-work-for-every-replica",
    passes=lambda: named("64 sequences, 4 replicas", lambda: planned(LLAMA_8B, asked(LLAMA_8B), replicas=4)),
    fails=lambda: named("2 sequences, 4 replicas", lambda: planned(LLAMA_8B, _TWO_AT_ONCE, replicas=4)),
)
def more_replicas_than_sequences(subject: Subject) -> Iterator[Hit]:
    """Data parallelism spreads whole sequences, so it cannot use more replicas than there are sequences."""
    concurrency = None if subject.problem is None else subject.problem.workload.concurrency
    for path, pool in subject.pools():
        replicas = pool.replicas * pool.attention.dp_size
        if concurrency is not None and decodes(pool) and replicas > concurrency:
            yield Hit(f"{path}/replicas", replicas=replicas, concurrency=concurrency)
