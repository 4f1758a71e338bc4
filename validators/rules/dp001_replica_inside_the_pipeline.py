"""DP001."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DP001",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S0 Role", "S1 §2", "vllm: distributed/parallel_state.py:2149"),
    knowledge="data-parallelism.md#outermost-dimension",
    passes=lambda: [
        example(
            "two whole replicas",
            lambda: beside(dense(tp=1, pp=2, replicas=2), layout={"groups": {"replica": [[0, 1], [2, 3]]}}),
        )
    ],
    fails=lambda: [
        example(
            "a replica is half of each pipeline",
            lambda: beside(dense(tp=2, pp=2, replicas=2), layout={"groups": {"replica": [[0, 2, 4, 6], [1, 3, 5, 7]]}}),
        )
    ],
)
def replica_inside_the_pipeline(subject: Subject) -> Iterator[Hit]:
    """Independent replicas are the outermost dimension: each is a whole pipeline."""
    yield from layout_hits(subject, "DP001")
