"""What the page draws of a DAG: its grid, the facts of each node, the GPUs and their groups, and where each part stands in the text."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from pydantic import Field

from api.documents import judge_document
from api.service import resolve_request
from knowledge.calibration import calibration
from knowledge.resolve import resolve_model
from strategy.dag import AnyNode, Dag
from strategy.export.artifacts import DEFAULT_GPUS_PER_HOST
from strategy.export.grid import NODE_H, NODE_W, PHASES, Grid, Template, domain_grid
from strategy.memory import stage_memory_gb
from strategy.mesh import AXES, Axis, axis_size, groups, stage_ranks
from strategy.model import ModelSpec
from strategy.ops import op_kind
from strategy.passes import pass_time
from strategy.placement import refine
from strategy.request import Problem
from strategy.result import Finding, MemoryGb
from strategy.strategy import Phase, Pool, describe
from strategy.values import Frozen
from strategy.work import Load, Work, WorkContext, work_context
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
    facts = _Facts(
        document.dag, problem, view.concurrency, sound=_is_sound(judge_document(document, prove=False).findings)
    )
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
    return not any(
        f.severity == "error" and (f.code not in known or known[f.code].stage in BEFORE_TYPING) for f in findings
    )


@dataclass(frozen=True)
class _Facts:
    """A DAG with as much about it as can be known."""

    dag: Dag
    problem: Problem | None
    concurrency: int | None
    sound: bool

    def nodes(self, templates: tuple[Template, ...]) -> tuple[NodeFacts, ...]:
        """Facts of each template, in their order."""
        places = _places(self.dag)
        placements, costs, layers = self.placements(), self.costs(), self.layers()
        return tuple(
            self.node(template, *places[template.block, template.node]).model_copy(
                update={
                    "layers": layers.get((template.phase, template.block), 1),
                    "placement": placements.get(template),
                    **costs.get(template, {}),
                }
            )
            for template in templates
        )

    def node(self, template: Template, pointer: str, node: AnyNode) -> NodeFacts:
        """What the document itself says of a node."""
        axis: Axis | None = getattr(node, "axis", None)
        pool = self.dag.strategy.pool_for(template.phase)
        return NodeFacts(
            phase=template.phase,
            block=template.block,
            id=node.id,
            op=node.op,
            kind=op_kind(node.op),
            pointer=pointer,
            inputs=node.inputs,
            fields=node.model_dump(mode="json", exclude_none=True, exclude={"id", "op", "inputs", "axis"}),
            axis=axis,
            group_size=axis_size(pool, axis) if axis else None,
        )

    def layers(self) -> dict[tuple[Phase, str], int]:
        """How many layers of a phase run a block."""
        counts: dict[tuple[Phase, str], int] = {}
        for phase in PHASES:
            for stamp in self.dag.branch(phase).layers:
                for block in stamp.blocks:
                    counts[phase, block] = counts.get((phase, block), 0) + stamp.range[1] - stamp.range[0]
        return counts

    def placements(self) -> dict[Template, str]:
        """The placement of what each node yields, in words."""
        if not self.sound:
            return {}
        subject = Subject(self.dag, _model(self.dag, self.problem), self.problem)
        sites = {phase: _site(subject, phase) for phase in PHASES}
        words = ((Template(*key), sites[key[0]], placement) for key, placement in subject.typing.nodes.items())
        return {template: site.say(placement) for template, site, placement in words if site is not None}

    def costs(self) -> dict[Template, dict[str, float]]:
        """Shapes and amounts of each node on one rank: of one prompt in prefill, of the stated load in decode."""
        found: dict[Template, dict[str, float]] = {}
        if self.problem is None or not self.sound:
            return found
        for phase in PHASES:
            pool, load = self.dag.strategy.pool_for(phase), self.load(phase)
            ctx = work_context(self.problem.model, self.problem.precision, pool, phase, load)
            for priced in pass_time(self.dag, phase, self.problem, calibration(), load).priced:
                found[Template(phase, priced.block.name, priced.node.id)] = _amounts(priced.work, ctx)
        return found

    def load(self, phase: Phase) -> Load:
        """One prompt; or the sequences that an attention replica decodes at once, half way through their outputs."""
        assert self.problem is not None
        work = self.problem.workload
        if phase == "prefill":
            return Load(1.0, float(work.isl), float(work.isl))
        pool = self.dag.strategy.pool_for(phase)
        running = self.concurrency or work.concurrency or 1
        batch = max(1.0, running / (pool.replicas * pool.attention.dp_size))
        return Load(batch, 1.0, work.isl + work.osl / 2)

    def pools(self) -> tuple[PoolPicture, ...]:
        """Every pool with its GPUs."""
        return tuple(self.pool(pool) for pool in self.dag.strategy.pools)

    def pool(self, pool: Pool) -> PoolPicture:
        """One pool; rank by rank where its meshes hold and there are not too many."""
        drawn = self.sound and pool.world_size <= MAX_RANKS
        first = self.dag.strategy.first_rank(pool)
        axes = {axis: size for axis in AXES if (size := axis_size(pool, axis)) > 1}
        return PoolPicture(
            name=pool.name,
            summary=describe(pool),
            phases=pool.phases,
            first_rank=first,
            world_size=pool.world_size,
            gpus_per_host=self.problem.cluster.gpus_per_host if self.problem else DEFAULT_GPUS_PER_HOST,
            axes=axes,
            replica=_coordinate(pool, 0) if drawn else (),
            stage=_coordinate(pool, 1) if drawn else (),
            group={axis: _group_numbers(pool, axis) for axis in axes} if drawn else {},
            memory_gb=self.memory(pool),
        )

    def memory(self, pool: Pool) -> tuple[MemoryGb, ...]:
        """Of the fullest rank of each stage at the stated load."""
        if self.problem is None or not self.sound:
            return ()
        running = self.concurrency or self.problem.workload.concurrency or 1
        return tuple(stage_memory_gb(self.problem, pool, running, self.dag))


def _places(dag: Dag) -> dict[tuple[str, str], tuple[str, AnyNode]]:
    """Pointer and node of each name; of equal names the first."""
    found: dict[tuple[str, str], tuple[str, AnyNode]] = {}
    for b, block in enumerate(dag.blocks):
        for n, node in enumerate(block.nodes):
            found.setdefault((block.name, node.id), (f"/blocks/{b}/nodes/{n}", node))
    return found


def _model(dag: Dag, problem: Problem | None) -> ModelSpec:
    return resolve_model(dag.model) if problem is None else problem.model


def _site(subject: Subject, phase: Phase) -> Site | None:
    """Where placements of a phase are put into words."""
    pool = subject.dag.strategy.pool_for(phase)
    digits = refine(pool)
    return None if digits is None else Site(subject, phase, pool, digits)


def _amounts(work: Work, ctx: WorkContext) -> dict[str, float]:
    return {
        "rows": float(np.max(ctx.rows(work.output))),
        "width": float(work.output.width),
        "output_bytes": float(np.max(ctx.bytes_of(work.output))),
        "weight_bytes": float(np.max(work.weight_bytes)),
        "moved_bytes": float(np.max(work.io_bytes)),
        "message_bytes": float(np.max(work.message_bytes)),
        "flops": float(np.max(work.flops)),
    }


def _coordinate(pool: Pool, dimension: int) -> tuple[int, ...]:
    """Replica (0) or stage (1) of every rank, in rank order."""
    ranks = stage_ranks(pool)
    found = np.empty(pool.world_size, dtype=np.int64)
    found[ranks] = np.indices(ranks.shape)[dimension]
    return tuple(found.tolist())


def _group_numbers(pool: Pool, axis: Axis) -> tuple[int, ...]:
    """The group of `axis` that each rank belongs to, numbered in order of first rank."""
    found = np.empty(pool.world_size, dtype=np.int64)
    for number, ranks in enumerate(groups(pool, axis)):
        found[list(ranks)] = number
    return tuple(found.tolist())
