"""MM002."""

from collections.abc import Iterator

from validators.estimates import estimate_hits
from validators.examples_claims import estimated, llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="MM002",
    stage="memory",
    severity="error",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("S3 Key Formulas", "vllm: model_executor/layers/linear.py:1064-1076"),
    knowledge="memory.md#weights",
    settles=("X21",),
    passes=lambda: named("figures as they are", lambda: estimated(llama(tp=2))),
    fails=lambda: named("half of what is there", lambda: estimated(llama(tp=2), scale={"weights": 0.5})),
)
def weights_by_rule_of_thumb(subject: Subject) -> Iterator[Hit]:
    """Weights of a rank are the sum of what it holds, not the model over the ranks."""
    return estimate_hits(subject, "MM002")
