"""What TensorRT-LLM's scripts start, without its parser, which is not on the package index: run by a shell, the YAML that they name read."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from evals.realtool.shell import Call, calls
from strategy.export import Artifact, Plan

KEYS = frozenset(
    {
        "backend", "tensor_parallel_size", "pipeline_parallel_size", "context_parallel_size", "gpus_per_node", "enable_attention_dp",
        "trust_remote_code", "pp_partition", "moe_expert_parallel_size", "moe_tensor_parallel_size", "moe_config", "kv_cache_config",
        "max_seq_len", "max_num_tokens", "enable_chunked_prefill", "cache_transceiver_config", "disable_overlap_scheduler",
    }
)  # fmt: skip
"""Settings of `llmapi/llm_args.py`."""
LAUNCHER = "trtllm-llmapi-launch"


def understood(plan: Plan, files: tuple[Artifact, ...]) -> list[dict[str, Any]]:
    """Degrees, stages and GPUs of every server. Raises `ValueError` or `KeyError` where a script and its settings contradict each other."""
    texts = {file.name: file.text for file in files}
    hosts = [name for name in texts if name.startswith("host")]
    started = [call for name in hosts for call in calls(texts[name], range(plan.hosts or len(hosts)))]
    return [facts for call in started for facts in _server(plan, call, texts)]


def _server(plan: Plan, call: Call, texts: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    if "disaggregated" in call.argv:
        return
    config = yaml.safe_load(texts[call.argv[call.argv.index("--config") + 1]])
    if unknown := config.keys() - KEYS:
        raise ValueError(f"no settings: {sorted(unknown)}")
    width, stages = config["tensor_parallel_size"], config["pipeline_parallel_size"]
    started = _ranks(plan, call)
    if started != width * stages:
        raise ValueError(f"{started} ranks are started for tensor {width} x pipeline {stages}")
    replicas = width if config["enable_attention_dp"] else 1
    experts, layers = plan.model.moe, config.get("pp_partition")
    slots = config.get("moe_config", {}).get("load_balancer", {}).get("num_slots")
    yield {
        "role": _role(config),
        "pp_size": stages,
        "dp_size": replicas,
        "tp_size": width // replicas,
        "ep_size": config.get("moe_expert_parallel_size", 1),
        "moe_tp_size": config.get("moe_tensor_parallel_size", width),
        "redundant_experts": slots - experts.num_experts if slots and experts else 0,
        "gpus": started,
        **({"layers": layers} if layers else {}),
    }


def _ranks(plan: Plan, call: Call) -> int:
    """Ranks that MPI starts, as many as it has places for; without MPI, the GPUs that the server sees."""
    if call.argv[0] != "mpirun":
        seen = call.env.get("CUDA_VISIBLE_DEVICES")
        return len(seen.split(",")) if seen else plan.gpus_per_host
    count, places = call.argv[call.argv.index("-n") + 1], call.argv[call.argv.index("-H") + 1]
    offered = sum(int(place.rpartition(":")[2]) for place in places.split(","))
    if int(count) != offered or LAUNCHER not in call.argv:
        raise ValueError(f"mpirun -n {count} with {offered} places")
    return offered


def _role(config: Mapping[str, Any]) -> str:
    if "cache_transceiver_config" not in config:
        return "serve"
    return "prefill" if config.get("disable_overlap_scheduler") else "decode"
