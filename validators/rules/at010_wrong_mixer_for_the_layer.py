"""AT010."""

from collections.abc import Iterator
from dataclasses import replace

from validators.examples import edit
from validators.examples_moe import QWEN3_NEXT, named, planned
from validators.mismatches import hit, owned
from validators.registry import Hit, rule
from validators.subject import Subject
from validators.typing_pass.site import MIXER_WORDS


@rule(
    code="AT010",
    stage="typing",
    severity="error",
    message="`{node}` of block `{block}` is of {found}, yet the block stands in a layer that has {needed}",
    hint="{repair}",
    sources=("model config.json: layer_types, full_attention_interval",),
    knowledge="linear-attention.md#which-layers-are-linear",
    passes=lambda: named("three recurrences, then attention", _canonical),
    fails=lambda: named("attention in layers that have a recurrence", _attention_first),
)
def wrong_mixer_for_the_layer(subject: Subject) -> Iterator[Hit]:
    """Which layers attend to the whole context and which keep a state is the model's decision."""
    told: set[tuple[str, str]] = set()
    for mismatch in owned(subject, "AT010"):
        key = (mismatch.phase, mismatch.block)
        if key not in told:
            told.add(key)
            absent = mismatch.needed == MIXER_WORDS["none"]
            repair = (
                "leave the block out of those layers"
                if absent
                else f"stamp a block with {mismatch.needed} onto those layers"
            )
            yield hit(replace(mismatch, repair=repair))


def _canonical() -> Subject:
    return planned(QWEN3_NEXT, tp=2, ep=2, ep_lowering="replicated")


def _attention_first() -> Subject:
    """The block with attention stamped onto the first three layers, in both phases."""
    changed = edit(_canonical(), "/branches/prefill/layers/0/blocks/0", "attention")
    return edit(changed, "/branches/decode/layers/0/blocks/0", "attention")
