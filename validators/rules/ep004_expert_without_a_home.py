"""EP004."""

from collections.abc import Iterator

from validators.examples import beside, example, moe
from validators.layouts import layout_hits
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP004",
    stage="layout",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S1 §5.1", "vllm: layers/fused_moe/expert_map_manager.py:22-112"),
    knowledge="expert-parallelism.md#every-expert-has-a-home",
    passes=lambda: [example("two each", lambda: beside(moe(), layout={"experts": [[0, 1], [2, 3], [4, 5], [6, 7]]}))],
    fails=lambda: [
        example("expert 7 forgotten", lambda: beside(moe(), layout={"experts": [[0, 1], [2, 3], [4, 5], [6, 6]]}))
    ],
)
def expert_without_a_home(subject: Subject) -> Iterator[Hit]:
    """Every routed expert lies on an ep rank, and on one only unless copies are declared."""
    yield from layout_hits(subject, "EP004")
