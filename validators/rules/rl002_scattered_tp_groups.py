"""RL002."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RL002",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S3 {0,1},{2,3}", "sglang: distributed/parallel_state.py:2674-2684"),
    knowledge="rank-layout.md#tensor-parallel-groups",
    passes=lambda: [
        example(
            "the groups of TP2 x PP2",
            lambda: beside(dense(tp=2, pp=2), layout={"groups": {"tp": [[0, 1], [2, 3]], "pp": [[0, 2], [1, 3]]}}),
        )
    ],
    fails=lambda: [
        example(
            "every second rank",
            lambda: beside(
                dense(tp=2, pp=1, cp=2, sp_kind="cp_allgather", cp_decode_use="replicate"),
                layout={"groups": {"tp": [[0, 2], [1, 3]]}},
            ),
        )
    ],
)
def scattered_tp_groups(subject: Subject) -> Iterator[Hit]:
    """Tp groups are runs of consecutive ranks, so that they share the fastest links."""
    yield from layout_hits(subject, "RL002")
