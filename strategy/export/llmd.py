"""llm-d: values of the modelservice chart, whose decode and prefill sections are the two pools.

The chart knows tensor, data, local data and workers (hosts of one replica), counts tensor x dataLocal GPUs a pod and starts `vllm serve`
with those sizes; everything else goes into the container's arguments. A colocated pool is a decode section without prefill.
"""

from typing import Any

import yaml

from strategy.capabilities import Capabilities, capabilities
from strategy.errors import InputError
from strategy.export.artifacts import Artifact, Plan
from strategy.export.express import require
from strategy.export.placement import hosts_of_replica
from strategy.export.shell import Command, headline, role
from strategy.export.vllm import arguments
from strategy.strategy import Pool

YAML = "application/yaml"
IMAGE = "ghcr.io/llm-d/llm-d-cuda:v0.4.0"
CHART_FLAGS = frozenset({"--tensor-parallel-size", "--data-parallel-size", "--data-parallel-size-local"})
"""Flags that the chart writes from `parallelism`."""
RPC_PORT = 5555
SERVICE_PORT = 8000
TARGET_PORT = 8200
"""Where vLLM listens behind the routing sidecar of a decode pod."""


def to_llmd(plan: Plan) -> tuple[Artifact, ...]:
    """`values.yaml`. Raises `InputError` with the nearest plan where the chart or vLLM cannot express the plan."""
    engine = capabilities("llm-d")
    require(engine, plan)
    values: dict[str, Any] = {
        "multinode": any(hosts_of_replica(pool, plan.gpus_per_host) > 1 for pool in plan.strategy.pools),
        "modelArtifacts": {
            "name": plan.model_id,
            "uri": f"hf://{plan.model_id}",
            "size": "1Ti",
            "authSecretName": "hf-token-secret",
        },
        "accelerator": {"type": "amd" if plan.amd else "nvidia"},
        "routing": {
            "servicePort": SERVICE_PORT,
            "proxy": {"enabled": plan.strategy.disaggregated, "targetPort": TARGET_PORT},
        },
        "decode": _section(plan, engine, plan.strategy.pool_for("decode")),
        "prefill": {"create": False},
    }
    if plan.strategy.disaggregated:
        values["prefill"] = _section(plan, engine, plan.strategy.pool_for("prefill"))
    text = str(yaml.safe_dump(values, sort_keys=False))
    return (Artifact("values.yaml", f"# {headline(engine, plan)}.\n{text}", YAML),)


def _section(plan: Plan, engine: Capabilities, pool: Pool) -> dict[str, Any]:
    data, hosts = pool.attention.dp_size, hosts_of_replica(pool, plan.gpus_per_host)
    if data % hosts:
        raise InputError(
            f"llm-d spreads attention replicas over the hosts of a replica, and dp_size={data} does not divide over {hosts}",
            pointer="/strategy/pools",
            hint=f"use a dp_size that is a multiple of {hosts}",
        )
    sizes = {"tensor": pool.attention.tp_size, "data": data, "dataLocal": data // hosts, "workers": hosts}
    container = {"name": "vllm", "image": IMAGE, "mountModelVolume": True, **_command(plan, engine, pool, hosts)}
    gpus = pool.ranks_per_replica // hosts
    if gpus != sizes["tensor"] * sizes["dataLocal"]:
        container["resources"] = {"limits": {"amd.com/gpu" if plan.amd else "nvidia.com/gpu": str(gpus)}}
    return {"create": True, "replicas": pool.replicas, "parallelism": sizes, "containers": [container]}


def _command(plan: Plan, engine: Capabilities, pool: Pool, hosts: int) -> dict[str, Any]:
    """What the container runs: the chart's own `vllm serve`, or a script where every host has to know its place."""
    flags = arguments(plan, engine, pool)
    if hosts == 1:
        rest = [(name, value) for name, value in flags if name not in CHART_FLAGS]
        args = [part for name, value in rest for part in ((name,) if value is None else (name, value))]
        return {"modelCommand": "vllmServe", "args": args}
    behind_proxy = plan.strategy.disaggregated and role(plan, pool) == "decode"
    serve = Command(
        ("exec", "vllm", "serve", plan.model_id),
        (("--port", str(TARGET_PORT if behind_proxy else SERVICE_PORT)), *flags),
    )
    places = (
        f"--data-parallel-size-local $DP_SIZE_LOCAL --data-parallel-hybrid-lb --data-parallel-rpc-port {RPC_PORT}",
        "--data-parallel-address $LWS_LEADER_ADDRESS --data-parallel-start-rank $((LWS_WORKER_INDEX * DP_SIZE_LOCAL))",
    )
    script = " \\\n".join([*(line.removesuffix(" \\") for line in serve.lines()), *(f"  {place}" for place in places)])
    return {"modelCommand": "custom", "command": ["/bin/bash", "-c"], "args": [script + "\n"]}
