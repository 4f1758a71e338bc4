"""Unroll a DAG document to layers, stages, microbatches and ranks, as numpy columns.

Nodes are numbered in topological order because they are written so: phase by phase, microbatch by microbatch, stage by stage, layer
by layer, node by node, and last by rank, so one template node of one layer is a run of consecutive ids. A collective is one node on
each of its ranks (as traces have it), and every edge joins equal places of two runs; that makes expansion a handful of array
operations per template node, and acyclicity one comparison.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from strategy.dag import AnyNode, Block, Branch, Dag, edges
from strategy.errors import InputError
from strategy.mesh import stage_ranks
from strategy.strategy import Phase, Pool

if TYPE_CHECKING:
    import networkx as nx

MAX_EXPANDED = 20_000_000
MAX_NETWORKX = 200_000
PHASES: tuple[Phase, ...] = ("prefill", "decode")
EDGE_KINDS = ("data", "sync", "pipeline")
NO_LAYER = -1


class Template(NamedTuple):
    """The document's node behind expanded ones."""

    phase: Phase
    block: str
    node: AnyNode


@dataclass(frozen=True)
class Expanded:
    """An unrolled DAG: one entry a node in each node column, one an edge in `source`, `target`, `kind`, `loop`."""

    templates: tuple[Template, ...]
    template: np.ndarray
    """Index into `templates`."""
    layer: np.ndarray
    """-1 outside layers."""
    stage: np.ndarray
    microbatch: np.ndarray
    rank: np.ndarray
    source: np.ndarray
    target: np.ndarray
    kind: np.ndarray
    """Index into `EDGE_KINDS`."""
    loop: np.ndarray
    """Carried from one decode step to the next; the only edges that may point backwards."""

    @property
    def num_nodes(self) -> int:
        """Nodes of all ranks."""
        return len(self.template)

    @property
    def num_edges(self) -> int:
        """Edges, loop-carried ones included."""
        return len(self.source)

    def is_topological(self) -> bool:
        """Whether every edge within a step points forward: the certificate that there is no cycle."""
        return bool((self.source < self.target)[~self.loop].all())

    def name(self, index: int) -> str:
        """A readable id: `decode.m0.L12.attention.qkv@3`."""
        template = self.templates[self.template[index]]
        layer = f"L{self.layer[index]}" if self.layer[index] != NO_LAYER else f"S{self.stage[index]}"
        return (
            f"{template.phase}.m{self.microbatch[index]}.{layer}.{template.block}.{template.node.id}@{self.rank[index]}"
        )

    def to_networkx(self, limit: int = MAX_NETWORKX) -> "nx.DiGraph[int]":
        """A networkx graph for people; refuses more than `limit` nodes (each costs about a kilobyte there)."""
        import networkx as nx

        if self.num_nodes > limit:
            raise InputError(
                f"{self.num_nodes} nodes exceed the limit of {limit} for a networkx graph; use the columns"
            )
        graph: nx.DiGraph[int] = nx.DiGraph()
        for index in range(self.num_nodes):
            graph.add_node(index, name=self.name(index), op=self.templates[self.template[index]].node.op)
        columns = (self.source.tolist(), self.target.tolist(), self.kind.tolist(), self.loop.tolist())
        for source, target, kind, loop in zip(*columns, strict=True):
            graph.add_edge(source, target, kind=EDGE_KINDS[kind], loop=loop)
        return graph

    def save(self, path: Path | IO[bytes]) -> None:
        """Write the columns as `.npz`, into a file or an open one."""
        names = np.array([f"{t.phase}.{t.block}.{t.node.id}" for t in self.templates])
        ops = np.array([t.node.op for t in self.templates])
        columns = {name: getattr(self, name) for name in (*_NODE_COLUMNS, *_EDGE_COLUMNS)}
        np.savez(path, template_names=names, template_ops=ops, **columns)


_NODE_COLUMNS = ("template", "layer", "stage", "microbatch", "rank")
_EDGE_COLUMNS = ("source", "target", "kind", "loop")


class Run(NamedTuple):
    """Consecutive ids: one template node, layer and microbatch on every rank of a stage."""

    start: int
    size: int


def expand(dag: Dag) -> Expanded:
    """Unroll a document whose structure is sound. Raises `InputError` when it would exceed the node limit or names what is not there."""
    writer = _Writer(dag)
    for phase in PHASES:
        for microbatch in range(dag.strategy.pool_for(phase).microbatches):
            writer.branch(phase, microbatch)
    writer.links()
    return writer.done()


class _Writer:
    """Appends runs of nodes and aligned edges."""

    def __init__(self, dag: Dag) -> None:
        self.dag = dag
        self.blocks = {block.name: (block, _topological(block)) for block in dag.blocks}
        self.templates: list[Template] = []
        self.indices: dict[tuple[Phase, str, str], int] = {}
        self.rows: list[tuple[int, int, int, int, np.ndarray]] = []
        self.edges: list[tuple[Run, Run, int, bool]] = []
        self.size = 0
        self.runs: dict[tuple[Phase, str, str], dict[tuple[int, int], Run]] = {}
        """Runs of each template node by (microbatch, layer)."""
        self.stage_end: dict[tuple[Phase, int], Run] = {}
        self.ranks = {pool.name: _ranks_by_stage(pool, dag.strategy.first_rank(pool)) for pool in dag.strategy.pools}

    def branch(self, phase: Phase, microbatch: int) -> None:
        """Write one phase of one microbatch."""
        branch, pool = self.dag.branch(phase), self.dag.strategy.pool_for(phase)
        site = _Site(phase, microbatch, pool)
        stream: Run | None = self.block(site, branch.embed, NO_LAYER, 0, None)
        stage = 0
        for layer, names in _layers(branch):
            owner = _owner(pool, layer)
            if owner != stage:
                stream = self.cross(site, branch, stage, owner, stream)
                stage = owner
            for name in names:
                stream = self.block(site, name, layer, stage, stream)
        stream = self.block(site, branch.head, NO_LAYER, stage, stream)
        self._close(site, stage, stream)

    def cross(self, site: "_Site", branch: Branch, stage: int, owner: int, stream: Run | None) -> Run | None:
        """Send from one stage to the next: the block's nodes up to `send` stand on this one, the others on that one."""
        self._close(site, stage, stream)
        if branch.boundary is None:
            raise InputError(f"branch {site.phase} crosses from stage {stage} to {owner} without a boundary block")
        return self.block(site, branch.boundary, NO_LAYER, stage, stream, arrival=owner)

    def _close(self, site: "_Site", stage: int, last: Run | None) -> None:
        if last is not None:
            self.stage_end[site.phase, stage] = last

    def block(
        self, site: "_Site", name: str, layer: int, stage: int, stream: Run | None, arrival: int | None = None
    ) -> Run:
        """Write one use of a block and return the run of its output."""
        if name not in self.blocks:
            raise InputError(f"block `{name}` does not exist")
        block, order = self.blocks[name]
        runs: dict[str, Run] = {} if stream is None else {"in": stream}
        for node in order:
            here = arrival if arrival is not None and node.op == "recv" else stage
            runs[node.id] = self.node(site, name, node, layer, here)
            for edge in edges(node):
                if edge.source in runs:
                    self.edges.append((runs[edge.source], runs[node.id], EDGE_KINDS.index(edge.kind), False))
            if stream is None or node.op == "recv":
                self._after_previous(site, here, runs[node.id])
        return runs[block.output]

    def _after_previous(self, site: "_Site", stage: int, run: Run) -> None:
        """A stage takes microbatches one after the other (PP011)."""
        previous = self.stage_end.get((site.phase, stage)) if site.microbatch else None
        if previous is not None:
            self.edges.append((previous, run, EDGE_KINDS.index("sync"), False))

    def node(self, site: "_Site", block: str, node: AnyNode, layer: int, stage: int) -> Run:
        """Write one template node on every rank of a stage."""
        key = (site.phase, block, node.id)
        if key not in self.indices:
            self.indices[key] = len(self.templates)
            self.templates.append(Template(site.phase, block, node))
        ranks = self.ranks[site.pool.name][stage]
        run = Run(self.size, len(ranks))
        self.size += run.size
        if self.size > MAX_EXPANDED:
            raise InputError(f"the expanded DAG has more than {MAX_EXPANDED} nodes")
        self.rows.append((self.indices[key], layer, stage, site.microbatch, ranks))
        self.runs.setdefault(key, {})[site.microbatch, layer] = run
        return run

    def links(self) -> None:
        """Write the edges across phases and steps, layer by layer and microbatch by microbatch."""
        for link in self.dag.links:
            source, target = self._linked(link.source), self._linked(link.target)
            for place, run in source.items():
                other = target.get(place)
                if other is not None and other.size == run.size:
                    self.edges.append((run, other, EDGE_KINDS.index(link.kind), link.loop))

    def _linked(self, reference: str) -> dict[tuple[int, int], Run]:
        found = next((runs for key, runs in self.runs.items() if ".".join(key) == reference), None)
        if found is None:
            raise InputError(f"link endpoint `{reference}` does not exist")
        return dict(found)

    def done(self) -> Expanded:
        """Concatenate the columns."""
        sizes = np.array([len(row[4]) for row in self.rows])
        template, layer, stage, microbatch = (
            np.repeat(np.array(column, dtype=np.int32), sizes) for column in list(zip(*self.rows, strict=True))[:4]
        )
        rank = np.concatenate([row[4] for row in self.rows]).astype(np.int32)
        lengths = np.array([edge[0].size for edge in self.edges])
        place = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        source = np.repeat(np.array([edge[0].start for edge in self.edges]), lengths) + place
        target = np.repeat(np.array([edge[1].start for edge in self.edges]), lengths) + place
        kind = np.repeat(np.array([edge[2] for edge in self.edges], dtype=np.int8), lengths)
        loop = np.repeat(np.array([edge[3] for edge in self.edges], dtype=bool), lengths)
        ends = (source.astype(np.int32), target.astype(np.int32))
        return Expanded(tuple(self.templates), template, layer, stage, microbatch, rank, *ends, kind=kind, loop=loop)


class _Site(NamedTuple):
    phase: Phase
    microbatch: int
    pool: Pool


def _ranks_by_stage(pool: Pool, first_rank: int) -> list[np.ndarray]:
    """Global ranks of each stage, all replicas, in mesh order."""
    table = stage_ranks(pool, first_rank=first_rank)
    return [table[:, stage, :].ravel() for stage in range(pool.pp_size)]


def _layers(branch: Branch) -> Iterator[tuple[int, tuple[str, ...]]]:
    for stamp in branch.layers:
        for layer in range(*stamp.range):
            yield layer, stamp.blocks


def _owner(pool: Pool, layer: int) -> int:
    for stage, (start, end) in enumerate(pool.stages):
        if start <= layer < end and stage < pool.pp_size:
            return stage
    raise InputError(f"layer {layer} belongs to no stage of pool `{pool.name}`")


def _topological(block: Block) -> list[AnyNode]:
    """Nodes of a block, inputs first; Kahn's algorithm in document order. Raises `InputError` on a cycle."""
    names = {node.id for node in block.nodes}
    waiting = {node.id: {e.source for e in edges(node)} & names for node in block.nodes}
    order: list[AnyNode] = []
    pending = list(block.nodes)
    while pending:
        ready = [node for node in pending if not waiting[node.id]]
        if not ready:
            raise InputError(f"block `{block.name}` has a cycle through {', '.join(n.id for n in pending[:5])}")
        order += ready
        done = {node.id for node in ready}
        pending = [node for node in pending if node.id not in done]
        for node in pending:
            waiting[node.id] -= done
    return order
