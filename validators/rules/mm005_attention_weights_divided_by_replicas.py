"""MM005."""

from collections.abc import Iterator

from strategy.parameters import weight_bytes
from validators.estimates import estimate_hits
from validators.examples_claims import estimated
from validators.examples_moe import DEEPSEEK_V3, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="MM005",
    stage="memory",
    severity="error",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("tensorrt-llm: docs/source/features/parallel-strategy.md", "aiconfigurator: sdk/memory.py:795"),
    knowledge="memory.md#expert-and-attention-weights",
    passes=lambda: named(
        "copies counted", lambda: estimated(planned(DEEPSEEK_V3, asked(DEEPSEEK_V3, hosts=4), dp=32, ep=32))
    ),
    fails=lambda: named("all weights over 32 ranks", _divided),
)
def attention_weights_divided_by_replicas(subject: Subject) -> Iterator[Hit]:
    """Expert weights divide over ep and expert tp, attention weights over tp only: replicas hold copies."""
    return estimate_hits(subject, "MM005")


def _divided() -> Subject:
    base = planned(DEEPSEEK_V3, asked(DEEPSEEK_V3, hosts=4), dp=32, ep=32)
    right = estimated(base).claims.estimate
    assert right is not None
    even = weight_bytes(DEEPSEEK_V3, asked(DEEPSEEK_V3).precision) / 32e9
    return estimated(base, scale={"weights": even / right.memory_gb.weights})
