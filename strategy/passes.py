"""Time of one forward pass: every node of a branch priced on its rank, layers of one kind counted rather than walked.

Kernels follow a roofline with the efficiencies of a `Calibration`; collectives follow `strategy.collectives`. Nothing overlaps unless
a later version declares it: the pass is the sum along the chain of nodes, per stage.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from strategy.calibration import Calibration, CollectiveOp, Context, OpClass, kernels_of
from strategy.collectives import Links, Span, p2p_crosses, span
from strategy.dag import AllToAll, AnyNode, Block, Branch, Dag, Linear
from strategy.hardware import GpuSpec
from strategy.mesh import AXES, Axis, axis_size, axis_sizes
from strategy.model import Dtype, ModelSpec, WeightClass
from strategy.ops import OPS, WeightSpec, model_weights, op_kind
from strategy.quantisation import weight_dtype
from strategy.request import Precision, Problem
from strategy.strategy import LayerRange, Phase, Pool
from strategy.work import Flow, Load, Quantity, Work, WorkContext, cross_host_fraction, entry_flow, walk, work_context

Grid = NDArray[np.float64]
Kind = TypeVar("Kind")
TimeKind = Literal["compute", "memory", "communication", "other"]

_TIMED_AS: dict[str, CollectiveOp] = {"broadcast": "all_gather", "step_sync": "all_reduce"}
"""Ops without rows of their own, by the collective that moves the same bytes."""
_COMMUNICATES = frozenset(op for op in OPS if op_kind(op) == "communication") | {"step_sync"}
_MESSAGES = frozenset({"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send", "step_sync"})


Rates = tuple[float, float, float, float, float, float, float]


class Seat(NamedTuple):
    """A pool on its GPUs: where its ranks start decides which of its groups cross hosts."""

    pool: Pool
    first_rank: int = 0


class Part(NamedTuple):
    """A stretch of a branch whose nodes run equally often: the embedding, layers with one attention window, or the head."""

    place: Literal["embed", "layers", "head"]
    layers: tuple[range, ...] = ()
    window: int | None = None

    def counts(self, model: ModelSpec, stages: Sequence[LayerRange]) -> tuple[int, ...]:
        """How often each stage runs it in one pass."""
        if self.place != "layers":
            own = 0 if self.place == "embed" else len(stages) - 1
            return tuple(int(stage == own) for stage in range(len(stages)))
        held = [
            [
                range(max(start, one.start), min(end, one.stop))
                for one in self.layers
                if one.start < end and start < one.stop
            ]
            for start, end in stages
        ]
        if model.window is None:
            return tuple(sum(map(len, parts)) for parts in held)
        return tuple(
            sum(model.window_tokens(layer) == self.window for part in parts for layer in part) for parts in held
        )


class Priced(NamedTuple):
    """A node of a stamped block with its work."""

    block: Block
    node: AnyNode
    work: Work
    part: Part


@dataclass(frozen=True)
class Parts:
    """What times of nodes are made of, in milliseconds, [nodes, grid]: the longer of arithmetic and memory, a launch, a message."""

    compute_ms: Grid
    memory_ms: Grid
    launch_ms: Grid
    message_ms: Grid
    peak_compute_ms: Grid
    """The same work at the peak rates."""
    peak_memory_ms: Grid
    kernels: tuple[tuple[OpClass, Dtype], ...]
    spread: NDArray[np.bool_]
    """Whether ranks share the node's experts, so that the busiest decides."""

    def rows(self, count: int) -> "Parts":
        """The same of the first `count` nodes."""
        return Parts(
            self.compute_ms[:count],
            self.memory_ms[:count],
            self.launch_ms[:count],
            self.message_ms[:count],
            self.peak_compute_ms[:count],
            self.peak_memory_ms[:count],
            self.kernels[:count],
            self.spread[:count],
        )

    def column(self, n: int) -> "Parts":
        """The same at one grid point."""
        grids = ("compute_ms", "memory_ms", "launch_ms", "message_ms", "peak_compute_ms", "peak_memory_ms")
        cut = {name: table if (table := getattr(self, name)).shape[1] == 1 else table[:, n : n + 1] for name in grids}
        return replace(self, **cut)


@dataclass(frozen=True)
class PassTime:
    """Milliseconds of one pass, [nodes, grid] per run of a node, and how often each stage runs it, [nodes, stages]."""

    priced: tuple[Priced, ...]
    node_ms: Grid
    counts: Grid
    """How often each stage runs a node, [nodes, stages]."""
    parts: Parts
    boundary_ms: Grid
    """One hand-over between stages."""
    stretch: float
    """What bubbles make of the time between passes of a full pipeline."""
    names: tuple[str, ...]
    """Block and id of each node."""

    @cached_property
    def stage_ms(self) -> Grid:
        """Milliseconds of each stage, [stages, grid]."""
        return self.counts.T @ self.node_ms

    @property
    def latency_ms(self) -> Grid:
        """From the first stage to the last: the sum over stages and hand-overs, [grid]."""
        return cast(Grid, self.stage_ms.sum(axis=0) + (self.stage_ms.shape[0] - 1) * self.boundary_ms)

    @property
    def interval_ms(self) -> Grid:
        """Between two passes of a full pipeline: the slowest stage and its bubbles, [grid]."""
        return cast(Grid, self.stage_ms.max(axis=0) * self.stretch)

    def least_ms(self, width: int) -> Grid:
        """The nodes of all stages at the peak rates, on a grid of `width` loads."""
        peak = np.maximum(self.parts.peak_compute_ms, self.parts.peak_memory_ms)
        return cast(Grid, self.counts.sum(axis=1) @ np.broadcast_to(peak, (len(peak), width)))

    def kinds(self, column: int) -> list[TimeKind]:
        """What bounds each node at grid point `column`."""
        computes = (self.parts.compute_ms[:, column] > self.parts.memory_ms[:, column]).tolist()
        return [
            "communication" if one.node.op in _COMMUNICATES else "compute" if by_arithmetic else "memory"
            for one, by_arithmetic in zip(self.priced, computes, strict=True)
        ]


def pass_time(dag: Dag, phase: Phase, problem: Problem, calibration: Calibration, load: Load) -> PassTime:
    """Price one pass of `phase` over a grid of loads per attention replica (arrays of one length, or scalars)."""
    return Pricer(dag, phase, problem, calibration).price(load)


@dataclass(frozen=True)
class PipelineTime:
    """Milliseconds of whole passes, a number for each column."""

    latency_ms: Grid
    """From the first stage to the last."""
    interval_ms: Grid
    """Between two passes of a full pipeline."""
    least_ms: Grid
    """Kernels of the slowest stage at the peak rates: no engine runs a pass in less."""


Owner = NDArray[np.int64]
"""The seat of each column; a column is one load on one pool."""


@dataclass(frozen=True)
class Table:
    """Every node of a branch on every column."""

    pricer: "Pricer"
    owner: Owner
    priced: tuple[Priced, ...]
    node_ms: Grid
    """[nodes, columns]."""
    parts: Parts
    boundary_ms: Grid
    """One hand-over between stages, [columns]."""

    @cached_property
    def pipelines(self) -> PipelineTime:
        """Whole passes, column for column."""
        pricer, priced, owner = self.pricer, self.priced, self.owner
        starts = [n for n, one in enumerate(priced) if n == 0 or one.part != priced[n - 1].part]
        peak_ms = np.maximum(self.parts.peak_compute_ms, self.parts.peak_memory_ms)
        part_ms, least_ms = (np.add.reduceat(ms, starts, axis=0) for ms in (self.node_ms, peak_ms))
        latency, interval, least = np.empty((3, len(owner)))
        for stages, columns in pricer.columns([seat.pool.stages for seat in pricer.seats], owner):
            counts = np.array([priced[n].part.counts(pricer.problem.model, stages) for n in starts], dtype=np.float64)
            stage_ms = counts.T @ part_ms[:, columns]
            latency[columns] = stage_ms.sum(axis=0) + (len(stages) - 1) * self.boundary_ms[columns]
            interval[columns] = stage_ms.max(axis=0) * pricer.stretch(len(stages))
            least[columns] = (counts.T @ least_ms[:, columns]).max(axis=0)
        return PipelineTime(latency, interval, least)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Block and id of each node."""
        return tuple(f"{one.block.name}.{one.node.id}" for one in self.priced)

    def pass_of(self, column: int) -> PassTime:
        """Times of every node in one column."""
        pricer, own = self.pricer, slice(column, column + 1)
        pool = pricer.seats[self.owner[column]].pool
        return PassTime(
            self.priced,
            self.node_ms[:, own],
            pricer.counts(self.priced, pool),
            self.parts.column(column),
            self.boundary_ms[own],
            pricer.stretch(len(pool.stages)),
            self.names,
        )


@dataclass(frozen=True)
class Pricer:
    """One branch of a DAG on one cluster; what does not depend on the load is worked out once.

    With `seats` it prices the pools of other strategies beside each other, which must have the very blocks of this DAG (see `work.walk`).
    """

    dag: Dag
    phase: Phase
    problem: Problem
    calibration: Calibration
    seated: tuple[Seat, ...] = ()
    shared_links: Links | None = None
    """Times of collectives that other branches ask for as well."""

    @cached_property
    def pool(self) -> Pool:
        """The pool that runs this phase."""
        return self.dag.strategy.pool_for(self.phase)

    @cached_property
    def seats(self) -> tuple[Seat, ...]:
        """The pools that are priced: the DAG's own unless others are named."""
        return self.seated or (Seat(self.pool, self.dag.strategy.first_rank(self.pool)),)

    @cached_property
    def links(self) -> Links:
        """Times of collectives."""
        return self.shared_links or Links(self.problem.cluster, self.calibration)

    def price(self, load: Load) -> PassTime:
        """Times of every node over the grid of `load`, on the only seat."""
        width = max(np.size(load.batch), np.size(load.new_tokens), np.size(load.kv_tokens))
        table = self.table(load, np.zeros(width, dtype=np.int64))
        counts, stretch = self.counts(table.priced, self.pool), self.stretch(len(self.pool.stages))
        return PassTime(table.priced, table.node_ms, counts, table.parts, table.boundary_ms, stretch, table.names)

    def stretch(self, stages: int) -> float:
        """Passes differ in length, so stages wait for each other, the more the more there are."""
        return 1 + self.calibration.alpha_beta.stage_bubble * (stages - 1)

    def counts(self, priced: Sequence[Priced], pool: Pool) -> Grid:
        """How often each stage of a pool runs each node, [nodes, stages]."""
        parts = dict.fromkeys(p.part for p in priced)
        found = {part: part.counts(self.problem.model, pool.stages) for part in parts}
        return np.array([found[p.part] for p in priced], dtype=np.float64)

    def table(self, load: Load, owner: Owner) -> Table:
        """Times of every node: column for column the load in `load` on seat `owner`."""
        ctx = self._context_of(load, owner)
        priced = tuple(self._walked(ctx))
        ms, parts = self._times((*priced, *self._handed_over(ctx, priced)), owner)
        own = len(priced)
        return Table(self, owner, priced, ms[:own], parts.rows(own), cast(Grid, ms[own:].sum(axis=0)))

    def _context_of(self, load: Load, owner: Owner) -> WorkContext:
        model, precision = self.problem.model, self.problem.precision
        if len(self.seats) == 1:
            return work_context(model, precision, self.seats[0].pool, self.phase, load)
        found = np.array([tuple(axis_sizes(seat.pool).values()) for seat in self.seats], dtype=np.float64)
        sizes: dict[Axis, Quantity] = dict(zip(AXES, found.T[:, owner], strict=True))
        return work_context(model, precision, self.pool, self.phase, load, sizes)

    def columns(self, kinds: Sequence[Kind], owner: Owner) -> list[tuple[Kind, Any]]:
        """Each kind of seat that there is with its columns, `kinds` being those of the seats."""
        distinct = list(dict.fromkeys(kinds))
        if len(distinct) == 1:
            return [(distinct[0], slice(None))]
        numbers = np.array([distinct.index(kind) for kind in kinds])[owner]
        return [(kind, np.flatnonzero(numbers == n)) for n, kind in enumerate(distinct)]

    def _walked(self, ctx: WorkContext) -> Iterator[Priced]:
        branch = self.dag.branch(self.phase)
        works, flow = self._walk([branch.embed], entry_flow(ctx), ctx)
        yield from _of_part(works, Part("embed"))
        for names, ranges in self._stretches(branch, flow, ctx):
            works, after = self._walk(names, flow, ctx)
            start, end = ranges[0].start, ranges[0].stop
            if not _alike(flow, after):
                # What enters the first of these layers differs from what enters the others.
                yield from self._layers(names, (range(start, start + 1),), flow, ctx)
                start, flow = start + 1, after
                works, after = self._walk(names, flow, ctx)
            others = (range(start, end), *ranges[1:])
            if self.problem.model.window is None and not self.problem.model.layer_shapes:
                yield from _of_part(works, Part("layers", others))
            else:
                yield from self._layers(names, others, flow, ctx)
        works, _ = self._walk([branch.head], flow, ctx)
        yield from _of_part(works, Part("head"))

    def _stretches(self, branch: Branch, flow: Flow, ctx: WorkContext) -> list[tuple[tuple[str, ...], list[range]]]:
        """Blocks with the layers that stamp them: all of them together where each kind of layer leaves the stream as it came."""
        alike = _alike_stamps(branch)
        if len(alike) < len(branch.layers):
            steady = all(_alike(flow, self._walk(names, flow, ctx)[1]) for names, _ in alike)
            return alike if steady else [(stamp.blocks, [range(*stamp.range)]) for stamp in branch.layers]
        return alike

    def _layers(
        self, names: Sequence[str], layers: tuple[range, ...], flow: Flow, ctx: WorkContext
    ) -> Iterator[Priced]:
        """Layers of equal blocks, priced once for each size and window that some of them have."""
        model = self.problem.model
        for own, held in _by_size(ctx, layers):
            windows = {model.window_tokens(layer) for part in held for layer in part}
            for window in sorted(windows, key=lambda w: w or 0):
                works, _ = self._walk(names, flow, own if window is None else replace(own, window_tokens=window))
                yield from _of_part(works, Part("layers", held, window))

    def _walk(
        self, names: Sequence[str], flow: Flow, ctx: WorkContext
    ) -> tuple[list[tuple[Block, AnyNode, Work]], Flow]:
        """Nodes of these blocks in order with their work, and what leaves the last one. Unknown names are left out."""
        found: list[tuple[Block, AnyNode, Work]] = []
        for block in (b for b in map(self._block, names) if b is not None):
            after = flow
            for node, work in walk(block, flow, ctx):
                found.append((block, node, work))
                after = work.output if node.id == block.output else after
            flow = after
        return found, flow

    def _block(self, name: str) -> Block | None:
        return self._blocks.get(name)

    @cached_property
    def _blocks(self) -> dict[str, Block]:
        return {block.name: block for block in reversed(self.dag.blocks)}

    def _times(self, priced: Sequence[Priced], owner: Owner) -> tuple[Grid, Parts]:
        """Milliseconds [nodes, columns] and what they are made of."""
        width = len(owner)
        kernels = [None if p.node.op in _MESSAGES else self._kernel(p.node) for p in priced]
        rates = np.array([(1.0,) * 7 if kernel is None else self._rates(kernel) for kernel in kernels])
        flop_peak, byte_peak, slow_compute, slow_memory, launch_us, half_rows, half_bytes = rates.T[:, :, None]
        computes = np.array([[kernel is not None] for kernel in kernels])
        flops = _table([p.work.flops for p in priced], width)
        moved = _table([p.work.weight_bytes + p.work.io_bytes for p in priced], width) * computes
        rows = _table([p.work.rows for p in priced], width)
        peak_compute, peak_memory = 1e3 * flops / flop_peak, 1e3 * moved / byte_peak
        # A kernel with few rows or few bytes does not fill the units: both rates ramp up to their ceiling.
        filling = np.where(rows > 0, 1 + half_rows / np.maximum(rows, 1e-9), 1.0)
        compute = peak_compute * slow_compute * filling
        memory = slow_memory * (peak_memory + 1e3 * half_bytes * (moved > 0) / byte_peak)
        launch = 1e-3 * launch_us * ((flops > 0) | (moved > 0))
        message = self._messages_ms(priced, owner)
        spread = np.array([p.node.op == "expert" and axis_size(self.pool, "ep") > 1 for p in priced])
        busiest = np.where(spread, self._imbalance, 1.0)[:, None] if spread.any() else 1.0
        ms = np.maximum(compute, memory) * busiest + launch + message
        known = tuple(kernel or ("vector", "bf16") for kernel in kernels)
        return ms, Parts(compute, memory, launch, message, peak_compute, peak_memory, known, spread)

    @cached_property
    def _imbalance(self) -> float:
        """How much longer than the mean the busiest expert rank takes."""
        return self.calibration.factor("imbalance", self._context("expert", self._compute_dtype("expert")))

    def _context(self, op: str, dtype: Dtype | None = None) -> Context:
        """Where this branch runs, as the calibration's factors select it."""
        operands = kernels_of(dtype) if dtype else ""
        attention = self.problem.model.attention.kind if op == "attention" else ""
        arch, engine = self.problem.cluster.gpu.arch, self.problem.engine or "none"
        return Context(op, self.phase, arch, operands, attention, engine)

    def _rates(self, kernel: tuple[OpClass, Dtype]) -> Rates:
        """Peak FLOP/s and bytes/s, times over those at the peaks, launch in us, half rows and half bytes of a class of kernels."""
        if kernel not in self._known_rates:
            self._known_rates[kernel] = self._fitted_rates(*kernel)
        return self._known_rates[kernel]

    def _fitted_rates(self, op: OpClass, dtype: Dtype) -> Rates:
        gpu, context = self.problem.cluster.gpu, self._context(op, dtype)
        found, factor = self.calibration.efficiency(op, self.phase, gpu.arch, dtype), self.calibration.factor
        slow_compute = factor("compute_time", context) / found.compute
        slow_memory = factor("memory_time", context) / found.memory
        launch_us = found.overhead_us * factor("launch_time", context)
        peaks = peak_flops(gpu, dtype), gpu.memory_tb_per_s * 1e12
        return *peaks, slow_compute, slow_memory, launch_us, found.half_rows, found.half_bytes

    @cached_property
    def _known_rates(self) -> dict[tuple[OpClass, Dtype], Rates]:
        return {}

    def _kernel(self, node: AnyNode) -> tuple[OpClass, Dtype]:
        """The class of kernels that runs `node` and the type of its operands."""
        if isinstance(node, Linear):
            spec = self._weights.get(node.weight)
            return "gemm", self._compute_dtype(spec.weight_class if spec else "dense_ffn")
        if node.op == "expert":
            return "expert", self._compute_dtype("expert")
        if node.op == "routing":
            return "gemm", "bf16"
        return ("attention" if node.op == "attention" else "vector"), "bf16"

    @cached_property
    def _weights(self) -> dict[str, WeightSpec]:
        return model_weights(self.problem.model)

    def _compute_dtype(self, weight_class: WeightClass) -> Dtype:
        return compute_dtype(self.problem.model, self.problem.precision, self.problem.cluster.gpu, weight_class)

    def _messages_ms(self, priced: Sequence[Priced], owner: Owner) -> Grid:
        """Milliseconds of communication, [nodes, columns]; nodes of one kind together."""
        found = np.zeros((len(priced), len(owner)))
        alike: dict[tuple[Any, ...], list[int]] = {}
        for row, one in enumerate(priced):
            if one.node.op in _MESSAGES:
                key = (one.node.op, getattr(one.node, "axis", None), getattr(one.node, "role", None))
                alike.setdefault(key, []).append(row)
        for rows in alike.values():
            sizes = _table([priced[row].work.message_bytes for row in rows], len(owner))
            found[rows] = self._message_ms(priced[rows[0]].node, sizes, owner)
        return found

    def _message_ms(self, node: AnyNode, size: Grid, owner: Owner) -> Grid:
        """Milliseconds of messages of `size` [messages, columns] of one kind of node."""
        ms = np.empty_like(size)
        if node.op == "send":
            around = getattr(node, "axis", None)
            crosses = self._crossing if around is None else [span.units > 1 for span in self._spans(around)]
            for far, columns in self.columns(crosses, owner):
                ms[:, columns] = self.links.send_us(size[:, columns], crosses=far) * 1e-3
            return ms
        kind = "all_reduce" if node.op == "all_reduce" else "exchange"
        factor = self.calibration.factor("message_time", self._context(kind))
        for group, columns in self.columns(self._spans(_axis(node)), owner):
            ms[:, columns] = self._collective_ms(node, group, size[:, columns]) * factor
        return ms

    def _collective_ms(self, node: AnyNode, group: Span, size: Grid) -> Quantity:
        if isinstance(node, AllToAll) and node.role in ("dispatch", "combine"):
            return self._exchange_ms(node, size, group)
        op = _TIMED_AS.get(node.op, cast(CollectiveOp, node.op))
        return self.links.time_us(op, group, size) * 1e-3

    def _exchange_ms(self, node: AllToAll, size: Grid, group: Span) -> Quantity:
        """Dispatch and combine, by the kernels of this phase."""
        modes, moe = self.pool.dispatch_mode, self.problem.model.moe
        mode = modes.prefill if self.phase == "prefill" else modes.decode
        crossing = cross_host_fraction(moe, group.ranks, group.units, mode) if moe and group.ranks > 1 else 0.0
        if mode == "throughput":
            return self.links.throughput_dispatch_us(group, size, crossing) * 1e-3
        op: CollectiveOp = "dispatch" if node.role == "dispatch" else "combine"
        return self.links.time_us(op, group, size, cross_fraction=crossing) * 1e-3

    def _spans(self, axis: Axis) -> list[Span]:
        """Where the groups of `axis` lie, for every seat."""
        if axis not in self._known_spans:
            cluster = self.problem.cluster
            self._known_spans[axis] = [span(seat.pool, axis, cluster, seat.first_rank) for seat in self.seats]
        return self._known_spans[axis]

    @cached_property
    def _known_spans(self) -> dict[Axis, list[Span]]:
        return {}

    @cached_property
    def _crossing(self) -> list[bool]:
        """Whether some hand-over between stages leaves its scale-up unit, for every seat."""
        return [p2p_crosses(seat.pool, self.problem.cluster, seat.first_rank) for seat in self.seats]

    def _handed_over(self, ctx: WorkContext, priced: Sequence[Priced]) -> list[Priced]:
        """Nodes of one hand-over between stages, by the branch's boundary block; none in a pipeline of one stage."""
        name = self.dag.branch(self.phase).boundary
        if name is None or all(len(seat.pool.stages) == 1 for seat in self.seats):
            return []
        hidden = self.problem.model.hidden_size
        leaving = next(
            (p.work.output for p in reversed(priced) if np.all(p.work.output.width == hidden)), entry_flow(ctx)
        )
        works, _ = self._walk([name], leaving._replace(rows="token"), ctx)
        return list(_of_part(works, Part("embed")))


def _axis(node: AnyNode) -> Axis:
    """The axis of a collective; the whole stage for a node that names none."""
    axis: Axis = getattr(node, "axis", "stage")
    return axis


def _of_part(works: Sequence[tuple[Block, AnyNode, Work]], part: Part) -> Iterator[Priced]:
    return (Priced(block, node, work, part) for block, node, work in works)


def _by_size(ctx: WorkContext, layers: tuple[range, ...]) -> Iterator[tuple[WorkContext, tuple[range, ...]]]:
    """Layers by the sizes that they have, each with a context of theirs."""
    if not ctx.model.layer_shapes:
        yield ctx, layers
        return
    for view, held in ctx.model.by_size(layer for part in layers for layer in part).items():
        yield ctx.sized(view), _ranges(held)


def _ranges(layers: Sequence[int]) -> tuple[range, ...]:
    """Ascending numbers as ranges."""
    starts = [n for n, layer in enumerate(layers) if n == 0 or layer != layers[n - 1] + 1]
    return tuple(range(layers[n], layers[m - 1] + 1) for n, m in zip(starts, [*starts[1:], len(layers)], strict=True))


def _alike_stamps(branch: Branch) -> list[tuple[tuple[str, ...], list[range]]]:
    """Blocks with all the layers that stamp them, in order of the first: kinds of layers that alternate are priced once each."""
    found: dict[tuple[str, ...], list[range]] = {}
    for stamp in branch.layers:
        found.setdefault(stamp.blocks, []).append(range(*stamp.range))
    return list(found.items())


def _alike(one: Flow, other: Flow) -> bool:
    return one.rows == other.rows and bool(np.all(one.share == other.share) and np.all(one.width == other.width))


def _table(values: Sequence[Quantity], width: int) -> Grid:
    """Numbers and arrays as one array [values, width]."""
    table = np.empty((len(values), width))
    for row, value in enumerate(values):
        table[row] = value
    return table


def peak_flops(gpu: GpuSpec, dtype: Dtype) -> float:
    """Dense peak in FLOP/s for operands of `dtype`; the 16-bit peak where the device computes such weights in 16 bits."""
    return (gpu.tflops(dtype) or gpu.bf16_tflops) * 1e12


def compute_dtype(model: ModelSpec, precision: Precision, gpu: GpuSpec, weight_class: WeightClass) -> Dtype:
    """Operand type of products with `weight_class`: the weights' own where the device has it, else bf16 after conversion."""
    dtype = weight_dtype(model, precision, weight_class)
    return dtype if gpu.tflops(dtype) is not None else "bf16"
