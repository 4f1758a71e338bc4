"""A strategy under a load in AIConfigurator's words, and a refusal for whatever it has no word for.

It prices one worker (or one pair of worker pools) of attention TP, PP and DP and expert TP and EP, at a batch per attention replica. What
it would silently leave out (context parallelism, redundant experts, a changed GPU record) is refused here: a price of something else
under the plan's name is worse than none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from strategy.errors import InputError
from strategy.hardware import Cluster, GpuSpec
from strategy.model import Dtype, ModelSpec
from strategy.request import Engine, Problem
from strategy.strategy import Pool, Strategy

SYSTEMS: Mapping[str, str] = {
    "a100-80g-sxm": "a100_sxm",
    "a100-80g-pcie": "a100_pcie",
    "h100-sxm": "h100_sxm",
    "h100-pcie": "h100_pcie",
    "h200-sxm": "h200_sxm",
    "b200-sxm": "b200_sxm",
    "b300-sxm": "b300_sxm",
    "gb200-nvl72": "gb200",
    "gb300-nvl72": "gb300",
    "l40s": "l40s",
    "l4": "l4",
    "rtx-pro-6000": "rtx_pro_6000_server",
}
"""Its systems by our GPU key. Not all of them have tables for every engine."""
ENGINES: tuple[Engine, ...] = ("vllm", "sglang", "trtllm")
CACHES: Mapping[Dtype, str] = {"bf16": "bfloat16", "fp16": "bfloat16", "fp8": "fp8", "int8": "int8"}
"""Its KV cache modes by our type."""
WEIGHTS: Mapping[Dtype, tuple[str, str]] = {
    "bf16": ("bfloat16", "bfloat16"),
    "fp16": ("bfloat16", "bfloat16"),
    "fp8": ("fp8", "fp8"),
    "int4": ("int4_wo", "int4_wo"),
    "nvfp4": ("nvfp4", "nvfp4"),
}
"""Its modes of matrices and of experts for weights in another precision than the checkpoint ships."""
PREFILL_BATCH = 1
"""Prompts of one pass in a prefill pool, as its own search tries first."""


@dataclass(frozen=True)
class Question:
    """One single-point estimate as it is asked."""

    system: str
    engine: Engine
    fields: Mapping[str, Any]
    """Keyword arguments beside model, system, engine and version."""
    replicas: int
    """Independent copies of what is asked."""
    notes: tuple[str, ...] = ()


def question(problem: Problem, strategy: Strategy, gpu: GpuSpec, concurrency: int) -> Question:
    """What to ask for `concurrency` requests in flight over all of `strategy`; `gpu` is the catalogue's record of the GPU.

    Raises `InputError`, with a JSON pointer into `{request, strategy}`, for what AIConfigurator has no word for.
    """
    system, engine = _system(problem.cluster, gpu), _engine(problem.engine)
    for number, pool in enumerate(strategy.pools):
        _refuse_unknown_layout(pool, number, problem.model)
    shape = {**_traffic(problem), **_precision(problem)}
    fields = (
        _disaggregated(strategy, concurrency) if strategy.disaggregated else _colocated(strategy.pools[0], concurrency)
    )
    if not strategy.disaggregated:
        fields["ctx_tokens"] = strategy.pools[0].chunk_tokens or problem.workload.isl
    replicas = 1 if strategy.disaggregated else strategy.pools[0].replicas
    return Question(system, engine, shape | fields, replicas, tuple(_notes(problem, strategy)))


# --- load and layout ----------------------------------------------------------------------------------------------------------------


def _traffic(problem: Problem) -> dict[str, Any]:
    """Lengths in tokens; a prefix that is cached is part of the prompt."""
    load = problem.workload
    prefix = min(int(load.isl * load.prefix_hit_ratio), load.isl - 1)
    return {"isl": load.isl, "osl": load.osl, "prefix": prefix, "max_seq_len": problem.max_model_len}


def _colocated(pool: Pool, concurrency: int) -> dict[str, Any]:
    """One worker: its batch is per attention replica, and a pipeline holds one for each stage."""
    servers = pool.replicas * pool.attention.dp_size * pool.pp_size
    return {"mode": "agg", **_degrees(pool), "batch_size": max(1, round(concurrency / servers))}


def _disaggregated(strategy: Strategy, concurrency: int) -> dict[str, Any]:
    """Two pools of workers: all requests in flight are counted in the one that decodes, where a pipeline holds one batch."""
    prefill, decode = strategy.pool_for("prefill"), strategy.pool_for("decode")
    servers = decode.replicas * decode.attention.dp_size
    fields = {"mode": "disagg", "prefill_batch_size": PREFILL_BATCH}
    fields["decode_batch_size"] = max(1, round(concurrency / servers))
    for name, pool in (("prefill", prefill), ("decode", decode)):
        fields |= {f"{name}_{field}": value for field, value in _degrees(pool).items()}
        fields[f"{name}_num_workers"] = pool.replicas
    return fields


def _degrees(pool: Pool) -> dict[str, Any]:
    attention, experts = pool.attention, pool.experts
    return {
        "tp_size": attention.tp_size,
        "pp_size": pool.pp_size,
        "attention_dp_size": attention.dp_size,
        "moe_tp_size": experts.tp_size if experts else None,
        "moe_ep_size": experts.ep_size if experts else None,
    }


def _refuse_unknown_layout(pool: Pool, number: int, model: ModelSpec) -> None:
    for field, told in _unknown(pool, model):
        raise InputError(
            f"aiconfigurator does not know {told} (pool `{pool.name}`)",
            pointer=f"/strategy/pools/{number}/{field}",
            hint="it knows attention TP, PP and DP, expert TP and EP, one pool or two; our own cost model prices the rest",
        )


def _unknown(pool: Pool, model: ModelSpec) -> Iterator[tuple[str, str]]:
    """Fields of a pool that its single-point estimate has no argument for, each in words."""
    if pool.attention.cp_size > 1 or pool.sp_kind != "none":
        yield "sp_kind", f"sequence parallelism: sp_kind {pool.sp_kind}, cp_size {pool.attention.cp_size}"
    if pool.dcp_size > 1:
        yield "dcp_size", f"decode context parallelism: dcp_size {pool.dcp_size}"
    if pool.redundant_experts:
        yield "redundant_experts", f"replicas of experts: redundant_experts {pool.redundant_experts}"
    if pool.experts is not None and pool.experts.dp_size > 1:
        yield "experts/dp_size", f"copies of all experts inside a stage: experts.dp_size {pool.experts.dp_size}"
    if model.moe is None and pool.attention.dp_size > 1:
        yield "attention/dp_size", f"attention data parallelism of a dense model: dp_size {pool.attention.dp_size}"


def _notes(problem: Problem, strategy: Strategy) -> Iterator[str]:
    """What it decides for itself, whatever the plan says."""
    if problem.model.moe is not None:
        yield "how tokens reach experts is its own choice for this engine and layout, not the plan's ep_lowering"
    if any(pool.pp_size > 1 for pool in strategy.pools):
        yield "its pipelines have equal stages and no bubbles"
    if strategy.disaggregated:
        yield f"prefill passes of {PREFILL_BATCH} prompt; TTFT and TPOT carry its own corrections, the times of ops do not"


# --- names --------------------------------------------------------------------------------------------------------------------------


def _system(cluster: Cluster, gpu: GpuSpec) -> str:
    """Its name of the GPU. A record that the request changed, or hosts of another size, would be priced as the usual ones."""
    known = ", ".join(SYSTEMS)
    if gpu.key not in SYSTEMS:
        raise InputError(
            f"aiconfigurator does not know the GPU {gpu.key}", pointer="/request/cluster/gpu", hint=f"it knows {known}"
        )
    changed = [name for name in GpuSpec.model_fields if getattr(cluster.gpu, name) != getattr(gpu, name)]
    if changed:
        raise InputError(
            f"aiconfigurator prices {gpu.key} by records of its own; the request replaces {', '.join(changed)}",
            pointer=f"/request/cluster/{changed[0]}",
            hint="leave the GPU as it is sold, or use our own cost model",
        )
    if cluster.gpus_per_host != gpu.gpus_per_host and cluster.hosts > 1:
        raise InputError(
            f"aiconfigurator assumes hosts of {gpu.gpus_per_host} {gpu.key}; the request has {cluster.gpus_per_host} a host",
            pointer="/request/cluster/gpus_per_host",
        )
    return SYSTEMS[gpu.key]


def _engine(engine: Engine | None) -> Engine:
    if engine is None:
        raise InputError(
            "aiconfigurator prices one engine, and the request names none",
            pointer="/request/engine",
            hint=f"set engine to {', '.join(ENGINES)}",
        )
    return engine


def _precision(problem: Problem) -> dict[str, Any]:
    """The cache as decided; weights only where they differ from the checkpoint, whose own scheme it reads from the config."""
    wanted, shipped = problem.precision, problem.model.checkpoint
    fields: dict[str, Any] = {"kvcache_quant_mode": _mode(CACHES, wanted.kv, "kv")}
    if wanted.weights not in (shipped.weights, "bf16" if shipped.weights in ("fp32", "fp16") else None):
        matrices, experts = _mode(WEIGHTS, wanted.weights, "weights")
        fields |= {"gemm_quant_mode": matrices, "moe_quant_mode": experts}
    return fields


def _mode(modes: Mapping[Dtype, Any], dtype: Dtype, what: str) -> Any:
    if dtype not in modes:
        raise InputError(
            f"aiconfigurator does not know {what} in {dtype} for this checkpoint",
            pointer=f"/request/precision/{what}",
            hint=f"it knows {', '.join(modes)}",
        )
    return modes[dtype]
