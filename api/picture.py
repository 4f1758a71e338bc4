"""What the page draws of a DAG: its grid, the facts of each node, the GPUs and their groups, and where each part stands in the text."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import numpy as np
from pydantic import Field

from api.documents import judge_document
from api.service import resolve_request
from strategy.dag import AnyNode, Dag, stamps
from strategy.export.grid import NODE_H, NODE_W, Grid, Template, domain_grid
from strategy.hardware import Cluster
from strategy.mesh import AXES, Axis, axis_size, stage_members, stage_ranks
from strategy.ops import op_kind
from strategy.passes import pass_time
from strategy.placement import refine
from strategy.request import Problem
from strategy.result import Finding, MemoryGb
from strategy.strategy import Phase, Pool, describe
from strategy.values import Frozen
from strategy.work import Load, WorkContext, work_context
from validators.documents import Document, pointer_positions
from validators.registry import catalogue
from validators.subject import Subject
from validators.typing_pass.site import Site

MAX_RANKS = 16_384
"""Ranks of a pool that are drawn one by one."""
MAX_POSITIONS = 50_000
BEFORE_TYPING = frozenset({"schema", "strategy", "layout", "graph"})
"""Rule stages whose errors leave no placements, groups or costs to show."""


class NodeFacts(Frozen):
    """What the page tells about a template node. Amounts are of one rank and one run of the node."""

    phase: Phase
    block: str
    id: str
    op: str
    kind: str
    pointer: str
    """Of the node in the document."""
    inputs: tuple[str, ...] = ()
    fields: dict[str, Any] = Field(default_factory=dict)
    """Fields that only this op has."""
    layers: int = 1
    """Layers that run it."""
    axis: str | None = None
    group_size: int | None = None
    """Ranks in one group of its axis."""
    placement: str | None = None
    rows: float | None = None
    """Rows of its output: tokens, or sequences behind `select_last`."""
    width: float | None = None
    output_bytes: float | None = None
    weight_bytes: float | None = None
    moved_bytes: float | None = None
    """Activations and cache read and written."""
    message_bytes: float | None = None
    flops: float | None = None


class PoolPicture(Frozen):
    """GPUs of a pool; the lists have an entry for each rank, from `first_rank` on."""

    name: str
    summary: str
    phases: tuple[Phase, ...]
    first_rank: int
    world_size: int
    gpus_per_host: int
    axes: dict[Axis, int]
    """Ranks in one group of each axis that splits anything."""
    replica: tuple[int, ...] = ()
    stage: tuple[int, ...] = ()
    group: dict[Axis, tuple[int, ...]] = Field(default_factory=dict)
    """Number of the group that each rank belongs to."""
    memory_gb: tuple[MemoryGb, ...] = ()
    """Of the fullest rank of each stage."""


class Picture(Frozen):
    """Everything that is drawn, in grid units."""

    node_size: tuple[int, int] = (NODE_W, NODE_H)
    grid: dict[str, Any] | None
    """Bands, columns, groups, and the columns of cells and edges; null when the document does not keep to the format."""
    nodes: tuple[NodeFacts, ...] = ()
    pools: tuple[PoolPicture, ...] = ()
    positions: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """Line and column of every JSON pointer of the text, relative to the DAG."""


@dataclass(frozen=True)
class View:
    """What of a DAG is asked for."""

    unfold: tuple[str, ...] = ()
    collapse: tuple[str, ...] | None = None
    concurrency: int | None = None
    positions: bool = True


def picture(document: Document, view: View) -> Picture:
    """The picture of a document. Raises `InputError` when it would be too large, or its request names what does not exist."""
    places = _positions(document) if view.positions else {}
    if document.dag is None:
        return Picture(grid=None, positions=places)
    problem = None if document.request is None else resolve_request(document.request)
    grid = domain_grid(document.dag, unfold=view.unfold, collapse=view.collapse)
    facts = _Facts(document.dag, problem, view.concurrency, sound=_is_sound(judge_document(document, prove=False).findings))
    return Picture(grid=grid_columns(grid), nodes=facts.nodes(grid.templates), pools=facts.pools(), positions=places)


def grid_columns(grid: Grid) -> dict[str, Any]:
    """A grid as JSON; cells and edges, of which there are thousands, as columns."""
    return {
        "width": grid.width,
        "height": grid.height,
        "bands": [band._asdict() for band in grid.bands],
        "columns": [column._asdict() for column in grid.columns],
        "groups": [group._asdict() for group in grid.groups],
        "cells": _columns(grid.cells, ("template", "column", "x", "y")),
        "edges": _columns(grid.edges, ("source", "target", "kind", "route", "loop")),
    }


def _columns(rows: Iterable[Any], names: tuple[str, ...]) -> dict[str, list[Any]]:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}


def _positions(document: Document) -> dict[str, tuple[int, int]]:
    start = len(document.prefix)
    found = (item for item in pointer_positions(document.text) if item[0].startswith(document.prefix))
    return {pointer[start:]: place for pointer, place in islice(found, MAX_POSITIONS)}


def _is_sound(findings: Iterable[Finding]) -> bool:
    """Whether structure, degrees and meshes hold, so that groups and costs mean something."""
    known = catalogue()
    return not any(f.severity == "error" and (f.code not in known or known[f.code].stage in BEFORE_TYPING) for f in findings)


@dataclass(frozen=True)
class _Facts:
    """A DAG with as much about it as can be known."""

    dag: Dag
    problem: Problem | None
    concurrency: int | None
    sound: bool

    def nodes(self, templates: tuple[Template, ...]) -> tuple[NodeFacts, ...]:
        """Facts of each template, in their order."""
        pointers = {
            (block.name, node.id): (f"/blocks/{b}/nodes/{n}", node)
            for b, block in reversed(list(enumerate(self.dag.blocks)))
            for n, node in reversed(list(enumerate(block.nodes)))
        }
        placements, costs, layers = self.placements(), self.costs(), self.layers()
        found = []
        for template in templates:
            pointer, node = pointers[template.block, template.node]
            pool = self.dag.strategy.pool_for(template.phase)
            axis = getattr(node, "axis", None)
            found.append(
                NodeFacts(
                    phase=template.phase,
                    block=template.block,
                    id=node.id,
                    op=node.op,
                    kind=op_kind(node.op),
                    pointer=pointer,
                    inputs=node.inputs,
                    fields=node.model_dump(mode="json", exclude_none=True, exclude={"id", "op", "inputs", "axis"}),
                    layers=layers.get((template.phase, template.block), 1),
                    axis=axis,
                    group_size=axis_size(pool, axis) if axis else None,
                    placement=placements.get(template),
                    **costs.get(template, {}),
                )
            )
        return tuple(found)

    def layers(self) -> dict[tuple[Phase, str], int]:
        """How many layers of a phase run a block."""
        counts: dict[tuple[Phase, str], int] = {}
        for phase in ("prefill", "decode"):
            for stamp in self.dag.branch(cast(Phase, phase)).layers:
                for block in stamp.blocks:
                    key = (cast(Phase, phase), block)
                    counts[key] = counts.get(key, 0) + stamp.range[1] - stamp.range[0]
        return counts
