"""QZ001."""

from collections.abc import Iterator

from strategy.legality import fp8_block, row_split_features
from validators.choices import precision_of, split_choices
from validators.examples_moe import DEEPSEEK_V3, LLAMA_8B, named, planned, with_checkpoint
from validators.registry import Hit, rule
from validators.subject import Subject

_FP8 = with_checkpoint(LLAMA_8B, weights="fp8", block=(128, 128)).model_copy(update={"intermediate_size": 12_800})


@rule(
    code="QZ001",
    stage="strategy",
    severity="error",
    message="{ways} ranks get {slice} of {features} input features of the row-split {weights} weights: not whole fp8 blocks of {block}",
    hint="split them over one of {choices} ranks",
    sources=("vllm: model_executor/layers/quantization/utils/fp8_utils.py:1318-1327",),
    knowledge="quantisation.md#fp8-blocks-and-shards",
    passes=lambda: named("18432 over 16 ranks", lambda: planned(DEEPSEEK_V3, tp=16, ep=16, ep_lowering="replicated")),
    fails=lambda: named("12800 over 8 ranks", lambda: planned(_FP8, tp=8)),
)
def cut_row_blocks(subject: Subject) -> Iterator[Hit]:
    """A block has one scale, so a shard holds whole blocks: those along the inputs of a row-split matrix."""
    for path, pool in subject.pools():
        for weight_class, features, ways in row_split_features(subject.model, pool):
            block = fp8_block(subject.model.checkpoint, precision_of(subject), weight_class)
            if block and ways > 1 and features % ways == 0 and features // ways % block[1]:
                yield Hit(
                    f"{path}/attention/tp_size",
                    ways=ways,
                    slice=features // ways,
                    features=features,
                    weights=weight_class,
                    block=block[1],
                    choices=split_choices(features, block[1], pool.width),
                )
