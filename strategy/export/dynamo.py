"""Dynamo: a DynamoGraphDeployment (v1beta1) with a frontend and one component a pool.

The engine inside is the request's (vLLM unless it names one); workers take that engine's own flags. The operator adds what hosts need to
find each other, so nothing here names a host.
"""

import json
from dataclasses import replace
from typing import Any

import yaml

from strategy.capabilities import Capabilities, capabilities
from strategy.errors import InputError
from strategy.export import sglang, trtllm, vllm
from strategy.export.artifacts import Artifact, Plan
from strategy.export.express import require
from strategy.export.placement import hosts_of_replica
from strategy.export.shell import Flags, headline, role
from strategy.request import Engine
from strategy.strategy import Pool

YAML = "application/yaml"
RELEASE = "1.6.1"
IMAGES: dict[Engine, str] = {"vllm": "vllm-runtime", "sglang": "sglang-runtime", "trtllm": "tensorrtllm-runtime"}


def to_dynamo(plan: Plan) -> tuple[Artifact, ...]:
    """`dynamo.yaml`. Raises `InputError` with the nearest plan where the engine inside cannot express the plan."""
    row = capabilities(plan.engine)
    engine = replace(row, accelerators={"nvidia": row.accelerators["nvidia"]})
    require(engine, plan)
    document = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": plan.slug},
        "spec": {
            "backendFramework": plan.engine,
            "components": [_frontend(plan.engine), *(_worker(plan, engine, pool) for pool in plan.strategy.pools)],
        },
    }
    text = str(yaml.safe_dump(document, sort_keys=False))
    return (Artifact("dynamo.yaml", f"# Dynamo {RELEASE}: {headline(engine, plan)}.\n{text}", YAML),)


def _frontend(engine: Engine) -> dict[str, Any]:
    container = {"name": "main", "image": _image(engine), "command": ["python3"], "args": ["-m", "dynamo.frontend"]}
    return _component("Frontend", "frontend", 1, container)


def _worker(plan: Plan, engine: Capabilities, pool: Pool) -> dict[str, Any]:
    hosts = hosts_of_replica(pool, plan.gpus_per_host)
    if pool.ranks_per_replica % hosts:
        raise InputError(
            f"a replica of {pool.ranks_per_replica} ranks cannot put the same number on each of {hosts} hosts (RL009)"
        )
    container: dict[str, Any] = {
        "name": "main",
        "image": _image(plan.engine),
        "command": ["python3", "-m", f"dynamo.{plan.engine}"],
        "args": _args(plan, engine, pool),
        "resources": {"limits": {"nvidia.com/gpu": str(pool.ranks_per_replica // hosts)}},
    }
    env = _env(plan, pool)
    if env:
        container["env"] = [{"name": name, "value": value} for name, value in env.items()]
    kind = {"serve": "worker"}.get(role(plan, pool), role(plan, pool))
    component = _component(pool.name, kind, pool.replicas, container)
    return component | ({"multinode": {"nodeCount": hosts}} if hosts > 1 else {})


def _component(name: str, kind: str, replicas: int, container: dict[str, Any]) -> dict[str, Any]:
    container |= {"envFrom": [{"secretRef": {"name": "hf-token-secret"}}]}
    return {"name": name, "type": kind, "replicas": replicas, "podTemplate": {"spec": {"containers": [container]}}}


def _image(engine: Engine) -> str:
    return f"nvcr.io/nvidia/ai-dynamo/{IMAGES[engine]}:{RELEASE}"


def _args(plan: Plan, engine: Capabilities, pool: Pool) -> list[str]:
    mode: Flags = (("--disaggregation-mode", role(plan, pool)),) if plan.strategy.disaggregated else ()
    if plan.engine == "vllm":
        flags = (("--model", plan.model_id), *vllm.arguments(plan, engine, pool), *mode)
    elif plan.engine == "sglang":
        named = (("--model-path", plan.model_id), ("--served-model-name", plan.model_id))
        flags = (*named, *sglang.arguments(plan, engine, pool), *_bootstrap(plan))
    else:
        config = json.dumps(trtllm.configuration(plan, engine, pool))
        named = (("--model", plan.model_id), ("--served-model-name", plan.model_id))
        flags = (*named, ("--override-engine-args", config), *mode)
    return [part for name, value in flags for part in ((name,) if value is None else (name, value))]


def _bootstrap(plan: Plan) -> Flags:
    """Where SGLang's workers of two pools meet; each worker is alone in its pod."""
    port = str(sglang.BOOTSTRAP_PORT)
    return (("--disaggregation-bootstrap-port", port), ("--host", "0.0.0.0")) if plan.strategy.disaggregated else ()  # noqa: S104


def _env(plan: Plan, pool: Pool) -> dict[str, str]:
    if plan.engine == "vllm":
        return vllm.partition(plan, pool)
    return sglang.partition(plan, pool) if plan.engine == "sglang" else {}
