"""TP014."""

from collections.abc import Iterator

from validators.block_graph import known_weight
from validators.examples_moe import LLAMA_8B, named, planned, with_node
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP014",
    stage="graph",
    severity="error",
    message="`{node}` is a linear over `{weight}`, which is the vector of a norm and is whole on every rank",
    hint="make `{node}` a norm node, or name one of the model's matrices",
    sources=("S1 TP within EP: routing and dispatch remain non-TP", "vllm: fused_moe/router/gate_linear.py:22"),
    knowledge="tensor-parallelism.md#what-stays-replicated",
    passes=lambda: named("norms are norm nodes", lambda: planned(LLAMA_8B, tp=4)),
    fails=lambda: named(
        "gate_up over the norm's vector",
        lambda: with_node(planned(LLAMA_8B, tp=4), "ffn", "gate_up", weight="ffn_norm"),
    ),
)
def split_norm_weight(subject: Subject) -> Iterator[Hit]:
    """Norms (and routers, which name no weight) are replicated: only a matrix can be cut into columns or rows."""
    for _, node, path in subject.places:
        spec = known_weight(subject, node)
        if node.op == "linear" and spec is not None and spec.weight_class == "norm":
            yield Hit(f"{path}/weight", node=node.id, weight=spec.name)
