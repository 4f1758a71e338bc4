"""The candidate space: every pool that the legality predicates allow on this cluster, in a fixed order."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from strategy.capabilities import capabilities
from strategy.engine_limits import hands_over
from strategy.export.express import Host, nearest
from strategy.legality import divisors, even_stages, illegal, legal_moe_tp_sizes, legal_tp_sizes, most_kv_heads
from strategy.memory import PREFILL_BUDGET_TOKENS
from strategy.model import ModelSpec
from strategy.request import FixedDegrees, Problem
from strategy.search.stages import better_stages
from strategy.strategy import AttentionMesh, EpLowering, ExpertMesh, Pool, Strategy

MAX_STAGES = 32
"""Deeper pipelines only add latency; a request can still fix one."""
FEW_GPUS = 8
"""GPUs on which every number of stages is considered; on more, those that fill the cluster."""
SOME_GPUS = 64
"""The same where GPUs are to be saved: up to `FEW_GPUS` stages that do not fill it."""
LONG_PROMPT_TOKENS = 32_768
"""Prompts from which context parallelism is considered."""
LONG_CONTEXT_TOKENS = 8_192
"""Contexts from which sharing the cache of a sequence is considered."""
SHORT_CHUNK_TOKENS = 2048
"""A prefill pass that fills a pipeline with pieces of one prompt."""
GATHERED_SHARE = 0.2
"""Share of dense layers from which a gathered dense FFN is considered."""


def pools(problem: Problem) -> Iterator[Pool]:
    """Every legal pool of one replica that answers the request's constraints and that its engine can run, each once."""
    seen: set[Pool] = set()
    fixed = problem.constraints.fix
    asked = fixed.cp_size, fixed.dcp_size, fixed.pp_size
    for found in _pools(problem):
        pool = as_engine_runs_it(problem, found)
        if pool is None or pool in seen:
            continue
        seen.add(pool)
        if _wanted(pool, asked) and is_legal(problem, pool):
            yield pool


def _pools(problem: Problem) -> Iterator[Pool]:
    for attention in _attention_meshes(problem):
        for pp_size in _pipeline_sizes(problem, attention.width):
            stages = even_stages(problem.model.num_layers, pp_size, problem.engine)
            base = Pool(pp_size=pp_size, stages=stages, attention=attention, **_context_parallel(attention))
            yield from _context_choices(problem, base)


def variants(problem: Problem, pool: Pool) -> Iterator[Pool]:
    """The pool with what rarely decides: balanced stages, gathered FFN and head, other kinds of context parallelism, shorter chunks. Legal ones, not the pool."""
    for changes in _variations(problem, pool):
        changed = as_engine_runs_it(problem, pool.model_copy(update=changes))
        if changed is not None and changed != pool and is_legal(problem, changed):
            yield changed


def _variations(problem: Problem, pool: Pool) -> Iterator[dict[str, Any]]:
    stages = better_stages(problem, pool.pp_size) if pool.pp_size > 1 else None
    if stages is not None:
        yield {"stages": stages}
    if pool.attention.dp_size > 1 and pool.dense_ffn == "local":
        yield {"dense_ffn": "gathered", "lm_head": "gathered"}
    if pool.attention.cp_size > 1 and pool.chunk_tokens is None:
        yield {"sp_kind": "cp_ring"}
    if pool.attention.cp_size > 1 and problem.model.attention.kind == "gqa":
        yield {"sp_kind": "cp_ulysses"}
    if pool.pp_size > 1 and pool.chunk_tokens is not None:
        yield {"chunk_tokens": SHORT_CHUNK_TOKENS}
        if stages is not None:
            yield {"chunk_tokens": SHORT_CHUNK_TOKENS, "stages": stages}


def as_engine_runs_it(problem: Problem, pool: Pool) -> Pool | None:
    """The pool with what the engine decides by itself (rank order, lowering, where dense FFNs run); None when it cannot run it."""
    if problem.engine is None:
        return pool
    host = Host(problem.cluster.gpus_per_host, problem.cluster.gpu.scale_up)
    able = nearest(capabilities(problem.engine), problem.model, Strategy(pools=(pool,)), host)
    if able is None:
        return None
    changed = able.pools[0]
    same_degrees = (changed.attention, changed.pp_size, changed.dcp_size) == (
        pool.attention,
        pool.pp_size,
        pool.dcp_size,
    )
    return changed if same_degrees and changed.experts == pool.experts else None


def is_legal(problem: Problem, pool: Pool) -> bool:
    """Whether no strategy or layout rule refuses the pool, and a replica of several hosts fills them."""
    ranks, per_host = pool.ranks_per_replica, problem.cluster.gpus_per_host
    whole = ranks <= per_host or ranks % per_host == 0 or problem.constraints.fix != FixedDegrees()
    return whole and illegal(problem.model, pool, problem.precision, problem.cluster, engine=problem.engine) is None


def strategy_is_legal(problem: Problem, strategy: Strategy) -> bool:
    """Whether no rule refuses a pool for the phases it serves, and the engine hands the cache over between two."""
    pair = strategy.pool_for("prefill"), strategy.pool_for("decode")
    if strategy.disaggregated and not hands_over(problem.model, *pair, problem.engine):
        return False
    return all(
        illegal(problem.model, pool, problem.precision, problem.cluster, engine=problem.engine) is None
        for pool in strategy.pools
    )


def replicated(problem: Problem, pool: Pool) -> list[Strategy]:
    """A pool at every replica count worth considering."""
    return [with_replicas(pool, n) for n in replica_counts(problem, pool)]


def with_replicas(pool: Pool, replicas: int) -> Strategy:
    """A strategy of one pool."""
    return Strategy(pools=(pool.model_copy(update={"replicas": replicas}),))


def replica_counts(problem: Problem, pool: Pool) -> list[int]:
    """How many replicas to consider: as many as fit for throughput, fewer where the load or the objective may want fewer."""
    fixed, limit = problem.constraints.fix, most_replicas(problem, pool)
    if fixed.replicas is not None:
        return [fixed.replicas] if fixed.replicas <= limit else []
    if fixed.gpus is not None:
        exact, rest = divmod(fixed.gpus, pool.ranks_per_replica)
        return [exact] if not rest and 1 <= exact <= limit else []
    return _counts_worth_pricing(problem, limit)


def most_replicas(problem: Problem, pool: Pool) -> int:
    """Replicas that the cluster and the constraints leave room for. None is cut by the edge of a host it might lie in whole."""
    ranks, cluster = pool.ranks_per_replica, problem.cluster
    room = min(problem.constraints.fix.gpus or cluster.gpus, cluster.gpus)
    if cluster.gpus_per_host % ranks and ranks < cluster.gpus_per_host:
        room = min(room, cluster.gpus_per_host)
    return min(room // ranks, 1) if "dp" in problem.constraints.forbid else room // ranks


def _counts_worth_pricing(problem: Problem, limit: int) -> list[int]:
    work = problem.workload
    if problem.objective == "throughput" and work.concurrency is None and work.request_rate is None:
        return [limit] if limit else []
    useful = limit if work.concurrency is None else min(limit, work.concurrency)
    doubling = [1 << n for n in range(limit.bit_length()) if 1 << n <= useful]
    return sorted({*doubling, useful} - {0})


def _attention_meshes(problem: Problem) -> Iterator[AttentionMesh]:
    fixed, forbid = problem.constraints.fix, problem.constraints.forbid
    gpus = problem.cluster.gpus
    tp_sizes = legal_tp_sizes(problem.model, gpus, engine=problem.engine)
    if fixed.tp_size is not None:
        tp_sizes = [fixed.tp_size]
    for tp_size in _allowed_sizes(tp_sizes, allowed="tp" not in forbid):
        for dp_size in _attention_dp_sizes(problem.model, fixed, forbid, gpus // tp_size):
            for cp_size in _cp_sizes(problem, gpus // tp_size) if dp_size == 1 else [1]:
                yield AttentionMesh(dp_size=dp_size, cp_size=cp_size, tp_size=tp_size)


def _allowed_sizes(sizes: list[int], *, allowed: bool) -> list[int]:
    """Degrees of a kind of parallelism; above one only where the kind is allowed, also when they are fixed."""
    return [size for size in sizes if allowed or size == 1]


def _cp_sizes(problem: Problem, limit: int) -> list[int]:
    """Ranks that share a prompt: considered for long prompts only, where the engine has it (EN005)."""
    fixed, allowed = problem.constraints.fix.cp_size, "sp" not in problem.constraints.forbid
    if fixed is not None:
        return _allowed_sizes([fixed] if fixed <= limit else [], allowed=allowed)
    has_it = problem.engine != "vllm" or problem.model.attention.kind == "mla"
    if not allowed or problem.workload.isl < LONG_PROMPT_TOKENS or not has_it:
        return [1]
    return [size for size in (1, 2, 4, 8) if size <= limit]


def _dcp_sizes(problem: Problem, pool: Pool) -> list[int]:
    """Ranks that share a sequence's cache: considered for long contexts, where tp ranks would hold copies of it."""
    fixed, tp_size = problem.constraints.fix.dcp_size, pool.attention.tp_size
    allowed = "dcp" not in problem.constraints.forbid
    if fixed is not None:
        return _allowed_sizes([fixed], allowed=allowed)
    context = problem.workload.isl + problem.workload.osl
    if not allowed or pool.attention.cp_size > 1 or context < LONG_CONTEXT_TOKENS:
        return [1]
    copies = tp_size // (most_kv_heads(problem.model) or 1)
    return [1, copies] if copies > 1 else [1]


def _attention_dp_sizes(model: ModelSpec, fixed: FixedDegrees, forbid: tuple[str, ...], limit: int) -> list[int]:
    """Attention replicas inside a stage: of use only where experts are shared (DP012)."""
    if fixed.dp_size is not None:
        return _allowed_sizes([fixed.dp_size] if fixed.dp_size <= limit else [], allowed="dp_attention" not in forbid)
    if model.moe is None or "dp_attention" in forbid:
        return [1] if limit else []
    return [size for size in range(1, limit + 1) if size & (size - 1) == 0 or model.moe.num_experts % size == 0]


def _pipeline_sizes(problem: Problem, width: int) -> list[int]:
    fixed, limit = problem.constraints.fix, min(problem.cluster.gpus // width, problem.model.num_layers)
    allowed = "pp" not in problem.constraints.forbid
    if fixed.pp_size is not None:
        return _allowed_sizes([fixed.pp_size] if fixed.pp_size <= limit else [], allowed=allowed)
    if not allowed:
        return [1] if limit else []
    sizes = set(divisors(problem.cluster.gpus // width))
    if problem.cluster.gpus <= (SOME_GPUS if problem.objective == "min_gpus" else FEW_GPUS):
        sizes |= set(range(1, FEW_GPUS + 1))
    return sorted(pp_size for pp_size in sizes if pp_size <= min(limit, MAX_STAGES))


def _context_parallel(attention: AttentionMesh) -> dict[str, Any]:
    """How cp ranks work in each phase: K and V are gathered in prefill, each sequence has one owner in decode."""
    return {"sp_kind": "cp_allgather", "cp_decode_use": "batch_shard"} if attention.cp_size > 1 else {}


def _context_choices(problem: Problem, base: Pool) -> Iterator[Pool]:
    """The expert meshes of a stage, each with the cache whole or shared by positions, and prompts whole or in chunks."""
    for pool in _expert_choices(problem, base):
        for dcp_size, chunk in product(_dcp_sizes(problem, pool), _chunk_sizes(problem)):
            changes = {"dcp_size": dcp_size, "chunk_tokens": chunk}
            yield pool if (dcp_size, chunk) == (1, None) else pool.model_copy(update=changes)


def _chunk_sizes(problem: Problem) -> tuple[int | None, ...]:
    """Tokens of one prefill pass: prompts beyond the engines' budget may come in pieces, which need less room and fill a pipeline."""
    return (None,) if problem.workload.isl <= PREFILL_BUDGET_TOKENS else (None, PREFILL_BUDGET_TOKENS)


def _expert_choices(problem: Problem, pool: Pool) -> Iterator[Pool]:
    """Both meshes and the lowering for an MoE model; a dense pool as it is, where no expert degree is fixed."""
    moe, fixed = problem.model.moe, problem.constraints.fix
    if moe is None:
        if max(fixed.ep_size or 1, fixed.moe_tp_size or 1) == 1:
            yield pool
        return
    for ep_size in _expert_sizes(problem, pool.width):
        moe_tp = pool.width // ep_size
        for lowering in _lowerings(problem, pool, ep_size):
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


def _lowerings(problem: Problem, pool: Pool, ep_size: int) -> list[EpLowering]:
    """How tokens meet their experts: in place when every rank has them, else exchanged.

    all_to_all pays only beyond top_k ranks (EP020), and no engine has kernels for it over PCIe (EN020).
    """
    if pool.width == pool.attention.tp_size:
        return ["replicated"]
    moe = problem.model.moe
    exchanged = moe is not None and ep_size > moe.top_k and problem.cluster.gpu.scale_up != "pcie"
    return ["all_to_all"] if exchanged else ["all_gather"]


def _wanted(pool: Pool, asked: tuple[int | None, int | None, int | None]) -> bool:
    """Whether a pool has the cp_size, dcp_size and pp_size that are fixed."""
    cp_size, dcp_size, pp_size = asked
    return (
        cp_size in (None, pool.attention.cp_size)
        and dcp_size in (None, pool.dcp_size)
        and pp_size in (None, pool.pp_size)
    )
