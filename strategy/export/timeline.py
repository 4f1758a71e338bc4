"""When every node of every rank runs: the unrolled DAG with times, each rank doing one node after the other in document order.

A collective starts on all ranks of its group when the last one arrives. Nodes without a price take a microsecond, so that order shows.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray

from strategy.dag import AnyNode, Dag
from strategy.expand import NO_LAYER, Expanded, Template, expand
from strategy.export.artifacts import Costs, NodeCost, NodeKey, Plan
from strategy.export.costs import node_sizes
from strategy.mesh import Axis, stage_members
from strategy.ops import COLLECTIVES
from strategy.strategy import Pool

UNPRICED_MICROS = 1.0
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """An unrolled plan with what each node costs."""

    dag: Dag
    expanded: Expanded
    costs: tuple[NodeCost, ...]
    """By template."""
    source: Ints
    """Edges within one step, those that carry the cache between two pools included."""
    target: Ints
    kind: Ints

    @property
    def micros(self) -> Floats:
        """Duration of each node."""
        by_template = np.array([UNPRICED_MICROS if cost.micros is None else cost.micros for cost in self.costs])
        return cast(Floats, by_template[self.expanded.template])


def trace(plan: Plan) -> Trace:
    """Unroll a plan for a trace. Raises `InputError` when it is too large to unroll."""
    expanded = expand(plan.dag)
    sizes: Costs = plan.costs or node_sizes(plan.dag, plan.model)
    found = [sizes.get(NodeKey(t.phase, t.block, t.node.id), NodeCost()) for t in expanded.templates]
    source, target, kind = _step_edges(expanded, plan.dag)
    return Trace(plan.dag, expanded, tuple(found), source, target, kind)


def _step_edges(expanded: Expanded, dag: Dag) -> tuple[Ints, Ints, Ints]:
    """Edges that do not carry over to the next step, in order of their target."""
    within = ~expanded.loop
    columns = [expanded.source[within], expanded.target[within], expanded.kind[within]]
    for source, target, kind in _handoffs(expanded, dag):
        extra = (source, target, np.full(len(source), kind))
        columns = [np.concatenate([column, more]) for column, more in zip(columns, extra, strict=True)]
    order = np.lexsort((columns[0], columns[1]))
    source, target, kind = (column[order].astype(np.int64) for column in columns)
    return source, target, kind


def _handoffs(expanded: Expanded, dag: Dag) -> list[tuple[Ints, Ints, int]]:
    """Links between pools of different sizes: ranks of the smaller side serve several of the larger one, in order."""
    index = {f"{t.phase}.{t.block}.{t.node.id}": number for number, t in enumerate(expanded.templates)}
    found = []
    for link in dag.links:
        if link.loop or link.source not in index or link.target not in index:
            continue
        ends = [np.flatnonzero(expanded.template == index[name]) for name in (link.source, link.target)]
        places = [expanded.layer[end] for end in ends]
        for layer in np.intersect1d(places[0], places[1]):
            source, target = (end[place == layer] for end, place in zip(ends, places, strict=True))
            if len(source) != len(target):
                larger = np.arange(max(len(source), len(target)))
                pairs = (source[larger * len(source) // len(larger)], target[larger * len(target) // len(larger)])
                found.append((*pairs, ("data", "sync", "pipeline").index(link.kind)))
    return found


def collective_axis(node: AnyNode) -> Axis | None:
    """The axis over which ranks meet in `node`; None when they do not."""
    if node.op in COLLECTIVES or node.op == "step_sync":
        axis: Axis = getattr(node, "axis", "stage")
        return axis
    return None


def group_places(pool: Pool, axis: Axis) -> Ints:
    """Group number of each rank of one stage, all replicas, in mesh order."""
    members = stage_members(pool, axis)
    groups = np.empty(pool.width, dtype=np.int64)
    for number, row in enumerate(members):
        groups[row] = number
    offsets = np.arange(pool.replicas)[:, None] * len(members)
    return cast(Ints, (groups[None, :] + offsets).ravel())


def schedule(traced: Trace) -> tuple[Floats, Floats]:
    """Start and end of every node in microseconds."""
    expanded, micros = traced.expanded, traced.micros
    start, end = np.zeros(expanded.num_nodes), np.zeros(expanded.num_nodes)
    free = np.zeros(int(expanded.rank.max()) + 1)
    first_edge = np.searchsorted(traced.target, np.arange(expanded.num_nodes + 1))
    for first, last in _runs(expanded):
        ranks, edges = expanded.rank[first:last], slice(first_edge[first], first_edge[last])
        ready = free[ranks]
        np.maximum.at(ready, traced.target[edges] - first, end[traced.source[edges]])
        ready = _together(traced.dag, expanded.templates[expanded.template[first]], ready)
        start[first:last], end[first:last] = ready, ready + micros[first:last]
        free[ranks] = end[first:last]
    return start, end


def _runs(expanded: Expanded) -> list[tuple[int, int]]:
    """Half-open ranges of ids that are one template node of one layer and microbatch."""
    columns = np.stack([expanded.template, expanded.layer, expanded.stage, expanded.microbatch])
    edges = np.flatnonzero((columns[:, 1:] != columns[:, :-1]).any(axis=0)) + 1
    bounds = [0, *edges.tolist(), expanded.num_nodes]
    return list(pairwise(bounds))


def _together(dag: Dag, template: Template, ready: Floats) -> Floats:
    """The same, each rank waiting for its group where the node is a collective."""
    axis = collective_axis(template.node)
    if axis is None:
        return ready
    groups = group_places(dag.strategy.pool_for(template.phase), axis)
    latest = np.zeros(int(groups.max()) + 1)
    np.maximum.at(latest, groups, ready)
    return latest[groups]


def label(expanded: Expanded, index: int) -> str:
    """A node without its rank: `L12.attention.qkv`."""
    template, layer = expanded.templates[expanded.template[index]], expanded.layer[index]
    place = f"L{layer}." if layer != NO_LAYER else ""
    return f"{place}{template.block}.{template.node.id}"
