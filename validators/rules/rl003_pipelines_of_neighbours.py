"""RL003."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RL003",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("vllm: distributed/parallel_state.py:2288-2291", "tensorrt-llm: mapping.py pp_groups"),
    knowledge="rank-layout.md#pipeline-groups",
    passes=lambda: [
        example(
            "the groups of TP2 x PP2",
            lambda: beside(dense(tp=2, pp=2), layout={"groups": {"tp": [[0, 1], [2, 3]], "pp": [[0, 2], [1, 3]]}}),
        )
    ],
    fails=lambda: [
        example(
            "neighbours as a pipeline", lambda: beside(dense(tp=2, pp=2), layout={"groups": {"pp": [[0, 1], [2, 3]]}})
        )
    ],
)
def pipelines_of_neighbours(subject: Subject) -> Iterator[Hit]:
    """The stages of a pipeline lie a whole stage apart."""
    yield from layout_hits(subject, "RL003")
