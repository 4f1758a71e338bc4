"""EP009."""

from collections.abc import Iterator

from validators.examples import edit_node, moe
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP009",
    stage="typing",
    severity="error",
    message="`{node}` routes on {found}",
    hint="insert {repair} before `{node}`",
    sources=(
        "S1 EP Data flow",
        "S1 SP within EP (token visibility)",
        "vllm: models/deepseek_v2.py:411-434",
    ),
    knowledge="moe.md#routing-is-local-to-a-token",
    settles=("X15",),
    passes=lambda: named("routing reads normalised hidden states", moe),
    fails=lambda: named(
        "routing reads an unreduced projection",
        lambda: edit_node(moe(tp=4, dp=1, ep=4, ep_lowering="replicated"), "moe.routing", inputs=["shared_down"]),
    ),
)
def routing_on_partial_sums(subject: Subject) -> Iterator[Hit]:
    """The router scores complete hidden vectors; which tokens a rank holds does not matter to it."""
    return typed(subject, "EP009")
