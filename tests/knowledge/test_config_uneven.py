"""config.json files whose layers have sizes of their own: architecture searches and layer-wise scaling."""

from typing import Any

import pytest

from knowledge.catalogue import find_model
from knowledge.hf_config import parse_config
from strategy.errors import InputError
from strategy.model import GqaAttention, LayerShape, ModelSpec
from strategy.parameters import parameters

SEARCHED = {
    "architectures": ["DeciLMForCausalLM"], "model_type": "nemotron-nas", "hidden_size": 2048, "intermediate_size": None,
    "num_attention_heads": 32, "num_hidden_layers": 6, "num_key_value_heads": None, "vocab_size": 32128, "tie_word_embeddings": False,
}  # fmt: skip
HALVES = {"no_op": False, "replace_with_linear": False}
DECILM = {
    "architectures": ["DeciLMForCausalLM"], "model_type": "deci", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_hidden_layers": 6, "num_key_value_heads_per_layer": [4, 4, 2, 1, 1, 4], "vocab_size": 32000, "tie_word_embeddings": False,
}  # fmt: skip
OPENELM = {
    "architectures": ["OpenELMForCausalLM"], "model_type": "openelm", "activation_fn_name": "swish", "ffn_dim_divisor": 256,
    "ffn_with_glu": True, "head_dim": 64, "max_context_length": 2048, "model_dim": 2048, "normalize_qk_projections": True,
    "num_gqa_groups": 4, "num_transformer_layers": 28, "share_input_output_layers": True, "vocab_size": 32000,
    "ffn_multipliers": [0.5, 0.63, 0.76, 0.89, 1.02, 1.15, 1.28, 1.41, 1.54, 1.67, 1.8, 1.93, 2.06, 2.19, 2.31, 2.44, 2.57, 2.7, 2.83,
                        2.96, 3.09, 3.22, 3.35, 3.48, 3.61, 3.74, 3.87, 4.0],
    "num_kv_heads": [4] * 3 + [5] * 7 + [6] * 8 + [7] * 6 + [8] * 4,
    "num_query_heads": [16] * 3 + [20] * 7 + [24] * 8 + [28] * 6 + [32] * 4,
}  # fmt: skip
"""OpenELM 1.1B."""


def block(group: int | None, multiple: float | None, **ffn: Any) -> dict[str, Any]:
    """One entry of `block_configs` as DeciLM's files write it; None for a half that the layer lacks."""
    attention = {**HALVES, "n_heads_in_group": group, "no_op": group is None}
    return {"attention": attention, "ffn": {**HALVES, "ffn_mult": multiple, "no_op": multiple is None, **ffn}}


BLOCKS = [block(8, 2.0), block(16, 2.0), block(None, 2.0), block(None, None), block(8, None), block(8, 0.3)]


def parsed(config: dict[str, Any], **changes: Any) -> ModelSpec:
    return parse_config({**config, **changes}, name="given")


def test_blocks_of_a_search_are_read_layer_by_layer() -> None:
    model = parsed(SEARCHED, block_configs=BLOCKS)

    assert model.attention == GqaAttention(num_heads=32, num_kv_heads=4, head_dim=64)
    assert model.intermediate_size == 2816  # two thirds of 2 x 2048, rounded up to a multiple of 256
    assert model.no_mixer_layers == (2, 3)
    assert model.no_ffn_layers == (3, 4)
    assert model.layer_shapes == (
        LayerShape(range=(1, 2), num_kv_heads=2),
        LayerShape(range=(5, 6), intermediate_size=512),
    )


def test_later_files_state_heads_and_widths_themselves() -> None:
    stated = [{"attention": {"no_op": False, "num_key_value_heads": 8}, "ffn": {"intermediate_size": 4096, "gated": True, "hidden_act": "silu"}}]  # fmt: skip

    model = parsed(SEARCHED, block_configs=stated * 6)

    assert (model.attention.num_heads, model.intermediate_size, model.layer_shapes) == (32, 4096, ())


def test_deci_lists_the_kv_heads_of_every_layer() -> None:
    model = parsed(DECILM)

    assert [view.attention.num_kv_heads for view in map(model.at, range(6))] == [4, 4, 2, 1, 1, 4]  # type: ignore[union-attr]
    assert model.layer_shapes == (LayerShape(range=(2, 3), num_kv_heads=2), LayerShape(range=(3, 5), num_kv_heads=1))


def test_openelm_scales_heads_and_ffns_and_has_its_published_size() -> None:
    model = parsed(OPENELM)

    assert (model.num_layers, model.hidden_size, model.tie_word_embeddings) == (28, 2048, True)
    assert [model.at(layer).intermediate_size for layer in (0, 1, 13, 27)] == [1024, 1280, 4608, 8192]
    assert [model.at(layer).attention.num_heads for layer in (0, 3, 27)] == [16, 20, 32]
    assert isinstance(model.attention, GqaAttention)
    assert model.attention.qk_norm
    assert parameters(model) / 1e9 == pytest.approx(1.08, rel=0.005)


STEP = {
    "architectures": ["Step3p5ForCausalLM"], "model_type": "step3p5", "hidden_size": 4096, "intermediate_size": 11264, "head_dim": 128,
    "num_hidden_layers": 5, "num_attention_heads": 64, "num_attention_groups": 8, "vocab_size": 128896, "sliding_window": 512,
    "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention", "sliding_attention", "sliding_attention"],
    "attention_other_setting": {"attention_type": "sliding_attention", "num_attention_heads": 96, "num_attention_groups": 8, "head_dim": 128},
}  # fmt: skip
"""With one entry of `layer_types` for multi-token prediction."""


def test_step_has_other_heads_in_the_layers_with_a_window() -> None:
    model = parsed(STEP)

    assert [view.attention.num_heads for view in map(model.at, range(5))] == [64, 96, 96, 64, 96]
    assert model.layer_shapes == (LayerShape(range=(1, 3), num_heads=96), LayerShape(range=(4, 5), num_heads=96))
    assert model.window is not None
    assert model.window.layers == (1, 2, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"layer_types": ["full_attention"] * 4},
        {"layer_types": None},
        {"attention_other_setting": ["sliding_attention"]},
        {"attention_other_setting": {**STEP["attention_other_setting"], "head_dim": 64}},  # type: ignore[dict-item]
        {"attention_other_setting": {"attention_type": "sliding_attention", "num_attention_heads": 96}},
    ],
)
def test_another_setting_that_is_not_whole_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        parsed(STEP, **changes)

    assert caught.value.pointer == "/attention_other_setting"


def test_equal_layers_leave_no_shapes() -> None:
    model = parsed(SEARCHED, block_configs=[block(8, 2.0)] * 6)

    assert (model.layer_shapes, model.no_mixer_layers, model.no_ffn_layers) == ((), (), ())


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (BLOCKS[:5], "has 5 entries"),
        ("many", "is 'many'"),
        ([{"block_type": "mamba"}] * 6, "`attention` and `ffn` are read"),
        ([{**block(8, 2.0), "attention": {**HALVES, "replace_with_linear": True}}] * 6, "one linear layer"),
        ([{**block(8, 2.0), "ffn": {**HALVES, "replace_with_linear": True}}] * 6, "one linear layer"),
        ([block(8, 2.0, moe={"num_local_experts": 8})] * 6, "`moe`"),
        (
            [{"attention": {"n_heads_in_group": 8, "window_length": 1024}, "ffn": {"ffn_mult": 2.0}}] * 6,
            "`window_length`",
        ),
        ([block(5, 2.0)] * 6, "do not divide"),
        ([block(8, -1.0)] * 6, "`ffn_mult`"),
        ([block(8, True)] * 6, "`ffn_mult`"),
        ([block(0, 2.0)] * 6, "whole number"),
        ([block(None, 2.0)] * 6, "no_mixer_layers"),
    ],
)
def test_blocks_that_are_not_expressed_are_refused_by_what_they_say(blocks: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parsed(SEARCHED, block_configs=blocks)


@pytest.mark.parametrize(
    ("config", "changes", "named"),
    [
        (DECILM, {"num_key_value_heads_per_layer": [4, 4]}, "num_key_value_heads_per_layer"),
        (DECILM, {"num_key_value_heads_per_layer": [4, 4, 2, 1, 1, "4"]}, "num_key_value_heads_per_layer"),
        (OPENELM, {"num_kv_heads": [4] * 27}, "num_kv_heads"),
        (OPENELM, {"ffn_multipliers": [None] * 28}, "ffn_multipliers"),
        (OPENELM, {"num_query_heads": None}, "num_query_heads"),
    ],
)
def test_lists_that_do_not_fit_the_layers_are_refused(
    config: dict[str, Any], changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError) as caught:
        parsed(config, **changes)

    assert caught.value.pointer == f"/{named}"


@pytest.mark.parametrize(
    ("name", "total", "without_attention", "without_ffn", "kv_kib"),
    [
        ("nvidia/Llama-3_3-Nemotron-Super-49B-v1", 49_867_145_216, 31, 0, 196),
        ("nvidia/Llama-3_3-Nemotron-Super-49B-v1_5", 49_867_145_216, 31, 0, 196),
        ("nvidia/Llama-3_1-Nemotron-Ultra-253B-v1", 253_401_268_224, 98, 81, 256),
    ],
)
def test_nemotrons_of_a_search_have_the_parameters_of_their_checkpoints(
    name: str, total: int, without_attention: int, without_ffn: int, kv_kib: int
) -> None:
    model = find_model(name)

    assert parameters(model) == total
    assert len(model.no_mixer_layers) == without_attention
    assert len(model.no_ffn_layers) == without_ffn
    assert model.attention_layers * 2 * 8 * 128 * 2 == kv_kib * 1024


def test_decilm_7b_has_the_parameters_of_its_checkpoint() -> None:
    model = find_model("Deci/DeciLM-7B-instruct")

    assert parameters(model) / 1e9 == pytest.approx(7.04, rel=0.001)
    assert [view.attention.num_kv_heads for view in map(model.at, (0, 5, 10, 20, 31))] == [4, 2, 4, 1, 4]  # type: ignore[union-attr]


def test_a_quantisation_has_the_layers_of_its_model_and_a_checkpoint_of_its_own() -> None:
    whole, small = find_model("nemotron-super-49b"), find_model("nvidia/Llama-3_3-Nemotron-Super-49B-v1_5-FP8")

    assert small.layer_shapes == whole.layer_shapes
    assert (whole.checkpoint.weights, small.checkpoint.weights) == ("bf16", "fp8")
