"""The nearest pool that would do: what hints name when several degrees have to change together."""

import json
from collections.abc import Iterable, Iterator
from math import log2

from strategy.memory import kv_bytes_per_sequence, stage_memory
from strategy.request import Problem
from strategy.strategy import ExpertMesh, Pool
from validators.subject import Subject

MOST_TRIED = 400
"""Candidates whose memory is added up; what lies farther away is no small change."""


def nearest_fit(subject: Subject, pool: Pool) -> str:
    """`, for instance: set pool ... to {...}` with the legal pool that fits the cluster and changes least; empty without one."""
    problem = subject.problem
    if problem is None:
        return ""
    others = sum(other.world_size for other in subject.dag.strategy.pools if other.name != pool.name)
    gpus = problem.cluster.gpus
    share = gpus - others if gpus - others > 0 else gpus // len(subject.dag.strategy.pools)
    found = next(_fitting(problem, pool, share), None)
    return "" if found is None else f", for instance: set pool `{pool.name}` to {json.dumps(changes_of(found))}"


def _fitting(problem: Problem, pool: Pool, gpus: int) -> Iterator[Pool]:
    """Legal pools of at most `gpus` ranks that hold the weights and one sequence, nearest first."""
    from strategy.search.space import pools  # here, since only a hint needs the search

    candidates = [one for one in pools(problem) if one.ranks_per_replica <= gpus]
    for one in sorted(candidates, key=lambda one: _distance(one, pool))[:MOST_TRIED]:
        replicas = min(pool.replicas, gpus // one.ranks_per_replica)
        if _holds(problem, one):
            yield one.model_copy(update={"replicas": replicas})


def _holds(problem: Problem, pool: Pool) -> bool:
    needs = kv_bytes_per_sequence(problem.model, problem.precision, pool, problem.max_model_len)
    return all(memory.kv_budget_bytes >= need for memory, need in zip(stage_memory(problem, pool), needs, strict=True))


def _distance(one: Pool, other: Pool) -> float:
    """Doublings between the degrees of two pools, and a little for each choice that differs."""
    degrees = zip(_degrees(one), _degrees(other), strict=True)
    choices = ("ep_lowering", "dense_ffn", "lm_head")
    differing = sum(getattr(one, name) != getattr(other, name) for name in choices)
    return sum((abs(log2(a / b)) for a, b in degrees), 0.01 * differing)


def _degrees(pool: Pool) -> tuple[int, ...]:
    attention, experts = pool.attention, pool.experts or ExpertMesh()
    return (pool.pp_size, attention.dp_size, attention.tp_size, attention.cp_size, experts.ep_size, experts.tp_size)


def pools_to_set(pools: Iterable[Pool]) -> str:
    """`for instance: set pool ... to {...}; set pool ... to {...}`: whole pools, as a document has them."""
    return "for instance: " + "; ".join(f"set pool `{pool.name}` to {json.dumps(changes_of(pool))}" for pool in pools)


def changes_of(pool: Pool) -> dict[str, object]:
    """The fields that a mistake in degrees may concern, as a document has them."""
    names = {
        "replicas", "pp_size", "stages", "attention", "dcp_size", "experts", "ep_lowering", "sp_kind", "dense_ffn", "lm_head",
    }  # fmt: skip
    return pool.model_dump(mode="json", include=names)
