"""config.json files as families write them: each trap once, on the fields of a real file."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.catalogue import models
from knowledge.hf_config import parse_config
from strategy.errors import InputError
from strategy.model import GqaAttention, Mamba2, MlaAttention, ModelSpec
from strategy.parameters import active_parameters, parameters
from strategy.quantisation import weight_bytes_per_element, weight_dtype
from strategy.request import Precision

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
    "rope_theta": 500000.0,
    "a_key_nobody_knows": {"deep": [1, 2]},
}
DEEPSEEK: dict[str, Any] = dict(models()["deepseek-v3"].config)
QWEN2_MOE = {
    **LLAMA,
    "model_type": "qwen2_moe",
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "intermediate_size": 5632,
    "num_experts": 60,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 1408,
    "shared_expert_intermediate_size": 5632,
    "decoder_sparse_step": 1,
    "vocab_size": 151936,
    "sliding_window": 32768,
    "use_sliding_window": False,
    "max_window_layers": 21,
}


def parsed(config: dict[str, Any]) -> ModelSpec:
    return parse_config(config, name="model")


def changed(config: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """`config` with fields set, or taken out where the value is `...`."""
    result = {**copy.deepcopy(config), **fields}
    return {key: value for key, value in result.items() if value is not ...}


def test_a_dense_gqa_config_gives_its_shapes_and_ignores_unknown_keys() -> None:
    model = parsed(LLAMA)

    assert model.attention == GqaAttention(num_heads=32, num_kv_heads=8, head_dim=128)
    assert (model.intermediate_size, model.moe, model.checkpoint.weights) == (14336, None, "bf16")
    assert round(parameters(model) / 1e9, 2) == 8.03


def test_absent_kv_heads_mean_one_per_query_head() -> None:
    attention = parsed(changed(LLAMA, num_key_value_heads=...)).attention

    assert isinstance(attention, GqaAttention)
    assert attention.num_kv_heads == 32


def test_head_dim_is_taken_as_given_even_when_heads_do_not_divide_the_hidden_size() -> None:
    attention = parsed(changed(LLAMA, hidden_size=5120, num_attention_heads=96, head_dim=128)).attention

    assert attention == GqaAttention(num_heads=96, num_kv_heads=8, head_dim=128)


def test_mla_ignores_kv_heads_and_head_dim() -> None:
    for head_dim in (64, 192):
        attention = parsed(changed(DEEPSEEK, head_dim=head_dim, num_key_value_heads=128)).attention

        assert attention == MlaAttention(
            num_heads=128,
            q_lora_rank=1536,
            kv_lora_rank=512,
            qk_nope_head_dim=128,
            qk_rope_head_dim=64,
            v_head_dim=128,
        )


def test_mla_without_a_query_rank_projects_queries_directly() -> None:
    attention = parsed(changed(DEEPSEEK, q_lora_rank=None)).attention

    assert isinstance(attention, MlaAttention)
    assert attention.q_lora_rank is None


@pytest.mark.parametrize("spelling", ["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"])
def test_every_spelling_of_the_expert_count_is_read(spelling: str) -> None:
    config = changed(QWEN2_MOE, **{"num_experts": ..., spelling: 60})

    moe = parsed(config).moe

    assert moe is not None
    assert moe.num_experts == 60


@pytest.mark.parametrize(
    "spelling", ["num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_k"]
)
def test_every_spelling_of_top_k_is_read_and_the_sampling_field_is_not(spelling: str) -> None:
    moe = parsed(changed(QWEN2_MOE, **{"num_experts_per_tok": ..., "top_k": 50, spelling: 6})).moe

    assert moe is not None
    assert moe.top_k == 6


def test_intermediate_size_is_the_expert_width_where_no_other_is_given() -> None:
    mixtral = changed(LLAMA, num_local_experts=8, num_experts_per_tok=2, model_type="mixtral", vocab_size=32000)

    model = parsed(mixtral)

    assert model.moe is not None
    assert (model.moe.expert_intermediate_size, model.intermediate_size) == (14336, None)
    assert round(parameters(model) / 1e9, 2) == 46.70


def test_intermediate_size_is_unused_when_every_layer_has_experts() -> None:
    assert parsed(QWEN2_MOE).intermediate_size is None


def test_shared_experts_come_as_a_width_or_as_a_count() -> None:
    by_width = parsed(QWEN2_MOE).moe
    by_count = parsed(changed(QWEN2_MOE, shared_expert_intermediate_size=..., num_shared_experts=2)).moe

    assert by_width is not None
    assert by_width.shared_intermediate_size == 5632
    assert by_count is not None
    assert by_count.shared_intermediate_size == 2816


def test_llama4_has_one_shared_expert_and_experts_on_every_second_layer() -> None:
    config = dict(models()["llama-4-maverick-17b-128e"].config)

    model = parsed(config)

    assert model.moe is not None
    assert model.moe.shared_intermediate_size == 8192
    assert model.intermediate_size == 16384
    assert model.dense_layers == tuple(range(0, 48, 2))


@pytest.mark.parametrize(
    ("fields", "dense"),
    [
        ({"first_k_dense_replace": 3, "decoder_sparse_step": ...}, (0, 1, 2)),
        ({"decoder_sparse_step": 2}, tuple(range(0, 24, 2))),
        ({"mlp_only_layers": [0, 5]}, (0, 5)),
        ({"moe_layer_freq": [0, 0, *[1] * 22], "decoder_sparse_step": ...}, (0, 1)),
        ({"mlp_layer_types": ["dense", *["sparse"] * 23]}, (0,)),
        ({"moe_layers_enum": ",".join(map(str, range(4, 24)))}, (0, 1, 2, 3)),
        (
            {
                "decoder_sparse_step": ...,
                "moe_layer_interval": 1,
                "moe_layer_start_index": 1,
                "moe_layer_end_index": 22,
            },
            (0, 23),
        ),
    ],
)
def test_every_convention_for_dense_layers_is_read(fields: dict[str, Any], dense: tuple[int, ...]) -> None:
    model = parsed(changed(QWEN2_MOE, **fields))

    assert model.dense_layers == dense
    assert model.intermediate_size == 5632


def test_null_experts_mean_a_dense_model() -> None:
    assert parsed(changed(LLAMA, num_experts=None, num_local_experts=0)).moe is None


def test_nested_text_fields_are_read_and_pointed_at() -> None:
    nested = {"model_type": "some_vl", "text_config": LLAMA, "vision_config": {"hidden_size": 1280}}

    assert parsed(nested).hidden_size == 4096
    with pytest.raises(InputError) as caught:
        parsed({"text_config": changed(LLAMA, vocab_size="many")})
    assert caught.value.pointer == "/text_config/vocab_size"


def test_group_limited_routing_is_kept() -> None:
    moe = parsed(DEEPSEEK).moe

    assert moe is not None
    assert (moe.num_expert_groups, moe.top_k_groups) == (8, 4)


@pytest.mark.parametrize(
    ("fields", "layers"),
    [
        ({"sliding_window": 1024}, tuple(range(32))),
        ({"sliding_window": None}, None),
        ({"sliding_window": 131072}, None),
        ({"sliding_window": 1024, "use_sliding_window": False}, None),
        ({"sliding_window": 1024, "model_type": "qwen2"}, None),
        (
            {"sliding_window": 1024, "use_sliding_window": True, "max_window_layers": 28, "model_type": "qwen2"},
            (28, 29, 30, 31),
        ),
        ({"sliding_window": 1024, "model_type": "gemma2"}, tuple(range(0, 32, 2))),
        ({"sliding_window": 1024, "sliding_window_pattern": 4}, tuple(i for i in range(32) if i % 4 != 3)),
        ({"sliding_window": 1024, "sliding_window_pattern": "LG"}, tuple(range(0, 32, 2))),
        ({"sliding_window": 1024, "layer_types": ["sliding_attention", *["full_attention"] * 31]}, (0,)),
    ],
)
def test_windows_are_where_the_family_puts_them(fields: dict[str, Any], layers: tuple[int, ...] | None) -> None:
    window = parsed(changed(LLAMA, **fields)).window

    assert (window and window.layers) == layers


FP8_BLOCK = {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ["lm_head"]}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}
AWQ8 = {"quant_method": "awq", "bits": 8, "group_size": 64}
PACKED = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32}}},
    "ignore": ["lm_head", "re:.*self_attn.*"],
}
MODELOPT = {"quant_algo": "NVFP4", "exclude_modules": [f"model.layers.{i}.self_attn*" for i in range(32)]}
FEW_LAYERS = {**FP8_BLOCK, "modules_to_not_convert": [f"model.layers.{i}.self_attn" for i in (0, 31)]}


@pytest.mark.parametrize(
    ("quantisation", "weights", "block", "group_size", "attention_quantised"),
    [
        (FP8_BLOCK, "fp8", (128, 128), None, True),
        ({"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["self_attn"]}, "fp8", None, None, False),
        (GPTQ, "int4", None, 128, True),
        (AWQ8, "int8", None, 64, True),
        (PACKED, "int4", None, 32, False),
        (MODELOPT, "nvfp4", None, None, False),
        (FEW_LAYERS, "fp8", (128, 128), None, True),
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}, "mxfp4", None, None, False),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4", None, 64, True),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4"}}}, "mxfp4", None, None, True),
    ],
)
def test_every_quantisation_method_is_read(
    quantisation: dict[str, Any], weights: str, block: object, group_size: int | None, attention_quantised: bool
) -> None:
    checkpoint = parsed(changed(LLAMA, quantization_config=quantisation)).checkpoint

    assert (checkpoint.weights, checkpoint.block, checkpoint.group_size) == (weights, block, group_size)
    assert ("attention" not in checkpoint.unquantised) == attention_quantised
    assert {"embedding", "lm_head", "norm", "router"} <= set(checkpoint.unquantised)


def test_compressed_experts_leave_attention_dense_ffn_and_shared_experts_alone() -> None:
    checkpoint = parsed(dict(models()["kimi-k2.5"].config)).checkpoint

    assert set(checkpoint.unquantised) >= {"attention", "dense_ffn", "shared_expert"}
    assert "expert" not in checkpoint.unquantised


def test_a_pattern_that_could_take_exponential_time_is_not_matched() -> None:
    evil = {**PACKED, "ignore": ["re:(.*a)*self_attn(x+x+)+y"]}

    assert "attention" not in parsed(changed(LLAMA, quantization_config=evil)).checkpoint.unquantised


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"linear_attn_config": {"kda_layers": [1]}}, "Kimi delta attention"),
        ({"attn_type_list": [0, 1]}, "lightning attention"),
        ({"hybrid_override_pattern": "M-M*"}, "state space"),
        ({"mamba_d_state": 128}, "state space"),
        ({"model_type": "falcon_h1", "mamba_n_heads": 24, "mamba_d_ssm": 3072}, "state space"),
        ({"attn_layer_period": 8, "mamba_d_state": 16}, "state space"),
        ({"rwkv_version": 7}, "RWKV"),
    ],
)
def test_a_recurrence_of_another_kind_is_refused_by_its_name_with_the_one_that_is_modelled(
    fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told) as refused:
        parsed(changed(LLAMA, **fields))

    assert "gated delta net of Qwen3-Next and Qwen3.5" in str(refused.value)


DELTA_NET = {
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 64,
}


def test_a_gated_delta_net_is_read_with_its_layers() -> None:
    by_interval = parsed(changed(LLAMA, **DELTA_NET, full_attention_interval=8))
    listed = ["full_attention", *["linear_attention"] * 31]
    by_list = parsed(changed(LLAMA, **DELTA_NET, layer_types=listed, linear_conv_kernel_dim=3))

    assert by_interval.linear_layers == tuple(layer for layer in range(32) if layer % 8 != 7)
    assert by_interval.linear is not None
    assert (by_interval.linear.value_head_dim, by_interval.linear.conv_kernel) == (64, 4)
    assert by_list.linear_layers == tuple(range(1, 32))
    assert by_list.linear is not None
    assert by_list.linear.conv_kernel == 3
    assert by_list.window is None
    assert "priced with the kernel efficiencies of attention" in by_list.provenance.note


BLOCKS = {
    "model_type": "nemotron_h",
    "num_hidden_layers": 7,
    "hybrid_override_pattern": "M-M*EM-",
    "mlp_hidden_act": "relu2",
    "mamba_num_heads": 64,
    "mamba_head_dim": 80,
    "n_groups": 8,
    "ssm_state_size": 128,
    "chunk_size": 128,
    "mamba_ssm_cache_dtype": "bfloat16",
}
EXPERTS = {"n_routed_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 512, "moe_latent_size": 1024}


def test_layers_of_one_block_are_read_from_their_pattern() -> None:
    model = parsed(changed(LLAMA, **BLOCKS, **EXPERTS))

    assert model.linear == Mamba2(
        num_heads=64, head_dim=80, num_groups=8, state_size=128, chunk_tokens=128, state_dtype="bf16"
    )
    assert model.linear_layers == (0, 2, 5)
    assert model.no_mixer_layers == (1, 4, 6)
    assert model.no_ffn_layers == (0, 2, 3, 5)
    assert model.dense_layers == (1, 6)
    assert [model.layer_kind(layer) for layer in (3, 4, 6)] == [
        ("attention", "none"),
        ("none", "moe"),
        ("none", "dense"),
    ]
    assert model.moe is not None
    assert model.moe.latent_size == 1024
    assert not model.ffn_gated
    assert "priced with the kernel efficiencies of attention" in model.provenance.note


def test_what_is_fp8_beside_four_bits_is_read_block_by_block() -> None:
    layers = {
        "backbone.layers.0.mixer.in_proj": {"quant_algo": "FP8"},
        "backbone.layers.0.mixer.out_proj": {"quant_algo": "FP8"},
        "backbone.layers.4.mixer.experts.0.up_proj": {"quant_algo": "W4A16_NVFP4", "group_size": 16},
        "backbone.layers.4.mixer.experts.1.up_proj": {"quant_algo": "W4A16_NVFP4", "group_size": 16},
        "backbone.layers.4.mixer.shared_experts.up_proj": {"quant_algo": "FP8"},
    }
    quantised = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers}
    model = parsed(changed(LLAMA, **BLOCKS, **EXPERTS, quantization_config=quantised))
    served = Precision(weights="nvfp4", activations="bf16", kv="fp8")
    held = {
        name: weight_bytes_per_element(model, served, name)
        for name in ("expert", "shared_expert", "attention", "dense_ffn")
    }

    assert model.checkpoint.weights == "nvfp4"
    assert set(model.checkpoint.in_fp8) == {"attention", "shared_expert"}
    assert held == {"expert": 0.5625, "shared_expert": 1.0, "attention": 1.0, "dense_ffn": 2.0}
    assert weight_dtype(model, served, "attention") == "fp8"
    assert weight_dtype(model, served, "expert") == "nvfp4"


def test_blocks_may_be_listed_by_name_and_their_number_left_out() -> None:
    names = {"M": "mamba", "-": "mlp", "*": "attention", "E": "moe"}
    listed = [names[block] for block in str(BLOCKS["hybrid_override_pattern"])]
    given = {name: value for name, value in BLOCKS.items() if name != "hybrid_override_pattern"}
    by_name = changed(LLAMA, **given | EXPERTS | {"layers_block_type": listed, "num_hidden_layers": None})

    assert parsed(by_name) == parsed(changed(LLAMA, **BLOCKS, **EXPERTS))


def test_experts_that_no_block_has_are_none() -> None:
    model = parsed(changed(LLAMA, **{**BLOCKS, **EXPERTS, "hybrid_override_pattern": "M-M*-M-"}))

    assert model.moe is None
    assert model.intermediate_size == 14336


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"hybrid_override_pattern": "M-M*"}, "num_hidden_layers"),
        ({"hybrid_override_pattern": "M-MxEM-"}, "hybrid_override_pattern"),
        ({"layers_block_type": ["mamba", "hybrid"]}, "layers_block_type"),
        ({"ssm_state_size": None}, "ssm_state_size"),
        ({"mamba_ssm_cache_dtype": "float8"}, "mamba_ssm_cache_dtype"),
        ({"mamba_head_dim": None, "mamba_num_heads": 60}, "mamba_d_head"),
    ],
)
def test_blocks_that_cannot_be_read_are_told_by_their_field(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError) as refused:
        parsed(changed(LLAMA, **{**BLOCKS, **EXPERTS, **fields}))

    assert refused.value.pointer == f"/{named}"


GRANITE = {
    "model_type": "granitemoehybrid",
    "mamba_n_heads": 128,
    "mamba_d_state": 128,
    "mamba_d_head": "auto",
    "mamba_expand": 2,
}


def test_state_spaces_stand_among_layers_that_keep_their_ffn() -> None:
    listed = parsed(changed(LLAMA, **GRANITE, layer_types=[*["mamba"] * 31, "attention"]))
    indexed = parsed(changed(LLAMA, **GRANITE, attn_layer_indices=[9, 18, 27]))
    none = parsed(changed(LLAMA, **GRANITE, layer_types=["attention"] * 32))

    assert listed.linear == Mamba2(num_heads=128, head_dim=64, num_groups=1, state_size=128)
    assert listed.linear_layers == tuple(range(31))
    assert (listed.no_mixer_layers, listed.no_ffn_layers) == ((), ())
    assert indexed.linear_layers == tuple(layer for layer in range(32) if layer not in (9, 18, 27))
    assert none.linear is None


def test_attention_layers_beyond_the_last_are_told() -> None:
    with pytest.raises(InputError, match="attn_layer_indices"):
        parsed(changed(LLAMA, **GRANITE, attn_layer_indices=[40]))


def test_a_gated_delta_net_that_no_layer_has_is_none() -> None:
    model = parsed(changed(LLAMA, **DELTA_NET, layer_types=["full_attention"] * 32))

    assert model.linear is None
    assert model.linear_layers == ()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"linear_num_key_heads": 16}, "linear_num_value_heads"),
        ({"layer_types": ["linear_attention", *["full_attention"] * 31]}, "layer_types"),
        ({"hybrid_override_pattern": "M-M*"}, "hybrid_override_pattern"),
        ({"linear_attn_config": {"kda_layers": [1]}}, "linear_attn_config"),
        ({"compress_ratios": [0, 4]}, "compress_ratios"),
        ({"global_head_dim": 512}, "global_head_dim"),
        ({"head_dim": 192, "v_head_dim": 128}, "v_head_dim"),
        ({"block_configs": [{}]}, "block_configs"),
        ({"state_size": 16}, "state_size"),
        ({"model_type": "t5"}, "model_type"),
        ({"model_type": "bert"}, "model_type"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder"),
        ({"cross_attention_layers": [3, 8]}, "cross_attention_layers"),
        ({"num_attention_heads": [32, 16]}, "num_attention_heads"),
    ],
)
def test_architectures_outside_the_domain_are_refused_by_the_field_that_says_so(
    fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError) as caught:
        parsed(changed(LLAMA, **fields))

    assert f"`{named}`" in str(caught.value)
    assert caught.value.pointer == f"/{named}"


def test_a_missing_field_names_the_accepted_spellings() -> None:
    with pytest.raises(InputError) as caught:
        parsed(changed(LLAMA, num_hidden_layers=...))

    assert "is missing" in str(caught.value)
    assert "`n_layer`" in caught.value.hint


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"hidden_size": 0}, "/hidden_size"),
        ({"hidden_size": 4096.0}, "/hidden_size"),
        ({"num_hidden_layers": True}, "/num_hidden_layers"),
        ({"num_hidden_layers": 10_000_000}, "/num_hidden_layers"),
        ({"num_key_value_heads": 7}, "/num_key_value_heads"),
        ({"num_attention_heads": 31}, "/head_dim"),
        ({"torch_dtype": "posit16"}, "/torch_dtype"),
        ({"tie_word_embeddings": "yes"}, "/tie_word_embeddings"),
        ({"quantization_config": {"quant_method": "magic"}}, "/quantization_config/quant_method"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "/quantization_config/bits"),
        ({"quantization_config": "fp8"}, "/quantization_config"),
        ({"layer_types": ["full_attention"]}, "/layer_types"),
    ],
)
def test_a_value_without_sense_is_pointed_at(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed(changed(LLAMA, **fields))

    assert caught.value.pointer == pointer


def test_sparse_attention_is_planned_as_full_and_said_so() -> None:
    assert "index_topk" in parsed(changed(DEEPSEEK, index_topk=2048)).provenance.note


def test_lists_of_one_value_per_layer_count_as_that_value() -> None:
    hunyuan = changed(
        QWEN2_MOE, moe_topk=[8] * 24, num_experts_per_tok=..., moe_intermediate_size=[3072] * 24, num_experts=64
    )

    model = parsed(hunyuan)

    assert model.moe is not None
    assert (model.moe.top_k, model.moe.expert_intermediate_size) == (8, 3072)


def test_mistral_params_json_is_read_as_well() -> None:
    moe = {"num_experts": 16, "num_experts_per_tok": 2, "expert_hidden_dim": 512, "num_shared_experts": 1}
    params = {
        "dim": 1024,
        "n_layers": 4,
        "n_heads": 16,
        "n_kv_heads": 4,
        "head_dim": 64,
        "hidden_dim": 4096,
        "moe": moe,
    }

    model = parsed({**params, "vocab_size": 32768})

    assert model.moe is not None
    assert model.moe.expert_intermediate_size == 512
    assert active_parameters(model) < parameters(model)


# Files of other families as published, with the sizes (10^9 parameters, total and active) that their makers state.
FAMILIES: list[tuple[dict[str, Any], float, float]] = [
    (
        {
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240,
                "num_hidden_layers": 34, "sliding_window": 1024,
            },
        },
        3.88, 3.88,
    ),
    (
        {
            "model_type": "ernie4_5_moe", "hidden_size": 2560, "intermediate_size": 12288, "num_attention_heads": 20,
            "num_hidden_layers": 28, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 103424,
            "moe_num_experts": 64, "moe_k": 6, "moe_intermediate_size": 1536, "moe_layer_start_index": 1,
            "moe_layer_end_index": 27, "moe_layer_interval": 1, "moe_num_shared_experts": 2, "tie_word_embeddings": True,
        },
        21.8, 3.35,
    ),
    (
        {
            "model_type": "deepseek_v2", "hidden_size": 2048, "intermediate_size": 10944, "kv_lora_rank": 512,
            "q_lora_rank": None, "moe_intermediate_size": 1408, "first_k_dense_replace": 1, "n_routed_experts": 64,
            "n_shared_experts": 2, "num_attention_heads": 16, "num_hidden_layers": 27, "num_experts_per_tok": 6,
            "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "vocab_size": 102400,
        },
        15.7, 2.66,
    ),
    (
        {
            "model_type": "dbrx", "d_model": 6144, "n_heads": 48, "n_layers": 40, "max_seq_len": 32768,
            "vocab_size": 100352, "attn_config": {"kv_n_heads": 8},
            "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
        },
        131.6, 36.5,
    ),
    (
        {
            "model_type": "chatglm", "hidden_size": 4096, "ffn_hidden_size": 13696, "num_attention_heads": 32,
            "num_layers": 28, "kv_channels": 128, "multi_query_group_num": 2, "padded_vocab_size": 65024,
        },
        6.24, 6.24,
    ),
    (
        {
            "model_type": "qwen", "hidden_size": 4096, "intermediate_size": 22016, "num_attention_heads": 32,
            "num_hidden_layers": 32, "kv_channels": 128, "vocab_size": 151936,
        },
        7.72, 7.72,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("config", "total", "active"), FAMILIES, ids=[str(c["model_type"]) for c, _, _ in FAMILIES])
def test_other_families_come_out_at_their_published_sizes(config: dict[str, Any], total: float, active: float) -> None:
    model = parsed(config)

    assert parameters(model) / 1e9 == pytest.approx(total, rel=0.005)
    assert active_parameters(model) / 1e9 == pytest.approx(active, rel=0.005)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**10) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
_FIELDS = sorted(
    {*LLAMA, *DEEPSEEK, *QWEN2_MOE, "quantization_config", "text_config", "layer_types", "mlp_layer_types"}
)
_QUANTISATION = st.fixed_dictionaries(
    {},
    optional={
        "quant_method": st.sampled_from(["fp8", "gptq", "compressed-tensors", "modelopt", "quark", "mxfp4"]) | _JSON,
        "weight_block_size": _JSON,
        "bits": _JSON,
        "config_groups": _JSON | st.just({"g": {"weights": {"num_bits": 4, "type": "int"}, "targets": [1]}}),
        "quant_algo": _JSON | st.just("MIXED_PRECISION"),
        "quantized_layers": _JSON,
        "global_quant_config": _JSON,
        "ignore": _JSON,
    },
)


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from([LLAMA, DEEPSEEK, QWEN2_MOE]),
    changes=st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=4),
    quantisation=st.none() | _QUANTISATION,
)
def test_any_config_gives_a_model_or_a_pointed_error(
    base: dict[str, Any], changes: dict[str, Any], quantisation: dict[str, Any] | None
) -> None:
    config = {**base, **changes, **({"quantization_config": quantisation} if quantisation else {})}

    outcome = model_or_error(config)

    if isinstance(outcome, InputError):
        assert str(outcome).startswith("config.json: ")
    else:
        assert parameters(outcome) >= active_parameters(outcome) > 0


def model_or_error(config: dict[str, Any]) -> ModelSpec | InputError:
    try:
        return parsed(config)
    except InputError as error:
        return error


@pytest.mark.parametrize(
    ("scaling", "positions"),
    [
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
        ({"rope_type": "yarn", "factor": 4.0}, 131072),
        ({"rope_type": "linear", "factor": 2}, 65536),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}, 32768),
        ({"rope_type": "yarn", "factor": float("nan")}, 32768),
        ({"rope_type": "yarn", "factor": 1e30}, 32768),
        ({"rope_type": "yarn", "factor": "4"}, 32768),
        ({"rope_type": ["yarn"], "factor": 4}, 32768),
        (["yarn"], 32768),
        (None, 32768),
    ],
)
def test_positions_are_those_that_scaling_stretches_them_to(scaling: Any, positions: int) -> None:
    config = LLAMA | {"max_position_embeddings": 32768, "rope_scaling": scaling}
    assert parse_config(config, name="stretched").max_position_embeddings == positions
