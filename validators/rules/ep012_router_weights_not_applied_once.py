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
    hint="set apply_router_weight of the expert node to true, or leave it to one combine that reads the router's choice",
    sources=(
        "vllm: model_executor/layers/fused_moe/modular_kernel.py:294-310",
        "vllm: model_executor/layers/fused_moe/topk_weight_and_reduce.py",
    ),
    knowledge="moe.md#router-weights-are-applied-once",
    passes=lambda: named("weights applied by the experts", lambda: moe(ep_lowering="all_gather")),
    fails=lambda: named(
        "weights applied by nobody",
        lambda: edit_node(moe(ep_lowering="all_gather"), "moe.experts", apply_router_weight=False),
    ),
)
def router_weights_not_applied_once(subject: Subject) -> Iterator[Hit]:
    """Each expert's output is weighted by the router once: in the expert or when outputs are combined."""
    return typed(subject, "EP012")
