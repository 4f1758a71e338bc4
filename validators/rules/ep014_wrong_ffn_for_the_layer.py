"""EP014."""

from collections.abc import Iterator
from dataclasses import replace

from validators.examples import edit, moe
from validators.examples_moe import named
from validators.mismatches import hit, owned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP014",
    stage="typing",
    severity="error",
    message="`{node}` belongs to a {found} FFN, yet block `{block}` stands in a layer whose FFN is {needed}",
    hint="{repair}",
    sources=("model config.json: first_k_dense_replace, moe_layer_freq, mlp_only_layers, decoder_sparse_step",),
    knowledge="moe.md#which-layers-are-moe",
    settles=("X24",),
    passes=lambda: named("a dense first layer", moe),
    fails=lambda: named(
        "experts in the dense first layer", lambda: edit(moe(), "/branches/prefill/layers/0/blocks/1", "moe")
    ),
)
def wrong_ffn_for_the_layer(subject: Subject) -> Iterator[Hit]:
    """Which layers have experts and which a dense FFN is the model's decision."""
    told: set[tuple[str, str]] = set()
    for mismatch in owned(subject, "EP014"):
        key = (mismatch.phase, mismatch.block)
        if key not in told:
            told.add(key)
            absent = mismatch.needed == "none"
            repair = (
                "leave the block out of those layers"
                if absent
                else f"stamp a block with a {mismatch.needed} FFN onto those layers"
            )
            yield hit(replace(mismatch, repair=repair))
