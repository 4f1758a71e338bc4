"""CS004."""

from collections.abc import Iterator

from validators.estimates import estimate_hits
from validators.examples_claims import estimated, llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CS004",
    stage="memory",
    severity="warning",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("S4 Consequences",),
    knowledge="pipeline-parallelism.md#latency-is-the-sum-of-the-stages",
    settles=("X13",),
    passes=lambda: named("slow enough", lambda: estimated(llama(pp=4))),
    fails=lambda: named("the time of one of four stages", lambda: estimated(llama(pp=4), tpot_ms=1.3)),
)
def step_as_fast_as_one_stage(subject: Subject) -> Iterator[Hit]:
    """A token passes all stages: the step is their sum, and the slowest bounds throughput."""
    return estimate_hits(subject, "CS004")
