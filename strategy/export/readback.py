"""Deploy files read again: which degrees and how many GPUs they start, from the files alone.

Whatever a file leaves out has the engine's default. Pools are told apart by what their servers say of themselves, so a mix-up of prefill
and decode shows.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import yaml

from strategy.capabilities import Target
from strategy.errors import InputError
from strategy.export.artifacts import Artifact
from strategy.export.shell import Command, layers_of_stages, read_commands
from strategy.strategy import ExpertMesh, Pool, Strategy

Role = Literal["serve", "prefill", "decode"]


@dataclass(frozen=True)
class PoolDegrees:
    """What the servers of one pool run with."""

    role: Role
    replicas: int
    pp_size: int
    dp_size: int
    cp_size: int
    tp_size: int
    """Attention tp."""
    ep_size: int
    moe_tp_size: int
    moe_dp_size: int
    dcp_size: int
    redundant_experts: int
    gpus: int
    """Of all replicas."""
    layers: tuple[int, ...] | None = None
    """Of each stage; None leaves them to the engine."""


class Deployed(NamedTuple):
    """What a set of files starts."""

    pools: tuple[PoolDegrees, ...]

    @property
    def gpus(self) -> int:
        """GPUs of all pools."""
        return sum(pool.gpus for pool in self.pools)


def degrees_of(strategy: Strategy) -> tuple[PoolDegrees, ...]:
    """The same of a plan. Dense models count as experts cut over the stage, which no file can tell apart."""
    return tuple(_planned(pool, disaggregated=strategy.disaggregated) for pool in strategy.pools)


def _planned(pool: Pool, *, disaggregated: bool) -> PoolDegrees:
    experts = pool.experts or ExpertMesh(tp_size=pool.width)
    return PoolDegrees(
        role=pool.phases[0] if disaggregated else "serve",
        replicas=pool.replicas,
        pp_size=pool.pp_size,
        dp_size=pool.attention.dp_size,
        cp_size=pool.attention.cp_size,
        tp_size=pool.attention.tp_size,
        ep_size=experts.ep_size,
        moe_tp_size=experts.tp_size,
        moe_dp_size=experts.dp_size,
        dcp_size=pool.dcp_size,
        redundant_experts=pool.redundant_experts,
        gpus=pool.world_size,
        layers=layers_of_stages(pool),
    )


def read_back(target: Target, artifacts: Iterable[Artifact], *, num_experts: int | None = None) -> Deployed:
    """Degrees and GPUs of our own (or edited) deploy files. Raises `InputError` where they cannot be read.

    TensorRT-LLM states expert slots; those beyond `num_experts` are redundant ones.
    """
    files = {artifact.name: artifact.text for artifact in artifacts}
    try:
        return Deployed(_merged(_READERS[target](files, num_experts)))
    except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise InputError(f"the {target} files cannot be read back: {type(error).__name__} {str(error)[:200]}") from None


def _merged(found: Iterable[PoolDegrees]) -> tuple[PoolDegrees, ...]:
    """Equal servers counted as replicas of one pool."""
    pools: dict[PoolDegrees, list[PoolDegrees]] = {}
    for one in found:
        pools.setdefault(replace(one, replicas=0, gpus=0), []).append(one)
    return tuple(
        replace(same, replicas=sum(one.replicas for one in ones), gpus=sum(one.gpus for one in ones))
        for same, ones in pools.items()
    )


# --- engines' own flags -------------------------------------------------------------------------------------------------------------


def vllm_degrees(command: Command, env: Mapping[str, str]) -> PoolDegrees:
    """One vLLM server, on however many hosts."""
    tp, cp, dp = (command.number(f"--{name}-parallel-size") for name in ("tensor", "prefill-context", "data"))
    pp, width = command.number("--pipeline-parallel-size"), tp * cp * dp
    spread = command.has("--enable-expert-parallel")
    eplb = json.loads(command.flag("--eplb-config") or "{}") if command.has("--enable-eplb") else {}
    return PoolDegrees(
        role=_vllm_role(command),
        replicas=1,
        pp_size=pp,
        dp_size=dp,
        cp_size=cp,
        tp_size=tp,
        ep_size=width if spread else 1,
        moe_tp_size=1 if spread else width,
        moe_dp_size=1,
        dcp_size=command.number("--decode-context-parallel-size"),
        redundant_experts=int(eplb.get("num_redundant_experts", 0)),
        gpus=pp * width,
        layers=_layers(env.get("VLLM_PP_LAYER_PARTITION")),
    )


def _vllm_role(command: Command) -> Role:
    transfer = json.loads(command.flag("--kv-transfer-config") or "{}")
    roles: dict[str, Role] = {"kv_producer": "prefill", "kv_consumer": "decode"}
    return roles.get(transfer.get("kv_role", ""), "serve")


def sglang_degrees(command: Command, env: Mapping[str, str]) -> PoolDegrees:
    """One SGLang server; `--tp-size` is the stage width."""
    names = ("tp", "pp", "attn-dp", "attn-cp", "ep", "moe-dp", "dp", "dcp")
    tp, pp, dp, cp, ep, moe_dp, replicas, dcp = (command.number(f"--{name}-size") for name in names)
    if (command.flag("--moe-a2a-backend") or "none") != "none":
        ep = tp
    return PoolDegrees(
        role=_sglang_role(command),
        replicas=replicas,
        pp_size=pp,
        dp_size=dp,
        cp_size=cp,
        tp_size=tp // (dp * cp),
        ep_size=ep,
        moe_tp_size=tp // (ep * moe_dp),
        moe_dp_size=moe_dp,
        dcp_size=dcp,
        redundant_experts=command.number("--ep-num-redundant-experts", 0),
        gpus=replicas * pp * tp,
        layers=_layers(env.get("SGLANG_PP_LAYER_PARTITION")),
    )


def _sglang_role(command: Command) -> Role:
    modes: dict[str | None, Role] = {"prefill": "prefill", "decode": "decode"}
    return modes.get(command.flag("--disaggregation-mode"), "serve")


def trtllm_degrees(config: Mapping[str, Any], num_experts: int | None) -> PoolDegrees:
    """One TensorRT-LLM server by its YAML. Slots count as redundant experts when the number of experts is known."""
    tp, pp = int(config.get("tensor_parallel_size", 1)), int(config.get("pipeline_parallel_size", 1))
    dp = tp if config.get("enable_attention_dp") else 1
    ep = int(config.get("moe_expert_parallel_size") or 1)
    slots = config.get("moe_config", {}).get("load_balancer", {}).get("num_slots")
    layers = config.get("pp_partition")
    return PoolDegrees(
        role=_trtllm_role(config),
        replicas=1,
        pp_size=pp,
        dp_size=dp,
        cp_size=int(config.get("context_parallel_size", 1)),
        tp_size=tp // dp,
        ep_size=ep,
        moe_tp_size=int(config.get("moe_tensor_parallel_size") or tp // ep),
        moe_dp_size=1,
        dcp_size=1,
        redundant_experts=slots - num_experts if slots and num_experts else 0,
        gpus=tp * pp,
        layers=tuple(layers) if layers else None,
    )


def _trtllm_role(config: Mapping[str, Any]) -> Role:
    if "cache_transceiver_config" not in config:
        return "serve"
    return "prefill" if config.get("disable_overlap_scheduler") else "decode"


def _layers(text: str | None) -> tuple[int, ...] | None:
    return tuple(int(part) for part in text.split(",")) if text else None


# --- files --------------------------------------------------------------------------------------------------------------------------


def host_commands(files: Mapping[str, str], *programs: tuple[str, ...]) -> dict[str, list[Command]]:
    """The servers that each host's script starts."""
    return {name: read_commands(text, *programs) for name, text in files.items() if name.startswith("host")}


def _read_vllm(files: Mapping[str, str], _num_experts: int | None) -> Iterator[PoolDegrees]:
    for command in _all(host_commands(files, ("vllm", "serve"))):
        whole = vllm_degrees(command, command.env)
        yield replace(whole, gpus=vllm_local_gpus(command), replicas=0 if command.has("--headless") else 1)


def vllm_local_gpus(command: Command) -> int:
    """GPUs that one vLLM command takes on its host."""
    whole = vllm_degrees(command, {})
    if command.flag("--nnodes"):
        return whole.gpus // command.number("--nnodes")
    return whole.gpus // whole.dp_size * command.number("--data-parallel-size-local", whole.dp_size)


def _read_sglang(files: Mapping[str, str], _num_experts: int | None) -> Iterator[PoolDegrees]:
    for command in _all(host_commands(files, ("python3", "-m", "sglang.launch_server"))):
        whole, first = sglang_degrees(command, command.env), command.number("--node-rank", 0) == 0
        yield replace(whole, gpus=sglang_local_gpus(command), replicas=whole.replicas if first else 0)


def sglang_local_gpus(command: Command) -> int:
    """GPUs that one SGLang command takes on its host."""
    return sglang_degrees(command, {}).gpus // command.number("--nnodes")


def _read_trtllm(files: Mapping[str, str], num_experts: int | None) -> Iterator[PoolDegrees]:
    for command in _all(host_commands(files, ("trtllm-serve",), ("mpirun",))):
        if "disaggregated" in command.program:
            continue
        config = yaml.safe_load(files[command.flag("--config") or ""])
        degrees = trtllm_degrees(config, num_experts)
        started = int(command.program[command.program.index("-n") + 1]) if "mpirun" in command.program else degrees.gpus
        yield replace(degrees, gpus=started)


def _all(commands: Mapping[str, list[Command]]) -> list[Command]:
    return [command for each in commands.values() for command in each]


def _read_ray(files: Mapping[str, str], _num_experts: int | None) -> Iterator[PoolDegrees]:
    for role, config in ray_configs(files["serve.yaml"]):
        env = config.get("runtime_env", {}).get("env_vars", {})
        one = vllm_degrees(_command_of(config["engine_kwargs"]), env)
        replicas = int(config.get("deployment_config", {}).get("num_replicas", 1))
        yield replace(one, role=role, replicas=replicas, gpus=replicas * one.gpus)


def ray_configs(text: str) -> list[tuple[Role, dict[str, Any]]]:
    """Every `LLMConfig` of a Serve file with the part it plays."""
    args = yaml.safe_load(text)["applications"][0]["args"]
    if "prefill_config" in args or "decode_config" in args:
        return [("prefill", args["prefill_config"]), ("decode", args["decode_config"])]
    configs = args["llm_configs"] if "llm_configs" in args else [args["llm_config"]]
    return [("serve", config) for config in configs]


def _command_of(kwargs: Mapping[str, Any]) -> Command:
    """Engine arguments as the command line they stand for."""
    given = {f"--{name.replace('_', '-')}": value for name, value in kwargs.items() if value is not False}
    return Command((), tuple((name, _text(value)) for name, value in given.items()))


def _text(value: Any) -> str | None:
    if value is True:
        return None
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _read_dynamo(files: Mapping[str, str], num_experts: int | None) -> Iterator[PoolDegrees]:
    spec = yaml.safe_load(files["dynamo.yaml"])["spec"]
    for component in spec["components"]:
        if component["type"] == "frontend":
            continue
        container = component["podTemplate"]["spec"]["containers"][0]
        one = _worker_degrees(spec["backendFramework"], container, num_experts)
        local = int(container["resources"]["limits"]["nvidia.com/gpu"])
        nodes, replicas = component.get("multinode", {}).get("nodeCount", 1), component["replicas"]
        role: Role = component["type"] if component["type"] in ("prefill", "decode") else "serve"
        yield replace(one, role=role, replicas=replicas, gpus=replicas * nodes * local)


def _worker_degrees(engine: str, container: Mapping[str, Any], num_experts: int | None) -> PoolDegrees:
    command = _from_arguments(container["args"])
    env = {entry["name"]: entry["value"] for entry in container.get("env", ())}
    if engine == "trtllm":
        return trtllm_degrees(json.loads(command.flag("--override-engine-args") or "{}"), num_experts)
    return vllm_degrees(command, env) if engine == "vllm" else sglang_degrees(command, env)


def _from_arguments(arguments: Sequence[str]) -> Command:
    flags: list[tuple[str, str | None]] = []
    for argument in arguments:
        if argument.startswith("--"):
            flags.append((argument, None))
        else:
            flags[-1] = (flags[-1][0], argument)
    return Command((), tuple(flags))


def _read_llmd(files: Mapping[str, str], _num_experts: int | None) -> Iterator[PoolDegrees]:
    values = yaml.safe_load(files["values.yaml"])
    disaggregated = values["prefill"].get("create", True)
    sections: list[tuple[Role, str]] = (
        [("prefill", "prefill"), ("decode", "decode")] if disaggregated else [("serve", "decode")]
    )
    for role, name in sections:
        section = values[name]
        one = _section_degrees(section)
        pod = _pod_gpus(section)
        yield replace(
            one,
            role=role,
            replicas=section["replicas"],
            gpus=section["replicas"] * section["parallelism"]["workers"] * pod,
        )


def _section_degrees(section: Mapping[str, Any]) -> PoolDegrees:
    sizes, container = section["parallelism"], section["containers"][0]
    args = container["args"]
    if container["modelCommand"] == "custom":
        command = read_commands(args[0], ("exec", "vllm", "serve"))[0]
    else:
        command = _from_arguments(args)
    implied = (("--tensor-parallel-size", str(sizes["tensor"])), ("--data-parallel-size", str(sizes["data"])))
    flags = {**dict(implied), **dict(command.flags)}
    return vllm_degrees(Command((), tuple(flags.items())), {})


def _pod_gpus(section: Mapping[str, Any]) -> int:
    limits = section["containers"][0].get("resources", {}).get("limits", {})
    stated = next((int(count) for name, count in limits.items() if name.endswith("/gpu")), None)
    return stated or section["parallelism"]["tensor"] * section["parallelism"]["dataLocal"]


_READERS: dict[Target, Callable[[Mapping[str, str], int | None], Iterator[PoolDegrees]]] = {
    "vllm": _read_vllm,
    "sglang": _read_sglang,
    "trtllm": _read_trtllm,
    "ray": _read_ray,
    "dynamo": _read_dynamo,
    "llm-d": _read_llmd,
}
