"""AT004."""

from collections.abc import Iterator

from validators.examples import edit_node, mla
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="AT004",
    stage="typing",
    severity="error",
    message="`{node}` stores {found}, needs {needed}",
    hint="store the output of the kv_a_norm node, which is Replicated over tp",
    sources=(
        "S2 Why: KV cache cannot be sharded along the head dimension",
        "vllm: config/model.py:1673-1675",
    ),
    knowledge="attention.md#the-latent-cache-is-never-split-by-heads",
    passes=lambda: named("the latent is cached", mla),
    fails=lambda: named(
        "expanded K and V are cached",
        lambda: edit_node(edit_node(mla(), "mla_prefill.kv", inputs=["kv_b"]), "mla_prefill.kv_b", inputs=["kv_norm"]),
    ),
)
def split_latent_cache(subject: Subject) -> Iterator[Hit]:
    """The MLA cache is one latent for all heads: it has no head dimension to split."""
    return typed(subject, "AT004")
