"""config.json files of families with FFNs of two matrices: their fields as published, their sizes as their makers state them."""

from typing import Any

import pytest

from knowledge.catalogue import find_model
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
FALCON = {
    "architectures": ["FalconForCausalLM"], "model_type": "falcon", "alibi": False, "bias": False, "hidden_size": 14848,
    "new_decoder_architecture": True, "num_attention_heads": 232, "num_hidden_layers": 80, "num_kv_heads": 8, "parallel_attn": True,
    "vocab_size": 65024,
}  # fmt: skip
FALCON_7B = {
    **FALCON, "hidden_size": 4544, "multi_query": True, "new_decoder_architecture": False, "num_attention_heads": 71,
    "num_hidden_layers": 32, "num_kv_heads": 71,
}  # fmt: skip
FALCON_40B = {
    "architectures": ["RWForCausalLM"], "model_type": "RefinedWeb", "alibi": False, "bias": False, "hidden_size": 8192, "n_head": 128,
    "n_head_kv": 8, "n_layer": 60, "parallel_attn": True, "vocab_size": 65024,
}  # fmt: skip
NEOX = {
    "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "hidden_act": "gelu_fast", "hidden_size": 6144,
    "intermediate_size": 24576, "max_position_embeddings": 2048, "num_attention_heads": 64, "num_hidden_layers": 44, "rotary_pct": 0.25,
    "tie_word_embeddings": False, "vocab_size": 50432,
}  # fmt: skip
PHI_2 = {
    "architectures": ["PhiForCausalLM"], "model_type": "phi", "hidden_act": "gelu_new", "hidden_size": 2560, "intermediate_size": 10240,
    "max_position_embeddings": 2048, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
    "partial_rotary_factor": 0.4, "qk_layernorm": False, "tie_word_embeddings": False, "vocab_size": 51200,
}  # fmt: skip
PHI_1_5 = {**PHI_2, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24}
PHI_2_FIRST = {
    "architectures": ["PhiForCausalLM"], "model_type": "phi-msft", "activation_function": "gelu_new", "n_embd": 2560, "n_head": 32,
    "n_head_kv": None, "n_inner": None, "n_layer": 32, "n_positions": 2048, "tie_word_embeddings": False, "vocab_size": 51200,
}  # fmt: skip
GPT_J = {
    "architectures": ["GPTJForCausalLM"], "model_type": "gptj", "activation_function": "gelu_new", "n_embd": 4096, "n_head": 16,
    "n_inner": None, "n_layer": 28, "n_positions": 2048, "rotary_dim": 64, "tie_word_embeddings": False, "vocab_size": 50400,
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
    "Falcon 7B": (FALCON_7B, 7.217 - 0.296),
    "Falcon 40B": (FALCON_40B, 41.84 - 0.533),
    "Falcon 180B": (FALCON, 179.52 - 0.965),
    "GPT-NeoX 20B": (NEOX, 20.55),
    "Phi-2": (PHI_2, 2.78),
    "Phi-2, its first file": (PHI_2_FIRST, 2.78),
    "Phi-1.5": (PHI_1_5, 1.42),
    "GPT-J 6B": (GPT_J, 6.05),
}
"""Configs and their makers' counts, in 10^9 parameters; biases and tables of positions are in theirs and not in ours.

Falcon's files hold the table of tokens a second time for the output, which is the same table.
"""


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
        (FALCON_7B, {}, 1),
        (FALCON_40B, {}, 8),
        (FALCON, {}, 8),
        (MPT, {}, 64),
        (MPT, {"attn_config": {"alibi": True, "attn_type": "multiquery_attention"}}, 1),
        (MPT, {"attn_config": {"alibi": True, "attn_type": "grouped_query_attention", "kv_n_heads": 8}}, 8),
    ],
)
def test_flags_and_counts_of_kv_heads_are_read(config: dict[str, Any], fields: dict[str, Any], kv_heads: int) -> None:
    attention = parsed(config, **fields).attention

    assert isinstance(attention, GqaAttention)
    assert attention.num_kv_heads == kv_heads


@pytest.mark.parametrize(
    ("config", "fields", "block"),
    [
        (FALCON_7B, {}, "one_norm"),
        (FALCON_40B, {}, "two_norms"),
        (FALCON, {}, "two_norms"),
        (FALCON, {"num_ln_in_parallel_attn": 1}, "one_norm"),
        (FALCON_RW, {}, None),
        (NEOX, {}, "two_norms"),
        (NEOX, {"use_parallel_residual": False}, None),
        (PHI_2, {}, "one_norm"),
        (GPT_J, {}, "one_norm"),
        (NEMOTRON, {"model_type": "cohere", "hidden_act": "silu"}, "one_norm"),
        (NEMOTRON, {"model_type": "stablelm", "hidden_act": "silu", "use_parallel_residual": True}, "one_norm"),
        (NEMOTRON, {}, None),
    ],
)
def test_attention_and_ffn_stand_side_by_side_where_the_family_has_them_so(
    config: dict[str, Any], fields: dict[str, Any], block: str | None
) -> None:
    model = parsed(config, **fields)

    assert model.parallel_block == block
    assert ("summed over tp at once" in model.provenance.note) == (block is not None)


def test_experts_beside_attention_are_planned_behind_it_and_said_so() -> None:
    model = parsed(NEMOTRON, model_type="cohere", hidden_act="silu", num_local_experts=8, num_experts_per_tok=2)

    assert model.parallel_block is None
    assert "one after the other" in model.provenance.note


def test_command_r_of_the_catalogue_is_one_block_a_layer() -> None:
    assert {find_model(name).parallel_block for name in ("c4ai-command-r-v01", "c4ai-command-r-plus")} == {"one_norm"}


def test_mpt_says_by_its_ffn_type_that_a_gate_is_there() -> None:
    assert parsed(MPT, ffn_config={"ffn_type": "mptglu", "ffn_hidden_size": 19_200}).ffn_gated


def test_an_activation_without_a_gate_counts_in_any_family() -> None:
    llama = {**NEMOTRON, "model_type": "llama"}

    assert not parsed(llama).ffn_gated
    assert parsed(llama, hidden_act="silu").ffn_gated
    assert not parsed(llama, num_local_experts=8, num_experts_per_tok=2).ffn_gated


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
