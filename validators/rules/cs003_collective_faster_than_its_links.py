"""CS003."""

from collections.abc import Iterator

from validators.estimates import estimate_hits
from validators.examples_claims import estimated, llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CS003",
    stage="memory",
    severity="warning",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("nccl-tests: doc/PERFORMANCE.md", "nccl: src/graph/tuning.cc"),
    knowledge="cost-model.md#lower-bounds-on-communication",
    passes=lambda: named(
        "two milliseconds",
        lambda: estimated(
            llama(tp=8), breakdown=[{"phase": "decode", "op": "all_reduce", "kind": "communication", "ms": 2.0}]
        ),
    ),
    fails=lambda: named(
        "no time at all",
        lambda: estimated(
            llama(tp=8), breakdown=[{"phase": "decode", "op": "all_reduce", "kind": "communication", "ms": 0.0}]
        ),
    ),
)
def collective_faster_than_its_links(subject: Subject) -> Iterator[Hit]:
    """A collective takes at least the time of its bytes on the links."""
    return estimate_hits(subject, "CS003")
