"""RL001."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RL001",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S3 GPU assignment", "vllm: distributed/parallel_state.py:2149-2164", "sglang: runtime_context.py:79-120"),
    knowledge="rank-layout.md#global-rank-formula",
    settles=("X30",),
    passes=lambda: [
        example(
            "rank 2 opens the second stage", lambda: beside(dense(tp=2, pp=2), layout={"ranks": [{"rank": 2, "pp": 1}]})
        )
    ],
    fails=lambda: [
        example(
            "rank 2 as a tp rank of the first stage",
            lambda: beside(dense(tp=2, pp=2), layout={"ranks": [{"rank": 2, "pp": 0}]}),
        )
    ],
)
def rank_at_other_coordinates(subject: Subject) -> Iterator[Hit]:
    """A rank is a mixed-radix number of its coordinates, tp fastest; where attention replicas lie is the layout."""
    yield from layout_hits(subject, "RL001")
