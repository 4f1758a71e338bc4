"""QZ003."""

from collections.abc import Iterator

from strategy.legality import expert_tp_divides, fp8_block_experts, legal_moe_tp_sizes
from validators.choices import listed, precision_of
from validators.examples_moe import QWEN3_30B, named, planned, with_checkpoint
from validators.registry import Hit, rule
from validators.subject import Subject

_FP8 = with_checkpoint(QWEN3_30B, weights="fp8", block=(128, 128))


@rule(
    code="QZ003",
    stage="strategy",
    severity="error",
    message="moe tp_size={moe_tp} leaves {slice} of the expert width {width} on a rank: not whole fp8 blocks of {block}",
    hint="set experts.tp_size to one of {choices}, and use ep_size for the other ranks",
    sources=(
        "vllm: model_executor/layers/quantization/utils/fp8_utils.py:1347-1373",
        "aiconfigurator: sdk/models/moe.py _validate_fp8_block_quantized_moe_config",
    ),
    knowledge="quantisation.md#fp8-blocks-and-experts",
    passes=lambda: named("768 over 2 ranks", lambda: planned(_FP8, tp=4, ep=2, moe_tp=2, ep_lowering="replicated")),
    fails=lambda: named("768 over 4 ranks", lambda: planned(_FP8, tp=4, moe_tp=4, ep_lowering="replicated")),
)
def cut_expert_blocks(subject: Subject) -> Iterator[Hit]:
    """A block has one scale, so a slice of an expert is whole blocks."""
    model, precision = subject.model, precision_of(subject)
    for path, pool in subject.pools():
        if model.moe is None or pool.experts is None or model.checkpoint.block is None:
            continue
        moe_tp = pool.experts.tp_size
        if expert_tp_divides(model, moe_tp) and not fp8_block_experts(model, moe_tp, precision):
            yield Hit(
                f"{path}/experts/tp_size",
                moe_tp=moe_tp,
                slice=model.moe.expert_intermediate_size // moe_tp,
                width=model.moe.expert_intermediate_size,
                block=max(model.checkpoint.block),
                choices=listed(legal_moe_tp_sizes(model, pool.width, precision)),
            )
