"""What a serving engine cannot run, beyond what no engine can: pure predicates over its row in `strategy.capabilities`.

A predicate is the truth behind one rule; the row says whether the rule speaks about the engine, and holds the facts that the predicate asks.
"""

from collections.abc import Callable
from typing import Any

from strategy.capabilities import SPARSE_ATTENTION, Capabilities, begins, capabilities, runs_on, takes_weights
from strategy.hardware import Cluster, Fabric
from strategy.model import ModelSpec
from strategy.request import Engine, Precision
from strategy.strategy import ExpertMesh, Pool

Holds = Callable[[Capabilities, ModelSpec, Pool], bool]
MOST_SPARSE_CP_RANKS = 8
"""SGLang: srt/arg_groups/model_overrides/deepseek_v2.py:123."""


def dp_layout_fits(row: Capabilities, _model: ModelSpec, pool: Pool) -> bool:
    """Attention replicas of several stages are laid out as the engine does it (RL010)."""
    return pool.attention.dp_size == 1 or pool.pp_size == 1 or pool.dp_layout == row.dp_layout


def experts_span_stage(row: Capabilities, _model: ModelSpec, pool: Pool) -> bool:
    """Where expert parallelism is a switch, experts spread over all ranks of a stage and are not cut (EN001)."""
    experts = pool.experts
    return row.ep_over_part or experts is None or experts.ep_size in (1, pool.width)


def context_parallelism_fits(row: Capabilities, model: ModelSpec, pool: Pool) -> bool:
    """Prefill context parallelism exists for the kind of attention, in that shape (EN005)."""
    return context_gap(row, model, pool) is None


Gap = tuple[str, dict[str, Any]]
"""What an engine lacks, and the change of the pool after which it does not matter."""


def context_gap(row: Capabilities, model: ModelSpec, pool: Pool) -> Gap | None:
    """Why the cp ranks of a pool cannot be, and what to change."""
    kind, attention, experts = model.attention.kind, pool.attention, pool.experts
    if attention.cp_size == 1:
        return None
    if kind not in row.cp_attention:
        only = f"for {' and '.join(row.cp_attention).upper()} only" if row.cp_attention else "in no form we can write"
        return f"it has prefill context parallelism {only}", without_context_parallelism(pool)
    if kind != "mla" or not row.cp_spreads_experts:
        return None
    if attention.tp_size > 1:
        wider = attention.model_copy(update={"cp_size": attention.cp_size * attention.tp_size, "tp_size": 1})
        return "cp ranks of latent attention have no tp ranks beside them", {"attention": wider}
    if begins(model.name, SPARSE_ATTENTION) and pool.width > MOST_SPARSE_CP_RANKS:
        told = f"cp ranks of sparse attention lie in a stage of at most {MOST_SPARSE_CP_RANKS} ranks"
        return told, without_context_parallelism(pool)
    if experts is not None and (experts.ep_size != pool.width or pool.ep_lowering != "all_to_all"):
        spread = {"experts": ExpertMesh(ep_size=pool.width), "ep_lowering": "all_to_all"}
        return "cp ranks of latent attention spread experts over the whole stage, by all_to_all", spread
    return None


def expert_copies_fit(row: Capabilities, _model: ModelSpec, pool: Pool) -> bool:
    """Copies of experts fill the stage with ep alone, in one pipeline stage, one for each cp rank (EN009)."""
    experts, cp_size = pool.experts, pool.attention.cp_size
    if experts is None or experts.dp_size == 1:
        return True
    whole = experts.ep_size == 1 or experts.ep_size * experts.dp_size == pool.width
    return row.expert_copies and whole and pool.pp_size == 1 and cp_size in (1, experts.dp_size)


def token_shards_exist(row: Capabilities, model: ModelSpec, pool: Pool) -> bool:
    """Tokens are sharded between tp collectives for dense models of the row's families only, in one pipeline stage (EN012)."""
    if pool.sp_kind != "megatron":
        return True
    known = begins(model.name, row.token_shards)
    return known and model.moe is None and pool.pp_size == 1


def meshes_fit(row: Capabilities, _model: ModelSpec, pool: Pool) -> bool:
    """Copies of experts, and attention DP beside tp, only where the engine has them (EN014)."""
    copies = pool.experts is not None and pool.experts.dp_size > 1
    mixed = pool.attention.dp_size > 1 and pool.attention.tp_size > 1
    return (row.expert_copies or not copies) and (row.tp_beside_dp or not mixed)


def all_to_all_fits(row: Capabilities, _model: ModelSpec, pool: Pool) -> bool:
    """all_to_all between the experts of ranks that all hold the same tokens, only where the engine does that (EN015)."""
    return not exchanges_tokens(pool) or pool.attention.dp_size > 1 or "all_to_all" in row.lowerings_alone


def all_to_all_has_fabric(row: Capabilities, pool: Pool, fabric: Fabric) -> bool:
    """all_to_all kernels exchange tokens between the GPUs of a host over a fabric that they are written for (EN020)."""
    return not exchanges_tokens(pool) or fabric in row.all_to_all_fabrics


def all_to_all_takes(row: Capabilities, model: ModelSpec, pool: Pool) -> bool:
    """all_to_all is written for the model, its low-latency kernels for the hidden size (EN021)."""
    if not exchanges_tokens(pool):
        return True
    lacks = begins(model.name, row.all_to_all_lacking)
    return not lacks and (not low_latency(pool) or low_latency_fits(row, model))


def low_latency(pool: Pool) -> bool:
    """Some phase of the pool uses the low-latency kernels."""
    return "low_latency" in {getattr(pool.dispatch_mode, phase) for phase in pool.phases}


def low_latency_fits(row: Capabilities, model: ModelSpec) -> bool:
    """Low-latency kernels exist for the hidden size, or for a larger one to which the engine pads."""
    sizes = row.low_latency_hidden
    width = model.expert_features
    return not sizes or width in sizes or (row.low_latency_pads and width < sizes[-1])


def exchanges_tokens(pool: Pool) -> bool:
    """Tokens move between ranks by all_to_all."""
    spread = pool.experts is not None and pool.experts.ep_size > 1
    return spread and pool.ep_lowering == "all_to_all"


LIMITS: dict[str, Holds] = {
    "EN001": experts_span_stage,
    "EN005": context_parallelism_fits,
    "EN009": expert_copies_fit,
    "EN012": token_shards_exist,
    "EN014": meshes_fit,
    "EN015": all_to_all_fits,
    "EN021": all_to_all_takes,
    "RL010": dp_layout_fits,
}
"""Limits of one pool by the code of their rule."""


# --- the cache between two pools ----------------------------------------------------------------------------------------------------

Pair = tuple[Pool, Pool]
Handoff = Callable[[ModelSpec, Pool, Pool], "tuple[str, Pair] | None"]
"""Why an engine's connector cannot hand the cache from a prefill to a decode pool, and the pair nearest to it that it can; None when it can."""


def vllm_pushes(prefill: Pool) -> bool:
    """Prefill pools of several stages write the cache into decode ranks, which else read it (nixl/base_worker.py:871-889)."""
    return prefill.pp_size > 1


def vllm_handoff(model: ModelSpec, prefill: Pool, decode: Pool) -> "tuple[str, Pair] | None":
    """Limits of NIXL in vLLM (EN018; kv_connector/v1/nixl/connector.py:107-125, base_worker.py:871-889, 2456-2462, 2727-2730)."""
    if decode.pp_size > 1:
        layers = ((0, model.num_layers),)
        changed = decode.model_copy(update={"pp_size": 1, "stages": layers})
        return f"the decode side of the connector has no pipeline (pp_size={decode.pp_size})", (prefill, changed)
    if decode.attention.cp_size > 1:
        changed = decode.model_copy(update=without_context_parallelism(decode))
        return f"the decode side of the connector has no cp ranks (cp_size={decode.attention.cp_size})", (
            prefill,
            changed,
        )
    found = _vllm_shared_cache(model, prefill, decode)
    return found or (None if model.attention.kind == "mla" else _vllm_heads(model, prefill, decode))


def _vllm_shared_cache(model: ModelSpec, prefill: Pool, decode: Pool) -> "tuple[str, Pair] | None":
    """A cache shared by positions (DCP): of latents alone, by all tp ranks or none, and never pushed (nixl/connector.py:401, tp_mapping.py:96)."""
    for pool in (prefill, decode):
        if pool.dcp_size == 1:
            continue
        alone = pool.model_copy(update={"dcp_size": 1})
        pair = (alone, decode) if pool is prefill else (prefill, alone)
        side = f"{pool.phases[0]} dcp_size={pool.dcp_size}"
        if model.attention.kind != "mla":
            return f"the connector moves shared caches of latents only ({side})", pair
        if vllm_pushes(prefill):
            return f"what a prefill pool of several stages pushes is not shared by positions ({side})", pair
        if pool.dcp_size != pool.attention.tp_size:
            return f"the connector knows caches shared by all {pool.attention.tp_size} tp ranks or none ({side})", pair
    return None


def sglang_handoff(model: ModelSpec, prefill: Pool, decode: Pool) -> "tuple[str, Pair] | None":
    """Limits of SGLang's transfer of caches shared by positions (EN018; disaggregation/common/conn.py:531-549, 1411-1420).

    They are of latents; they go to ranks that share them alike, or come from ranks that do not share, and not from cp ranks.
    """
    sizes = prefill.dcp_size, decode.dcp_size
    if sizes == (1, 1):
        return None
    told = f"prefill dcp_size={sizes[0]}, decode dcp_size={sizes[1]}"
    apart = prefill.model_copy(update={"dcp_size": 1}), decode.model_copy(update={"dcp_size": 1})
    if model.attention.kind != "mla":
        return f"shared caches are handed over for latent attention only ({told})", apart
    if begins(model.name, SPARSE_ATTENTION):
        return f"shared caches of sparse attention are not handed over ({told})", apart
    if prefill.attention.cp_size > 1:
        return f"cp ranks of prefill hand nothing to a shared cache ({told})", apart
    if sizes[0] == 1 or (sizes[0] == sizes[1] and prefill.attention.tp_size == decode.attention.tp_size):
        return None
    return f"a shared cache goes to tp ranks that share it alike ({told})", (apart[0], decode)


def _vllm_heads(model: ModelSpec, prefill: Pool, decode: Pool) -> "tuple[str, Pair] | None":
    """The side that others read from (or are written to) must not hold heads twice when it has more tp ranks, nor windows when pushed to."""
    assert model.attention.kind == "gqa"
    pushed, heads = (
        vllm_pushes(prefill),
        min(v.attention.num_kv_heads for v, _ in model.attention_sizes() if v.attention.kind == "gqa"),
    )
    here, there = (prefill, decode) if pushed else (decode, prefill)
    tp, most = there.attention.tp_size, max(here.attention.tp_size, heads)
    if tp <= here.attention.tp_size:
        return None
    if pushed and model.window is not None:
        why, most = "of a model with windows", here.attention.tp_size
    elif tp > heads:
        why = f"with {heads} KV heads"
    else:
        return None
    told = f"the connector has no {there.phases[0]} tp_size={tp} above {here.phases[0]} tp_size={here.attention.tp_size} {why}"
    changed = _narrower(there, most)
    return told, (prefill, changed) if pushed else (changed, decode)


def _narrower(pool: Pool, tp_size: int) -> Pool:
    """The pool with fewer tp ranks on as many GPUs: more attention replicas where there are experts, else more replicas."""
    times = pool.attention.tp_size // tp_size
    attention = pool.attention.model_copy(update={"tp_size": tp_size})
    if pool.experts is None:
        return pool.model_copy(update={"attention": attention, "replicas": pool.replicas * times})
    spread = attention.model_copy(update={"dp_size": attention.dp_size * times})
    return pool.model_copy(update={"attention": spread})


def without_context_parallelism(pool: Pool) -> dict[str, Any]:
    """The change of a pool whose cp ranks become tp ranks."""
    attention = pool.attention
    merged = attention.model_copy(update={"cp_size": 1, "tp_size": attention.tp_size * attention.cp_size})
    return {"attention": merged, "sp_kind": "none", "cp_decode_use": None}


HANDOFFS: dict[str, Handoff] = {"nixl": vllm_handoff, "sglang": sglang_handoff}
"""Limits between two pools by the connector that a row names."""


def hands_over(model: ModelSpec, prefill: Pool, decode: Pool, engine: Engine | None) -> bool:
    """Whether the engine's connector can hand the cache over (EN018)."""
    connector = None if engine is None else capabilities(engine).handoff
    return connector is None or HANDOFFS[connector](model, prefill, decode) is None


def engine_illegal(
    model: ModelSpec,
    pool: Pool,
    engine: Engine | None,
    cluster: Cluster | None = None,
    precision: Precision | None = None,
) -> str | None:
    """Code of the first engine rule that refuses `pool`, or None; nothing is refused when no engine is named."""
    if engine is None:
        return None
    row = capabilities(engine)
    if cluster is not None and not runs_on(row, cluster.gpu):
        return "EN019"
    if cluster is not None and precision is not None and not takes_weights(row, cluster.gpu, precision.weights):
        return "EN022"
    if cluster is not None and not all_to_all_has_fabric(row, pool, cluster.gpu.scale_up):
        return "EN020"
    return next((code for code in row.rules if code in LIMITS and not LIMITS[code](row, model, pool)), None)
