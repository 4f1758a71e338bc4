"""Deploy files against their plan: what they would start is read back and compared.

EX001 pools or their parts differ . EX002 a degree differs . EX003 layers of stages differ . EX004 the files cannot be read .
EX005 servers of one host share a GPU or a port. Files for Ray answer to the RY rules as well (RY001-RY005, RY008, RY009).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any, get_args

from strategy.capabilities import Target
from strategy.errors import InputError
from strategy.export.artifacts import Artifact
from strategy.export.readback import (
    PoolDegrees,
    degrees_of,
    host_commands,
    ray_configs,
    read_back,
    sglang_local_gpus,
    vllm_local_gpus,
)
from strategy.export.shell import Command
from strategy.legality import even_stages
from strategy.request import Engine
from strategy.result import Finding, Severity
from strategy.strategy import Strategy

COMPARED = tuple(field.name for field in fields(PoolDegrees) if field.name not in ("role", "layers", "gpus"))
DEPLOYMENTS: dict[str, Target] = {target: target for target in get_args(Target)}
"""Exports that start something."""
INSIDE: dict[Target, Engine] = {"vllm": "vllm", "sglang": "sglang", "trtllm": "trtllm", "ray": "vllm", "llm-d": "vllm"}
"""The engine whose defaults apply to what a file leaves out."""


def check_artifacts(
    target: Target,
    artifacts: Iterable[Artifact],
    strategy: Strategy,
    *,
    engine: Engine | None = None,
    num_experts: int | None = None,
) -> tuple[Finding, ...]:
    """Everything in which `artifacts` differ from `strategy`; nothing when they start exactly the plan.

    `engine` is the one inside Dynamo (vLLM unless given); every other target is, or has, an engine of its own. Redundant experts of TensorRT-LLM are slots beyond `num_experts`, and are
    compared only when that is known.
    """
    files = tuple(artifacts)
    inside = INSIDE.get(target) or engine or "vllm"
    try:
        deployed = read_back(target, files, num_experts=num_experts)
    except InputError as error:
        return (_finding("EX004", "/", str(error), "export the plan again"),)
    skipped = frozenset({"redundant_experts"}) if inside == "trtllm" and num_experts is None else frozenset[str]()
    found = [*_pools(target, deployed.pools, strategy, inside, skipped)]
    found += _ray(files, strategy) if target == "ray" else _hosts(target, files)
    return tuple(found)


def _pools(
    target: Target, deployed: tuple[PoolDegrees, ...], strategy: Strategy, engine: Engine, skipped: frozenset[str]
) -> Iterator[Finding]:
    planned = {pool.role: (index, pool) for index, pool in enumerate(degrees_of(strategy))}
    if sorted(pool.role for pool in deployed) != sorted(planned):
        told = ", ".join(pool.role for pool in deployed) or "nothing"
        yield _finding(
            "EX001",
            "/strategy/pools",
            f"the files start {told}, the plan has {', '.join(planned)}",
            "export the plan again",
        )
        return
    for pool in deployed:
        index, wanted = planned[pool.role]
        yield from _degrees(f"/strategy/pools/{index}", pool, wanted, skipped)
        yield from _gpus(target, f"/strategy/pools/{index}", pool, wanted)
        yield from _layers(f"/strategy/pools/{index}/stages", pool, wanted, engine)


def _degrees(path: str, pool: PoolDegrees, wanted: PoolDegrees, skipped: frozenset[str]) -> Iterator[Finding]:
    for name in COMPARED:
        found, expected = getattr(pool, name), getattr(wanted, name)
        if found != expected and name not in skipped:
            message = f"{pool.role}: the files start {name}={found}, the plan has {expected}"
            yield _finding("EX002", path, message, f"make the files say {name}={expected}")


def _gpus(target: Target, path: str, pool: PoolDegrees, wanted: PoolDegrees) -> Iterator[Finding]:
    if pool.gpus != wanted.gpus:
        code = "RY009" if target == "ray" else "EX001"
        message = f"{pool.role}: the files start {pool.gpus} GPUs, the plan has {wanted.gpus}"
        yield _finding(code, path, message, "make replicas x degrees equal to the plan's")


def _layers(path: str, pool: PoolDegrees, wanted: PoolDegrees, engine: Engine) -> Iterator[Finding]:
    assert wanted.layers is not None
    layers = pool.layers
    if layers is None:
        layers = tuple(end - start for start, end in even_stages(sum(wanted.layers), wanted.pp_size, engine))
    if layers != wanted.layers and pool.pp_size == wanted.pp_size:
        message = f"{pool.role}: the stages would have {layers} layers, the plan's have {wanted.layers}"
        yield _finding("EX003", path, message, "state the layers of each stage in the files")


# --- hosts --------------------------------------------------------------------------------------------------------------------------


def _hosts(target: Target, files: tuple[Artifact, ...]) -> Iterator[Finding]:
    """Servers of one host have GPUs and ports of their own, and as many GPUs as their degrees ask for."""
    programs = {
        "vllm": ("vllm", "serve"),
        "sglang": ("python3", "-m", "sglang.launch_server"),
        "trtllm": ("trtllm-serve",),
    }
    if target not in programs:
        return
    texts = {file.name: file.text for file in files}
    for name, commands in host_commands(texts, programs[target]).items():
        yield from _shared(name, "port", [port for command in commands if (port := command.flag("--port"))])
        yield from _shared(name, "GPU", [gpu for command in commands for gpu in _visible(command)])
        for command in commands:
            yield from _visible_count(target, name, command)


def _visible(command: Command) -> list[str]:
    listed = command.env.get("CUDA_VISIBLE_DEVICES") or command.env.get("HIP_VISIBLE_DEVICES") or ""
    return [gpu for gpu in listed.split(",") if gpu]


def _shared(name: str, what: str, values: list[str]) -> Iterator[Finding]:
    for value, count in Counter(values).items():
        if count > 1:
            yield _finding(
                "EX005",
                f"/{name}",
                f"{name}: {count} servers take {what} {value}",
                f"give each server a {what} of its own",
            )


def _visible_count(target: Target, name: str, command: Command) -> Iterator[Finding]:
    visible = len(_visible(command))
    if target == "trtllm" or not visible:
        return
    needed = vllm_local_gpus(command) if target == "vllm" else sglang_local_gpus(command)
    if visible != needed:
        message = f"{name}: a server sees {visible} GPUs and its degrees need {needed}"
        yield _finding("EX005", f"/{name}", message, f"make {needed} GPUs visible")


# --- Ray ----------------------------------------------------------------------------------------------------------------------------


def _ray(files: tuple[Artifact, ...], strategy: Strategy) -> Iterator[Finding]:
    named = ray_configs(next(file.text for file in files if file.name == "serve.yaml"))
    configs = [config for _, config in named]
    for role, config in named:
        pool = strategy.pool_for("prefill" if role == "prefill" else "decode")
        yield from _ray_config(f"/applications/0/args/{role}", config, pool.replicas)
    if len(configs) == 2:
        names = {config["model_loading_config"]["model_id"] for config in configs}
        unset = [config for config in configs if not config["engine_kwargs"].get("kv_transfer_config")]
        if len(names) > 1 or unset:
            message = "prefill and decode need the same model_id and a kv_transfer_config each"
            yield _finding("RY008", "/applications/0/args", message, "add kv_transfer_config, and name one model")


def _ray_config(path: str, config: dict[str, Any], replicas: int) -> Iterator[Finding]:
    deployment, dp_size = config.get("deployment_config", {}), config["engine_kwargs"].get("data_parallel_size", 1)
    if not isinstance(dp_size, int) or dp_size < 1:
        yield _finding(
            "RY001", path, f"data_parallel_size {dp_size!r} is no positive integer", "set a positive integer"
        )
        return
    if dp_size > 1 and deployment.get("num_replicas") == dp_size != replicas:
        message = f"num_replicas={dp_size} counts gangs: Ray 2.60 starts {dp_size * dp_size} servers"
        yield _finding("RY002", path, message, "leave num_replicas unset")
    if dp_size > 1 and "autoscaling_config" in deployment:
        yield _finding(
            "RY003", path, "autoscaling counts are multiplied by data_parallel_size", "count in gangs", "warning"
        )
    if "dp_size_per_node" in config.get("experimental_configs", {}):
        yield _finding("RY004", path, "Ray 2.60 ignores dp_size_per_node", "delete the key", "warning")
    for key in ("placement_group_strategy", "placement_group_bundles"):
        if key in deployment:
            yield _finding("RY005", path, f"`{key}` does not belong in deployment_config", "delete the key")


def _finding(code: str, path: str, message: str, hint: str, severity: Severity = "error") -> Finding:
    return Finding(code=code, severity=severity, path=path, message=message, hint=hint)
