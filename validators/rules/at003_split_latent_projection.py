"""AT003."""

from collections.abc import Iterator

from validators.examples import edit_node, mla
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="AT003",
    stage="typing",
    severity="error",
    message="`{node}` splits `{weight}` by {found}",
    hint="set split of `{node}` to {needed}",
    sources=(
        "vllm: models/deepseek_v2.py:1050-1113",
        "tensorrt-llm: docs/source/features/parallel-strategy.md (fused_A GEMM is not sharded)",
    ),
    knowledge="attention.md#mla-projections-and-splits",
    passes=lambda: named("qkv_a replicated", mla),
    fails=lambda: named("qkv_a by columns", lambda: edit_node(mla(), "mla_prefill.qkv_a", split="column")),
)
def split_latent_projection(subject: Subject) -> Iterator[Hit]:
    """The low-rank projections of MLA feed every head, so every rank computes them whole."""
    return typed(subject, "AT003")
