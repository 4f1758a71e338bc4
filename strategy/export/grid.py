"""Where a picture puts the nodes of a DAG: the domain grid.

A band is one stage of one phase, a column is a run of equal layers (or one layer, when unfolded), a row is the depth of an op
inside its block, and lanes hold ops of equal depth. Equal blocks stand on equal rows in every column of a band. Nothing is searched
or optimised: the place of a node follows from what it is, so a picture of 3,000 nodes takes milliseconds, and a small change of the
DAG is a small change of the picture. Any document that the format admits has a grid, also one with cycles or dangling inputs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Literal, NamedTuple

from strategy.dag import RESIDUAL, AnyNode, Block, Branch, Dag, EdgeKind, edges
from strategy.errors import InputError
from strategy.strategy import Phase, Pool

NODE_W, NODE_H = 112, 24
LANE_GAP, ROW_GAP = 12, 11
BOX_PAD, BOX_HEAD, BOX_GAP = 12, 22, 20
COLUMN_GAP, BAND_GAP = 38, 36
BAND_PAD, BAND_HEAD = 18, 60
STUB_HEAD, STUB_GAP = 34, 16
ASPECT = 2.1
"""Width over height that the arrangement of bands aims at."""
MAX_CELLS = 20_000
MAX_RUNS = 4_096
OPEN_STAGES = 4
"""Pipelines with more stages than this start with all but the first and the last one collapsed."""
PHASES: tuple[Phase, ...] = ("prefill", "decode")

ColumnKind = Literal["embed", "layers", "send", "recv", "head"]
Route = Literal["chain", "residual", "stream", "link"]
"""chain: inside a block; residual: from the stream past the block; stream: from block to block; link: across phases and steps."""


class Template(NamedTuple):
    """The document's node behind cells of the grid."""

    phase: Phase
    block: str
    node: str


class Box(NamedTuple):
    """A rectangle in grid units (pixels at zoom 1)."""

    x: int
    y: int
    w: int
    h: int


class Band(NamedTuple):
    """One stage of one phase."""

    key: str
    """`prefill/0`; what `collapse` names."""
    phase: Phase
    stage: int | None
    """None holds layers that no stage claims."""
    pool: str
    layers: int
    collapsed: bool
    box: Box


class Column(NamedTuple):
    """Equal layers in a row, or what stands before, between and behind them."""

    key: str
    """`prefill/0/3`; what `unfold` names: the run that starts at layer 3."""
    band: int
    kind: ColumnKind
    first: int
    end: int
    """Half-open layer range, `[0, 0)` outside layers."""
    foldable: bool
    """Whether its run has more than one layer."""
    box: Box


class Group(NamedTuple):
    """One use of a block in a column."""

    column: int
    block: str
    box: Box


class Cell(NamedTuple):
    """One node. Its box is `NODE_W` by `NODE_H`."""

    template: int | None
    """Index into `templates`; None stands for all of a collapsed band."""
    column: int
    x: int
    y: int


class GridEdge(NamedTuple):
    """An edge between two cells."""

    source: int
    target: int
    kind: EdgeKind
    route: Route
    loop: bool


@dataclass(frozen=True)
class Grid:
    """The picture."""

    templates: tuple[Template, ...]
    bands: tuple[Band, ...]
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    cells: tuple[Cell, ...]
    edges: tuple[GridEdge, ...]
    width: int
    height: int


def domain_grid(dag: Dag, *, unfold: Iterable[str] = (), collapse: Iterable[str] | None = None) -> Grid:
    """The grid of a document; `unfold` names runs by column key (or `all`), `collapse` bands by key (None: as pipelines start).

    Raises `InputError` when more than `MAX_CELLS` nodes would be drawn, or there are more runs of layers than `MAX_RUNS`.
    """
    return _Drawing(dag, frozenset(unfold), None if collapse is None else frozenset(collapse)).grid()


class _Run(NamedTuple):
    """What one column shows, before it has a place."""

    stage: int | None
    kind: ColumnKind
    blocks: tuple[str, ...]
    first: int = 0
    end: int = 0
    run_first: int = 0
    """First layer of the run that it came from."""
    layers: int = 0
    """Layers of that run."""


@dataclass(frozen=True)
class Shape:
    """A block on its own: row and lane of each node, and how many there are of each."""

    block: Block
    places: dict[str, tuple[int, int]]
    rows: int
    lanes: int

    @property
    def height(self) -> int:
        """Of its box."""
        return BOX_HEAD + self.rows * (NODE_H + ROW_GAP) - ROW_GAP + BOX_PAD

    @property
    def width(self) -> int:
        """Of its box."""
        return 2 * BOX_PAD + self.lanes * (NODE_W + LANE_GAP) - LANE_GAP


def shape(block: Block, nodes: Sequence[AnyNode]) -> Shape:
    """Rows by depth and lanes by descent: a node stays in the lane of its first input where that is free."""
    depth = _depths(nodes)
    places: dict[str, tuple[int, int]] = {}
    taken: set[tuple[int, int]] = set()
    for node in sorted(nodes, key=lambda n: depth[n.id]):
        row = depth[node.id]
        wanted = next((places[e.source][1] for e in edges(node) if e.source in places), 0)
        lane = wanted
        while (row, lane) in taken:
            lane = 0 if lane == wanted and wanted else lane + 1
        taken.add((row, lane))
        places[node.id] = (row, lane)
    return Shape(block, places, 1 + max(row for row, _ in taken), 1 + max(lane for _, lane in taken))


def _depths(nodes: Sequence[AnyNode]) -> dict[str, int]:
    """Longest way from the block's entry; an edge that closes a cycle does not count."""
    by_id = {node.id: node for node in nodes}
    depth: dict[str, int] = {}
    open_: set[str] = set()
    for root in by_id:
        stack = [root]
        while stack:
            name = stack[-1]
            sources = [e.source for e in edges(by_id[name]) if e.source in by_id]
            if name not in depth and name not in open_:
                open_.add(name)
                stack += [s for s in sources if s not in depth and s not in open_]
                continue
            stack.pop()
            if name not in depth:
                open_.discard(name)
                depth[name] = 1 + max((depth[s] for s in sources if s in depth), default=-1)
    return depth


class _Instance(NamedTuple):
    """A cell that stands for a template node in layers `[first, end)`; `[-1, 0)` outside layers."""

    cell: int
    first: int
    end: int


class _Port(NamedTuple):
    """Where the residual stream enters and leaves a column."""

    entries: list[tuple[int, EdgeKind, Route]]
    leaves: int | None


class _Drawing:
    """Draws every band at the origin, its columns from left to right, and then moves the bands to their places."""

    def __init__(self, dag: Dag, unfold: frozenset[str], collapse: frozenset[str] | None) -> None:
        self.dag, self.unfold, self.collapse = dag, unfold, collapse
        self.blocks = {block.name: block for block in reversed(dag.blocks)}
        self.shapes: dict[tuple[str, ColumnKind], Shape | None] = {}
        self.templates: dict[Template, int] = {}
        self.bands: list[Band] = []
        self.columns: list[Column] = []
        self.ports: list[_Port] = []
        self.groups: list[Group] = []
        self.cells: list[Cell] = []
        self.edges: dict[GridEdge, None] = {}
        self.instances: dict[Template, list[_Instance]] = {}

    def grid(self) -> Grid:
        """The whole picture."""
        for phase in PHASES:
            self.phase(phase)
        self.links()
        moves = _arranged(self.bands)
        bands = tuple(band._replace(box=_moved(band.box, move)) for band, move in zip(self.bands, moves, strict=True))
        move_of = [moves[column.band] for column in self.columns]
        return Grid(
            templates=tuple(self.templates),
            bands=bands,
            columns=tuple(c._replace(box=_moved(c.box, move)) for c, move in zip(self.columns, move_of, strict=True)),
            groups=tuple(g._replace(box=_moved(g.box, move_of[g.column])) for g in self.groups),
            cells=tuple(c._replace(x=c.x + move_of[c.column][0], y=c.y + move_of[c.column][1]) for c in self.cells),
            edges=tuple(self.edges),
            width=max((band.box.x + band.box.w for band in bands), default=0),
            height=max((band.box.y + band.box.h for band in bands), default=0),
        )

    # --- bands ---

    def phase(self, phase: Phase) -> None:
        """The bands of one phase, and the stream from column to column in the order in which layers run."""
        pool = self.dag.strategy.pool_for(phase)
        runs = _runs(self.dag.branch(phase), pool)
        stages = list(dict.fromkeys(run.stage for run in runs))
        columns: dict[int, list[int]] = {}
        for position, stage in enumerate(stages):
            key = f"{phase}/{'none' if stage is None else stage}"
            mine = {index: run for index, run in enumerate(runs) if run.stage == stage}
            columns |= self.band(_Site(phase, pool.name, key, self.starts_collapsed(key, position, len(stages))), mine)
        order = [column for index in sorted(columns) for column in columns[index]]
        for before, after in pairwise(order):
            if before != after:
                self.stream(before, after)

    def starts_collapsed(self, key: str, position: int, count: int) -> bool:
        """Whether a band is drawn as one row of columns: as asked, else the inner stages of a long pipeline."""
        if self.collapse is not None:
            return key in self.collapse
        return count > OPEN_STAGES and 0 < position < count - 1

    def band(self, site: "_Site", runs: dict[int, _Run]) -> dict[int, list[int]]:
        """Place one band; returns the columns of each of its runs."""
        left, top, bottom = BAND_PAD, BAND_HEAD, BAND_HEAD
        columns: dict[int, list[int]] = {index: [] for index in runs}
        if site.collapsed:
            return self.collapsed_band(site, runs)
        offsets = self.offsets(runs.values())
        for index, run in runs.items():
            for one in self.unfolded(run, site.key):
                columns[index].append(len(self.columns))
                box = self.column(site, one, left, top, offsets)
                left, bottom = left + box.w + COLUMN_GAP, max(bottom, box.y + box.h)
        self.add_band(site, runs, Box(0, 0, left - COLUMN_GAP + BAND_PAD, bottom + BAND_PAD))
        return columns

    def collapsed_band(self, site: "_Site", runs: dict[int, _Run]) -> dict[int, list[int]]:
        """A band drawn as one cell, which stands for everything in it."""
        column, cell = len(self.columns), self.cell(None, BAND_PAD, STUB_HEAD)
        for run in runs.values():
            for name in run.blocks:
                found = self.shape(name, run.kind)
                for node in found.places if found else ():
                    self.stands_for(Template(site.phase, name, node), cell, run)
        layers = [run for run in runs.values() if run.kind == "layers"]
        first, end = min((run.first for run in layers), default=0), max((run.end for run in layers), default=0)
        box = Box(BAND_PAD, STUB_HEAD, NODE_W, NODE_H)
        self.columns.append(Column(f"{site.key}/all", len(self.bands), "layers", first, end, foldable=False, box=box))
        self.ports.append(_Port([(cell, "data", "stream")], cell))
        self.add_band(site, runs, Box(0, 0, NODE_W + 2 * BAND_PAD, STUB_HEAD + NODE_H + BAND_PAD))
        return {index: [column] for index in runs}

    def add_band(self, site: "_Site", runs: dict[int, _Run], box: Box) -> None:
        """Note the band whose columns were placed."""
        layers = sum(run.end - run.first for run in runs.values())
        stage = next(iter(runs.values())).stage
        self.bands.append(Band(site.key, site.phase, stage, site.pool, layers, site.collapsed, box))

    def unfolded(self, run: _Run, band: str) -> Iterator[_Run]:
        """The run itself, or each of its layers."""
        wanted = self.unfold & {"all", band, f"{band}/{run.first}"}
        if not wanted or run.end - run.first < 2:
            yield run
            return
        if run.end - run.first > MAX_CELLS:
            raise _too_many()
        for layer in range(run.first, run.end):
            yield run._replace(first=layer, end=layer + 1)

    def offsets(self, runs: Iterable[_Run]) -> list[int]:
        """Where the first, second, ... block of a column starts, so that they stand on equal rows in all columns of a band."""
        heights: list[int] = []
        for run in runs:
            for index, name in enumerate(run.blocks):
                found = self.shape(name, run.kind)
                heights += [0] * (index + 1 - len(heights))
                heights[index] = max(heights[index], found.height if found else 0)
        return [sum(heights[:index]) + BOX_GAP * index for index in range(len(heights))]

    # --- columns ---

    def shape(self, name: str, kind: ColumnKind) -> Shape | None:
        """The shape of a block, at a boundary only of its part on this side; None when there is nothing to draw."""
        if (name, kind) not in self.shapes:
            block = self.blocks.get(name)
            nodes = [] if block is None else [n for n in block.nodes if _belongs(n, kind)]
            self.shapes[name, kind] = shape(block, nodes) if block is not None and nodes else None
        return self.shapes[name, kind]

    def column(self, site: "_Site", run: _Run, left: int, top: int, offsets: list[int]) -> Box:
        """A column with its blocks, from top to bottom."""
        entries: list[tuple[int, EdgeKind, Route]] = []
        leaves: int | None = None
        width, bottom = NODE_W, top
        for index, name in enumerate(run.blocks):
            found = self.shape(name, run.kind)
            if found is None:
                continue
            box = Box(left, top + offsets[index], found.width, found.height)
            cells = self.place(site, run, found, box)
            reads = _readers(found, cells)
            if leaves is None:
                entries += reads
            else:
                self.join(leaves, reads)
            leaves = _output(found, cells)
            width, bottom = max(width, box.w), box.y + box.h
        box = Box(left, top, width, bottom - top)
        self.columns.append(self.described(site, run, box))
        self.ports.append(_Port(entries, leaves))
        return box

    def described(self, site: "_Site", run: _Run, box: Box) -> Column:
        """The column of a run of the band that is being placed."""
        key = f"{site.key}/{run.run_first if run.kind == 'layers' else run.kind}"
        return Column(key, len(self.bands), run.kind, run.first, run.end, run.layers > 1, box)

    def place(self, site: "_Site", run: _Run, found: Shape, box: Box) -> dict[str, int]:
        """The cells of one use of a block, with the edges inside it."""
        self.groups.append(Group(len(self.columns), found.block.name, box))
        cells = {}
        for name, (row, lane) in found.places.items():
            x, y = (
                box.x + BOX_PAD + lane * (NODE_W + LANE_GAP),
                box.y + BOX_HEAD + row * (NODE_H + ROW_GAP),
            )
            template = Template(site.phase, found.block.name, name)
            cells[name] = self.cell(template, x, y)
            self.stands_for(template, cells[name], run)
        for node in found.block.nodes:
            for edge in edges(node):
                if node.id in cells and edge.source in cells:
                    self.edge(cells[edge.source], cells[node.id], edge.kind, "chain")
        return cells

    def cell(self, template: Template | None, x: int, y: int) -> int:
        """A new cell of the column that is being placed."""
        if len(self.cells) >= MAX_CELLS:
            raise _too_many()
        index = None if template is None else self.templates.setdefault(template, len(self.templates))
        self.cells.append(Cell(index, len(self.columns), x, y))
        return len(self.cells) - 1

    def stands_for(self, template: Template, cell: int, run: _Run) -> None:
        """Note the layers of a template node that a cell shows."""
        layers = (run.first, run.end) if run.kind == "layers" else (-1, 0)
        self.instances.setdefault(template, []).append(_Instance(cell, *layers))

    # --- edges ---

    def edge(self, source: int, target: int, kind: EdgeKind, route: Route, *, loop: bool = False) -> None:
        """An edge, once; collapsed columns hide those inside them."""
        if source != target or loop:
            self.edges[GridEdge(source, target, kind, route, loop)] = None

    def join(self, source: int | None, reads: list[tuple[int, EdgeKind, Route]]) -> None:
        """The residual stream into whatever reads it."""
        if source is not None:
            for target, kind, route in reads:
                self.edge(source, target, kind, route)

    def stream(self, before: int, after: int) -> None:
        """The residual stream from one column to the next."""
        self.join(self.ports[before].leaves, self.ports[after].entries)

    def links(self) -> None:
        """Edges across phases and steps, for every pair of cells that share a layer."""
        for link in self.dag.links:
            ends = [_template(text) for text in (link.source, link.target)]
            source, target = (sorted(self.instances.get(end, ()), key=lambda i: i.first) if end else [] for end in ends)
            for one, other in _overlapping(source, target):
                self.edge(one.cell, other.cell, link.kind, "link", loop=link.loop)


class _Stack(NamedTuple):
    """Bands that are arranged as one."""

    phase: Phase
    places: list[tuple[int, int]]
    w: int
    h: int


def _arranged(bands: Sequence[Band]) -> list[tuple[int, int]]:
    """Where each band goes: stages flow from left to right, phases stand side by side where that lets everything be drawn larger."""
    stacks = _stacks(bands)
    widest = max(stack.w for stack in stacks)
    ends = accumulate(stack.w + BAND_GAP for stack in stacks)
    limits = {max(widest, end - BAND_GAP) for end in ends}
    return max((_shelved(stacks, limit) for limit in sorted(limits)), key=lambda shelves: shelves.scale).places


class _Shelves(NamedTuple):
    """Bands in rows."""

    places: list[tuple[int, int]]
    scale: float
    """How large it can be drawn where the room is `ASPECT` wide and 1 high."""


def _shelved(stacks: Sequence["_Stack"], limit: int) -> _Shelves:
    """Stacks from left to right in rows that are at most `limit` wide; a phase that does not fit in a row starts one."""
    places: list[tuple[int, int]] = []
    left = top = shelf = wide = 0
    for _, members in groupby(stacks, key=lambda stack: stack.phase):
        row = list(members)
        whole = sum(stack.w + BAND_GAP for stack in row) - BAND_GAP
        for stack in row:
            if left > 0 and left + (whole if stack is row[0] else stack.w) > limit:
                left, top, shelf = 0, top + shelf + BAND_GAP, 0
            places += [(left + x, top + y) for x, y in stack.places]
            wide, shelf = max(wide, left + stack.w), max(shelf, stack.h)
            left += stack.w + BAND_GAP
    return _Shelves(places, min(ASPECT / wide, 1 / (top + shelf)))


def _stacks(bands: Sequence[Band]) -> list[_Stack]:
    """An open band stands alone; collapsed ones in a row fill columns as high as the highest open band."""
    height = max((band.box.h for band in bands if not band.collapsed), default=8 * (STUB_HEAD + NODE_H))
    found: list[_Stack] = []
    for _, members in groupby(bands, key=lambda band: (band.phase, None if band.collapsed else band.key)):
        row = list(members)
        box = row[0].box
        each = max(1, (height + STUB_GAP) // (box.h + STUB_GAP))
        places = [(i // each * (box.w + STUB_GAP), i % each * (box.h + STUB_GAP)) for i in range(len(row))]
        found.append(_Stack(row[0].phase, places, places[-1][0] + box.w, max(y for _, y in places) + box.h))
    return found


def _moved(box: Box, move: tuple[int, int]) -> Box:
    return box._replace(x=box.x + move[0], y=box.y + move[1])


class _Site(NamedTuple):
    """The band that is being placed."""

    phase: Phase
    pool: str
    key: str
    collapsed: bool


def _runs(branch: Branch, pool: Pool) -> list[_Run]:
    """A branch in order: embed, runs of equal layers cut at stages (with the boundary between two of them), head."""
    if len(branch.layers) * max(1, len(pool.stages)) > MAX_RUNS * 8:
        raise _too_many()
    found = [_Run(0, "embed", (branch.embed,))]
    for stamp in (stamp for stamp in branch.layers if stamp.blocks):
        for stage, first, end in _by_stage(pool, *stamp.range):
            before = found[-1]
            if before.kind == "layers" and (before.stage, before.blocks, before.end) == (stage, stamp.blocks, first):
                found[-1] = before._replace(end=end, layers=end - before.first)
                continue
            if stage != before.stage and branch.boundary is not None:
                found.append(_Run(before.stage, "send", (branch.boundary,)))
                found.append(_Run(stage, "recv", (branch.boundary,)))
            found.append(_Run(stage, "layers", stamp.blocks, first, end, first, end - first))
    return [*found, _Run(found[-1].stage, "head", (branch.head,))]


def _by_stage(pool: Pool, first: int, end: int) -> Iterator[tuple[int | None, int, int]]:
    """The parts of a layer range by the stage that holds them; None for what no stage claims."""
    cuts = sorted({first, end, *(cut for stage in pool.stages for cut in stage if first < cut < end)})
    for start, stop in pairwise(cuts):
        owner = next((i for i, (a, b) in enumerate(pool.stages) if a <= start < b and i < pool.pp_size), None)
        yield owner, start, stop


def _belongs(node: AnyNode, kind: ColumnKind) -> bool:
    """Whether a node of a block stands in a column of `kind`: a boundary's `recv` stands on the next stage, the rest on this one."""
    return kind not in {"send", "recv"} or (node.op == "recv") == (kind == "recv")


def _readers(found: Shape, cells: dict[str, int]) -> list[tuple[int, EdgeKind, Route]]:
    """Nodes that read what enters the column: the residual stream, or on a recv what the other side sent."""
    reads: list[tuple[int, EdgeKind, Route]] = []
    for node in found.block.nodes:
        if node.id in cells:
            route: Route = "stream" if found.places[node.id][0] == 0 else "residual"
            outside = [e for e in edges(node) if e.source == RESIDUAL or (node.op == "recv" and e.source not in cells)]
            reads += [(cells[node.id], e.kind, route) for e in outside[:1]]
    return reads


def _output(found: Shape, cells: dict[str, int]) -> int | None:
    """The cell that leaves the column: the block's output, or what is sent when that lies on the other side."""
    return cells.get(found.block.output, next(reversed(cells.values()), None))


def _template(reference: str) -> Template | None:
    """`decode.attention.kv` as a template; None when it is none."""
    parts = reference.split(".")
    phase = next((phase for phase in PHASES if phase == parts[0]), None)
    return Template(phase, parts[1], parts[2]) if phase and len(parts) == 3 else None


def _overlapping(left: list[_Instance], right: list[_Instance]) -> Iterator[tuple[_Instance, _Instance]]:
    """Pairs that share a layer, of two lists in layer order."""
    start = 0
    for one in left:
        while start < len(right) and right[start].end <= one.first:
            start += 1
        for other in right[start:]:
            if other.first >= one.end:
                break
            yield one, other


def _too_many() -> InputError:
    return InputError(f"the picture would have more than {MAX_CELLS:,} nodes", hint="fold layers, or collapse stages")
