"""QZ004."""

from collections.abc import Iterator

from strategy.legality import group_scales_whole, legal_tp_sizes
from strategy.strategy import Pool
from validators.choices import listed, precision_of
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
    hint="set attention.tp_size to one of {choices}, and experts.tp_size no larger: each rank's input features must be a multiple of {group}; or a checkpoint with a smaller group_size{nearest}",
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
                choices=listed(_whole(subject, pool)),
                nearest=nearest_fit(subject, pool),
            )


def _whole(subject: Subject, pool: Pool) -> list[int]:
    """Smaller tp sizes that leave whole groups."""
    precision = precision_of(subject)
    smaller = legal_tp_sizes(subject.model, pool.attention.tp_size - 1)
    meshes = {tp: pool.attention.model_copy(update={"tp_size": tp}) for tp in smaller}
    return [
        tp
        for tp, mesh in meshes.items()
        if group_scales_whole(subject.model, pool.model_copy(update={"attention": mesh}), precision)
    ]
