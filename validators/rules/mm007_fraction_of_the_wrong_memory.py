"""MM007."""

from collections.abc import Iterator

from validators.estimates import estimate_hits
from validators.examples_claims import estimated, llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="MM007",
    stage="memory",
    severity="error",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("aiconfigurator: sdk/memory.py _BACKEND_FRACTION_KIND, kv_cache_budget_bytes",),
    knowledge="memory.md#utilisation-fractions",
    passes=lambda: named("figures as they are", lambda: estimated(llama(tp=2))),
    fails=lambda: named("twice the sequences that fit", lambda: estimated(llama(tp=2), max_concurrency=100_000)),
)
def fraction_of_the_wrong_memory(subject: Subject) -> Iterator[Hit]:
    """VLLM and SGLang may use a fraction of the GPU, TensorRT-LLM a fraction of what is free."""
    return estimate_hits(subject, "MM007")
