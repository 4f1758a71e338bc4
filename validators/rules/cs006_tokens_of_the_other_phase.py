"""CS006."""

from collections.abc import Iterator

from validators.estimates import estimate_hits
from validators.examples_claims import estimated, llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CS006",
    stage="memory",
    severity="warning",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("S1 §1.1-1.2", "aiconfigurator: perf_database/attention.rs"),
    knowledge="cost-model.md#tokens-in-each-phase",
    passes=lambda: named("slow enough", lambda: estimated(llama(tp=2))),
    fails=lambda: named("4096 tokens in a millisecond", lambda: estimated(llama(tp=2), ttft_ms=1.0)),
)
def tokens_of_the_other_phase(subject: Subject) -> Iterator[Hit]:
    """The first token waits for all new tokens of the prompt, each later one for one step over the whole cache."""
    return estimate_hits(subject, "CS006")
