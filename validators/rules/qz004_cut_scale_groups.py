"""QZ004."""

from collections.abc import Iterator

from strategy.legality import group_scales_whole
from validators.choices import precision_of
from validators.examples_moe import LLAMA_8B, named, planned, with_checkpoint
from validators.nearest import nearest_fit
from validators.registry import Hit, rule
from validators.subject import Subject

_AWQ = with_checkpoint(LLAMA_8B, weights="int4", group_size=128)


@rule(
    code="QZ004",
    stage="strategy",
    severity="error",
    message="a row-split weight leaves ranks a part of a scale group of {group} input features (tp_size={tp_size}, moe tp_size={moe_tp})",
    hint="use smaller tp sizes: each rank's input features must be a multiple of {group}; or a checkpoint with a smaller group_size{nearest}",
    sources=("vllm: distributed/utils.py:137-153",),
    knowledge="quantisation.md#group-quantisation",
    passes=lambda: named("14336 over 8 ranks", lambda: planned(_AWQ, tp=8)),
    fails=lambda: named(
        "11008 over 16 ranks", lambda: planned(_AWQ.model_copy(update={"intermediate_size": 11_008}), tp=16)
    ),
)
def cut_scale_groups(subject: Subject) -> Iterator[Hit]:
    """Input features that share a scale stay on one rank."""
    for path, pool in subject.pools():
        if not group_scales_whole(subject.model, pool, precision_of(subject)):
            yield Hit(
                f"{path}/attention/tp_size",
                group=subject.model.checkpoint.group_size,
                tp_size=pool.attention.tp_size,
                moe_tp=1 if pool.experts is None else pool.experts.tp_size,
                nearest=nearest_fit(subject, pool),
            )
