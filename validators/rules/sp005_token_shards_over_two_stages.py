"""SP005."""

from collections.abc import Iterator

from validators.examples import beside, dense, example
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP005",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S1 §6.2.4",),
    knowledge="sequence-parallelism.md#with-pipeline-stages",
    passes=lambda: [
        example(
            "inside the stage",
            lambda: beside(
                dense(tp=1, pp=2, cp=2, sp_kind="cp_allgather", cp_decode_use="replicate"),
                layout={"groups": {"cp": [[0, 1], [2, 3]]}},
            ),
        )
    ],
    fails=lambda: [
        example(
            "over both stages",
            lambda: beside(
                dense(tp=1, pp=2, cp=2, sp_kind="cp_allgather", cp_decode_use="replicate"),
                layout={"groups": {"cp": [[0, 2], [1, 3]]}},
            ),
        )
    ],
)
def token_shards_over_two_stages(subject: Subject) -> Iterator[Hit]:
    """Shards of a prompt are exchanged inside a stage."""
    yield from layout_hits(subject, "SP005")
