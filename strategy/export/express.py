"""Whether an engine can express a strategy, and the nearest strategy that it can.

An obstacle is a field of a pool, the reason, and the change of the pool that removes it. `require` raises the first ones as an
`InputError` whose hint is the nearest plan; `nearest` gives that plan as a value.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from strategy.capabilities import TABLE, Capabilities, begins, runs_on, serves
from strategy.engine_limits import HANDOFFS, all_to_all_has_fabric, all_to_all_takes, context_gap
from strategy.errors import InputError
from strategy.export.artifacts import DEFAULT_GPUS_PER_HOST, Plan
from strategy.hardware import Fabric
from strategy.legality import ep_divides
from strategy.model import ModelSpec
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy, describe

MAX_CHANGES = 24
FABRICS: dict[Fabric, str] = {"nvlink": "NVLink", "infinity_fabric": "Infinity Fabric", "pcie": "PCIe", "ici": "ICI"}


class Obstacle(NamedTuple):
    """Something a pool asks for that the engine does not have."""

    field: str
    """Below the pool, as in a JSON pointer."""
    reason: str
    change: dict[str, Any]
    """Fields of the pool to replace."""


class Host(NamedTuple):
    """What a pool runs on, as far as it decides what an engine can do."""

    gpus: int = DEFAULT_GPUS_PER_HOST
    fabric: Fabric | None = None
    """None where no request says."""


class Question(NamedTuple):
    """A pool before an engine."""

    engine: Capabilities
    model: ModelSpec
    pool: Pool
    host: Host


Check = Callable[[Question], Iterator[Obstacle]]


def obstacles(engine: Capabilities, model: ModelSpec, pool: Pool, host: Host = Host()) -> list[Obstacle]:
    """Everything in `pool` that `engine` cannot run as planned."""
    asked = Question(engine, model, pool, host)
    return [found for check in _CHECKS for found in check(asked)]


def nearest(engine: Capabilities, model: ModelSpec, strategy: Strategy, host: Host = Host()) -> Strategy | None:
    """`strategy` with each obstacle's change applied until none is left; None when that does not settle."""
    pools = [_nearest_pool(engine, model, pool, host) for pool in strategy.pools]
    kept = [pool for pool in pools if pool is not None]
    return strategy.model_copy(update={"pools": tuple(kept)}) if len(kept) == len(pools) else None


def require(engine: Capabilities, plan: Plan) -> None:
    """Raise `InputError` with the reasons and the nearest plan when `engine` cannot express the plan."""
    _require_accelerator(engine, plan)
    _require_positions(engine, plan)
    found = [
        (f"/strategy/pools/{index}/{obstacle.field}", obstacle.reason)
        for index, pool in enumerate(plan.strategy.pools)
        for obstacle in obstacles(engine, plan.model, pool, _host(plan))
    ]
    if found:
        close = nearest(engine, plan.model, plan.strategy, _host(plan))
        hint = f"nearest plan {engine.title} can express: {_told(close, plan.strategy)}" if close else ""
        raise InputError(_refused(engine, [reason for _, reason in found]), pointer=found[0][0], hint=hint)
    _require_handoff(engine, plan)
    _require_precision(engine, plan)


def _host(plan: Plan) -> Host:
    return Host(plan.gpus_per_host, None if plan.gpu is None else plan.gpu.scale_up)


def _refused(engine: Capabilities, reasons: list[str]) -> str:
    return f"{engine.title} {engine.version} cannot express this plan: {'; '.join(reasons)}"


def _nearest_pool(engine: Capabilities, model: ModelSpec, pool: Pool, host: Host) -> Pool | None:
    for _ in range(MAX_CHANGES):
        found = obstacles(engine, model, pool, host)
        if not found:
            return pool
        pool = pool.model_copy(update=found[0].change)
    return None


def _told(strategy: Strategy, asked: Strategy) -> str:
    """A strategy in a line, with the fields that differ from what was asked."""
    parts = []
    for pool, before in zip(strategy.pools, asked.pools, strict=True):
        changed = [name for name in Pool.model_fields if getattr(pool, name) != getattr(before, name)]
        fields = ", ".join(f"{name}: {_value(getattr(pool, name))}" for name in changed)
        parts.append(f"{pool.name}: {describe(pool)}" + (f" ({fields})" if fields else ""))
    return "; ".join(parts)


def _value(value: object) -> object:
    return value.model_dump() if isinstance(value, AttentionMesh | ExpertMesh) else value


# --- experts ------------------------------------------------------------------------------------------------------------------------


def _spread(q: Question) -> ExpertMesh:
    """Whole experts over all ranks, or cut ones where they do not divide."""
    whole = ep_divides(q.model, q.pool.width)
    return ExpertMesh(ep_size=q.pool.width) if whole else ExpertMesh(tp_size=q.pool.width)


def _partial_ep(q: Question) -> Iterator[Obstacle]:
    experts = q.pool.experts
    if experts is None or q.engine.ep_over_part or experts.ep_size in (1, q.pool.width):
        return
    reason = (
        f"expert parallelism takes all {q.pool.width} ranks of a stage with whole experts or is off; "
        f"ep_size={experts.ep_size} with expert tp_size={experts.tp_size} has no flag (EN001)"
    )
    yield Obstacle("experts/ep_size", reason, {"experts": _spread(q), "redundant_experts": 0})


def _copies(q: Question) -> Iterator[Obstacle]:
    experts = q.pool.experts
    if experts is None or experts.dp_size == 1:
        return
    cp = q.pool.attention.cp_size
    fits = q.engine.expert_copies and cp == experts.dp_size and q.pool.pp_size == 1
    if fits and (experts.ep_size == 1 or experts.ep_size * experts.dp_size == q.pool.width):
        return
    rest = ExpertMesh(ep_size=experts.ep_size, tp_size=q.pool.width // experts.ep_size)
    rule = " unless they equal the cp ranks, in one stage (EN009)" if q.engine.expert_copies else ""
    reason = f"a stage holds one set of experts, so experts dp_size={experts.dp_size} cannot be said{rule}"
    yield Obstacle("experts/dp_size", reason, {"experts": rest})


def _redundant(q: Question) -> Iterator[Obstacle]:
    if q.pool.redundant_experts and (q.pool.experts is None or q.pool.experts.ep_size == 1):
        reason = "redundant experts need expert parallelism over several ranks (EN006)"
        yield Obstacle("redundant_experts", reason, {"redundant_experts": 0})


def _lowering(q: Question) -> Iterator[Obstacle]:
    experts, lowering = q.pool.experts, q.pool.ep_lowering
    if experts is None or q.pool.width == 1:
        return
    allowed, why = _lowerings(q, experts)
    if lowering not in allowed:
        reason = f"ep_lowering {lowering} does not happen {why}; {q.engine.title} uses {' or '.join(allowed)}"
        yield Obstacle("ep_lowering", reason, {"ep_lowering": allowed[0]})
    elif q.host.fabric is not None and not all_to_all_has_fabric(q.engine, q.pool, q.host.fabric):
        reason = f"its all_to_all kernels need {' or '.join(map(FABRICS.__getitem__, q.engine.all_to_all_fabrics))} between the GPUs of a host (EN020)"
        yield Obstacle("ep_lowering", reason, {"ep_lowering": allowed[0]})
    elif not all_to_all_takes(q.engine, q.model, q.pool):
        reason = f"all_to_all is not written for {q.model.name} with hidden_size {q.model.hidden_size} (EN021)"
        yield Obstacle("ep_lowering", reason, {"ep_lowering": allowed[0]})
    elif lowering == "all_to_all" and q.engine.all_to_all_spans_stage and experts.ep_size != q.pool.width:
        reason = f"all_to_all backends set ep_size to the {q.pool.width} ranks of the stage (EN010)"
        yield Obstacle("experts/ep_size", reason, {"ep_lowering": allowed[0]})
    elif lowering == "all_to_all" and not _enough_ranks(q, experts):
        reason = f"all_to_all is off at ep_size={experts.ep_size}, which does not exceed the experts of a token (EN015)"
        yield Obstacle("ep_lowering", reason, {"ep_lowering": "all_gather"})


def _lowerings(q: Question, experts: ExpertMesh) -> tuple[tuple[str, ...], str]:
    if q.pool.attention.dp_size * q.pool.attention.cp_size == 1:
        cut = experts.ep_size == 1
        return ("replicated",) if cut else q.engine.lowerings_alone, "while all ranks hold the same tokens (EN003)"
    if experts.ep_size == 1:
        return q.engine.lowerings_cut, "for experts cut over the stage (EN002)"
    return q.engine.lowerings_replicated, "between attention replicas or cp ranks"


def _enough_ranks(q: Question, experts: ExpertMesh) -> bool:
    moe = q.model.moe
    return not q.engine.all_to_all_beyond_top_k or moe is None or experts.ep_size > moe.top_k


def _expert_order(q: Question) -> Iterator[Obstacle]:
    experts, order = q.pool.experts, q.engine.moe_layout
    if experts is None or order is None or q.pool.moe_layout == order:
        return
    if experts.ep_size > 1 and experts.tp_size > 1:
        reason = (
            f"its expert mesh is {order}, the plan's {q.pool.moe_layout}: the experts would lie on other ranks (RL006)"
        )
        yield Obstacle("moe_layout", reason, {"moe_layout": order})


# --- attention and what is dense ------------------------------------------------------------------------------------------------------


def _attention_mix(q: Question) -> Iterator[Obstacle]:
    attention = q.pool.attention
    if q.engine.tp_beside_dp or attention.dp_size == 1 or attention.tp_size == 1:
        return
    reason = f"attention DP takes all ranks of a stage: dp_size={attention.dp_size} beside tp_size={attention.tp_size} has no flag (EN014)"
    yield Obstacle("attention", reason, {"attention": AttentionMesh(dp_size=q.pool.width)})


def _replica_layout(q: Question) -> Iterator[Obstacle]:
    pool, layout = q.pool, q.engine.dp_layout
    if pool.attention.dp_size > 1 and pool.pp_size > 1 and pool.dp_layout != layout:
        reason = (
            f"it lays attention replicas out {layout} of the pipeline, the plan {pool.dp_layout}: other groups (RL010)"
        )
        yield Obstacle("dp_layout", reason, {"dp_layout": layout})


def _dense_ffn(q: Question) -> Iterator[Obstacle]:
    pool = q.pool
    if pool.attention.dp_size == 1 or not q.model.has_dense_ffn:
        return
    if pool.dense_ffn not in q.engine.dense_ffn:
        reason = f"a dense FFN under attention DP is {q.engine.dense_ffn[0]}, the plan's is {pool.dense_ffn}"
        yield Obstacle("dense_ffn", reason, {"dense_ffn": q.engine.dense_ffn[0]})
    elif pool.dense_ffn == "local" and pool.attention.tp_size > 1 and not q.engine.dense_local_with_tp:
        reason = (
            "a dense FFN under attention DP is whole on every rank or gathered, never split over the attention tp ranks"
        )
        yield Obstacle("dense_ffn", reason, {"dense_ffn": "gathered"})


def _lm_head(q: Question) -> Iterator[Obstacle]:
    if q.pool.attention.dp_size > 1 and q.pool.lm_head not in q.engine.lm_head:
        reason = f"the LM head under attention DP is {q.engine.lm_head[0]}, the plan's is {q.pool.lm_head}"
        yield Obstacle("lm_head", reason, {"lm_head": q.engine.lm_head[0]})


# --- sequence and pipeline ----------------------------------------------------------------------------------------------------------


def _context(q: Question) -> Iterator[Obstacle]:
    pool = q.pool
    if pool.attention.cp_size == 1:
        return
    gap = context_gap(q.engine, q.model, pool)
    if gap is not None:
        reason, change = gap
        yield Obstacle("experts" if "experts" in change else "attention/cp_size", f"{reason} (EN005)", change)
    if q.model.attention.kind not in q.engine.cp_attention:
        return
    if pool.sp_kind not in q.engine.cp_kinds:
        reason = f"cp ranks work by {' or '.join(q.engine.cp_kinds)}, not {pool.sp_kind}"
        yield Obstacle("sp_kind", reason, {"sp_kind": q.engine.cp_kinds[0]})
    if pool.cp_order not in q.engine.cp_orders:
        reason = f"cp ranks hold a prompt in {q.engine.cp_orders[0]} order, not {pool.cp_order}"
        yield Obstacle("cp_order", reason, {"cp_order": q.engine.cp_orders[0]})
    if "decode" in pool.phases and pool.cp_decode_use not in q.engine.cp_decode_uses:
        use = q.engine.cp_decode_uses[0]
        yield Obstacle("cp_decode_use", f"cp ranks in decode: {use}, not {pool.cp_decode_use}", {"cp_decode_use": use})


def _token_shards(q: Question) -> Iterator[Obstacle]:
    pool = q.pool
    if pool.sp_kind != "megatron" or pool.attention.tp_size == 1:
        return
    known = q.model.moe is None and begins(q.model.name, q.engine.token_shards)
    if not known or pool.pp_size > 1 or pool.attention.dp_size > 1:
        where = (
            f"{', '.join(q.engine.token_shards)} without stages or attention DP only (EN012)"
            if q.engine.token_shards
            else "no model"
        )
        yield Obstacle(
            "sp_kind", f"token shards between tp collectives (megatron) exist for {where}", {"sp_kind": "none"}
        )


def _decode_context(q: Question) -> Iterator[Obstacle]:
    if q.pool.dcp_size == 1:
        return
    if not q.engine.dcp:
        yield Obstacle("dcp_size", "it has no decode context parallelism we can write", {"dcp_size": 1})
    elif q.engine.engine == "sglang" and q.pool.attention.cp_size > 1:
        yield Obstacle("dcp_size", "decode context parallelism excludes prefill context parallelism", {"dcp_size": 1})


def _stages(q: Question) -> Iterator[Obstacle]:
    if q.pool.pp_size > 1 and not q.engine.pp:
        layers = ((0, q.model.num_layers),)
        yield Obstacle("pp_size", "its values have no pipeline size", {"pp_size": 1, "stages": layers})


def _group_in_host(q: Question) -> Iterator[Obstacle]:
    attention = q.pool.attention
    inner = attention.tp_size * attention.cp_size
    if q.engine.tp_across_hosts or inner <= q.host.gpus:
        return
    tp = q.host.gpus
    change = {
        "attention": AttentionMesh(tp_size=tp),
        "experts": q.pool.experts and ExpertMesh(tp_size=tp),
        "ep_lowering": "replicated",
    }
    yield Obstacle(
        "attention/tp_size",
        f"a tp group of {inner} does not fit a host of {tp} GPUs, and its workers share only DP",
        change,
    )


_CHECKS: tuple[Check, ...] = (
    _stages, _group_in_host, _context, _token_shards, _decode_context, _attention_mix, _copies, _partial_ep, _redundant, _lowering,
    _expert_order, _replica_layout, _dense_ffn, _lm_head,
)  # fmt: skip


# --- the whole plan -----------------------------------------------------------------------------------------------------------------


def _require_handoff(engine: Capabilities, plan: Plan) -> None:
    """Limits of the connector between two pools."""
    if not plan.strategy.disaggregated or engine.handoff is None:
        return
    found = HANDOFFS[engine.handoff](plan.model, plan.strategy.pool_for("prefill"), plan.strategy.pool_for("decode"))
    if found is None:
        return
    reason, pair = found
    close = nearest(engine, plan.model, plan.strategy.model_copy(update={"pools": pair}), _host(plan))
    told = "" if close is None else f"nearest plan {engine.title} can express: {_told(close, plan.strategy)}"
    raise InputError(_refused(engine, [f"{reason} (EN018)"]), pointer="/strategy/pools", hint=told)


def _require_accelerator(engine: Capabilities, plan: Plan) -> None:
    """An accelerator that the engine runs on, with the weights of the plan."""
    gpu, weights = plan.gpu, None if plan.precision is None else plan.precision.weights
    if gpu is None or serves(engine, gpu, weights):
        return
    able = [row.title for row in TABLE.values() if serves(row, gpu, weights)]
    lacking = f"it has no kernels for {weights} weights on" if runs_on(engine, gpu) else "it does not run on"
    raise InputError(
        _refused(engine, [f"{lacking} {gpu.name} ({gpu.arch})"]),
        pointer="/request/cluster/gpu",
        hint=f"these do: {', '.join(able)}" if able else "no engine that plans can be exported to does",
    )


def _require_positions(engine: Capabilities, plan: Plan) -> None:
    """No sequence longer than the model has positions for: servers do not start with one."""
    needed, limit = plan.max_model_len or 0, plan.model.max_position_embeddings
    if needed > limit:
        raise InputError(
            _refused(engine, [f"{plan.model.name} has {limit:,} positions, and isl + osl is {needed:,}"]),
            pointer="/request/workload",
            hint="shorten prompts or answers, or give the config.json with the scaling of positions (`rope_scaling`) that the model's card names",
        )


def _require_precision(engine: Capabilities, plan: Plan) -> None:
    """Weights that the engine can load or convert, and a cache type that it has."""
    precision = plan.precision
    if precision is None:
        return
    if precision.kv not in engine.kv_dtypes:
        raise InputError(
            _refused(engine, [f"it has no KV cache in {precision.kv}"]),
            pointer="/request/precision/kv",
            hint=f"use {', '.join(engine.kv_dtypes)}",
        )
    online_weights(engine, plan)


def online_weights(engine: Capabilities, plan: Plan) -> str | None:
    """The engine's name of the conversion it must do while loading; None when the checkpoint already ships the plan's weights.

    Raises `InputError` when the engine cannot make the plan's weights from the checkpoint.
    """
    precision, shipped = plan.precision, plan.model.checkpoint.weights
    full = ("fp32", "bf16", "fp16")
    if precision is None or precision.weights == shipped or (precision.weights in full and shipped in full):
        return None
    if shipped in full and precision.weights in engine.online_weights:
        return engine.online_weights[precision.weights]
    raise InputError(
        _refused(engine, [f"it cannot load a {shipped} checkpoint as {precision.weights}"]),
        pointer="/request/precision/weights",
        hint=f"plan with a checkpoint that ships {precision.weights}, or with weights: {shipped}",
    )
