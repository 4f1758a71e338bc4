"""PP013."""

from collections.abc import Iterator

from strategy.request import Workload
from strategy.strategy import Pool
from validators.examples import dense, example, problem
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP013",
    stage="strategy",
    severity="warning",
    message="{batches} decode batches in flight over {pp_size} stages: stages wait for each other",
    hint="keep at least {pp_size} batches in flight (more concurrent requests, or microbatches={pp_size}), or lower pp_size",
    sources=("S1 §4.2.2", "vllm: config/vllm.py:588-598"),
    knowledge="pipeline-parallelism.md#bubbles-in-decode",
    passes=lambda: [
        example(
            "two batches for two stages",
            lambda: dense(pp=2, problem=problem(workload=Workload(isl=512, osl=64, concurrency=8))),
        )
    ],
    fails=lambda: [
        example(
            "one request for two stages",
            lambda: dense(pp=2, problem=problem(workload=Workload(isl=512, osl=64, concurrency=1))),
        )
    ],
)
def bubbles_in_decode(subject: Subject) -> Iterator[Hit]:
    """In decode a batch is on one stage at a time, so a pipeline is full only with as many batches as stages."""
    for path, pool in subject.pools():
        batches = _batches(subject, pool)
        if "decode" in pool.phases and batches is not None and batches < pool.pp_size:
            yield Hit(f"{path}/microbatches", batches=batches, pp_size=pool.pp_size)


def _batches(subject: Subject, pool: Pool) -> int | None:
    """Batches that one replica can keep in flight: as stated, or one for each of its requests; None when nothing tells."""
    if pool.microbatches > 1:
        return pool.microbatches
    concurrency = subject.problem.workload.concurrency if subject.problem else None
    return None if concurrency is None else max(1, concurrency // (pool.replicas * pool.attention.dp_size))
