"""MM003."""

from collections.abc import Iterator

from validators.estimates import estimate_hits
from validators.examples_claims import estimated, llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="MM003",
    stage="memory",
    severity="error",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("vllm: config/model.py:1663-1683, v1/kv_cache_interface.py:643-648",),
    knowledge="memory.md#kv-cache",
    passes=lambda: named("figures as they are", lambda: estimated(llama(tp=2))),
    fails=lambda: named("a third of what is there", lambda: estimated(llama(tp=2), scale={"kv": 1 / 3})),
)
def cache_by_rule_of_thumb(subject: Subject) -> Iterator[Hit]:
    """Cache bytes follow from the KV heads a rank holds, whole for a latent, and from nothing else."""
    return estimate_hits(subject, "MM003")
