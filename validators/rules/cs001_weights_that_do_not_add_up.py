"""CS001."""

from collections.abc import Iterator

from strategy.memory import stage_weight_bytes
from validators.claims import Claims
from validators.estimates import estimate_hits
from validators.examples_claims import llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CS001",
    stage="memory",
    severity="error",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("templates §2", "megatron: tensor parallel algebra"),
    knowledge="cost-model.md#conservation",
    passes=lambda: named("8 GB and 8 GB", lambda: _ranks(1.0)),
    fails=lambda: named("half of the model", lambda: _ranks(0.5)),
)
def weights_that_do_not_add_up(subject: Subject) -> Iterator[Hit]:
    """Over all ranks, shards of a tensor add up to the tensor, times its copies."""
    return estimate_hits(subject, "CS001")


def _ranks(share: float) -> Subject:
    base = llama(tp=2)
    assert base.problem is not None
    size = stage_weight_bytes(base.model, base.problem.precision, base.dag.strategy.pools[0])[0] / 1e9 * share
    claims = Claims.model_validate({"layout": {"weights_gb": [size, size]}})
    return Subject(base.dag, base.model, base.problem, claims)
