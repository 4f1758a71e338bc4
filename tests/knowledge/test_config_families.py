"""config.json files of families with FFNs of two matrices: their fields as published, their sizes as their makers state them."""

from typing import Any

import pytest

from knowledge.hf_config import parse_config
from strategy.errors import InputError
from strategy.model import GqaAttention, ModelSpec
from strategy.parameters import parameters

NEMOTRON = {
    "architectures": ["NemotronForCausalLM"], "model_type": "nemotron", "attention_bias": False, "head_dim": 192, "hidden_act": "relu2",
    "hidden_size": 18432, "intermediate_size": 73728, "max_position_embeddings": 4096, "mlp_bias": False, "norm_eps": 1e-05,
    "num_attention_heads": 96, "num_hidden_layers": 96, "num_key_value_heads": 8, "partial_rotary_factor": 0.5, "rope_theta": 10000,
    "tie_word_embeddings": False, "vocab_size": 256000,
}  # fmt: skip
MINITRON = {
    **NEMOTRON, "head_dim": 128, "hidden_size": 3072, "intermediate_size": 9216, "num_attention_heads": 24, "num_hidden_layers": 32,
}  # fmt: skip
STARCODER2 = {
    "architectures": ["Starcoder2ForCausalLM"], "model_type": "starcoder2", "hidden_act": "gelu_pytorch_tanh", "hidden_size": 3072,
    "intermediate_size": 12288, "max_position_embeddings": 16384, "mlp_type": "default", "norm_epsilon": 1e-05, "num_attention_heads": 24,
    "num_hidden_layers": 30, "num_key_value_heads": 2, "sliding_window": 4096, "use_bias": True, "vocab_size": 49152,
}  # fmt: skip
STARCODER2_15B = {
    **STARCODER2, "hidden_size": 6144, "intermediate_size": 24576, "num_attention_heads": 48, "num_hidden_layers": 40,
    "num_key_value_heads": 4, "tie_word_embeddings": False,
}  # fmt: skip
STARCODER = {
    "architectures": ["GPTBigCodeForCausalLM"], "model_type": "gpt_bigcode", "activation_function": "gelu", "multi_query": True,
    "n_embd": 6144, "n_head": 48, "n_inner": 24576, "n_layer": 40, "n_positions": 8192, "vocab_size": 49152,
}  # fmt: skip
SANTACODER = {
    **STARCODER, "activation_function": "gelu_pytorch_tanh", "n_embd": 2048, "n_head": 16, "n_inner": 8192, "n_layer": 24,
    "n_positions": 2048, "vocab_size": 49280,
}  # fmt: skip
OPT = {
    "architectures": ["OPTForCausalLM"], "model_type": "opt", "activation_function": "relu", "do_layer_norm_before": True,
    "enable_bias": True, "ffn_dim": 8192, "hidden_size": 2048, "max_position_embeddings": 2048, "num_attention_heads": 32,
    "num_hidden_layers": 24, "vocab_size": 50272, "word_embed_proj_dim": 2048,
}  # fmt: skip
BLOOM = {
    "architectures": ["BloomForCausalLM"], "model_type": "bloom", "apply_residual_connection_post_layernorm": False, "n_embed": 14336,
    "n_layer": 70, "num_attention_heads": 112, "attention_softmax_in_fp32": True, "vocab_size": 250880,
}  # fmt: skip
BLOOM_560M = {**BLOOM, "n_embed": 1024, "n_layer": 24, "num_attention_heads": 16, "seq_length": 2048}
MPT = {
    "architectures": ["MPTForCausalLM"], "model_type": "mpt", "attn_config": {"alibi": True, "attn_type": "multihead_attention"},
    "d_model": 7168, "expansion_ratio": 4, "max_seq_len": 8192, "n_heads": 64, "n_layers": 48, "no_bias": True, "vocab_size": 50432,
}  # fmt: skip
GPT2_XL = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new", "n_ctx": 1024, "n_embd": 1600,
    "n_head": 25, "n_layer": 48, "n_positions": 1024, "vocab_size": 50257,
}  # fmt: skip
GPT_NEO = {
    "architectures": ["GPTNeoForCausalLM"], "model_type": "gpt_neo", "activation_function": "gelu_new",
    "attention_layers": ["global", "local"] * 16, "hidden_size": 2560, "intermediate_size": None, "max_position_embeddings": 2048,
    "num_heads": 20, "num_layers": 32, "vocab_size": 50257, "window_size": 256,
}  # fmt: skip
APERTUS = {
    "architectures": ["ApertusForCausalLM"], "model_type": "apertus", "hidden_act": "xielu", "hidden_size": 4096,
    "intermediate_size": 21504, "max_position_embeddings": 65536, "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "qk_norm": True, "tie_word_embeddings": False, "vocab_size": 131072,
}  # fmt: skip
APERTUS_70B = {
    **APERTUS, "hidden_size": 8192, "intermediate_size": 43008, "num_attention_heads": 64, "num_hidden_layers": 80,
}  # fmt: skip
FALCON_RW = {
    "architectures": ["FalconForCausalLM"], "model_type": "falcon", "alibi": True, "bias": True, "hidden_size": 2048,
    "multi_query": False, "new_decoder_architecture": False, "num_attention_heads": 32, "num_hidden_layers": 24, "parallel_attn": False,
    "vocab_size": 50304,
}  # fmt: skip
PUBLISHED: dict[str, tuple[dict[str, Any], float]] = {
    "Nemotron-4 340B": (NEMOTRON, 341.0),
    "Minitron 4B": (MINITRON, 4.19),
    "StarCoder2 3B": (STARCODER2, 3.03),
    "StarCoder2 15B": (STARCODER2_15B, 15.96),
    "StarCoder": (STARCODER, 15.52),
    "SantaCoder": (SANTACODER, 1.12),
    "OPT 1.3B": (OPT, 1.316),
    "BLOOM": (BLOOM, 176.247),
    "BLOOM 560M": (BLOOM_560M, 0.5592),
    "MPT 30B": (MPT, 29.96),
    "GPT-2 XL": (GPT2_XL, 1.5576),
    "GPT-Neo 2.7B": (GPT_NEO, 2.65),
    "Apertus 8B": (APERTUS, 8.05),
    "Apertus 70B": (APERTUS_70B, 70.6),
    "Falcon RW 1B": (FALCON_RW, 1.312),
}
"""Configs and their makers' counts, in 10^9 parameters; biases and tables of positions are not counted here, and are in theirs."""


def parsed(config: dict[str, Any], **fields: Any) -> ModelSpec:
    return parse_config({**config, **fields}, name="model")


@pytest.mark.parametrize(("config", "total"), PUBLISHED.values(), ids=PUBLISHED)
def test_models_have_two_matrices_and_their_published_size(config: dict[str, Any], total: float) -> None:
    model = parsed(config)

    assert not model.ffn_gated
    assert parameters(model) / 1e9 == pytest.approx(total, rel=0.01)


def test_a_width_that_is_not_given_is_four_hidden_sizes_or_the_ratio_of_the_file() -> None:
    assert parsed(GPT2_XL, n_inner=None).intermediate_size == 4 * 1600
    assert parsed(BLOOM).intermediate_size == 4 * 14336
    assert parsed(MPT, expansion_ratio=3).intermediate_size == 3 * 7168


@pytest.mark.parametrize(
    ("config", "fields", "kv_heads"),
    [
        (STARCODER, {}, 1),
        (STARCODER, {"multi_query": False}, 48),
        (FALCON_RW, {"num_kv_heads": 32}, 32),
        (FALCON_RW, {"multi_query": True, "num_kv_heads": 71}, 1),
        (MPT, {}, 64),
        (MPT, {"attn_config": {"alibi": True, "attn_type": "multiquery_attention"}}, 1),
        (MPT, {"attn_config": {"alibi": True, "attn_type": "grouped_query_attention", "kv_n_heads": 8}}, 8),
    ],
)
def test_flags_and_counts_of_kv_heads_are_read(config: dict[str, Any], fields: dict[str, Any], kv_heads: int) -> None:
    attention = parsed(config, **fields).attention

    assert isinstance(attention, GqaAttention)
    assert attention.num_kv_heads == kv_heads


def test_mpt_says_by_its_ffn_type_that_a_gate_is_there() -> None:
    assert parsed(MPT, ffn_config={"ffn_type": "mptglu", "ffn_hidden_size": 19_200}).ffn_gated


def test_an_activation_without_a_gate_counts_in_any_family() -> None:
    llama = {**NEMOTRON, "model_type": "llama"}

    assert not parsed(llama).ffn_gated
    assert parsed(llama, hidden_act="silu").ffn_gated
    with pytest.raises(InputError, match="experts of two matrices"):
        parsed(llama, num_local_experts=8, num_experts_per_tok=2)


def test_local_layers_of_gpt_neo_see_their_window() -> None:
    window = parsed(GPT_NEO).window

    assert window is not None
    assert (window.size_tokens, window.layers) == (256, tuple(range(1, 32, 2)))
    with pytest.raises(InputError, match="attention_layers"):
        parsed({name: value for name, value in GPT_NEO.items() if name != "attention_layers"})


@pytest.mark.parametrize(
    ("config", "learned"), [(OPT, True), (STARCODER, True), (BLOOM, False), (MPT, False), (NEMOTRON, False)]
)
def test_a_table_of_positions_that_is_left_out_is_said(config: dict[str, Any], learned: bool) -> None:
    assert ("learned positions" in parsed(config).provenance.note) == learned


def test_positions_that_files_leave_out_are_those_of_the_family() -> None:
    assert parsed(FALCON_RW).max_position_embeddings == parsed(BLOOM).max_position_embeddings == 2048


@pytest.mark.parametrize(
    ("config", "fields", "named"),
    [
        (OPT, {"word_embed_proj_dim": 512}, "word_embed_proj_dim"),
        (BLOOM, {"apply_residual_connection_post_layernorm": True}, "apply_residual_connection_post_layernorm"),
        (NEMOTRON, {"model_type": "bert"}, "model_type"),
    ],
)
def test_what_stays_refused_says_which_field_says_so(
    config: dict[str, Any], fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError) as caught:
        parsed(config, **fields)

    assert caught.value.pointer == f"/{named}"
