"""SGLang: `sglang.launch_server` for every host, and a router in front of several replicas or of two pools.

`--tp-size` is the stage width W here; attention DP and cp divide it, and attention tp is what they leave. Replicas are separate
servers (`--dp-size` would keep them on one host). Only full flag names: shorter ones work merely as abbreviations.
"""

from collections.abc import Iterator

from strategy.capabilities import Capabilities, capabilities
from strategy.export.artifacts import Artifact, Plan
from strategy.export.express import online_weights, require
from strategy.export.placement import Placed, place
from strategy.export.shell import (
    SCRIPT,
    Command,
    Flags,
    Launch,
    endpoint,
    headline,
    host_variable,
    needed_addresses,
    role,
    scripts,
    uneven_layers,
    visible_gpus,
)
from strategy.export.vllm import trust_flags
from strategy.memory import fraction_to_say
from strategy.strategy import DispatchModes, Pool

PORT = 30000
ROUTER_PORT = 8000
INIT_PORT = 20000
BOOTSTRAP_PORT = 8998
PARTITION = "SGLANG_PP_LAYER_PARTITION"


def to_sglang(plan: Plan) -> tuple[Artifact, ...]:
    """One script a host, and `router.sh` where there are several servers. Raises `InputError` with the nearest plan."""
    engine = capabilities("sglang")
    require(engine, plan)
    placed = place(plan.strategy, plan.gpus_per_host, plan.hosts)
    launches = [launch for one in placed for launch in _launches(plan, engine, one)]
    return (*scripts(launches, headline(engine, plan)), *_router(plan, placed))


def arguments(plan: Plan, engine: Capabilities, pool: Pool) -> Flags:
    """Flags of one server that do not depend on hosts, sizes of 1 left out."""
    experts = pool.experts
    sizes = (
        ("--tp-size", pool.width),
        ("--pp-size", pool.pp_size),
        ("--attn-dp-size", pool.attention.dp_size),
        ("--attn-cp-size", pool.attention.cp_size),
        ("--ep-size", experts.ep_size if experts else 1),
        ("--moe-dp-size", experts.dp_size if experts else 1),
        ("--dcp-size", pool.dcp_size),
    )
    return (
        *trust_flags(plan, engine),
        *((name, str(size)) for name, size in sizes if size > 1),
        *_context_flags(pool),
        *_expert_flags(plan, pool),
        *_precision_flags(plan, engine),
        *_length_flags(plan, pool),
        *_memory_flags(plan, pool),
        *_handoff_flags(plan, pool),
    )


def partition(plan: Plan, pool: Pool) -> dict[str, str]:
    """The environment for stages that SGLang would not choose itself."""
    layers = uneven_layers(pool, plan.model.num_layers, "sglang")
    return {PARTITION: layers} if layers else {}


def _context_flags(pool: Pool) -> Iterator[tuple[str, str | None]]:
    if pool.attention.cp_size > 1:
        yield "--enable-prefill-cp", None
        yield "--cp-strategy", "zigzag"
    if pool.sp_kind == "megatron" and pool.attention.tp_size > 1:
        yield "--enable-layernorm-sp", None


def _expert_flags(plan: Plan, pool: Pool) -> Iterator[tuple[str, str | None]]:
    experts, replicas = pool.experts, pool.attention.dp_size
    if replicas > 1 and plan.model.has_dense_ffn and pool.dense_ffn == "local":
        yield "--moe-dense-tp-size", "1"
    if replicas > 1 and pool.lm_head == "local":
        yield "--enable-dp-lm-head", None
    if experts is None or experts.ep_size == 1:
        return
    yield "--moe-a2a-backend", ("mori" if plan.amd else "deepep") if pool.ep_lowering == "all_to_all" else "none"
    if pool.ep_lowering == "all_to_all":
        yield "--deepep-mode", deepep_mode(pool.dispatch_mode, pool)
    if pool.redundant_experts:
        yield "--enable-eplb", None
        yield "--ep-num-redundant-experts", str(pool.redundant_experts)


def deepep_mode(modes: DispatchModes, pool: Pool) -> str:
    """DeepEP kernels: `auto` takes throughput kernels in prefill and low-latency ones in decode, the others fix one."""
    used = {getattr(modes, phase) for phase in pool.phases}
    if len(used) > 1:
        return "auto"
    return "normal" if used == {"throughput"} else "low_latency"


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
        yield "--context-length", str(plan.max_model_len)
    if pool.chunk_tokens is not None:
        # SGLang divides this among the attention replicas.
        yield "--chunked-prefill-size", str(pool.chunk_tokens * pool.attention.dp_size)


def _memory_flags(plan: Plan, pool: Pool) -> Iterator[tuple[str, str | None]]:
    if plan.problem is not None:
        yield "--mem-fraction-static", f"{fraction_to_say(plan.problem, pool, 'sglang'):g}"


def _handoff_flags(plan: Plan, pool: Pool) -> Iterator[tuple[str, str | None]]:
    if plan.strategy.disaggregated:
        yield "--disaggregation-mode", role(plan, pool)
        yield "--disaggregation-transfer-backend", "nixl"


# --- hosts --------------------------------------------------------------------------------------------------------------------------


def _launches(plan: Plan, engine: Capabilities, one: Placed) -> Iterator[Launch]:
    shared = arguments(plan, engine, one.pool)
    program = ("python3", "-m", "sglang.launch_server")
    for number, share in enumerate(one.shares):
        env = {**partition(plan, one.pool), **visible_gpus(plan, share.gpus)}
        flags = (("--model-path", plan.model_id), *shared, *_host_flags(plan, one, number))
        yield Launch(share.host, Command(program, flags, env))


def _host_flags(plan: Plan, one: Placed, number: int) -> Flags:
    hosts = len(one.shares)
    address = f"{host_variable(one.shares[0].host)}:{INIT_PORT + one.slot}"
    several = (
        (("--nnodes", str(hosts)), ("--node-rank", str(number)), ("--dist-init-addr", address)) if hosts > 1 else ()
    )
    bootstrap = (
        (("--disaggregation-bootstrap-port", str(BOOTSTRAP_PORT + one.slot)),)
        if role(plan, one.pool) == "prefill"
        else ()
    )
    return (*several, *bootstrap, ("--host", "0.0.0.0"), ("--port", str(PORT + one.slot)))  # noqa: S104


def _router(plan: Plan, placed: tuple[Placed, ...]) -> tuple[Artifact, ...]:
    """The command in front of several servers, run where it reaches them."""
    if len(placed) == 1:
        return ()
    front = ["python3 -m sglang_router.launch_router"]
    if plan.strategy.disaggregated:
        front += ["--pd-disaggregation", *(_worker(plan, one) for one in placed)]
    else:
        front += ["--worker-urls " + " ".join(f'"{endpoint(one, PORT)}"' for one in placed)]
    front.append(f"--host 0.0.0.0 --port {ROUTER_PORT}")
    command = " \\\n  ".join(front)
    lines = [
        "#!/usr/bin/env bash",
        "# The router in front of the servers.",
        "set -euo pipefail",
        *needed_addresses(command),
        "",
        command,
    ]
    return (Artifact("router.sh", "\n".join(lines) + "\n", SCRIPT),)


def _worker(plan: Plan, one: Placed) -> str:
    url = f'"{endpoint(one, PORT)}"'
    return f"--prefill {url} {BOOTSTRAP_PORT + one.slot}" if role(plan, one.pool) == "prefill" else f"--decode {url}"
