"""QZ002."""

from collections.abc import Iterator

from strategy.legality import column_split_features, fp8_block, row_split_features
from validators.choices import precision_of, split_choices
from validators.examples_moe import DEEPSEEK_V3, LLAMA_8B, named, planned, with_checkpoint
from validators.registry import Hit, rule
from validators.subject import Subject

_NARROW = with_checkpoint(LLAMA_8B, weights="fp8", block=(128, 128)).model_copy(
    update={"attention": LLAMA_8B.attention.model_copy(update={"head_dim": 64, "num_heads": 64})}
)


@rule(
    code="QZ002",
    stage="strategy",
    severity="error",
    message="{ways} ranks get {slice} of {features} output features of a column-split {weights} weight: not whole fp8 blocks of {block}",
    hint="split it over one of {choices} ranks",
    sources=("vllm: model_executor/layers/quantization/utils/fp8_utils.py:1329-1344",),
    knowledge="quantisation.md#fp8-blocks-and-shards",
    passes=lambda: named("24576 over 16 ranks", lambda: planned(DEEPSEEK_V3, tp=16, ep=16, ep_lowering="replicated")),
    fails=lambda: named("8 KV heads of 64 over 8 ranks", lambda: planned(_NARROW, tp=8)),
)
def cut_column_blocks(subject: Subject) -> Iterator[Hit]:
    """A block has one scale, so a shard holds whole blocks: those along the outputs of each part of a column-split matrix."""
    for path, pool in subject.pools():
        in_rows = row_split_features(subject.model, pool)  # an FFN width is cut alike on both sides: QZ001 speaks of it
        for weight_class, features, ways in column_split_features(subject.model, pool):
            block = fp8_block(subject.model.checkpoint, precision_of(subject), weight_class)
            told = (weight_class, features, ways) in in_rows and block is not None and block[0] == block[1]
            if block and not told and ways > 1 and features % ways == 0 and features // ways % block[0]:
                yield Hit(
                    f"{path}/attention/tp_size",
                    ways=ways,
                    slice=features // ways,
                    features=features,
                    weights=weight_class,
                    block=block[0],
                    choices=split_choices(features, block[0], pool.width),
                )
