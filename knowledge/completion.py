"""From a strategy as written to one with every field decided, as the engine that is asked for decides it; each decision said in a sentence.

What engines do by themselves is no choice of who writes the strategy: layers are cut evenly over stages, experts lie over the ranks that
attention uses, tokens are exchanged only where attention replicas hold different ones.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from strategy.model import ModelSpec
from strategy.request import Engine
from strategy.strategy import EpLowering

Written = dict[str, Any]
_PHASES = ("prefill", "decode")


def complete_strategy(written: object, model: ModelSpec, engine: Engine | None) -> tuple[object, tuple[str, ...]]:
    """`written` with what its pools leave open, and what was decided. What is not of the shape of a strategy comes back as it is."""
    if not isinstance(written, Mapping) or not isinstance(written.get("pools"), list | tuple):
        return written, ()
    pools, said = [], []
    for number, pool in enumerate(written["pools"]):
        if not isinstance(pool, Mapping):
            return written, ()
        named = _named(dict(pool), number, len(written["pools"]))
        decided = _decided(named, model, engine)
        said += [f"pool `{named.get('name', 'serve')}`: {field} {value}" for field, value in _told(decided)]
        pools.append(named | decided)
    return {**written, "pools": pools}, tuple(said)


def engine_lowering(model: ModelSpec, dp_size: int, ep_size: int, moe_tp_size: int) -> EpLowering:
    """How engines carry tokens to experts: not at all without DP attention, by all_to_all where that moves less than a gather."""
    if dp_size == 1 or model.moe is None:
        return "replicated"
    return "all_to_all" if ep_size > model.moe.top_k and moe_tp_size == 1 else "all_gather"


def even_stages(num_layers: int, pp_size: int) -> tuple[tuple[int, int], ...]:
    """Layer ranges of stages of equal depth, as far as they go."""
    return tuple(pairwise(round(num_layers * stage / pp_size) for stage in range(pp_size + 1)))


def _named(pool: Written, number: int, pools: int) -> Written:
    """Names and phases of two pools that state neither: prefill, then decode."""
    if pools != len(_PHASES):
        return pool
    pool.setdefault("name", _PHASES[number])
    if pool["name"] in _PHASES:
        pool.setdefault("phases", [pool["name"]])
    return pool


def _decided(pool: Written, model: ModelSpec, engine: Engine | None) -> Written:
    """Fields that `pool` leaves open."""
    pp, attention, experts = _size(pool, "pp_size"), _mesh(pool, "attention"), _mesh(pool, "experts")
    width = attention["dp_size"] * attention["cp_size"] * attention["tp_size"]
    found: Written = {}
    if "stages" not in pool and 1 <= pp <= model.num_layers:
        found["stages"] = even_stages(model.num_layers, pp)
    if model.moe is not None and pool.get("experts") is None:
        experts = {"dp_size": 1, "ep_size": 1, "tp_size": width}
        found["experts"] = experts
    if model.moe is not None and "ep_lowering" not in pool:
        found["ep_lowering"] = engine_lowering(model, attention["dp_size"], experts["ep_size"], experts["tp_size"])
    if "dp_layout" not in pool and attention["dp_size"] > 1 and engine in ("sglang", "trtllm"):
        found["dp_layout"] = "inner"
    return found


def _told(decided: Written) -> list[tuple[str, str]]:
    words = {"stages": "of equal depth", "experts": "split over all ranks, none apart"}
    return [
        (field, words.get(field, f"{value}, as engines do where the strategy leaves it open"))
        for field, value in decided.items()
    ]


def _size(pool: Written, name: str) -> int:
    value = pool.get(name, 1)
    return value if isinstance(value, int) and value > 0 else 1


def _mesh(pool: Written, name: str) -> dict[str, int]:
    mesh = pool.get(name)
    written = dict(mesh) if isinstance(mesh, Mapping) else {}
    return {axis: _size(written, axis) for axis in ("dp_size", "cp_size", "tp_size", "ep_size")}
