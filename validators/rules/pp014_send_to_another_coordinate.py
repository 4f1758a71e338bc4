"""PP014."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP014",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S3 PP groups", "tensorrt-llm: mapping.py next_pp_rank"),
    knowledge="pipeline-parallelism.md#send-and-recv-at-a-boundary",
    passes=lambda: [example("straight on", lambda: beside(dense(tp=2, pp=2), layout={"sends": [[0, 2], [1, 3]]}))],
    fails=lambda: [example("crosswise", lambda: beside(dense(tp=2, pp=2), layout={"sends": [[0, 3], [1, 2]]}))],
)
def send_to_another_coordinate(subject: Subject) -> Iterator[Hit]:
    """A rank sends to the same place of the next stage."""
    yield from layout_hits(subject, "PP014")
