"""QZ005."""

from collections.abc import Iterator

from strategy.legality import expert_tp_divides
from validators.choices import precision_of
from validators.examples_moe import QWEN3_30B, named, planned, with_checkpoint
from validators.registry import Hit, rule
from validators.subject import Subject

SCALE_GROUP = {"mxfp4": 32, "nvfp4": 16}
_MXFP4 = with_checkpoint(QWEN3_30B, weights="mxfp4").model_copy(
    update={"moe": QWEN3_30B.moe and QWEN3_30B.moe.model_copy(update={"expert_intermediate_size": 2880})}
)


@rule(
    code="QZ005",
    stage="strategy",
    severity="warning",
    message="moe tp_size={moe_tp} leaves {slice} of the expert width on a rank, which engines pad to {padded} for {dtype}",
    hint="use ep_size instead of moe tp_size, or count {percent:.0f}% more expert weights",
    sources=("vllm: model_executor/layers/fused_moe/b12x.py:469-486",),
    knowledge="quantisation.md#mxfp4-and-nvfp4-padding",
    passes=lambda: named("2880 over 2 ranks", lambda: planned(_MXFP4, tp=4, ep=2, moe_tp=2, ep_lowering="replicated")),
    fails=lambda: named("2880 over 4 ranks", lambda: planned(_MXFP4, tp=4, moe_tp=4, ep_lowering="replicated")),
)
def padded_expert_slices(subject: Subject) -> Iterator[Hit]:
    """Four-bit kernels work on whole scale groups and pad what is left over: bytes and time that no weight asked for."""
    dtype, moe = precision_of(subject).weights, subject.model.moe
    group = SCALE_GROUP.get(dtype)
    for path, pool in subject.pools():
        if (
            group is None
            or moe is None
            or pool.experts is None
            or not expert_tp_divides(subject.model, pool.experts.tp_size)
        ):
            continue
        width = moe.expert_intermediate_size // pool.experts.tp_size
        padded = -(-width // group) * group
        if padded != width:
            yield Hit(
                f"{path}/experts/tp_size",
                moe_tp=pool.experts.tp_size,
                slice=width,
                padded=padded,
                dtype=dtype,
                percent=100 * (padded / width - 1),
            )
