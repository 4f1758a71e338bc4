"""TensorRT-LLM: `trtllm-serve` for every replica, its YAML for every pool, and the front end of two pools.

`tensor_parallel_size` is the stage width; attention DP is a switch that turns all of it into replicas; expert tp times expert ep is
the same width. A replica over several hosts is started once, by MPI, on its first host.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from strategy.capabilities import Capabilities, capabilities
from strategy.export.artifacts import Artifact, Plan
from strategy.export.express import require
from strategy.export.placement import Placed, place
from strategy.export.shell import (
    Command,
    Flags,
    Launch,
    headline,
    host_variable,
    layers_of_stages,
    role,
    scripts,
    uneven_layers,
    visible_gpus,
)
from strategy.export.vllm import trust_flags
from strategy.memory import MEMORY_FRACTION, fraction_to_say
from strategy.strategy import Pool

YAML = "application/yaml"
PORT = 8000
FRONT_PORT = 9000
LAYER_UPDATES = 2
"""Layers whose experts the load balancer may move per iteration."""


def to_trtllm(plan: Plan) -> tuple[Artifact, ...]:
    """Scripts, one configuration a pool, and `disaggregated.yaml` for two pools. Raises `InputError` with the nearest plan."""
    engine = capabilities("trtllm")
    require(engine, plan)
    placed = place(plan.strategy, plan.gpus_per_host, plan.hosts)
    launches = [_launch(plan, one) for one in placed]
    if plan.strategy.disaggregated:
        front = Command(("trtllm-serve", "disaggregated", "-c", "disaggregated.yaml"))
        launches.append(Launch(placed[0].shares[0].host, front))
    configs = [
        Artifact(f"{pool.name}.yaml", _dump(configuration(plan, engine, pool)), YAML) for pool in plan.strategy.pools
    ]
    return (*scripts(launches, headline(engine, plan), _notes(placed)), *configs, *_front(plan, placed))


def configuration(plan: Plan, engine: Capabilities, pool: Pool) -> dict[str, Any]:
    """The YAML of a pool's servers."""
    replicated = pool.attention.dp_size > 1
    config: dict[str, Any] = {
        "backend": "pytorch",
        "tensor_parallel_size": pool.width,
        "pipeline_parallel_size": pool.pp_size,
        "gpus_per_node": min(plan.gpus_per_host, pool.ranks_per_replica),
        "enable_attention_dp": replicated,
    }
    if trust_flags(plan, engine):
        config["trust_remote_code"] = True
    layers = uneven_layers(pool, plan.model.num_layers, "trtllm")
    if layers:
        config["pp_partition"] = list(layers_of_stages(pool))
    config |= _expert_config(plan, pool)
    config["kv_cache_config"] = {"free_gpu_memory_fraction": _memory_fraction(plan, pool), **_cache_dtype(plan, engine)}
    return config | _length_config(plan, pool) | _handoff_config(plan, pool)


def _expert_config(plan: Plan, pool: Pool) -> dict[str, Any]:
    experts, moe = pool.experts, plan.model.moe
    if experts is None or moe is None:
        return {}
    config: dict[str, Any] = {"moe_expert_parallel_size": experts.ep_size, "moe_tensor_parallel_size": experts.tp_size}
    inner: dict[str, Any] = {
        "backend": "WIDEEP" if experts.ep_size > 1 and pool.ep_lowering == "all_to_all" else "CUTLASS"
    }
    if pool.redundant_experts:
        slots = moe.num_experts + pool.redundant_experts
        inner["load_balancer"] = {"num_slots": slots, "layer_updates_per_iter": LAYER_UPDATES}
    return config | {"moe_config": inner}


def _memory_fraction(plan: Plan, pool: Pool) -> float:
    return MEMORY_FRACTION["trtllm"] if plan.problem is None else fraction_to_say(plan.problem, pool, "trtllm")


def _cache_dtype(plan: Plan, engine: Capabilities) -> dict[str, str]:
    return {"dtype": engine.kv_dtypes[plan.precision.kv]} if plan.precision else {}


def _length_config(plan: Plan, pool: Pool) -> dict[str, Any]:
    config: dict[str, Any] = {} if plan.max_model_len is None else {"max_seq_len": plan.max_model_len}
    if pool.chunk_tokens is not None:
        config |= {"enable_chunked_prefill": True, "max_num_tokens": pool.chunk_tokens}
    return config


def _handoff_config(plan: Plan, pool: Pool) -> dict[str, Any]:
    if not plan.strategy.disaggregated:
        return {}
    buffer = {} if plan.max_model_len is None else {"max_tokens_in_buffer": plan.max_model_len}
    config: dict[str, Any] = {"cache_transceiver_config": {"backend": "NIXL", **buffer}}
    if role(plan, pool) == "prefill":
        config["disable_overlap_scheduler"] = True
    return config


def _launch(plan: Plan, one: Placed) -> Launch:
    flags: Flags = (("--config", f"{one.pool.name}.yaml"), ("--host", "0.0.0.0"), ("--port", str(PORT + one.slot)))  # noqa: S104
    serve = ("trtllm-serve", plan.model_id)
    if len(one.shares) == 1:
        return Launch(one.shares[0].host, Command(serve, flags, visible_gpus(plan, one.shares[0].gpus)))
    ranks = len(one.shares[0].gpus)
    hosts = ",".join(f"{host_variable(share.host)}:{ranks}" for share in one.shares)
    program = ("mpirun", "-n", str(one.pool.ranks_per_replica), "-H", hosts, "trtllm-llmapi-launch", *serve)
    return Launch(one.shares[0].host, Command(program, flags, visible_gpus(plan, one.shares[0].gpus)))


def _front(plan: Plan, placed: tuple[Placed, ...]) -> Iterator[Artifact]:
    """The file that tells the front end where the servers of both pools are (its names for prefill and decode)."""
    if not plan.strategy.disaggregated:
        return
    config: dict[str, Any] = {"hostname": "0.0.0.0", "port": FRONT_PORT, "backend": "pytorch"}  # noqa: S104
    for phase, key in (("prefill", "context_servers"), ("decode", "generation_servers")):
        urls = [f"HOST{one.shares[0].host}:{PORT + one.slot}" for one in placed if role(plan, one.pool) == phase]
        config[key] = {"num_instances": len(urls), "urls": urls}
    note = "# Replace HOST0, HOST1, ... by the addresses of the hosts.\n"
    yield Artifact("disaggregated.yaml", note + _dump(config), YAML)


def _notes(placed: tuple[Placed, ...]) -> Iterator[str]:
    if any(len(one.shares) > 1 for one in placed):
        yield "mpirun starts the ranks of the other hosts: they need the same image and files, and reach each other by ssh."


def _dump(config: dict[str, Any]) -> str:
    return str(yaml.safe_dump(config, sort_keys=False))
