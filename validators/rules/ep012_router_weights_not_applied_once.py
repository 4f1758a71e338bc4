"""EP012."""

from collections.abc import Iterator

from validators.examples import edit_node, moe
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP012",
    stage="typing",
    severity="error",
    message="router weights are {found} on the way to `{node}`, needed: {needed}",
    hint="{repair}",
    sources=(
        "vllm: model_executor/layers/fused_moe/modular_kernel.py:294-310",
        "vllm: model_executor/layers/fused_moe/topk_weight_and_reduce.py",
    ),
    knowledge="moe.md#router-weights-are-applied-once",
    passes=lambda: [
        *named("weights applied by the experts", moe),
        *named("weights applied by the combine", lambda: _by_combine(by_experts=False)),
    ],
    fails=lambda: [
        *named("weights applied by nobody", lambda: edit_node(moe(), "moe.experts", apply_router_weight=False)),
        *named("weights applied twice", lambda: _by_combine(by_experts=True)),
    ],
)
def router_weights_not_applied_once(subject: Subject) -> Iterator[Hit]:
    """Each expert's output is weighted by the router once: in the expert or when outputs are combined."""
    return typed(subject, "EP012")


def _by_combine(*, by_experts: bool) -> Subject:
    return edit_node(
        edit_node(moe(), "moe.experts", apply_router_weight=by_experts), "moe.combine", apply_router_weight=True
    )
