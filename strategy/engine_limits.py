"""What each serving engine cannot run, beyond what no engine can: pure predicates, keyed by engine.

Engines move; each predicate names the source it was read from (vLLM 0.33.0, SGLang 0.5.23, TensorRT-LLM mapping.py @b35ac1b6).
"""

from collections.abc import Callable
from typing import Any, Literal

from strategy.model import ModelSpec
from strategy.request import Engine
from strategy.strategy import Pool

Holds = Callable[[ModelSpec, Pool], bool]
DpLayout = Literal["outer", "inner"]

DP_LAYOUT: dict[Engine, DpLayout] = {"vllm": "outer", "sglang": "inner", "trtllm": "inner"}
"""Where attention replicas lie: outside the pipeline stages or inside them (RL010)."""


def dp_layout_fits(pool: Pool, engine: Engine) -> bool:
    """Attention replicas of several stages are laid out as the engine does it (RL010)."""
    return pool.attention.dp_size == 1 or pool.pp_size == 1 or pool.dp_layout == DP_LAYOUT[engine]


def vllm_experts_span_stage(_model: ModelSpec, pool: Pool) -> bool:
    """With expert parallelism on, experts spread over all ranks of a stage and are not cut (EN001; fused_moe/config.py:1226-1245)."""
    experts = pool.experts
    return experts is None or experts.ep_size in (1, pool.width)


def vllm_context_parallel_is_mla(model: ModelSpec, pool: Pool) -> bool:
    """Prefill context parallelism exists for MLA models only (EN005; v1/worker/gpu/pcp_manager.py:156-230)."""
    return pool.attention.cp_size == 1 or model.attention.kind == "mla"


def sglang_expert_copies(_model: ModelSpec, pool: Pool) -> bool:
    """Copies of experts (moe_dp) fill the stage with ep alone, in one pipeline stage, one for each cp rank (EN009; parallel_hook.py:170-192)."""
    experts, cp_size = pool.experts, pool.attention.cp_size
    if experts is None or experts.dp_size == 1:
        return True
    whole = experts.ep_size == 1 or experts.ep_size * experts.dp_size == pool.width
    return whole and pool.pp_size == 1 and cp_size in (1, experts.dp_size)


def sglang_token_shards(model: ModelSpec, pool: Pool) -> bool:
    """Layer-norm sequence parallelism: dense Qwen3 only, one pipeline stage (EN012; layernorm_sp_hook.py:109-188)."""
    if pool.sp_kind != "megatron":
        return True
    return model.moe is None and model.name.lower().startswith("qwen3") and pool.pp_size == 1


def trtllm_meshes(_model: ModelSpec, pool: Pool) -> bool:
    """No copies of experts, and attention DP takes all of tp or nothing (EN014; mapping.py MappingBase)."""
    copies = pool.experts is not None and pool.experts.dp_size > 1
    return not copies and (pool.attention.dp_size == 1 or pool.attention.tp_size == 1)


def trtllm_all_to_all(_model: ModelSpec, pool: Pool) -> bool:
    """all_to_all between experts needs attention DP (EN015; aiconfigurator sdk/models/helpers.py:256-310)."""
    spread = pool.experts is not None and pool.experts.ep_size > 1 and pool.ep_lowering == "all_to_all"
    return not spread or pool.attention.dp_size > 1


ENGINE_LIMITS: dict[Engine, dict[str, Holds]] = {
    "vllm": {"EN001": vllm_experts_span_stage, "EN005": vllm_context_parallel_is_mla},
    "sglang": {"EN009": sglang_expert_copies, "EN012": sglang_token_shards},
    "trtllm": {"EN014": trtllm_meshes, "EN015": trtllm_all_to_all},
}
"""Limits by engine and rule code."""


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
    if model.attention.kind == "mla":
        return None
    return _vllm_heads(model, prefill, decode)


def _vllm_heads(model: ModelSpec, prefill: Pool, decode: Pool) -> "tuple[str, Pair] | None":
    """The side that others read from (or are written to) must not hold heads twice when it has more tp ranks, nor windows when pushed to."""
    assert model.attention.kind == "gqa"
    pushed, heads = vllm_pushes(prefill), model.attention.num_kv_heads
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


HANDOFFS: dict[Engine, Handoff] = {"vllm": vllm_handoff}
"""Limits between two pools by engine; engines that are not listed have none that we know."""


def hands_over(model: ModelSpec, prefill: Pool, decode: Pool, engine: Engine | None) -> bool:
    """Whether the engine's connector can hand the cache over (EN018)."""
    limit = None if engine is None else HANDOFFS.get(engine)
    return limit is None or limit(model, prefill, decode) is None


def engine_illegal(model: ModelSpec, pool: Pool, engine: Engine | None) -> str | None:
    """Code of the first engine rule that refuses `pool`, or None; nothing is refused when no engine is named."""
    if engine is None:
        return None
    broken = (code for code, holds in ENGINE_LIMITS[engine].items() if not holds(model, pool))
    return next(broken, None if dp_layout_fits(pool, engine) else "RL010")
