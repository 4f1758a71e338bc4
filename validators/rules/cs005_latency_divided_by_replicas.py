"""CS005."""

from collections.abc import Iterator

from validators.estimates import estimate_hits
from validators.examples_claims import estimated, llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CS005",
    stage="memory",
    severity="warning",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("S0 Failure-prone",),
    knowledge="data-parallelism.md#throughput-not-latency",
    passes=lambda: named("slow enough", lambda: estimated(llama(replicas=4))),
    fails=lambda: named("a quarter of a step", lambda: estimated(llama(replicas=4), tpot_ms=1.3)),
)
def latency_divided_by_replicas(subject: Subject) -> Iterator[Hit]:
    """Replicas add throughput and leave the latency of a sequence as it is."""
    return estimate_hits(subject, "CS005")
