"""MM008."""

from collections.abc import Iterator

from strategy.memory import stage_weight_bytes
from validators.estimates import estimate_hits
from validators.examples_claims import estimated, llama
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="MM008",
    stage="memory",
    severity="warning",
    message="claimed are {claimed}, right are {right}",
    hint="{cause}",
    sources=("vllm: distributed/utils.py:201-213",),
    knowledge="memory.md#the-worst-stage-counts",
    passes=lambda: named("the fullest stage", lambda: estimated(llama(pp=3))),
    fails=lambda: named("the mean of three stages", _mean),
)
def mean_over_stages(subject: Subject) -> Iterator[Hit]:
    """The fullest stage decides: the first holds the embedding, the last the head, and stages may be uneven."""
    return estimate_hits(subject, "MM008")


def _mean() -> Subject:
    base = llama(pp=3)
    assert base.problem is not None
    sizes = stage_weight_bytes(base.model, base.problem.precision, base.dag.strategy.pools[0])
    return estimated(base, scale={"weights": sum(sizes) / 3 / max(sizes)})
