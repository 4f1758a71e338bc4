"""CM002."""

from collections.abc import Iterator

from validators.examples import beside, dense, example, moe
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CM002",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S3 Communication Groups", "vllm: distributed/parallel_state.py:2158-2338"),
    knowledge="collectives.md#groups-follow-the-axis",
    passes=lambda: [
        example(
            "replicas of one stage", lambda: beside(moe(tp=1, dp=4, ep=4), layout={"groups": {"dp": [[0, 1, 2, 3]]}})
        )
    ],
    fails=lambda: [
        example(
            "cp pairs taken crosswise",
            lambda: beside(
                dense(tp=2, pp=1, cp=2, sp_kind="cp_allgather", cp_decode_use="replicate"),
                layout={"groups": {"cp": [[0, 3], [1, 2]]}},
            ),
        )
    ],
)
def group_off_its_axis(subject: Subject) -> Iterator[Hit]:
    """A collective runs over one block of the partition that its axis induces; groups written out are those blocks."""
    yield from layout_hits(subject, "CM002")
