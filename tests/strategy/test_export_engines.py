"""Deploy files: what they say for known plans, and what engines are not asked for."""

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from knowledge.resolve import resolve
from strategy.build import build
from strategy.capabilities import TABLE, capabilities
from strategy.errors import InputError, UnknownNameError
from strategy.export import FORMATS, Plan, exporter
from strategy.export.express import nearest, obstacles
from strategy.legality import illegal
from strategy.memory import fraction_to_say, stage_memory
from strategy.model import GIVEN_CONFIG
from strategy.request import Request
from strategy.strategy import AttentionMesh, DispatchModes, ExpertMesh, Pool, Strategy

LAYERS = {"llama-3.1-8b": 32, "llama-3.1-70b": 80, "deepseek-v3": 61, "qwen3-30b-a3b": 48, "qwen3-32b": 64}


def plan(model: str, *pools: Pool, hosts: int = 1, gpu: str = "h200-sxm", **request: Any) -> Plan:
    asked = {
        "model": model,
        "cluster": {"gpu": gpu, "gpus_per_host": 8, "hosts": hosts},
        "workload": {"isl": 4096, "osl": 512},
    }
    problem = resolve(Request.model_validate({**asked, **request})).problem
    return Plan(build(problem.model, Strategy(pools=pools)), problem.model, problem)


def pool(model: str, **fields: Any) -> Pool:
    return Pool.model_validate({"stages": ((0, LAYERS[model]),), **fields})


def files(to: str, made: Plan) -> dict[str, str]:
    return {artifact.name: artifact.text for artifact in FORMATS[to].write(made)}


DENSE = plan("llama-3.1-70b", pool("llama-3.1-70b", attention=AttentionMesh(tp_size=8)))
UNEVEN = plan(
    "llama-3.1-70b",
    pool("llama-3.1-70b", pp_size=2, stages=((0, 39), (39, 80)), attention=AttentionMesh(tp_size=8)),
    hosts=2,
)
WIDE = plan(
    "deepseek-v3",
    pool("deepseek-v3", attention=AttentionMesh(dp_size=16), experts=ExpertMesh(ep_size=16)),
    hosts=2,
)
REPLICAS = plan("llama-3.1-8b", pool("llama-3.1-8b", replicas=4, attention=AttentionMesh(tp_size=4)), hosts=2)
SPLIT = plan(
    "llama-3.1-70b",
    pool("llama-3.1-70b", name="prefill", phases=("prefill",), replicas=2, attention=AttentionMesh(tp_size=2)),
    pool("llama-3.1-70b", name="decode", phases=("decode",), attention=AttentionMesh(tp_size=4)),
)


@pytest.mark.parametrize("to", ["vllm", "sglang", "trtllm", "ray", "dynamo", "llm-d"])
@pytest.mark.parametrize("name", ["x\ntouch pwned #", "${HOST0}$(touch pwned)", "x'; touch pwned; '", "x`touch pwned`"])
def test_the_name_of_a_model_runs_nothing(to: str, name: str, tmp_path: Path) -> None:
    """Configs come from anywhere, and people run the scripts that are made of them."""
    model = DENSE.model.model_copy(update={"name": name, "aliases": ()})
    for text in files(to, Plan(DENSE.dag, model, DENSE.problem)).values():
        if text.startswith("#!"):
            environment = {"HOST0": "h", "PATH": "/usr/bin:/bin"}
            subprocess.run(["/bin/bash", "-c", text], cwd=tmp_path, env=environment, capture_output=True, check=False)
        else:
            assert isinstance(yaml.safe_load(text), dict)
    assert list(tmp_path.iterdir()) == []


def test_vllm_serves_a_dense_model_with_one_command() -> None:
    assert files("vllm", DENSE) == {
        "host0.sh": """\
#!/usr/bin/env bash
# llama-3.1-70b on vLLM 0.33.0, 8 GPUs (serve: TP8). Host 0.
set -euo pipefail

vllm serve meta-llama/Meta-Llama-3.1-70B \\
  --tensor-parallel-size 8 \\
  --dtype bfloat16 \\
  --kv-cache-dtype bfloat16 \\
  --max-model-len 4608 \\
  --gpu-memory-utilization 0.9 \\
  --host 0.0.0.0 \\
  --port 8000
"""
    }


def test_vllm_states_the_layers_of_uneven_stages_and_joins_hosts_by_node_rank() -> None:
    written = files("vllm", UNEVEN)

    assert list(written) == ["host0.sh", "host1.sh"]
    assert (
        written["host1.sh"]
        == """\
#!/usr/bin/env bash
# llama-3.1-70b on vLLM 0.33.0, 16 GPUs (serve: TP8 x PP2). Host 1.
# Layers of the stages of `serve`: 39, 41.
set -euo pipefail
: ${HOST0:?set HOST0 to the address of host 0}

VLLM_PP_LAYER_PARTITION=39,41 \\
vllm serve meta-llama/Meta-Llama-3.1-70B \\
  --tensor-parallel-size 8 \\
  --pipeline-parallel-size 2 \\
  --dtype bfloat16 \\
  --kv-cache-dtype bfloat16 \\
  --max-model-len 4608 \\
  --gpu-memory-utilization 0.9 \\
  --nnodes 2 \\
  --node-rank 1 \\
  --master-addr "${HOST0}" \\
  --master-port 29501 \\
  --headless
"""
    )


def test_stages_that_the_engine_would_choose_itself_are_not_stated() -> None:
    even = plan(
        "llama-3.1-70b",
        pool("llama-3.1-70b", pp_size=2, stages=((0, 40), (40, 80)), attention=AttentionMesh(tp_size=4)),
    )

    assert "PARTITION" not in files("vllm", even)["host0.sh"]
    assert "PARTITION" not in files("sglang", even)["host0.sh"]
    assert "pp_partition" not in files("trtllm", even)["serve.yaml"]


def test_vllm_runs_attention_replicas_over_two_hosts_with_headless_engines_on_the_second() -> None:
    first, second = files("vllm", WIDE).values()

    for script in (first, second):
        assert "--data-parallel-size 16 \\\n" in script
        assert "--enable-expert-parallel \\\n  --all2all-backend deepep_high_throughput" in script
        assert '--data-parallel-size-local 8 \\\n  --data-parallel-address "${HOST0}"' in script
    assert "decode runs throughput kernels" in first
    assert "--headless" not in first
    assert "--data-parallel-start-rank" not in first  # without --headless it would mean the hybrid balancer
    assert "--data-parallel-start-rank 8 \\\n  --headless\n" in second


def test_sglang_counts_attention_replicas_inside_its_tp_size() -> None:
    script = files("sglang", WIDE)["host1.sh"]

    assert (
        script.partition("python3")[2]
        == """\
 -m sglang.launch_server \\
  --model-path deepseek-ai/DeepSeek-V3 \\
  --tp-size 16 \\
  --attn-dp-size 16 \\
  --ep-size 16 \\
  --moe-dense-tp-size 1 \\
  --enable-dp-lm-head \\
  --moe-a2a-backend deepep \\
  --deepep-mode auto \\
  --dtype bfloat16 \\
  --kv-cache-dtype bfloat16 \\
  --context-length 4608 \\
  --mem-fraction-static 0.85 \\
  --nnodes 2 \\
  --node-rank 1 \\
  --dist-init-addr "${HOST0}:20000" \\
  --host 0.0.0.0 \\
  --port 30000
"""
    )


def test_a_chunk_of_prefill_is_what_one_attention_replica_gets() -> None:
    chunked = plan(
        "qwen3-30b-a3b",
        pool(
            "qwen3-30b-a3b",
            attention=AttentionMesh(dp_size=8),
            experts=ExpertMesh(ep_size=8),
            ep_lowering="all_gather",
            chunk_tokens=1024,
        ),
    )

    assert "--chunked-prefill-size 8192" in files("sglang", chunked)["host0.sh"]
    assert "--max-num-batched-tokens 1024" in files("vllm", chunked)["host0.sh"]


@pytest.mark.parametrize(("mode", "told"), [("throughput", "normal"), ("low_latency", "low_latency")])
def test_one_kind_of_dispatch_in_both_phases_is_named(mode: str, told: str) -> None:
    modes = DispatchModes.model_validate({"prefill": mode, "decode": mode})
    made = plan(
        "deepseek-v3",
        pool("deepseek-v3", attention=AttentionMesh(dp_size=8), experts=ExpertMesh(ep_size=8), dispatch_mode=modes),
    )

    assert f"--deepep-mode {told}" in files("sglang", made)["host0.sh"]
    assert "decode runs" not in files("vllm", made)["host0.sh"]


def test_amd_accelerators_have_backends_and_variables_of_their_own() -> None:
    made = plan(
        "deepseek-v3",
        pool("deepseek-v3", replicas=2, attention=AttentionMesh(dp_size=4), experts=ExpertMesh(ep_size=4)),
        gpu="mi300x",
    )

    script = files("vllm", made)["host0.sh"]
    assert "--all2all-backend mori_high_throughput" in script
    assert "HIP_VISIBLE_DEVICES=4,5,6,7" in script
    assert "CUDA" not in script


def test_replicas_are_servers_of_their_own_with_gpus_and_ports() -> None:
    first, second = files("vllm", REPLICAS).values()

    for script in (first, second):
        assert [line for line in script.splitlines() if "VISIBLE" in line] == [
            "CUDA_VISIBLE_DEVICES=0,1,2,3 \\",
            "CUDA_VISIBLE_DEVICES=4,5,6,7 \\",
        ]
        assert [line.strip(" \\") for line in script.splitlines() if "--port" in line] == [
            "--port 8000 &",
            "--port 8001 &",
        ]
        assert script.endswith("\nwait\n")
    assert "http://${HOST1}:8001" in first


def test_sglang_replicas_come_with_a_router() -> None:
    router = files("sglang", REPLICAS)["router.sh"]

    urls = [word for word in shlex.split(router.replace("\\\n", " "), comments=True) if word.startswith("http")]
    assert urls == [f"http://${{HOST{host}}}:{port}" for host in (0, 1) for port in (30000, 30001)]


def test_two_pools_are_servers_with_roles_on_gpus_of_their_own() -> None:
    script = files("vllm", SPLIT)["host0.sh"]

    assert script.count('"kv_role": "kv_producer"') == 2
    assert script.count('"kv_role": "kv_consumer"') == 1
    assert [line.split()[0] for line in script.splitlines() if "VISIBLE" in line] == [
        "CUDA_VISIBLE_DEVICES=0,1",
        "CUDA_VISIBLE_DEVICES=2,3",
        "CUDA_VISIBLE_DEVICES=4,5,6,7",
    ]
    ports = [word for word in script.split() if word.startswith("VLLM_NIXL_SIDE_CHANNEL_PORT=")]
    assert len(set(ports)) == 3


def test_sglang_pools_meet_behind_a_router_that_knows_bootstrap_ports() -> None:
    router = files("sglang", SPLIT)["router.sh"]

    assert '--prefill "http://${HOST0}:30001" 8999' in router
    assert '--decode "http://${HOST0}:30002"' in router


def test_tensorrt_llm_takes_a_configuration_for_each_pool() -> None:
    written = files("trtllm", SPLIT)

    prefill, decode, front = (
        yaml.safe_load(written[f"{name}.yaml"]) for name in ("prefill", "decode", "disaggregated")
    )
    assert (prefill["tensor_parallel_size"], decode["tensor_parallel_size"]) == (2, 4)
    assert prefill["disable_overlap_scheduler"] is True
    assert decode["cache_transceiver_config"] == {"backend": "NIXL", "max_tokens_in_buffer": 4608}
    assert front["context_servers"] == {"num_instances": 2, "urls": ["HOST0:8000", "HOST0:8001"]}
    assert front["generation_servers"] == {"num_instances": 1, "urls": ["HOST0:8002"]}


def test_tensorrt_llm_starts_ranks_of_several_hosts_by_mpi() -> None:
    written = files("trtllm", WIDE)

    assert (
        'mpirun -n 16 -H "${HOST0}:8,${HOST1}:8" trtllm-llmapi-launch trtllm-serve deepseek-ai/DeepSeek-V3'
        in written["host0.sh"]
    )
    assert "HOST1:?" in written["host0.sh"]
    config = yaml.safe_load(written["serve.yaml"])
    assert config["enable_attention_dp"] is True
    assert config["moe_config"] == {"backend": "WIDEEP"}
    assert (
        config["moe_expert_parallel_size"] * config["moe_tensor_parallel_size"] == config["tensor_parallel_size"] == 16
    )


def test_ray_leaves_out_the_number_of_gangs_when_there_is_one() -> None:
    app = yaml.safe_load(files("ray", WIDE)["serve.yaml"])["applications"][0]

    assert app["import_path"] == "ray.serve.llm:build_dp_openai_app"
    assert "deployment_config" not in app["args"]["llm_config"]
    assert app["args"]["llm_config"]["engine_kwargs"]["data_parallel_size"] == 16
    assert app["args"]["llm_config"]["engine_kwargs"]["enable_expert_parallel"] is True


def test_ray_builds_two_pools_of_one_model() -> None:
    app = yaml.safe_load(files("ray", SPLIT)["serve.yaml"])["applications"][0]

    assert app["import_path"] == "ray.serve.llm:build_pd_openai_app"
    configs = [app["args"][name] for name in ("prefill_config", "decode_config")]
    assert {config["model_loading_config"]["model_id"] for config in configs} == {"llama-3.1-70b"}
    assert all(config["engine_kwargs"]["kv_transfer_config"]["kv_connector"] == "NixlConnector" for config in configs)
    assert [config["deployment_config"]["num_replicas"] for config in configs] == [2, 1]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_dynamo_runs_workers_of_the_engine_that_the_request_names(engine: str) -> None:
    made = plan("llama-3.1-70b", *SPLIT.strategy.pools, engine=engine)

    document = yaml.safe_load(files("dynamo", made)["dynamo.yaml"])

    assert document["apiVersion"] == "nvidia.com/v1beta1"
    assert document["spec"]["backendFramework"] == engine
    components = {component["type"]: component for component in document["spec"]["components"]}
    assert list(components) == ["frontend", "prefill", "decode"]
    worker = components["decode"]["podTemplate"]["spec"]["containers"][0]
    assert worker["command"] == ["python3", "-m", f"dynamo.{engine}"]
    assert worker["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    assert worker["args"][worker["args"].index("--disaggregation-mode") + 1] == "decode"


def test_dynamo_spans_hosts_by_node_count() -> None:
    worker = yaml.safe_load(files("dynamo", WIDE)["dynamo.yaml"])["spec"]["components"][1]

    assert worker["multinode"] == {"nodeCount": 2}
    assert worker["podTemplate"]["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "8"}


def test_llm_d_values_carry_sizes_and_leave_them_out_of_the_arguments() -> None:
    values = yaml.safe_load(files("llm-d", SPLIT)["values.yaml"])

    assert values["prefill"]["parallelism"] == {"tensor": 2, "data": 1, "dataLocal": 1, "workers": 1}
    assert values["prefill"]["replicas"] == 2
    assert "--tensor-parallel-size" not in values["prefill"]["containers"][0]["args"]
    assert values["multinode"] is False


def test_llm_d_hosts_of_one_replica_are_workers() -> None:
    section = yaml.safe_load(files("llm-d", WIDE)["values.yaml"])["decode"]

    assert section["parallelism"] == {"tensor": 1, "data": 16, "dataLocal": 8, "workers": 2}
    assert "--data-parallel-start-rank $((LWS_WORKER_INDEX * DP_SIZE_LOCAL))" in section["containers"][0]["args"][0]


def test_redundant_experts_become_the_balancer_of_each_engine() -> None:
    made = plan(
        "deepseek-v3",
        pool("deepseek-v3", attention=AttentionMesh(dp_size=16), experts=ExpertMesh(ep_size=16), redundant_experts=32),
        hosts=2,
    )

    assert """--enable-eplb \\\n  --eplb-config '{"num_redundant_experts": 32}'""" in files("vllm", made)["host0.sh"]
    assert "--enable-eplb \\\n  --ep-num-redundant-experts 32" in files("sglang", made)["host0.sh"]
    balancer = yaml.safe_load(files("trtllm", made)["serve.yaml"])["moe_config"]["load_balancer"]
    assert balancer["num_slots"] == 288


def test_a_conversion_while_loading_is_stated_and_an_impossible_one_refused() -> None:
    layout = pool("llama-3.1-8b")
    fp8, nvfp4 = (plan("llama-3.1-8b", layout, precision={"weights": dtype, "kv": "fp8"}) for dtype in ("fp8", "nvfp4"))

    assert "--quantization fp8 \\\n  --kv-cache-dtype fp8" in files("vllm", fp8)["host0.sh"]
    assert "--kv-cache-dtype fp8_e4m3" in files("sglang", fp8)["host0.sh"]
    with pytest.raises(InputError, match="cannot load a bf16 checkpoint as nvfp4"):
        files("vllm", nvfp4)
    with pytest.raises(InputError, match="cannot load a bf16 checkpoint as fp8"):
        files("trtllm", fp8)


def test_without_a_request_the_engine_decides_precision_and_length() -> None:
    script = files("vllm", Plan(DENSE.dag, DENSE.model))["host0.sh"]

    assert "--dtype" not in script
    assert "--max-model-len" not in script


# --- what engines cannot express ------------------------------------------------------------------------------------------------------

MIXED = {"attention": AttentionMesh(dp_size=2, tp_size=4), "ep_lowering": "all_gather"}
REFUSED = [
    ("vllm", {**MIXED, "experts": ExpertMesh(ep_size=4, tp_size=2)}, "experts/ep_size", {"experts": ExpertMesh(ep_size=8)}),
    ("vllm", {**MIXED, "experts": ExpertMesh(dp_size=2, ep_size=4)}, "experts/dp_size", {"experts": ExpertMesh(ep_size=8)}),
    ("vllm", {**MIXED, "experts": ExpertMesh(ep_size=8), "lm_head": "gathered"}, "lm_head", {"lm_head": "local"}),
    ("vllm", {"attention": AttentionMesh(tp_size=8), "experts": ExpertMesh(ep_size=8)}, "ep_lowering", {"ep_lowering": "replicated"}),
    (
        "vllm",
        {**MIXED, "experts": ExpertMesh(ep_size=8), "pp_size": 2, "stages": ((0, 24), (24, 48)), "dp_layout": "inner"},
        "dp_layout",
        {"dp_layout": "outer"},
    ),
    ("vllm", {"attention": AttentionMesh(tp_size=8), "experts": ExpertMesh(tp_size=8), "sp_kind": "megatron", "ep_lowering": "replicated"}, "sp_kind", {"sp_kind": "none"}),
    ("sglang", {"attention": AttentionMesh(dp_size=8), "experts": ExpertMesh(ep_size=4, tp_size=2)}, "experts/ep_size", {"ep_lowering": "all_gather"}),
    ("sglang", {**MIXED, "experts": ExpertMesh(dp_size=2, ep_size=4)}, "experts/dp_size", {"experts": ExpertMesh(ep_size=4, tp_size=2)}),
    ("trtllm", {**MIXED, "experts": ExpertMesh(ep_size=8)}, "attention", {"attention": AttentionMesh(dp_size=8)}),
    ("trtllm", {"attention": AttentionMesh(dp_size=8), "experts": ExpertMesh(ep_size=8)}, "ep_lowering", {"ep_lowering": "all_gather"}),
    (
        "trtllm",
        {"attention": AttentionMesh(tp_size=8), "experts": ExpertMesh(ep_size=4, tp_size=2), "ep_lowering": "replicated"},
        "moe_layout",
        {"moe_layout": "ep_fastest"},
    ),
    ("trtllm", {"attention": AttentionMesh(tp_size=8), "experts": ExpertMesh(tp_size=8), "ep_lowering": "replicated", "dcp_size": 2}, "dcp_size", {"dcp_size": 1}),
    (
        "llm-d",
        {**MIXED, "experts": ExpertMesh(ep_size=8), "pp_size": 2, "stages": ((0, 24), (24, 48))},
        "pp_size",
        {"pp_size": 1, "stages": ((0, 48),)},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "fields", "place", "change"), REFUSED)
def test_what_an_engine_cannot_express_is_refused_with_the_nearest_plan(
    engine: str, fields: dict[str, Any], place: str, change: dict[str, Any]
) -> None:
    model = "qwen3-30b-a3b"
    strategy = Strategy(pools=(pool(model, **fields),))
    asked = plan(
        model,
        pool(model, attention=AttentionMesh(tp_size=8), experts=ExpertMesh(tp_size=8), ep_lowering="replicated"),
        hosts=2,
    )
    row = capabilities(engine)  # type: ignore[arg-type]

    with pytest.raises(InputError, match="cannot express this plan") as refused:
        FORMATS[engine].write(Plan(asked.dag.model_copy(update={"strategy": strategy}), asked.model, asked.problem))

    assert refused.value.pointer == f"/strategy/pools/0/{place}"
    assert refused.value.hint.startswith("nearest plan")
    assert nearest(row, asked.model, strategy) == Strategy(pools=(strategy.pools[0].model_copy(update=change),))


@pytest.mark.parametrize("row", TABLE.values(), ids=[f"{engine}-{version}" for engine, version in TABLE])
def test_the_nearest_plan_is_expressible_and_legal_in_its_degrees(row: Any) -> None:
    made = plan("deepseek-v3", WIDE.strategy.pools[0], hosts=2)
    assert made.problem is not None
    meshes = [AttentionMesh(dp_size=dp, tp_size=16 // dp) for dp in (1, 2, 4, 8, 16)]
    for attention in meshes:
        for experts in (ExpertMesh(ep_size=4, tp_size=4), ExpertMesh(dp_size=2, ep_size=8), ExpertMesh(tp_size=16)):
            asked = pool("deepseek-v3", attention=attention, experts=experts, dense_ffn="gathered", lm_head="gathered")

            found = nearest(row, made.model, Strategy(pools=(asked,)))

            assert found is not None
            assert obstacles(row, made.model, found.pools[0]) == []
            assert found.world_size in (16, 8)  # llm-d keeps a tp group inside a host
            assert illegal(made.model, found.pools[0], made.problem.precision, made.problem.cluster) in (
                None,
                "QZ003",
                "EP020",
            )


def pair(model: str, prefill: dict[str, Any], decode: dict[str, Any], **request: Any) -> Plan:
    roles = {"prefill": prefill, "decode": decode}
    return plan(model, *(pool(model, name=role, phases=(role,), **fields) for role, fields in roles.items()), **request)


def tp(size: int, **fields: Any) -> dict[str, Any]:
    return {"attention": AttentionMesh(tp_size=size), **fields}


def moe_tp(size: int) -> dict[str, Any]:
    return tp(size, experts=ExpertMesh(tp_size=size), ep_lowering="replicated")


HALVES = {"pp_size": 2, "stages": ((0, 40), (40, 80))}
UNMOVED = [
    (pair("qwen3-30b-a3b", moe_tp(8), moe_tp(2), hosts=2), "no prefill tp_size=8 above decode tp_size=2 with 4 KV heads", "TP4"),
    (pair("llama-3.1-70b", tp(2), tp(2, **HALVES)), r"no pipeline \(pp_size=2\)", "decode: TP2"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "reason", "near"), UNMOVED)
def test_what_the_connector_of_vllm_cannot_move_is_refused_with_the_nearest_pair(
    made: Plan, reason: str, near: str
) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        files("vllm", made)

    assert refused.value.hint.startswith("nearest plan vLLM can express")
    assert near in refused.value.hint
    assert "--disaggregation-mode prefill" in files("sglang", made)["host0.sh"]


def test_ranks_with_whole_heads_hand_over_to_fewer_ranks() -> None:
    script = files("vllm", pair("llama-3.1-70b", tp(4), tp(2)))["host0.sh"]

    assert script.count('"kv_connector": "NixlConnector"') == 2


def test_stages_of_prefill_push_the_cache() -> None:
    made = pair("llama-3.1-70b", tp(2, **HALVES), tp(4))

    assert files("vllm", made)["host0.sh"].count('"kv_connector": "NixlPushConnector"') == 2


@pytest.mark.parametrize(
    ("engine", "gpu", "others"),
    [
        ("trtllm", "mi300x", "vLLM, SGLang, Ray"),
        ("dynamo", "mi300x", "vLLM, SGLang"),
        ("vllm", "tpu-v6e", "no engine"),
        ("vllm", "v100-32g-sxm", "no engine"),
        ("sglang", "mi250x", "vLLM, Ray"),
    ],
)
def test_an_accelerator_that_an_engine_lacks_is_refused(engine: str, gpu: str, others: str) -> None:
    with pytest.raises(InputError, match="does not run on") as refused:
        files(engine, plan("llama-3.1-8b", pool("llama-3.1-8b"), gpu=gpu))

    assert others in refused.value.hint


def test_weights_without_kernels_for_the_accelerator_are_refused() -> None:
    made = plan("llama-3.1-8b", pool("llama-3.1-8b"), gpu="a100-80g-sxm", precision={"weights": "fp8"})

    with pytest.raises(InputError, match="no kernels for fp8 weights on NVIDIA A100") as refused:
        files("trtllm", made)

    assert "vLLM, SGLang, Ray" in refused.value.hint
    assert "--quantization fp8" in files("vllm", made)["host0.sh"]


def test_a_configuration_that_only_the_checkpoint_can_read_is_trusted() -> None:
    made = plan("mimo-7b", Pool(stages=((0, 36),)))

    assert "--trust-remote-code \\\n" in files("vllm", made)["host0.sh"]
    assert "--trust-remote-code \\\n" in files("sglang", made)["host0.sh"]
    assert yaml.safe_load(files("trtllm", made)["serve.yaml"])["trust_remote_code"] is True
    assert "--trust-remote-code" not in files("vllm", DENSE)["host0.sh"]


def test_a_name_that_a_request_gives_its_own_model_trusts_no_code() -> None:
    given = plan("mimo-7b", Pool(stages=((0, 36),)))
    source = given.model.provenance.model_copy(update={"source": GIVEN_CONFIG})
    own = replace(given, model=given.model.model_copy(update={"provenance": source}))

    assert "--trust-remote-code" not in files("vllm", own)["host0.sh"]
    assert "--trust-remote-code" not in files("sglang", own)["host0.sh"]


def test_replicas_that_hosts_would_cut_need_more_hosts() -> None:
    three = pool("qwen3-32b", replicas=5, pp_size=3, stages=((0, 21), (21, 42), (42, 64)))

    with pytest.raises(InputError, match="need 3 hosts of 8 GPUs"):
        files("vllm", plan("qwen3-32b", three, hosts=2))
    assert list(files("vllm", plan("qwen3-32b", three, hosts=3))) == ["host0.sh", "host1.sh", "host2.sh"]


def test_an_unknown_format_or_version_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError) as unknown:
        exporter("vlm")
    assert "`vllm`" in unknown.value.hint
    with pytest.raises(InputError, match=r"no facts about vllm 0\.1") as version:
        capabilities("vllm", "0.1")
    assert "0.33.0" in version.value.hint


def test_json_inside_a_command_survives_the_shell() -> None:
    words = shlex.split(files("vllm", SPLIT)["host0.sh"].replace("\\\n", " "), comments=True)

    told = json.loads(words[words.index("--kv-transfer-config") + 1])
    assert told == {"kv_connector": "NixlConnector", "kv_role": "kv_producer"}


def test_context_parallel_ranks_are_what_each_engine_has() -> None:
    layout = pool(
        "deepseek-v3",
        attention=AttentionMesh(cp_size=2, tp_size=4),
        experts=ExpertMesh(ep_size=8),
        sp_kind="cp_allgather",
        cp_decode_use="batch_shard",
    )
    repeated = layout.model_copy(update={"cp_decode_use": "replicate"})
    alone = {"attention": AttentionMesh(cp_size=8), "ep_lowering": "all_to_all"}

    assert "--prefill-context-parallel-size 2" in files("vllm", plan("deepseek-v3", layout))["host0.sh"]
    told = files("sglang", plan("deepseek-v3", repeated.model_copy(update=alone)))["host0.sh"]
    assert "--attn-cp-size 8" in told
    assert "--ep-size 8" in told
    assert "--moe-a2a-backend deepep" in told
    for engine, held, why in (
        ("vllm", repeated, "cp ranks in decode"),
        ("sglang", layout, "cp ranks in decode"),
        ("sglang", repeated, "cp ranks of latent attention have no tp ranks beside them"),
        (
            "sglang",
            repeated.model_copy(update={**alone, "ep_lowering": "all_gather"}),
            "spread experts over the whole",
        ),
        ("trtllm", layout, "prefill context parallelism in no form"),
    ):
        with pytest.raises(InputError, match=why):
            files(engine, plan("deepseek-v3", held))


@pytest.mark.parametrize("planned_for", [None, "vllm", "sglang", "trtllm"])
def test_the_cache_that_the_plan_counts_on_is_told_to_each_engine_in_its_own_terms(planned_for: str | None) -> None:
    asked = {
        "model": "llama-3.1-8b",
        "cluster": {"gpu": "h100-sxm"},
        "workload": {"isl": 4096, "osl": 512},
        "engine": planned_for,
    }
    problem = resolve(Request.model_validate(asked)).problem
    pool = Pool(stages=((0, 32),), attention=AttentionMesh(tp_size=2))
    (memory,) = stage_memory(problem, pool)
    capacity = problem.cluster.gpu.memory_gb * 1e9
    free = capacity - memory.weights_bytes - memory.activation_bytes - memory.comm_bytes - memory.runtime_bytes

    vllm, sglang, trtllm = (fraction_to_say(problem, pool, engine) for engine in ("vllm", "sglang", "trtllm"))

    assert vllm * capacity - (capacity - free) == pytest.approx(memory.kv_budget_bytes, abs=capacity / 1000)
    assert sglang * capacity - memory.weights_bytes == pytest.approx(memory.kv_budget_bytes, abs=capacity / 1000)
    assert trtllm * free == pytest.approx(memory.kv_budget_bytes, abs=capacity / 1000)
    if planned_for is not None:
        assert {"vllm": vllm, "sglang": sglang, "trtllm": trtllm}[planned_for] == 0.9


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_sequences_beyond_the_models_positions_are_not_exported(engine: str) -> None:
    long = plan(
        "qwen3-32b", pool("qwen3-32b", attention=AttentionMesh(tp_size=8)), workload={"isl": 60_000, "osl": 512}
    )
    with pytest.raises(InputError, match=r"qwen3-32b has 40,960 positions, and isl \+ osl is 60,512") as told:
        exporter(engine).write(long)
    assert "rope_scaling" in told.value.hint


def test_a_shared_cache_is_handed_over_only_to_ranks_that_share_it() -> None:
    """SGLang raises `Unsupported PD DCP topology: 2 -> 1` when such pools connect."""
    mesh = {"attention": AttentionMesh(tp_size=8), "experts": ExpertMesh(tp_size=8), "ep_lowering": "replicated"}
    sharing = pool("deepseek-v3", name="prefill", phases=("prefill",), dcp_size=2, **mesh)
    whole = pool("deepseek-v3", name="decode", phases=("decode",), **mesh)
    with pytest.raises(InputError, match="a shared cache goes to tp ranks that share it alike"):
        exporter("sglang").write(plan("deepseek-v3", sharing, whole, hosts=2))
    with pytest.raises(InputError, match="shared by all 8 tp ranks or none"):
        exporter("vllm").write(plan("deepseek-v3", sharing, whole, hosts=2))
