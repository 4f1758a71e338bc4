"""Memory per rank: real sharding, cache by attention kind, and the reserve semantics of engines."""

import numpy as np
import pytest

from knowledge.calibration import calibration
from knowledge.catalogue import find_gpu
from knowledge.resolve import resolve_model
from strategy.build import build
from strategy.cost import estimate
from strategy.dag import Dag
from strategy.hardware import Cluster
from strategy.memory import (
    RUNTIME_BYTES,
    admitted,
    kv_budget_bytes,
    kv_bytes_per_sequence,
    kv_bytes_per_token,
    max_concurrency,
    memory_gb,
    stage_memory,
    stage_weight_bytes,
)
from strategy.model import Checkpoint
from strategy.request import Engine, Precision, Problem, Workload
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy

BF16 = Precision(weights="bf16", activations="bf16", kv="bf16")
FP8 = Precision(weights="fp8", activations="bf16", kv="bf16")


def pool(layers: int, **fields: object) -> Pool:
    return Pool.model_validate({"stages": ((0, layers),), **fields})


def problem(
    model: str, gpu: str, gpus: int, *, precision: Precision | None = None, engine: Engine | None = None
) -> Problem:
    spec, device = resolve_model(model), find_gpu(gpu)
    decided = precision or Precision(weights=spec.checkpoint.weights, activations="bf16", kv="bf16")
    return Problem(
        model=spec,
        cluster=Cluster(gpu=device, gpus_per_host=gpus, hosts=1),
        workload=Workload(isl=4096, osl=512),
        precision=decided,
        engine=engine,
        max_model_len=4608,
    )


@pytest.mark.parametrize(("model", "gigabytes"), [("llama-3.1-70b", 17.6), ("llama-3.1-405b", 101.5)])
def test_dense_weights_per_rank_at_tp8(model: str, gigabytes: float) -> None:
    spec = resolve_model(model)

    (weights,) = stage_weight_bytes(spec, BF16, pool(spec.num_layers, attention=AttentionMesh(tp_size=8)))

    assert round(weights / 1e9, 1) == gigabytes


@pytest.mark.parametrize(
    ("attention", "lowering", "gigabytes"),
    [(AttentionMesh(tp_size=8), "replicated", 83.9), (AttentionMesh(dp_size=8), "all_to_all", 98.9)],
)
def test_deepseek_weights_per_rank(attention: AttentionMesh, lowering: str, gigabytes: float) -> None:
    spec = resolve_model("deepseek-v3")
    layout = pool(61, attention=attention, experts=ExpertMesh(ep_size=8), ep_lowering=lowering)

    (weights,) = stage_weight_bytes(spec, FP8, layout)

    # The published figures count a byte for every weight; the checkpoint ships embedding, head and router in bf16.
    assert weights / 1e9 == pytest.approx(gigabytes, rel=0.02)


def test_deepseek_weights_are_exact_when_every_weight_is_one_byte() -> None:
    spec = resolve_model("deepseek-v3").model_copy(update={"checkpoint": Checkpoint(weights="fp8", unquantised=())})

    (weights,) = stage_weight_bytes(
        spec, FP8, pool(61, attention=AttentionMesh(dp_size=8), experts=ExpertMesh(ep_size=8))
    )

    assert round(weights / 1e9, 1) == 98.9


def test_gpt_oss_120b_fits_one_h100() -> None:
    asked = problem("gpt-oss-120b", "h100-sxm", 1)
    strategy = Strategy(pools=(pool(36, experts=ExpertMesh()),))

    assert memory_gb(asked, strategy, 1).weights == pytest.approx(65, rel=0.01)
    assert max_concurrency(asked, strategy) >= 1


@pytest.mark.parametrize(
    ("model", "gpu", "gpus", "layers", "fits"),
    [
        ("llama-3.1-405b", "h100-sxm", 8, 126, False),
        ("llama-3.1-405b", "h200-sxm", 8, 126, True),
        ("llama-3.1-70b", "h100-sxm", 1, 80, False),
        ("llama-3.1-70b", "h100-sxm", 4, 80, True),
        ("llama-3.1-8b", "l40s", 1, 32, True),
    ],
)
def test_what_fits_and_what_does_not(model: str, gpu: str, gpus: int, layers: int, fits: bool) -> None:
    asked = problem(model, gpu, gpus)

    assert (max_concurrency(asked, Strategy(pools=(pool(layers, attention=AttentionMesh(tp_size=gpus)),))) > 0) is fits


def test_kv_heads_are_replicated_and_a_latent_is_never_split() -> None:
    llama, deepseek = resolve_model("llama-3.1-70b"), resolve_model("deepseek-v3")

    at_8 = kv_bytes_per_token(llama, BF16, pool(80, attention=AttentionMesh(tp_size=8)))
    at_16 = kv_bytes_per_token(llama, BF16, pool(80, attention=AttentionMesh(tp_size=16)))
    latent = [kv_bytes_per_token(deepseek, BF16, pool(61, attention=AttentionMesh(tp_size=t))) for t in (1, 8)]

    assert at_8 == at_16 == [327_680 / 8]
    assert latent[0] == latent[1] == [70_272]


def test_window_layers_hold_no_more_than_their_window() -> None:
    model = resolve_model("gpt-oss-120b")
    one, two = (
        kv_bytes_per_sequence(model, BF16, pool(36, experts=ExpertMesh()), tokens)[0] for tokens in (4096, 8192)
    )

    assert two - one == 4096 * 36_864


def test_stages_hold_their_own_layers_and_the_ends_the_vocabulary() -> None:
    model = resolve_model("llama-3.1-70b")
    whole = stage_weight_bytes(model, BF16, pool(80))
    halves = stage_weight_bytes(model, BF16, Pool(pp_size=2, stages=((0, 40), (40, 80))))
    tied = model.model_copy(update={"tie_word_embeddings": True})

    assert sum(halves) == pytest.approx(whole[0])
    # A tied table is stored once on one stage, and on both ends of a pipeline.
    assert stage_weight_bytes(tied, BF16, pool(80))[0] == pytest.approx(whole[0] - 128_256 * 8192 * 2)
    assert stage_weight_bytes(tied, BF16, Pool(pp_size=2, stages=((0, 40), (40, 80)))) == pytest.approx(halves)


def test_a_dag_that_keeps_ffns_whole_needs_their_room() -> None:
    asked = problem("llama-3.1-70b", "h100-sxm", 4)
    layout = pool(80, attention=AttentionMesh(tp_size=4))
    document = build(asked.model, Strategy(pools=(layout,))).model_dump(mode="json")
    (split,) = stage_memory(asked, layout, Dag.model_validate(document))
    for node in next(block for block in document["blocks"] if block["name"] == "ffn")["nodes"]:
        if node.get("weight") in ("gate_up", "down"):
            node["split"] = "replicated"

    (whole,) = stage_memory(asked, layout, Dag.model_validate(document))

    assert split == stage_memory(asked, layout)[0]
    assert whole.weights_bytes - split.weights_bytes == pytest.approx(80 * 3 * 8192 * 28_672 * 2 * 3 / 4)
    assert whole.kv_budget_bytes < 0 < split.kv_budget_bytes
    assert estimate(Dag.model_validate(document), asked, calibration()).memory_gb.weights == pytest.approx(
        whole.weights_bytes / 1e9
    )


def test_reserve_is_of_all_memory_for_vllm_and_of_free_memory_for_trtllm() -> None:
    gpu = find_gpu("h100-sxm")
    used = 20e9

    vllm, trtllm = (kv_budget_bytes(gpu, engine, used) for engine in ("vllm", "trtllm"))

    assert vllm == pytest.approx(gpu.memory_gb * 1e9 * 0.9 - used - 2**30)
    assert trtllm == pytest.approx((gpu.memory_gb * 1e9 - used - 2**30) * 0.9)


def test_redundant_experts_take_memory() -> None:
    asked = problem("deepseek-v3", "h200-sxm", 8)
    plain = pool(61, attention=AttentionMesh(dp_size=8), experts=ExpertMesh(ep_size=8))

    spare = plain.model_copy(update={"redundant_experts": 8})

    added = stage_memory(asked, spare)[0].weights_bytes - stage_memory(asked, plain)[0].weights_bytes
    assert added == pytest.approx(58 * 3 * 7168 * 2048 * (1 + 4 / 128**2))


def test_memory_is_that_of_the_fullest_stage_and_grows_with_requests() -> None:
    asked = problem("llama-3.1-70b", "h100-sxm", 4)
    strategy = Strategy(pools=(Pool(pp_size=2, stages=((0, 30), (30, 80)), attention=AttentionMesh(tp_size=2)),))

    few, many = memory_gb(asked, strategy, 1), memory_gb(asked, strategy, 2)

    assert few.weights == pytest.approx(max(stage_weight_bytes(asked.model, BF16, strategy.pools[0])) / 1e9)
    assert many.kv == pytest.approx(2 * few.kv)
    assert few.total == pytest.approx(few.weights + few.kv + few.activations + few.other)


def test_engines_set_aside_cache_for_different_shares_of_the_output() -> None:
    long_output = Workload(isl=1024, osl=8192)
    layout = Strategy(pools=(pool(80, attention=AttentionMesh(tp_size=8)),))

    resident = {}
    for engine in ("vllm", "sglang", "trtllm"):
        asked = problem("llama-3.1-70b", "h100-sxm", 8, engine=engine).model_copy(update={"workload": long_output})
        fitting = max_concurrency(asked, layout)
        resident[engine] = float(admitted(asked, np.array(float(fitting)))) / fitting

    # TensorRT-LLM never evicts; vLLM admits by what is used now, when outputs are not quite half grown.
    assert resident["trtllm"] == 1
    assert resident["vllm"] == pytest.approx(9216 / 4710, rel=0.02)
    assert 1 < resident["sglang"] < resident["vllm"]


def test_buffers_of_sglang_live_outside_its_fraction() -> None:
    gpu = find_gpu("h200-sxm")

    with_buffers, without = (kv_budget_bytes(gpu, "sglang", 60e9, buffers) for buffers in (4e9, 0.0))

    assert with_buffers == without == pytest.approx(gpu.memory_gb * 1e9 * 0.9 - 60e9)
    assert kv_budget_bytes(gpu, "sglang", 60e9, 40e9) < without


def test_sglang_gets_half_of_what_crowding_weights_leave() -> None:
    gpu = find_gpu("b200-sxm")
    capacity = gpu.memory_gb * 1e9

    crowded, too_many = (kv_budget_bytes(gpu, "sglang", share * capacity, 1e9) for share in (0.88, 0.91))

    assert crowded == pytest.approx((0.12 * capacity - 1e9 - RUNTIME_BYTES) / 2)
    assert too_many == pytest.approx(-0.01 * capacity)


def test_llama_70b_in_fp8_fits_one_h100() -> None:
    asked = problem("llama-3.1-70b", "h100-sxm", 1, precision=FP8)

    assert max_concurrency(asked, Strategy(pools=(pool(80),))) >= 1
