"""PP013."""

from collections.abc import Iterator

from validators.examples import dense, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP013",
    stage="strategy",
    severity="warning",
    message="{batches} decode batches in flight over {pp_size} stages: stages wait for each other",
    hint="set microbatches to at least {pp_size} and serve that many batches, or lower pp_size",
    sources=("S1 §4.2.2", "vllm: config/vllm.py:588-598"),
    knowledge="pipeline-parallelism.md#bubbles-in-decode",
    passes=lambda: [example("two batches for two stages", lambda: dense(microbatches=2))],
    fails=lambda: [example("one batch for two stages", dense)],
)
def bubbles_in_decode(subject: Subject) -> Iterator[Hit]:
    """In decode a batch is on one stage at a time, so a pipeline is full only with as many batches as stages."""
    for path, pool in subject.pools():
        if "decode" in pool.phases and pool.microbatches < pool.pp_size:
            yield Hit(f"{path}/microbatches", batches=pool.microbatches, pp_size=pool.pp_size)
