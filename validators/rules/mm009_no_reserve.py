"""MM009."""

from collections.abc import Iterator

from validators.estimates import estimate_hits
from validators.examples_claims import estimated, llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="MM009",
    stage="memory",
    severity="warning",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("aiconfigurator: systems/*.yaml misc.nccl_mem, other_mem",),
    knowledge="memory.md#reserve-for-context-and-nccl",
    passes=lambda: named("figures as they are", lambda: estimated(llama(tp=2))),
    fails=lambda: named("nothing reserved", lambda: estimated(llama(tp=2), scale={"other": 0.0})),
)
def no_reserve(subject: Subject) -> Iterator[Hit]:
    """Context, graphs, NCCL and fragmentation take memory that no shape shows."""
    return estimate_hits(subject, "MM009")
