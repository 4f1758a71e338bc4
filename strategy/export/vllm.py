"""vLLM: `vllm serve` for every host, and the arguments that Ray, Dynamo and llm-d hand to it.

Replicas are separate servers. A replica with attention DP over several hosts is one server with headless engines on the other hosts;
a replica whose tp or pp crosses hosts uses `--nnodes`. A start rank is given to headless hosts only: without `--headless` it would
switch on the hybrid balancer.
"""

import json
from collections.abc import Iterator

from strategy.capabilities import Capabilities, begins, capabilities
from strategy.engine_limits import vllm_pushes
from strategy.errors import InputError
from strategy.export.artifacts import Artifact, Plan
from strategy.export.express import online_weights, require
from strategy.export.placement import Placed, place
from strategy.export.shell import (
    Command,
    Flags,
    Launch,
    endpoint,
    headline,
    host_variable,
    layers_of_stages,
    role,
    scripts,
    uneven_layers,
    visible_gpus,
)
from strategy.memory import fraction_to_say
from strategy.model import GIVEN_CONFIG, GIVEN_SPEC
from strategy.strategy import DispatchMode, Pool

PORT = 8000
RPC_PORT = 13345
MASTER_PORT = 29501
SIDE_CHANNEL_PORT = 5600
SIDE_CHANNEL_STRIDE = 64
"""Ports that a server's NIXL side channels may take, one for each of its ranks."""
PARTITION = "VLLM_PP_LAYER_PARTITION"
KV_ROLES = {"prefill": "kv_producer", "decode": "kv_consumer"}


def to_vllm(plan: Plan) -> tuple[Artifact, ...]:
    """One script a host. Raises `InputError` with the nearest plan where vLLM cannot express the plan."""
    engine = capabilities("vllm")
    require(engine, plan)
    placed = place(plan.strategy, plan.gpus_per_host, plan.hosts)
    launches = [launch for one in placed for launch in _launches(plan, engine, one)]
    return scripts(launches, headline(engine, plan), _notes(plan, placed))


def arguments(plan: Plan, engine: Capabilities, pool: Pool) -> Flags:
    """Flags of one server that do not depend on hosts, sizes of 1 left out."""
    sizes = (
        ("--tensor-parallel-size", pool.attention.tp_size),
        ("--pipeline-parallel-size", pool.pp_size),
        ("--data-parallel-size", pool.attention.dp_size),
        ("--prefill-context-parallel-size", pool.attention.cp_size),
        ("--decode-context-parallel-size", pool.dcp_size),
    )
    return (
        *trust_flags(plan, engine),
        *((name, str(size)) for name, size in sizes if size > 1),
        *_expert_flags(plan, pool),
        *_precision_flags(plan, engine),
        *_length_flags(plan, pool),
        *_memory_flags(plan, pool),
        *_handoff_flags(plan, pool),
    )


def trust_flags(plan: Plan, engine: Capabilities) -> Flags:
    """Leave to load code that comes with the checkpoint, where there is no other way to read its configuration.

    Only for models of the catalogue: the name that a request gives its own model is text, and trusts nothing.
    """
    known = plan.model.provenance.source not in (GIVEN_CONFIG, GIVEN_SPEC)
    return (("--trust-remote-code", None),) if known and begins(plan.model.name, engine.remote_code) else ()


def partition(plan: Plan, pool: Pool) -> dict[str, str]:
    """The environment for stages that vLLM would not choose itself."""
    layers = uneven_layers(pool, plan.model.num_layers, "vllm")
    return {PARTITION: layers} if layers else {}


def _expert_flags(plan: Plan, pool: Pool) -> Iterator[tuple[str, str | None]]:
    if pool.experts is None or pool.experts.ep_size == 1:
        return
    yield "--enable-expert-parallel", None
    backend = all_to_all_backend(plan, pool)
    if backend:
        yield "--all2all-backend", backend
    if pool.redundant_experts:
        yield "--enable-eplb", None
        yield "--eplb-config", json.dumps({"num_redundant_experts": pool.redundant_experts})


def all_to_all_backend(plan: Plan, pool: Pool) -> str | None:
    """The backend for the plan's lowering and kernels; None where no token moves."""
    if pool.attention.dp_size * pool.attention.cp_size == 1:
        return None
    if pool.ep_lowering == "all_gather":
        return "allgather_reducescatter"
    kernel = "high_throughput" if dispatch_mode(pool) == "throughput" else "low_latency"
    return f"{'mori' if plan.amd else 'deepep'}_{kernel}"


def dispatch_mode(pool: Pool) -> DispatchMode:
    """The kernels of a server that has one backend: those of decode where it only decodes, else those of prefill."""
    return pool.dispatch_mode.decode if pool.phases == ("decode",) else pool.dispatch_mode.prefill


def _precision_flags(plan: Plan, engine: Capabilities) -> Iterator[tuple[str, str | None]]:
    precision = plan.precision
    if precision is None:
        return
    yield "--dtype", {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}.get(precision.activations, "auto")
    converted = online_weights(engine, plan)
    if converted:
        yield "--quantization", converted
    yield "--kv-cache-dtype", engine.kv_dtypes[precision.kv]


def _length_flags(plan: Plan, pool: Pool) -> Iterator[tuple[str, str | None]]:
    if plan.max_model_len is not None:
        yield "--max-model-len", str(plan.max_model_len)
    if pool.chunk_tokens is not None:
        yield "--enable-chunked-prefill", None
        yield "--max-num-batched-tokens", str(pool.chunk_tokens)


def _memory_flags(plan: Plan, pool: Pool) -> Iterator[tuple[str, str | None]]:
    if plan.problem is not None:
        yield "--gpu-memory-utilization", f"{fraction_to_say(plan.problem, pool, 'vllm'):g}"


def _handoff_flags(plan: Plan, pool: Pool) -> Iterator[tuple[str, str | None]]:
    if plan.strategy.disaggregated:
        yield "--kv-transfer-config", json.dumps(kv_transfer(plan, pool))


def kv_transfer(plan: Plan, pool: Pool) -> dict[str, str]:
    """The connector of both pools and which end of it this pool is."""
    pushed = vllm_pushes(plan.strategy.pool_for("prefill"))
    return {"kv_connector": "NixlPushConnector" if pushed else "NixlConnector", "kv_role": KV_ROLES[role(plan, pool)]}


# --- hosts --------------------------------------------------------------------------------------------------------------------------


def _launches(plan: Plan, engine: Capabilities, one: Placed) -> Iterator[Launch]:
    shared = arguments(plan, engine, one.pool)
    for number, share in enumerate(one.shares):
        env = {**partition(plan, one.pool), **visible_gpus(plan, share.gpus), **_side_channel(plan, one, share.host)}
        flags = (*shared, *_host_flags(one, number), *_server_flags(one, number))
        yield Launch(share.host, Command(("vllm", "serve", plan.model_id), flags, env))


def _server_flags(one: Placed, number: int) -> Flags:
    return (("--headless", None),) if number else (("--host", "0.0.0.0"), ("--port", str(PORT + one.slot)))  # noqa: S104


def _host_flags(one: Placed, number: int) -> Flags:
    """How the hosts of one replica find each other."""
    hosts, pool = len(one.shares), one.pool
    if hosts == 1:
        return ()
    leader = host_variable(one.shares[0].host)
    local, inner = pool.ranks_per_replica // hosts, pool.ranks_per_replica // pool.attention.dp_size
    if pool.attention.dp_size > 1 and local % inner == 0:
        start = (("--data-parallel-start-rank", str(number * local // inner)),) if number else ()
        return (
            ("--data-parallel-size-local", str(local // inner)),
            ("--data-parallel-address", leader),
            ("--data-parallel-rpc-port", str(RPC_PORT + one.slot)),
            *start,
        )
    if inner % local:
        raise InputError(
            f"vLLM cannot give each of {hosts} hosts {local} GPUs while an attention replica has {inner}",
            pointer="/strategy/pools",
            hint="use degrees whose tp x pp divides a host's GPUs, or is a multiple of them",
        )
    return (
        ("--nnodes", str(hosts)),
        ("--node-rank", str(number)),
        ("--master-addr", leader),
        ("--master-port", str(MASTER_PORT + one.slot)),
    )


def _side_channel(plan: Plan, one: Placed, host: int) -> dict[str, str]:
    """NIXL's own address, which servers of one host may not share."""
    if not plan.strategy.disaggregated:
        return {}
    port = SIDE_CHANNEL_PORT + SIDE_CHANNEL_STRIDE * one.slot
    return {"VLLM_NIXL_SIDE_CHANNEL_HOST": host_variable(host), "VLLM_NIXL_SIDE_CHANNEL_PORT": str(port)}


def _notes(plan: Plan, placed: tuple[Placed, ...]) -> Iterator[str]:
    for pool in plan.strategy.pools:
        modes = pool.dispatch_mode
        mixed = pool.ep_lowering == "all_to_all" and len(pool.phases) > 1 and modes.prefill != modes.decode
        if mixed and pool.experts is not None and pool.experts.ep_size > 1:
            yield f"One all2all backend serves both phases: decode runs {modes.prefill} kernels, not {modes.decode} ones."
        if pool.pp_size > 1:
            yield f"Layers of the stages of `{pool.name}`: {', '.join(map(str, layers_of_stages(pool)))}."
    if plan.strategy.disaggregated:
        ends = ", ".join(f"{role(plan, one.pool)} {endpoint(one, PORT)}" for one in placed)
        yield f"Put a prefill-decode proxy in front of: {ends}"
    elif len(placed) > 1:
        yield f"Put a load balancer in front of: {', '.join(endpoint(one, PORT) for one in placed)}"
