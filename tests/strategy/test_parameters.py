"""Counts over small models, where the sum can be written out by hand."""

from strategy.model import GqaAttention, MlaAttention, ModelSpec, Moe, Window
from strategy.parameters import (
    active_parameters,
    attention_parameters,
    growing_kv_bytes_per_token,
    kv_bytes_per_token,
    parameters,
    parameters_by_class,
    routed_expert_parameters,
    weight_bytes,
)
from strategy.request import Precision

DENSE = ModelSpec(
    name="dense",
    hidden_size=64,
    num_layers=3,
    vocab_size=100,
    attention=GqaAttention(num_heads=4, num_kv_heads=2, head_dim=32),
    intermediate_size=96,
)
MLA_MOE = ModelSpec(
    name="mla-moe",
    hidden_size=64,
    num_layers=4,
    vocab_size=100,
    attention=MlaAttention(
        num_heads=4, q_lora_rank=24, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=6, v_head_dim=10
    ),
    intermediate_size=96,
    moe=Moe(num_experts=8, top_k=2, expert_intermediate_size=32, shared_intermediate_size=48),
    dense_layers=(0,),
)


def test_a_dense_gqa_model_counts_embeddings_projections_ffn_and_norms() -> None:
    attention = 64 * (4 + 2 + 2) * 32 + 4 * 32 * 64
    layer = attention + 3 * 64 * 96 + 2 * 64

    assert parameters(DENSE) == 2 * 100 * 64 + 3 * layer + 64
    assert active_parameters(DENSE) == parameters(DENSE)
    assert routed_expert_parameters(DENSE) == 0


def test_tied_embeddings_are_counted_once() -> None:
    tied = DENSE.model_copy(update={"tie_word_embeddings": True})

    assert parameters(DENSE) - parameters(tied) == 100 * 64
    assert "lm_head" not in parameters_by_class(tied)


def test_qk_norm_adds_two_vectors_of_a_head() -> None:
    normed = DENSE.model_copy(update={"attention": DENSE.attention.model_copy(update={"qk_norm": True})})

    assert attention_parameters(normed)["norm"] - attention_parameters(DENSE)["norm"] == 2 * 32


def test_an_mla_layer_counts_the_absorbed_halves_of_kv_b_once() -> None:
    down = 64 * (24 + 16 + 6)
    up = 24 * 4 * (8 + 6) + 16 * 4 * (8 + 10)

    assert attention_parameters(MLA_MOE) == {"attention": down + up + 4 * 10 * 64, "norm": 64 + 16 + 24}


def test_only_moe_layers_have_experts_and_only_chosen_experts_are_active() -> None:
    expert = 3 * 64 * 32

    assert routed_expert_parameters(MLA_MOE) == 3 * 8 * expert
    assert parameters(MLA_MOE) - active_parameters(MLA_MOE) == 3 * 6 * expert
    assert parameters_by_class(MLA_MOE)["shared_expert"] == 3 * 3 * 64 * 48
    assert parameters_by_class(MLA_MOE)["dense_ffn"] == 3 * 64 * 96
    assert parameters_by_class(MLA_MOE)["router"] == 3 * 64 * 8


def test_kv_bytes_are_two_heads_sets_for_gqa_and_one_latent_for_mla() -> None:
    assert kv_bytes_per_token(DENSE, 2) == 3 * 2 * 2 * 32 * 2
    assert kv_bytes_per_token(MLA_MOE, 1) == 4 * (16 + 6)


def test_windowed_layers_stop_growing() -> None:
    windowed = DENSE.model_copy(update={"window": Window(kind="sliding", size_tokens=16, layers=(0, 2))})

    assert growing_kv_bytes_per_token(windowed, 2) == kv_bytes_per_token(DENSE, 2) / 3


def test_weight_bytes_in_bf16_are_two_per_parameter() -> None:
    assert weight_bytes(DENSE, Precision(weights="bf16", activations="bf16", kv="bf16")) == 2 * parameters(DENSE)
