"""The timeline for Perfetto, as a Chrome trace (chrome://tracing reads it too) and in its own protobuf: a process a rank, with passes, ops and collectives."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from strategy.export.artifacts import Artifact, Plan
from strategy.export.protobuf import chunk, integer, string
from strategy.export.timeline import Floats, Trace, label, schedule, trace
from strategy.mesh import Coordinate, coordinates
from strategy.ops import op_kind
from strategy.strategy import Strategy

MAX_EVENTS = 200_000
"""Beyond this only the first rank of each stage is shown."""
THREADS = ("passes", "ops", "collectives")


def to_perfetto(plan: Plan) -> tuple[Artifact, ...]:
    """`timeline.json`. Times are the cost model's where the plan carries them, else one microsecond a node."""
    events, shown = _events(trace(plan))
    document = {"displayTimeUnit": "ms", "otherData": _about(plan, len(shown)), "traceEvents": events}
    return (Artifact("timeline.json", json.dumps(document, separators=(",", ":")), "application/json"),)


def to_pftrace(plan: Plan) -> tuple[Artifact, ...]:
    """`timeline.pftrace`: the same slices in Perfetto's own protobuf."""
    return (Artifact("timeline.pftrace", b"".join(_packets(_events(trace(plan))[0])), "application/octet-stream"),)


def _events(traced: Trace) -> tuple[list[dict[str, Any]], frozenset[int]]:
    """Events of a Chrome trace, and the ranks that they show."""
    (start, end), shown = schedule(traced), _shown_ranks(traced)
    names = _names(traced.dag.strategy, shown)
    return [*names, *_passes(traced, start, end, shown), *_slices(traced, start, end, shown)], shown


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
    """One slice for each rank, phase, microbatch and stage; passes that overlap, as those of a pipeline do, lie on threads of their own."""
    expanded = traced.expanded
    phase = np.array([template.phase == "decode" for template in expanded.templates])[expanded.template]
    keys = np.stack([expanded.rank, phase, expanded.microbatch, expanded.stage])
    places, inverse = np.unique(keys, axis=1, return_inverse=True)
    begins, ends = np.full(places.shape[1], np.inf), np.zeros(places.shape[1])
    np.minimum.at(begins, inverse, start)
    np.maximum.at(ends, inverse, end)
    taken: dict[int, list[float]] = {}
    for index in np.lexsort((ends, begins)).tolist():
        rank, decode, microbatch, stage = places[:, index].tolist()
        if rank in shown:
            begin, finish = float(begins[index]), float(ends[index])
            lanes = taken.setdefault(rank, [])
            known, lane = len(lanes), _lane(lanes, begin, finish)
            thread = lane and len(THREADS) - 1 + lane
            if lane and lane == known:
                yield _meta("thread_name", rank, thread, f"passes {lane + 1}")
            name = f"{'decode' if decode else 'prefill'} stage {stage} microbatch {microbatch}"
            yield _slice(name, "pass", rank, thread, begin, finish, {})


def _lane(taken: list[float], begin: float, end: float) -> int:
    """The first lane that is free at `begin`, which is taken until `end`."""
    free = next((lane for lane, until in enumerate(taken) if until <= begin), len(taken))
    taken[free : free + 1] = [end]
    return free


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
    begin = round(start, 3)
    times = {"ts": begin, "dur": round(round(end, 3) - begin, 3)}  # so that neighbours still meet when both are rounded
    return {"ph": "X", "name": name, "cat": kind, "pid": rank, "tid": thread, **times, "args": args}


# --- protobuf -----------------------------------------------------------------------------------------------------------------------

BEGIN, END = 1, 2
SEQUENCE = 1
"""One writer, so that packets of equal time keep their order."""


def _packets(events: list[dict[str, Any]]) -> Iterator[bytes]:
    """The events of a Chrome trace as packets of Perfetto's own format (trace_packet.proto): tracks, then begin and end of each slice."""
    for event in events:
        if event["ph"] == "M" and event["name"] != "process_sort_index":
            yield _packet(chunk(60, _track(event)))
    slices = [event for event in events if event["ph"] == "X"]
    for event in sorted(slices, key=lambda one: (one["pid"], one["tid"], one["ts"], one["dur"])):
        track, begin = _thread(event["pid"], event["tid"]), round(1000 * event["ts"])
        started = integer(9, BEGIN) + integer(11, track) + string(22, event["cat"]) + string(23, event["name"])
        yield _packet(chunk(11, started + b"".join(map(_note, event["args"].items()))), begin)
        yield _packet(chunk(11, integer(9, END) + integer(11, track)), begin + round(1000 * event["dur"]))


def _packet(content: bytes, nanoseconds: int | None = None) -> bytes:
    when = b"" if nanoseconds is None else integer(8, nanoseconds)
    return chunk(1, when + integer(10, SEQUENCE) + content)


def _track(event: dict[str, Any]) -> bytes:
    """A TrackDescriptor: of a process, or of one of its threads."""
    rank, name = event["pid"], event["args"]["name"]
    if event["name"] == "process_name":
        return integer(1, _process(rank)) + chunk(3, integer(1, _id(rank)) + string(6, name))
    thread = integer(1, _id(rank)) + integer(2, _thread(rank, event["tid"])) + string(5, name)
    return integer(1, _thread(rank, event["tid"])) + integer(5, _process(rank)) + chunk(4, thread)


def _id(rank: int) -> int:
    """Process ids begin at 1: Perfetto takes 0 for the idle process."""
    return rank + 1


def _process(rank: int) -> int:
    return _id(rank) << 16


def _thread(rank: int, thread: int) -> int:
    return _process(rank) + thread + 1


def _note(item: tuple[str, Any]) -> bytes:
    """A DebugAnnotation: a number or a text beside its name."""
    name, value = item
    return chunk(4, string(10, name) + (integer(3, value) if isinstance(value, int) else string(6, str(value))))
