"""EP002."""

from collections.abc import Iterator

from validators.examples import edit_node, moe
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP002",
    stage="typing",
    severity="error",
    message="`{node}` ({op}) reads {found}, needs {needed}",
    hint="wire it as routing -> dispatch -> expert -> combine: give `{node}` {needed}",
    sources=(
        "S1 EP Data flow",
        "S1 EP Communication",
    ),
    knowledge="expert-parallelism.md#route-dispatch-compute-combine",
    passes=lambda: named("routing, dispatch, expert, combine", moe),
    fails=lambda: named(
        "a dispatch that does not know the router's choice", lambda: edit_node(moe(), "moe.dispatch", inputs=["norm"])
    ),
)
def experts_out_of_order(subject: Subject) -> Iterator[Hit]:
    """Tokens are routed, dispatched, computed and combined, in that order, in every MoE layer."""
    return typed(subject, "EP002")
