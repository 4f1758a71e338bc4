"""DA005."""

from collections.abc import Iterator

from strategy.memory import stage_weight_bytes
from strategy.parameters import weight_bytes
from validators.claims import Claims
from validators.estimates import estimate_hits
from validators.examples_moe import DEEPSEEK_V3, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DA005",
    stage="memory",
    severity="error",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("tensorrt-llm: docs/source/features/parallel-strategy.md Attention Module",),
    knowledge="data-parallel-attention.md#replicated-attention-weights",
    passes=lambda: named("each replica counted", lambda: _ranks(copies=True)),
    fails=lambda: named("one model over all ranks", lambda: _ranks(copies=False)),
)
def attention_weights_counted_once(subject: Subject) -> Iterator[Hit]:
    """Attention replicas each hold attention weights of their own."""
    return estimate_hits(subject, "DA005")


def _ranks(*, copies: bool) -> Subject:
    base = planned(DEEPSEEK_V3, asked(DEEPSEEK_V3, hosts=4), dp=32, ep=32)
    assert base.problem is not None
    each = stage_weight_bytes(base.model, base.problem.precision, base.dag.strategy.pools[0])[0] / 1e9
    once = weight_bytes(base.model, base.problem.precision) / 32e9
    claims = Claims.model_validate({"layout": {"weights_gb": [each if copies else once] * 32}})
    return Subject(base.dag, base.model, base.problem, claims)
