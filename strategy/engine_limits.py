"""What each serving engine cannot run, beyond what no engine can: pure predicates, keyed by engine.

Engines move; each predicate names the source it was read from (vLLM 0.33.0, SGLang 0.5.23, TensorRT-LLM mapping.py @b35ac1b6).
"""

from collections.abc import Callable
from typing import Literal

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


def engine_illegal(model: ModelSpec, pool: Pool, engine: Engine | None) -> str | None:
    """Code of the first engine rule that refuses `pool`, or None; nothing is refused when no engine is named."""
    if engine is None:
        return None
    broken = (code for code, holds in ENGINE_LIMITS[engine].items() if not holds(model, pool))
    return next(broken, None if dp_layout_fits(pool, engine) else "RL010")
