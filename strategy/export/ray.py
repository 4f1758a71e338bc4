"""Ray Serve LLM: one application whose builder fits the plan.

`build_openai_app` for servers without attention DP, `build_dp_openai_app` for gangs of attention replicas, `build_pd_openai_app` for two
pools. `num_replicas` counts gangs and is multiplied by Ray, so it is left out where there is one (RY002); placement and autoscaling keys
stay out (RY003, RY005).
"""

import json
from typing import Any

import yaml

from strategy.capabilities import Capabilities, capabilities
from strategy.export.artifacts import Artifact, Plan
from strategy.export.express import require
from strategy.export.shell import Flags, headline
from strategy.export.vllm import arguments, partition
from strategy.strategy import Pool

YAML = "application/yaml"
MODULE = "ray.serve.llm"
ACCELERATORS = {
    "a100-40g": "A100-40G",
    "a100-80g": "A100-80G",
    "h100": "H100",
    "h200": "H200",
    "h20": "H20",
    "b200": "B200",
    "b300": "B300",
    "gb200": "GB200",
    "gb300": "GB300",
    "l40s": "L40S",
    "l4": "L4",
    "a10g": "A10G",
    "mi300x": "AMD-Instinct-MI300X-OAM",
    "mi325x": "AMD-Instinct-MI325X-OAM",
    "mi350x": "AMD-Instinct-MI350X-OAM",
    "mi355x": "AMD-Instinct-MI355X-OAM",
}
"""Ray's names of accelerators by the start of our GPU keys."""


def to_ray(plan: Plan) -> tuple[Artifact, ...]:
    """`serve.yaml`. Raises `InputError` with the nearest plan where vLLM inside Ray cannot express the plan."""
    engine = capabilities("ray")
    require(engine, plan)
    builder, args = _application(plan, engine)
    application = {"name": plan.slug, "route_prefix": "/", "import_path": f"{MODULE}:{builder}", "args": args}
    text = str(yaml.safe_dump({"applications": [application]}, sort_keys=False))
    return (Artifact("serve.yaml", f"# {headline(engine, plan)}.\n{text}", YAML),)


def _application(plan: Plan, engine: Capabilities) -> tuple[str, dict[str, Any]]:
    configs = {phase: llm_config(plan, engine, plan.strategy.pool_for(phase)) for phase in ("prefill", "decode")}
    if plan.strategy.disaggregated:
        return "build_pd_openai_app", {"prefill_config": configs["prefill"], "decode_config": configs["decode"]}
    if plan.strategy.pools[0].attention.dp_size > 1:
        return "build_dp_openai_app", {"llm_config": configs["decode"]}
    return "build_openai_app", {"llm_configs": [configs["decode"]]}


def llm_config(plan: Plan, engine: Capabilities, pool: Pool) -> dict[str, Any]:
    """The `LLMConfig` of one pool."""
    config: dict[str, Any] = {"model_loading_config": {"model_id": plan.model.name, "model_source": plan.model_id}}
    accelerator = accelerator_type(plan)
    if accelerator:
        config["accelerator_type"] = accelerator
    config["engine_kwargs"] = engine_kwargs(arguments(plan, engine, pool))
    if pool.attention.dp_size == 1 or pool.replicas > 1:
        config["deployment_config"] = {"num_replicas": pool.replicas}
    env = partition(plan, pool)
    return config | ({"runtime_env": {"env_vars": env}} if env else {})


def accelerator_type(plan: Plan) -> str | None:
    """Ray's name of the accelerator, where it has one."""
    key = "" if plan.gpu is None else plan.gpu.key
    return next((name for start, name in ACCELERATORS.items() if key == start or key.startswith(f"{start}-")), None)


def engine_kwargs(flags: Flags) -> dict[str, Any]:
    """Command-line flags as keyword arguments of the engine: switches are true, numbers and JSON are read."""
    return {name.removeprefix("--").replace("-", "_"): _value(value) for name, value in flags}


def _value(value: str | None) -> Any:
    if value is None:
        return True
    return json.loads(value) if value.replace(".", "", 1).isdigit() or value.startswith("{") else value
