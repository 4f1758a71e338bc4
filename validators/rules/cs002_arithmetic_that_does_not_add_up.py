"""CS002."""

from collections.abc import Iterator

from validators.claims import Claims
from validators.estimates import estimate_hits
from validators.examples_claims import llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CS002",
    stage="memory",
    severity="error",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("templates §2",),
    knowledge="cost-model.md#conservation",
    passes=lambda: named("33 and 33 TFLOP", lambda: _arithmetic(33.0)),
    fails=lambda: named("one tenth", lambda: _arithmetic(3.3)),
)
def arithmetic_that_does_not_add_up(subject: Subject) -> Iterator[Hit]:
    """Over all ranks, FLOPs add up to those of the prompt; only copied projections run twice."""
    return estimate_hits(subject, "CS002")


def _arithmetic(each: float) -> Subject:
    base = llama(tp=2)
    claims = Claims.model_validate({"layout": {"tflop": [each, each]}})
    return Subject(base.dag, base.model, base.problem, claims)
