"""The timeline as a Chrome trace, which Perfetto and chrome://tracing open: a process a rank, with passes, ops and collectives."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from strategy.export.artifacts import Artifact, Plan
from strategy.export.timeline import Floats, Trace, label, schedule, trace
from strategy.mesh import Coordinate, coordinates
from strategy.ops import op_kind
from strategy.strategy import Strategy

MAX_EVENTS = 200_000
"""Beyond this only the first rank of each stage is shown."""
THREADS = ("passes", "ops", "collectives")


def to_perfetto(plan: Plan) -> tuple[Artifact, ...]:
    """`timeline.json`. Times are the cost model's where the plan carries them, else one microsecond a node."""
    traced = trace(plan)
    start, end = schedule(traced)
    shown = _shown_ranks(traced)
    events = [*_names(plan.strategy, shown), *_passes(traced, start, end, shown), *_slices(traced, start, end, shown)]
    document = {"displayTimeUnit": "ms", "otherData": _about(plan, len(shown)), "traceEvents": events}
    return (Artifact("timeline.json", json.dumps(document, separators=(",", ":")), "application/json"),)


def _about(plan: Plan, shown: int) -> dict[str, Any]:
    priced = any(cost.micros is not None for cost in plan.costs.values())
    durations = "cost model" if priced else "one microsecond a node: no request came with the plan"
    return {"model": plan.model.name, "gpus": plan.strategy.world_size, "ranks_shown": shown, "durations": durations}


def _shown_ranks(traced: Trace) -> frozenset[int]:
    expanded = traced.expanded
    ranks = np.unique(expanded.rank)
    if expanded.num_nodes <= MAX_EVENTS:
        return frozenset(ranks.tolist())
    phases = np.array([template.phase == "decode" for template in expanded.templates])[expanded.template]
    places = np.stack([phases, expanded.stage])
    firsts = [int(expanded.rank[(places == place[:, None]).all(axis=0)].min()) for place in np.unique(places, axis=1).T]
    return frozenset(firsts)


def _names(strategy: Strategy, shown: frozenset[int]) -> Iterator[dict[str, Any]]:
    for pool in strategy.pools:
        for place in coordinates(pool, first_rank=strategy.first_rank(pool)):
            if place.rank in shown:
                yield _meta("process_name", place.rank, 0, f"{pool.name} rank {place.rank} ({_where(place)})")
                yield {"ph": "M", "name": "process_sort_index", "pid": place.rank, "args": {"sort_index": place.rank}}
                yield from (_meta("thread_name", place.rank, number, name) for number, name in enumerate(THREADS))


def _where(place: Coordinate) -> str:
    parts = ("replica", "pp", "dp", "cp", "tp", "ep")
    return " ".join(f"{part} {getattr(place, part)}" for part in parts)


def _meta(kind: str, rank: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": rank, "tid": thread, "args": {"name": name}}


def _passes(traced: Trace, start: Floats, end: Floats, shown: frozenset[int]) -> Iterator[dict[str, Any]]:
    """One slice for each rank, phase, microbatch and stage."""
    expanded = traced.expanded
    phase = np.array([template.phase == "decode" for template in expanded.templates])[expanded.template]
    keys = np.stack([expanded.rank, phase, expanded.microbatch, expanded.stage])
    places, inverse = np.unique(keys, axis=1, return_inverse=True)
    begins, ends = np.full(places.shape[1], np.inf), np.zeros(places.shape[1])
    np.minimum.at(begins, inverse, start)
    np.maximum.at(ends, inverse, end)
    for (rank, decode, microbatch, stage), begin, finish in zip(places.T.tolist(), begins, ends, strict=True):
        if rank in shown:
            name = f"{'decode' if decode else 'prefill'} stage {stage} microbatch {microbatch}"
            yield _slice(name, "pass", rank, 0, float(begin), float(finish), {})


def _slices(traced: Trace, start: Floats, end: Floats, shown: frozenset[int]) -> Iterator[dict[str, Any]]:
    expanded = traced.expanded
    kinds = [op_kind(template.node.op) for template in expanded.templates]
    details = [_detail(traced, number) for number in range(len(expanded.templates))]
    for index in range(expanded.num_nodes):
        rank, template = int(expanded.rank[index]), int(expanded.template[index])
        if rank in shown:
            kind = kinds[template]
            thread = 2 if kind == "communication" else 1
            yield _slice(
                label(expanded, index), kind, rank, thread, float(start[index]), float(end[index]), details[template]
            )


def _detail(traced: Trace, template: int) -> dict[str, Any]:
    node, cost = traced.expanded.templates[template].node, traced.costs[template]
    axis = getattr(node, "axis", None)
    sizes = {
        "message_bytes": round(cost.message_bytes),
        "flops": round(cost.flops),
        "moved_bytes": round(cost.moved_bytes),
    }
    return {
        "op": node.op,
        **({"axis": axis} if axis else {}),
        **{name: value for name, value in sizes.items() if value},
    }


def _slice(
    name: str, kind: str, rank: int, thread: int, start: float, end: float, args: dict[str, Any]
) -> dict[str, Any]:
    times = {"ts": round(start, 3), "dur": round(end - start, 3)}
    return {"ph": "X", "name": name, "cat": kind, "pid": rank, "tid": thread, **times, "args": args}
