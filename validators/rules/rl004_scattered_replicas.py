"""RL004."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RL004",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S3 DP groups", "vllm: distributed/parallel_state.py:2305"),
    knowledge="rank-layout.md#replica-blocks-and-communicator-groups",
    settles=("X26",),
    passes=lambda: [
        example(
            "two runs", lambda: beside(dense(tp=2, pp=1, replicas=2), layout={"groups": {"replica": [[0, 1], [2, 3]]}})
        )
    ],
    fails=lambda: [
        example(
            "every second rank",
            lambda: beside(dense(tp=2, pp=1, replicas=2), layout={"groups": {"replica": [[0, 2], [1, 3]]}}),
        )
    ],
)
def scattered_replicas(subject: Subject) -> Iterator[Hit]:
    """A replica is one run of ranks; the communicators across replicas are another thing."""
    yield from layout_hits(subject, "RL004")
