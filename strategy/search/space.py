"""The candidate space: every pool that the legality predicates allow on this cluster, in a fixed order."""

from collections.abc import Iterator

from strategy.legality import divisors, even_stages, illegal, legal_moe_tp_sizes, legal_tp_sizes
from strategy.model import ModelSpec
from strategy.request import Constraints, FixedDegrees, Problem
from strategy.strategy import AttentionMesh, EpLowering, ExpertMesh, Pool

MAX_STAGES = 32
"""Deeper pipelines only add latency; a request can still fix one."""
GATHERED_SHARE = 0.2
"""Share of dense layers from which a gathered dense FFN is considered."""


def pools(problem: Problem) -> Iterator[Pool]:
    """Every legal colocated pool of one replica that answers the request's constraints."""
    for attention in _attention_meshes(problem):
        for pp_size in _pipeline_sizes(problem, attention.width):
            stages = even_stages(problem.model.num_layers, pp_size, problem.engine)
            for pool in _expert_choices(problem, Pool(pp_size=pp_size, stages=stages, attention=attention)):
                if _wanted(pool, problem.constraints) and is_legal(problem, pool):
                    yield pool


def is_legal(problem: Problem, pool: Pool) -> bool:
    """Whether no strategy or layout rule refuses the pool."""
    return illegal(problem.model, pool, problem.precision, problem.cluster, engine=problem.engine) is None


def replica_counts(problem: Problem, pool: Pool) -> list[int]:
    """How many replicas to consider: as many as fit for throughput, fewer where the load or the objective may want fewer."""
    fixed = problem.constraints.fix
    limit = (fixed.gpus or problem.cluster.gpus) // pool.ranks_per_replica
    if "dp" in problem.constraints.forbid:
        limit = min(limit, 1)
    if fixed.replicas is not None:
        return [fixed.replicas] if fixed.replicas <= limit else []
    return [n for n in _counts_worth_pricing(problem, limit) if fixed.gpus in (None, n * pool.ranks_per_replica)]


def _counts_worth_pricing(problem: Problem, limit: int) -> list[int]:
    if problem.objective == "min_gpus" or problem.constraints.fix.gpus is not None:
        return list(range(1, limit + 1))
    work = problem.workload
    if problem.objective == "throughput" and work.concurrency is None and work.request_rate is None:
        return [limit] if limit else []
    useful = limit if work.concurrency is None else min(limit, work.concurrency)
    doubling = [1 << n for n in range(limit.bit_length()) if 1 << n <= useful]
    return sorted({*doubling, useful} - {0})


def _attention_meshes(problem: Problem) -> Iterator[AttentionMesh]:
    fixed, forbid = problem.constraints.fix, problem.constraints.forbid
    gpus = problem.cluster.gpus
    tp_sizes = [1] if "tp" in forbid else legal_tp_sizes(problem.model, gpus, engine=problem.engine)
    if fixed.tp_size is not None:
        tp_sizes = [fixed.tp_size]
    for tp_size in tp_sizes:
        for dp_size in _attention_dp_sizes(problem.model, fixed, forbid, gpus // tp_size):
            yield AttentionMesh(dp_size=dp_size, tp_size=tp_size)


def _attention_dp_sizes(model: ModelSpec, fixed: FixedDegrees, forbid: tuple[str, ...], limit: int) -> list[int]:
    """Attention replicas inside a stage: of use only where experts are shared (DP012)."""
    if fixed.dp_size is not None:
        return [fixed.dp_size] if fixed.dp_size <= limit else []
    if model.moe is None or "dp_attention" in forbid:
        return [1] if limit else []
    return [size for size in range(1, limit + 1) if size & (size - 1) == 0 or model.moe.num_experts % size == 0]


def _pipeline_sizes(problem: Problem, width: int) -> list[int]:
    fixed, limit = problem.constraints.fix, min(problem.cluster.gpus // width, problem.model.num_layers)
    if fixed.pp_size is not None:
        return [fixed.pp_size] if fixed.pp_size <= limit else []
    if "pp" in problem.constraints.forbid:
        return [1] if limit else []
    return [pp_size for pp_size in divisors(problem.cluster.gpus // width) if pp_size <= min(limit, MAX_STAGES)]


def _expert_choices(problem: Problem, pool: Pool) -> Iterator[Pool]:
    """Both meshes and the lowering for an MoE model; a dense pool as it is."""
    moe = problem.model.moe
    if moe is None:
        yield pool
        return
    for ep_size in _expert_sizes(problem, pool.width):
        moe_tp = pool.width // ep_size
        for lowering in _lowerings(pool, ep_size, moe.top_k):
            experts = ExpertMesh(ep_size=ep_size, tp_size=moe_tp)
            for local in _dense_choices(problem.model, pool):
                layout = "outer" if problem.engine in (None, "vllm") else "inner"
                changes = {
                    "experts": experts,
                    "ep_lowering": lowering,
                    "dense_ffn": local,
                    "lm_head": local,
                    "dp_layout": layout,
                }
                yield pool.model_copy(update=changes)


def _dense_choices(model: ModelSpec, pool: Pool) -> tuple[str, ...]:
    """Where dense FFNs under DP attention may run; gathering them is of use only where they are a good part of the model."""
    gathers = pool.attention.dp_size > 1 and len(model.dense_layers) > GATHERED_SHARE * model.num_layers
    return ("local", "gathered") if gathers else ("local",)


def _expert_sizes(problem: Problem, width: int) -> list[int]:
    """EP degrees of a stage of `width` ranks; the rest of the width is expert TP."""
    fixed = problem.constraints.fix
    legal_tp = set(legal_moe_tp_sizes(problem.model, width, problem.precision))
    sizes = [ep for ep in divisors(width) if width // ep in legal_tp]
    if "ep" in problem.constraints.forbid:
        sizes = [ep for ep in sizes if ep == 1]
    if problem.engine == "vllm":
        sizes = [ep for ep in sizes if ep in (1, width)]
    return [
        ep for ep in sizes
        if fixed.ep_size in (None, ep) and fixed.moe_tp_size in (None, width // ep)
    ]  # fmt: skip


def _lowerings(pool: Pool, ep_size: int, top_k: int) -> list[EpLowering]:
    """How tokens meet their experts: in place when every rank has them, else exchanged; all_to_all pays only beyond top_k ranks (EP020)."""
    if pool.width == 1 or pool.attention.dp_size == 1:
        return ["replicated"]
    return ["all_to_all"] if ep_size > top_k else ["all_gather"]


def _wanted(pool: Pool, constraints: Constraints) -> bool:
    fixed = constraints.fix
    return fixed.cp_size in (None, 1) and fixed.dcp_size in (None, 1) and fixed.pp_size in (None, pool.pp_size)
