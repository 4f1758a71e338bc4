"""Bytes per element in every precision, and which weights a quantisation leaves alone."""

import pytest

from strategy.model import Checkpoint, Dtype, GqaAttention, ModelSpec, Moe, WeightClass
from strategy.quantisation import element_bytes, is_quantised, quantised_bytes, weight_bytes_per_element, weight_dtype
from strategy.request import Precision


def moe_model(checkpoint: Checkpoint) -> ModelSpec:
    return ModelSpec(
        name="moe",
        hidden_size=256,
        num_layers=2,
        vocab_size=1024,
        attention=GqaAttention(num_heads=8, num_kv_heads=2, head_dim=32),
        intermediate_size=None,
        moe=Moe(num_experts=4, top_k=2, expert_intermediate_size=512),
        checkpoint=checkpoint,
    )


def served_in(weights: Dtype) -> Precision:
    return Precision(weights=weights, activations="bf16", kv="bf16")


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [("fp32", 32), ("bf16", 16), ("fp16", 16), ("fp8", 8), ("int8", 8), ("int4", 4), ("mxfp4", 4.25), ("nvfp4", 4.5)],
)
def test_an_element_takes_its_payload_and_the_scale_that_its_format_fixes(dtype: Dtype, bits: float) -> None:
    assert element_bytes(dtype) * 8 == bits


def test_an_fp8_block_adds_one_fp32_scale() -> None:
    checkpoint = Checkpoint(weights="fp8", block=(128, 128))

    assert quantised_bytes(checkpoint) == 1 + 4 / 128**2


def test_an_int4_group_adds_a_scale_and_a_zero_point() -> None:
    assert quantised_bytes(Checkpoint(weights="int4", group_size=32)) == 0.5 + 2.5 / 32
    assert quantised_bytes(Checkpoint(weights="int4")) == quantised_bytes(Checkpoint(weights="int4", group_size=128))


def test_a_checkpoint_served_as_it_ships_keeps_its_unquantised_weights_in_bf16() -> None:
    kept: tuple[WeightClass, ...] = ("embedding", "lm_head", "norm", "router", "attention")
    model = moe_model(Checkpoint(weights="mxfp4", unquantised=kept))

    found = {name: weight_bytes_per_element(model, served_in("mxfp4"), name) for name in (*kept, "expert")}

    assert found == {**dict.fromkeys(kept, 2.0), "expert": 17 / 32}


def test_fp8_asked_of_a_bf16_checkpoint_quantises_only_matrices_inside_layers() -> None:
    model = moe_model(Checkpoint())

    found = {
        name: weight_bytes_per_element(model, served_in("fp8"), name)
        for name in ("attention", "dense_ffn", "expert", "shared_expert", "embedding", "lm_head", "norm", "router")
    }

    assert set(found.values()) == {1.0, 2.0}
    assert {name for name, size in found.items() if size == 1.0} == {
        "attention",
        "dense_ffn",
        "expert",
        "shared_expert",
    }


def test_bf16_asked_of_an_fp8_checkpoint_means_every_weight_in_bf16() -> None:
    model = moe_model(Checkpoint(weights="fp8", block=(128, 128)))

    assert weight_bytes_per_element(model, served_in("bf16"), "expert") == 2.0
    assert not is_quantised(model, served_in("bf16"), "expert")


def test_another_quantisation_of_a_quantised_checkpoint_drops_the_shipped_scales() -> None:
    model = moe_model(Checkpoint(weights="fp8", block=(128, 128)))

    assert weight_bytes_per_element(model, served_in("nvfp4"), "expert") == 4.5 / 8


def test_the_held_format_of_a_class_follows_the_quantisation() -> None:
    model = moe_model(Checkpoint(weights="fp8"))

    assert weight_dtype(model, served_in("fp8"), "expert") == "fp8"
    assert weight_dtype(model, served_in("fp8"), "router") == "bf16"
    assert weight_dtype(model, served_in("fp16"), "router") == "fp16"
