"""TP014."""

from collections.abc import Iterator

from validators.examples import dense, edit_node
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP014",
    stage="typing",
    severity="error",
    message="`{node}` ({op}) names weight `{found}`",
    hint="use one of {needed}",
    sources=(
        "S1 TP within EP: routing and dispatch remain non-TP",
        "vllm: model_executor/layers/fused_moe/router/gate_linear.py:22",
    ),
    knowledge="tensor-parallelism.md#what-stays-replicated",
    passes=lambda: named("norm nodes name norms", lambda: dense(tp=4)),
    fails=lambda: named(
        "a linear over the norm's vector", lambda: edit_node(dense(tp=4), "ffn.gate_up", weight="ffn_norm")
    ),
)
def norm_or_matrix_misnamed(subject: Subject) -> Iterator[Hit]:
    """Norms and routers are whole on every rank and matrices are split, so a node may only name a weight of its kind."""
    return typed(subject, "TP014")
