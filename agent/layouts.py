"""Facts for a language model: legal layouts of a problem with the memory they take, so that it need not do the arithmetic.

Not a ranking: rows come in order of width, and say only what fits and whether the request's limits can be met.
"""

from collections.abc import Sequence
from typing import Any

from strategy.legality import even_stages
from strategy.memory import max_concurrency, memory_gb
from strategy.request import Problem
from strategy.search import Candidate
from strategy.search.choose import front
from strategy.strategy import Pool, Strategy
from strategy.values import Frozen

MOST_ROWS = 12
ALIKE = {"replicas": 1, "stages": (), "chunk_tokens": None}
"""Fields in which two rows may differ and still say the same to a reader."""
MOST_PARETO = 300
"""Candidates among which the front is looked for: it compares every pair."""


class Layout(Frozen):
    """One legal layout: the pools as an answer writes them, without fields at their usual values."""

    pools: tuple[dict[str, Any], ...]
    gpus: int
    gb_before_kv: float
    """Weights, activations and buffers of the fullest GPU; what is left of `usable_gb_per_gpu` holds KV."""
    fits_requests: int
    """Requests of the asked length whose KV fits at once."""
    meets_limits: bool
    """Whether the cost model expects the latency limits and the load of the request to be met."""


def layouts(problem: Problem, candidates: Sequence[Candidate]) -> tuple[Layout, ...]:
    """At most `MOST_ROWS` of the candidates, those that meet the limits first among equals, in order of pools and width."""
    distinct = _distinct(candidates)
    met = [c for c in distinct if c.meets_slo]
    edge = front(_thinned(met, MOST_PARETO))
    chosen = _thinned(edge, MOST_ROWS - 2)
    others = [c for c in met if c not in chosen] or [c for c in distinct if c not in chosen]
    chosen += _thinned(others, MOST_ROWS - len(chosen))
    return tuple(_layout(problem, candidate) for candidate in sorted(chosen, key=_width))


def _distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """One of the candidates that differ in replicas, stages and chunks only: one that meets the limits, with most replicas."""
    best: dict[Any, Candidate] = {}
    for candidate in candidates:
        key = tuple(pool.model_copy(update=ALIKE) for pool in candidate.strategy.pools)
        known = best.get(key)
        if known is None or (candidate.meets_slo, candidate.gpus) > (known.meets_slo, known.gpus):
            best[key] = candidate
    return list(best.values())


def _thinned(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """Evenly spread ones, at most `most`, in order of width."""
    ordered = sorted(candidates, key=_width)
    if len(ordered) <= most:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / max(1, most - 1))] for i in range(most)]


def _width(candidate: Candidate) -> tuple[Any, ...]:
    pools = candidate.strategy.pools
    return (
        len(pools),
        *((p.width, p.pp_size, p.attention.tp_size, p.experts.ep_size if p.experts else 0) for p in pools),
    )


def _layout(problem: Problem, candidate: Candidate) -> Layout:
    strategy = candidate.strategy
    memory = memory_gb(problem, strategy, 1)
    return Layout(
        pools=tuple(written(pool, strategy) for pool in strategy.pools),
        gpus=candidate.gpus,
        gb_before_kv=round(memory.total - memory.kv, 1),
        fits_requests=max_concurrency(problem, strategy),
        meets_limits=candidate.meets_slo,
    )


def written(pool: Pool, strategy: Strategy) -> dict[str, Any]:
    """A pool as an answer writes it: name, phases and degrees, and what differs from its usual value."""
    stages = even_stages(pool.stages[-1][1], pool.pp_size)
    usual = Pool(stages=stages, pp_size=pool.pp_size, microbatches=pool.pp_size)
    document = pool.model_dump(mode="json")
    kept = {"replicas", "pp_size", "attention", "experts"}
    kept |= {"name", "phases"} if strategy.disaggregated else set()
    kept |= {"ep_lowering"} if pool.experts is not None else set()
    differs = {name for name, value in usual.model_dump(mode="json").items() if document[name] != value}
    return {
        name: value for name, value in document.items() if name in kept | (differs - {"microbatches", "dispatch_mode"})
    }
