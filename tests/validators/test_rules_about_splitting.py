"""Golden arithmetic of the splitting rules on real models, and real deployments that they must not reject."""

from typing import Any

import pytest

from knowledge.catalogue import find_gpu, find_model
from strategy.build import build
from strategy.hardware import Cluster
from strategy.request import Engine, Precision, Problem, Workload
from strategy.result import Finding
from strategy.strategy import Strategy
from validators.examples import pool
from validators.registry import catalogue, run
from validators.subject import Subject


def findings(
    model: str, *, gpu: str = "h100-sxm", hosts: int = 1, engine: Engine | None = None, **degrees: Any
) -> dict[str, Finding]:
    """First finding of each code about one pool of `model`, the proof left out."""
    spec, record = find_model(model), find_gpu(gpu)
    problem = Problem(
        model=spec,
        cluster=Cluster(gpu=record, gpus_per_host=record.gpus_per_host, hosts=hosts),
        workload=Workload(isl=1024, osl=1024, concurrency=256),
        precision=Precision(weights=spec.checkpoint.weights, activations="bf16", kv="bf16"),
        engine=engine,
        max_model_len=8192,
    )
    dag = build(spec, Strategy(pools=(pool(spec, **degrees),)))
    rules = [rule for rule in catalogue().values() if rule.stage != "proof"]
    found: dict[str, Finding] = {}
    for finding in run(Subject(dag, spec, problem), rules):
        found.setdefault(finding.code, finding)
    return found


def errors(found: dict[str, Finding]) -> set[str]:
    """Codes of the errors among findings."""
    return {code for code, finding in found.items() if finding.severity == "error"}


def test_qwen3_235b_fp8_refuses_expert_slices_of_192_and_names_the_legal_ones() -> None:
    found = findings("qwen3-235b-a22b-fp8", tp=8, moe_tp=8, ep_lowering="replicated")

    assert errors(found) == {"QZ003"}
    assert "192 of the expert width 1536" in found["QZ003"].message
    assert "one of 1, 2, 3, 4, 6" in found["QZ003"].hint


def test_llama_4_has_40_heads_and_cannot_run_on_16_tp_ranks() -> None:
    found = findings("llama-4-maverick-17b-128e", hosts=2, tp=16, ep=16, ep_lowering="replicated")

    assert errors(found) == {"TP001"}
    assert found["TP001"].path == "/strategy/pools/0/attention/tp_size"
    assert found["TP001"].hint == "set attention.tp_size to one of 1, 2, 4, 8"


def test_heads_are_counted_over_the_attention_tp_group_and_not_over_the_stage() -> None:
    found = findings("llama-4-maverick-17b-128e", gpu="h200-sxm", hosts=2, tp=8, dp=2, ep=16)

    assert errors(found) == set()


def test_glm_4_5_vocabulary_does_not_split_over_24_ranks_of_vllm_which_pads_to_64() -> None:
    on_vllm = findings("glm-4.5", hosts=3, engine="vllm", tp=24, ep=24, ep_lowering="replicated", redundant_experts=8)
    on_sglang = findings(
        "glm-4.5", hosts=3, engine="sglang", tp=24, ep=24, ep_lowering="replicated", redundant_experts=8
    )

    assert "TP005" in errors(on_vllm)
    assert "151552" in on_vllm["TP005"].message
    assert "TP005" not in on_sglang


def test_266_expert_slots_do_not_fill_32_ranks_and_288_fill_144() -> None:
    uneven = findings("deepseek-v3", gpu="h200-sxm", hosts=4, dp=32, ep=32, redundant_experts=10)
    deployed = findings("deepseek-v3", gpu="h800-sxm", hosts=18, dp=144, ep=144, redundant_experts=32)

    assert errors(uneven) == {"EP016"}
    assert uneven["EP016"].hint == "set redundant_experts to one of 0, 32, 64"
    assert errors(deployed) == set()


@pytest.mark.parametrize(
    ("model", "gpu", "hosts", "degrees"),
    [
        ("deepseek-v3", "h200-sxm", 1, {"tp": 8, "ep": 8, "ep_lowering": "replicated"}),
        ("deepseek-v3", "h200-sxm", 2, {"tp": 16, "moe_tp": 16, "ep_lowering": "replicated"}),
        ("deepseek-v3", "h200-sxm", 4, {"tp": 4, "dp": 8, "ep": 32}),
        ("deepseek-v3", "h200-sxm", 40, {"tp": 4, "dp": 80, "ep": 320, "redundant_experts": 64}),
        ("deepseek-r1", "h200-sxm", 4, {"dp": 32, "ep": 32, "redundant_experts": 32}),
        ("kimi-k2", "h200-sxm", 2, {"dp": 16, "ep": 16}),
        ("qwen3-235b-a22b", "h200-sxm", 1, {"tp": 8, "ep": 8, "ep_lowering": "replicated"}),
        ("gpt-oss-120b", "h100-sxm", 1, {"tp": 8, "moe_tp": 8, "ep_lowering": "replicated"}),
        ("llama-3.1-405b", "h200-sxm", 2, {"tp": 16}),
        ("llama-3.1-70b", "l40s", 1, {"tp": 8}),
    ],
)
def test_what_people_run_is_not_rejected(model: str, gpu: str, hosts: int, degrees: dict[str, Any]) -> None:
    found = findings(model, gpu=gpu, hosts=hosts, **degrees)

    assert errors(found) == set()


def test_waste_is_a_warning_that_says_what_it_wastes() -> None:
    across_hosts = findings("llama-3.1-405b", gpu="h200-sxm", hosts=2, tp=16)
    copied_latent = findings("deepseek-v3", gpu="h200-sxm", tp=8, ep=8, ep_lowering="replicated")

    assert across_hosts["TP011"].severity == "warning"
    assert "each KV head is stored 2 times" in across_hosts["TP003"].message
    assert copied_latent["DA003"].severity == "warning"
