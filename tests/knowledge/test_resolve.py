"""Requests become problems, and every default is said."""

from typing import Any

import pytest
from pydantic import ValidationError

from knowledge.calibration import calibration
from knowledge.catalogue import find_gpu, find_model, models
from knowledge.resolve import resolve, resolve_model, resolve_precision
from strategy.errors import InputError, UnknownNameError, UnreadableError
from strategy.model import Dtype
from strategy.request import Engine, PrecisionRequest, Request


def request(model: Any = "llama-3.1-70b", **fields: Any) -> Request:
    base = {"model": model, "cluster": {"gpu": "h100", "hosts": 2}, "workload": {"isl": 4096, "osl": 512}}
    return Request.model_validate({**base, **fields})


def test_names_and_defaults_are_decided_and_said() -> None:
    resolved = resolve(request())

    problem = resolved.problem
    assert (problem.model.name, problem.cluster.gpu.key, problem.cluster.gpus) == ("llama-3.1-70b", "h100-sxm", 16)
    assert (problem.precision.weights, problem.precision.activations, problem.precision.kv) == ("bf16", "bf16", "bf16")
    assert problem.max_model_len == 4608
    text = " ".join(resolved.assumptions)
    for part in ("8 GPUs per host", "Weights in bf16", "KV cache in bf16", "max_model_len = 4608", "No load given"):
        assert part in text


def test_what_the_request_says_is_not_assumed() -> None:
    precision = {"weights": "bf16", "activations": "bf16", "kv": "fp8"}
    cluster = {"gpu": "h100", "gpus_per_host": 4}
    workload = {"isl": 10, "osl": 10, "concurrency": 3}

    resolved = resolve(request(cluster=cluster, precision=precision, workload=workload))

    assert resolved.problem.cluster.gpus == 4
    assert resolved.problem.precision.kv == "fp8"
    assert resolved.assumptions == ("max_model_len = 20 (isl + osl).",)


def test_an_fp8_checkpoint_keeps_its_weights_and_a_bf16_kv_cache() -> None:
    precision = resolve(request("deepseek-ai/DeepSeek-V3")).problem.precision

    assert (precision.weights, precision.kv) == ("fp8", "bf16")


def test_weights_that_the_device_cannot_multiply_are_said_to_be_expanded() -> None:
    resolved = resolve(request("deepseek-v3", cluster={"gpu": "a100", "hosts": 4}))

    assert any("no fp8 matrix units" in note for note in resolved.assumptions)


def test_fields_of_the_gpu_record_can_be_replaced() -> None:
    cluster = {"gpu": "b200", "nic_gb_per_s": 100, "memory_gb": 180}

    resolved = resolve(request(cluster=cluster))

    assert resolved.problem.cluster.gpu.nic_gb_per_s == 100
    assert resolved.problem.cluster.gpu.memory_gb == 180
    assert any("memory_gb, nic_gb_per_s" in note for note in resolved.assumptions)
    assert resolved.problem.cluster.gpu.provenance == find_gpu("b200").provenance


def test_a_gpu_with_other_rates_is_not_the_one_that_was_measured() -> None:
    own, faster = (resolve(request(cluster={"gpu": "h100", **rates})).problem for rates in ({}, {"bf16_tflops": 3000}))

    known, new = (calibration().error_of(one.model, one.cluster.gpu) for one in (own, faster))
    assert faster.cluster.gpu.provenance.status == "unverified"
    assert known is not None
    assert known.held_out == "configuration"
    assert new is not None
    assert new.held_out == "gpu"


def test_a_rack_is_one_domain_over_its_hosts() -> None:
    cluster = resolve(request(cluster={"gpu": "gb200", "hosts": 4})).problem.cluster

    assert (cluster.gpus_per_host, cluster.gpus, cluster.domain) == (4, 16, 16)


def test_a_config_json_is_taken_as_an_object_and_as_text() -> None:
    config = dict(models()["qwen3-8b"].config)

    as_object = resolve(request(config)).problem.model
    as_text = resolve_model('{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 99, '
                            '"num_attention_heads": 4, "intermediate_size": 128}')  # fmt: skip

    assert as_object.hidden_size == find_model("qwen3-8b").hidden_size
    assert (as_text.name, as_text.num_layers) == ("llama", 2)


def test_an_inline_spec_is_taken_as_it_stands() -> None:
    spec = find_model("deepseek-v3")

    assert resolve(request(spec.model_dump(mode="json"))).problem.model == spec


def test_a_variant_traced_to_a_record_is_said() -> None:
    assert any("planned with the record of qwen3-8b" in n for n in resolve(request("Qwen3-8B-Base")).assumptions)


def test_a_third_party_record_is_said() -> None:
    assert any("glm-4.5 is third-party" in note for note in resolve(request("glm-4.5")).assumptions)


def test_sequences_beyond_the_positions_are_said() -> None:
    workload = {"isl": 100_000, "osl": 1000}

    assert any(
        "max_position_embeddings=40960" in n for n in resolve(request("qwen3-8b", workload=workload)).assumptions
    )


@pytest.mark.parametrize(
    ("fields", "error", "pointer"),
    [
        ({"model": "llama-9"}, UnknownNameError, "/model"),
        ({"cluster": {"gpu": "h101"}}, UnknownNameError, "/cluster/gpu"),
        ({"model": {}}, InputError, "/model"),
        ({"model": {"foo": 1}}, InputError, "/model"),
        ({"model": '{"hidden_size"'}, UnreadableError, "/model"),
        ({"model": {"num_hidden_layers": 3}}, InputError, "/model/hidden_size"),
        ({"model": {"attention": {"kind": "gqa"}, "num_layers": 3}}, InputError, "/model/hidden_size"),
    ],
)
def test_what_cannot_be_resolved_is_pointed_at(fields: dict[str, Any], error: type[InputError], pointer: str) -> None:
    with pytest.raises(error) as caught:
        resolve(request(**fields))

    assert caught.value.pointer == pointer


def test_an_unknown_precision_is_refused_by_the_request_itself() -> None:
    with pytest.raises(ValidationError, match="mxfp4"):
        request(precision={"weights": "fp7"})


@pytest.mark.parametrize(
    ("gpu", "engine", "weights", "kv"),
    [
        ("h100-sxm", None, "fp8", "bf16"),
        ("h100-sxm", "vllm", "fp8", "bf16"),
        ("h100-sxm", "trtllm", "fp8", "fp8"),
        ("b200-sxm", "vllm", "nvfp4", "fp8"),
        ("b200-sxm", "sglang", "bf16", "bf16"),
        ("a100-80g-sxm", "sglang", "int4", "bf16"),
        ("mi300x", "vllm", "fp8", "bf16"),
    ],
)
def test_a_cache_that_nothing_is_said_of_has_the_type_that_the_engine_is_run_with(
    gpu: str, engine: Engine | None, weights: Dtype, kv: Dtype
) -> None:
    found, said = resolve_precision(
        PrecisionRequest(weights=weights), find_model("llama-3.1-70b"), find_gpu(gpu), engine
    )

    assert found.kv == kv
    assert any(one.startswith(f"KV cache in {kv}") for one in said)
