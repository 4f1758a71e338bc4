"""Chakra execution traces, one a rank, and the communicator groups they name: what ASTRA-sim and Chakra's own tools read.

Each rank runs its nodes in document order (a control dependency on the node before), as the cost model has it. What crosses ranks inside a
step is a pair of send and recv: between stages, from the last stage to the first, and the cache between two pools. Attribute values have
exactly the kinds the feeder asks for; durations are whole microseconds, so the remainder of one node is carried to the next.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from strategy.errors import InputError
from strategy.export.artifacts import Artifact, NodeCost, Plan
from strategy.export.protobuf import chunk, delimited, integer, packed, string
from strategy.export.timeline import Trace, collective_axis, trace
from strategy.mesh import Axis, groups
from strategy.strategy import Phase

SCHEMA_VERSION = "0.0.4"
MAX_NODES = 1_000_000
COMP, SEND, RECV, COLL = 4, 5, 6, 7
SYNC = 1
"""Kind of an edge that carries no data."""
COLLECTIVE_TYPES = {
    "all_reduce": 0,
    "step_sync": 0,
    "all_gather": 2,
    "broadcast": 5,
    "all_to_all": 6,
    "reduce_scatter": 7,
}
VALUE_FIELDS = {"int32": 7, "int64": 9, "uint64": 13, "bool": 27, "string": 29}
"""Fields of AttributeProto's value by its kind."""

Kind = Literal["int32", "int64", "uint64", "bool", "string"]
Attribute = tuple[str, Kind, int | str]


class Message(NamedTuple):
    """One crossing of ranks: who, whom, and a tag that no other message between them has."""

    source: int
    target: int
    tag: int
    size_bytes: int


@dataclass
class RankWriter:
    """The trace of one rank; ids count from 0 in the order of execution."""

    out: bytearray = field(default_factory=lambda: bytearray(delimited(string(1, SCHEMA_VERSION))))
    count: int = 0
    behind: float = 0.0
    """Microseconds of earlier nodes that whole numbers could not hold."""

    def add(
        self,
        name: str,
        kind: int,
        attributes: list[Attribute],
        *,
        data: list[int],
        sync: list[int],
        micros: float = 0.0,
    ) -> int:
        """Write a node and return its id."""
        exact = micros + self.behind
        duration = max(0, round(exact))
        self.behind = exact - duration
        previous = [self.count - 1] if self.count and self.count - 1 not in data else []
        controls = sorted({*sync, *previous} - set(data))
        body = (
            integer(1, self.count)
            + string(2, name)
            + integer(3, kind)
            + packed(4, controls)
            + packed(5, sorted(set(data)))
        )
        body += integer(7, duration) + b"".join(
            _attribute(*attribute) for attribute in (("is_cpu_op", "bool", 0), *attributes)
        )
        self.out += delimited(body)
        self.count += 1
        return self.count - 1


@lru_cache(maxsize=4096)
def _attribute(name: str, kind: Kind, value: int | str) -> bytes:
    number = VALUE_FIELDS[kind]
    content = string(number, value) if isinstance(value, str) else integer(number, value)
    return chunk(10, string(1, name) + content)


def to_chakra(plan: Plan) -> tuple[Artifact, ...]:
    """`trace.<rank>.et` for every rank, and `comm_groups.json`. Raises `InputError` for plans of more than a million nodes."""
    traced = trace(plan)
    if traced.expanded.num_nodes > MAX_NODES:
        raise InputError(
            f"a Chakra trace of {traced.expanded.num_nodes} nodes exceeds the limit of {MAX_NODES}",
            hint="export fewer replicas: they run alike and exchange nothing",
        )
    names = _Groups(plan)
    writers = _write(traced, names, _crossings(traced, _latent_copies(plan)))
    files = [
        Artifact(f"trace.{rank}.et", bytes(writer.out), "application/octet-stream")
        for rank, writer in sorted(writers.items())
    ]
    told = {name: list(ranks) for ranks, name in names.names.items()}
    return (*files, Artifact("comm_groups.json", json.dumps(told) + "\n", "application/json"))


class _Groups:
    """Names of communicator groups; equal sets of ranks are one group."""

    def __init__(self, plan: Plan) -> None:
        self.strategy = plan.strategy
        self.names: dict[tuple[int, ...], str] = {}
        self.members: dict[tuple[Phase, Axis], dict[int, tuple[int, ...]]] = {}

    def of(self, phase: Phase, axis: Axis, rank: int) -> tuple[int, ...]:
        """The ranks that meet `rank` on `axis`."""
        if (phase, axis) not in self.members:
            pool = self.strategy.pool_for(phase)
            found = groups(pool, axis, first_rank=self.strategy.first_rank(pool))
            self.members[phase, axis] = {member: group for group in found for member in group}
        return self.members[phase, axis][rank]

    def name(self, ranks: tuple[int, ...]) -> str:
        """How traces call this group: a number above 0, as ASTRA-sim wants."""
        return self.names.setdefault(ranks, str(len(self.names) + 1))


class _Crossings(NamedTuple):
    """Messages by the node that sends and by the node that receives."""

    leaving: dict[int, list[Message]]
    arriving: dict[int, list[Message]]


def _crossings(traced: Trace, copies: int) -> _Crossings:
    """Every edge between ranks as a message: a rank that feeds several sends each a part, unless `copies` of them need the same part."""
    expanded, tags = traced.expanded, defaultdict[tuple[int, int], int](int)
    found = _Crossings(defaultdict(list), defaultdict(list))
    sender, receiver = expanded.rank[traced.source], expanded.rank[traced.target]
    crossing = (sender != receiver).nonzero()[0].tolist()
    fan = Counter(int(traced.source[edge]) for edge in crossing)
    for edge in crossing:
        source, target = int(traced.source[edge]), int(traced.target[edge])
        ranks = (int(sender[edge]), int(receiver[edge]))
        whole = _message_bytes(traced.costs[expanded.template[source]])
        message = Message(*ranks, tags[ranks], max(1, min(whole, whole * copies // fan[source])))
        tags[ranks] += 1
        found.leaving[source].append(message)
        found.arriving[target].append(message)
    return found


def _latent_copies(plan: Plan) -> int:
    """Decode ranks that need the same part of a cache: MLA's latent is whole on every tp rank."""
    prefill, decode = (plan.strategy.pool_for(phase).attention.tp_size for phase in ("prefill", "decode"))
    return max(1, decode // prefill) if plan.model.attention.kind == "mla" else 1


def _message_bytes(cost: NodeCost) -> int:
    return max(1, round(cost.message_bytes or cost.output_bytes))


def _write(traced: Trace, names: _Groups, crossings: _Crossings) -> dict[int, RankWriter]:
    expanded = traced.expanded
    writers: defaultdict[int, RankWriter] = defaultdict(RankWriter)
    local = dict[int, int]()
    inputs = _inputs(traced)
    for index in range(expanded.num_nodes):
        rank = int(expanded.rank[index])
        writer, (data, sync) = writers[rank], next(inputs)
        node = _Node(traced, index, names)
        came = [] if node.op == "recv" else crossings.arriving.get(index, [])
        arrived = [writer.add(f"{node.name}.recv", RECV, _recv(message), data=[], sync=[]) for message in came]
        kind, attributes = node.described(crossings)
        ids = [local[source] for source in data]
        micros = node.micros if kind in (COMP, COLL) else 0.0
        local[index] = writer.add(
            node.name, kind, attributes, data=[*ids, *arrived], sync=[local[s] for s in sync], micros=micros
        )
        for message in [] if kind == SEND else crossings.leaving.get(index, []):
            writer.add(f"{node.name}.send", SEND, _send(message), data=[local[index]], sync=[])
    return writers


def _inputs(traced: Trace) -> Iterator[tuple[list[int], list[int]]]:
    """For each node in order: sources on its own rank that it reads, and those it only waits for."""
    expanded = traced.expanded
    own = expanded.rank[traced.source] == expanded.rank[traced.target]
    sources, waits = traced.source[own].tolist(), (traced.kind[own] == SYNC).tolist()
    bounds = np.searchsorted(traced.target[own], np.arange(expanded.num_nodes + 1)).tolist()
    for first, last in pairwise(bounds):
        edges = range(first, last)
        yield [sources[k] for k in edges if not waits[k]], [sources[k] for k in edges if waits[k]]


def _send(message: Message) -> list[Attribute]:
    return [
        ("comm_size", "int64", message.size_bytes),
        ("comm_src", "int32", message.source),
        ("comm_dst", "int32", message.target),
        ("comm_tag", "int32", message.tag),
    ]


_recv = _send


class _Node:
    """One expanded node as Chakra has it."""

    def __init__(self, traced: Trace, index: int, names: _Groups) -> None:
        self.index, self.names = index, names
        self.rank = int(traced.expanded.rank[index])
        self.template = traced.expanded.templates[traced.expanded.template[index]]
        self.cost = traced.costs[traced.expanded.template[index]]
        self.name = traced.expanded.name(index).rpartition("@")[0]
        self.op = self.template.node.op

    @property
    def micros(self) -> float:
        """Duration; a microsecond when nobody priced the node."""
        return 1.0 if self.cost.micros is None else self.cost.micros

    def described(self, crossings: _Crossings) -> tuple[int, list[Attribute]]:
        """Type and attributes."""
        if self.op == "send" and len(crossings.leaving.get(self.index, [])) == 1:
            return SEND, _send(crossings.leaving[self.index][0])
        if self.op == "recv" and len(crossings.arriving.get(self.index, [])) == 1:
            return RECV, _recv(crossings.arriving[self.index][0])
        axis = collective_axis(self.template.node)
        ranks = () if axis is None else self.names.of(self.template.phase, axis, self.rank)
        if len(ranks) > 1:
            return COLL, [
                ("comm_type", "int64", COLLECTIVE_TYPES[self.op]),
                ("comm_size", "int64", _message_bytes(self.cost)),
                ("pg_name", "string", self.names.name(ranks)),
            ]
        return COMP, [
            ("num_ops", "int64", round(self.cost.flops)),
            ("tensor_size", "uint64", round(self.cost.moved_bytes)),
        ]
