"""Time of one forward pass: every node of a branch priced on its rank, layers of one kind counted rather than walked.

Kernels follow a roofline with the efficiencies of a `Calibration`; collectives follow `strategy.collectives`. Nothing overlaps unless
a later version declares it: the pass is the sum along the chain of nodes, per stage.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from strategy.calibration import Calibration, CollectiveOp, Context, OpClass
from strategy.collectives import Links, Span, p2p_crosses, span
from strategy.dag import AllToAll, AnyNode, Block, Dag, Linear
from strategy.hardware import GpuSpec
from strategy.mesh import Axis
from strategy.model import Dtype, ModelSpec, WeightClass
from strategy.ops import WeightSpec, model_weights, op_kind
from strategy.quantisation import weight_dtype
from strategy.request import Precision, Problem
from strategy.strategy import Phase, Pool
from strategy.work import Flow, Load, Quantity, Work, WorkContext, cross_host_fraction, entry_flow, walk, work_context

Grid = NDArray[np.float64]
TimeKind = Literal["compute", "memory", "communication", "other"]

_TIMED_AS: dict[str, CollectiveOp] = {"broadcast": "all_gather", "step_sync": "all_reduce"}
"""Ops without rows of their own, by the collective that moves the same bytes."""
_MESSAGES = frozenset({"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send", "step_sync"})


Rates = tuple[float, float, float, float, float, float, float]


class Priced(NamedTuple):
    """A node of a stamped block with its work."""

    block: Block
    node: AnyNode
    work: Work
    counts: tuple[int, ...]


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


@dataclass(frozen=True)
class PassTime:
    """Milliseconds of one pass, [nodes, grid] per run of a node, and how often each stage runs it, [nodes, stages]."""

    priced: tuple[Priced, ...]
    node_ms: Grid
    counts: Grid
    parts: Parts
    boundary_ms: Grid
    """One hand-over between stages."""

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
        """Between two passes of a full pipeline: the slowest stage, [grid]."""
        return cast(Grid, self.stage_ms.max(axis=0))

    def kind(self, row: int, column: int) -> TimeKind:
        """What bounds node `row` at grid point `column`."""
        op = op_kind(self.priced[row].node.op)
        if op == "communication" or self.priced[row].node.op == "step_sync":
            return "communication"
        return "compute" if self.parts.compute_ms[row, column] > self.parts.memory_ms[row, column] else "memory"


def pass_time(dag: Dag, phase: Phase, problem: Problem, calibration: Calibration, load: Load) -> PassTime:
    """Price one pass of `phase` over a grid of loads per attention replica (arrays of one length, or scalars)."""
    return Pricer(dag, phase, problem, calibration).price(load)


@dataclass(frozen=True)
class Pricer:
    """One branch of a DAG on one cluster; what does not depend on the load is worked out once."""

    dag: Dag
    phase: Phase
    problem: Problem
    calibration: Calibration

    @cached_property
    def pool(self) -> Pool:
        """The pool that runs this phase."""
        return self.dag.strategy.pool_for(self.phase)

    @cached_property
    def first_rank(self) -> int:
        """Where the pool starts."""
        return self.dag.strategy.first_rank(self.pool)

    @cached_property
    def links(self) -> Links:
        """Times of collectives."""
        return Links(self.problem.cluster, self.calibration)

    @cached_property
    def spans(self) -> dict[Axis, Span]:
        """Where the groups of each axis lie; filled on demand."""
        return {}

    def span(self, axis: Axis) -> Span:
        """Where the groups of `axis` lie."""
        if axis not in self.spans:
            self.spans[axis] = span(self.pool, axis, self.problem.cluster, self.first_rank)
        return self.spans[axis]

    def price(self, load: Load) -> PassTime:
        """Times of every node over the grid of `load`."""
        ctx = work_context(self.problem.model, self.problem.precision, self.pool, self.phase, load)
        priced = tuple(self._priced(ctx))
        width = max(np.size(load.batch), np.size(load.new_tokens), np.size(load.kv_tokens))
        ms, parts = self._times(priced, width)
        counts = np.array([p.counts for p in priced], dtype=np.float64)
        return PassTime(priced, ms, counts, parts, self._boundary_ms(ctx, priced, width))

    def _priced(self, ctx: WorkContext) -> Iterator[Priced]:
        branch, stages = self.dag.branch(self.phase), len(self.pool.stages)
        flow = entry_flow(ctx)
        works, flow = self._walk([branch.embed], flow, ctx)
        yield from _counted(works, tuple(int(stage == 0) for stage in range(stages)))
        for stamp in branch.layers:
            works, after = self._walk(stamp.blocks, flow, ctx)
            start, end = stamp.range
            if not _alike(flow, after):
                # What enters the first of these layers differs from what enters the others.
                yield from self._layers(stamp.blocks, range(start, start + 1), flow, ctx)
                start, flow = start + 1, after
            yield from self._layers(stamp.blocks, range(start, end), flow, ctx)
        works, _ = self._walk([branch.head], flow, ctx)
        yield from _counted(works, tuple(int(stage == stages - 1) for stage in range(stages)))

    def _layers(self, names: Sequence[str], layers: range, flow: Flow, ctx: WorkContext) -> Iterator[Priced]:
        """Equal layers, priced once for each window that some of them have."""
        model = self.problem.model
        for window in sorted({model.window_tokens(layer) for layer in layers}, key=lambda w: w or 0):
            works, _ = self._walk(names, flow, ctx if window is None else replace(ctx, window_tokens=window))
            yield from _counted(works, self._counts(layers, window))

    def _counts(self, layers: range, window: int | None) -> tuple[int, ...]:
        """How many of `layers` with this window each stage holds."""
        held = [range(max(start, layers.start), min(end, layers.stop)) for start, end in self.pool.stages]
        model = self.problem.model
        if model.window is None:
            return tuple(len(part) for part in held)
        return tuple(sum(model.window_tokens(layer) == window for layer in part) for part in held)

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

    def _times(self, priced: Sequence[Priced], width: int) -> tuple[Grid, Parts]:
        """Milliseconds [nodes, grid] and what they are made of."""
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
        message = np.zeros_like(compute)
        for row in np.flatnonzero(~computes[:, 0]).tolist():
            message[row] = self._message_ms(priced[row].node, priced[row].work)
        spread = np.array([p.node.op == "expert" and self.span("ep").ranks > 1 for p in priced])
        busiest = np.where(spread, self._imbalance, 1.0)[:, None] if spread.any() else 1.0
        ms = np.maximum(compute, memory) * busiest + launch + message
        known = tuple(kernel or ("vector", "bf16") for kernel in kernels)
        return ms, Parts(compute, memory, launch, message, peak_compute, peak_memory, known, spread)

    @cached_property
    def _imbalance(self) -> float:
        """How much longer than the mean the busiest expert rank takes."""
        return self.calibration.factor("imbalance", self._context("expert", self._compute_dtype("expert")))

    def _context(self, op: str, dtype: str = "") -> Context:
        """Where this branch runs, as the calibration's factors select it."""
        attention = self.problem.model.attention.kind if op == "attention" else ""
        arch, engine = self.problem.cluster.gpu.arch, self.problem.engine or "none"
        return Context(op, self.phase, arch, dtype, attention, engine)

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

    def _message_ms(self, node: AnyNode, work: Work) -> Quantity:
        if node.op == "send":
            around = getattr(node, "axis", None)
            crosses = self._boundary_crosses if around is None else self.span(around).units > 1
            return self.links.send_us(work.message_bytes, crosses=crosses) * 1e-3
        group = self.span(_axis(node))
        kind = "all_reduce" if node.op == "all_reduce" else "exchange"
        factor = self.calibration.factor("message_time", self._context(kind))
        if isinstance(node, AllToAll) and node.role in ("dispatch", "combine"):
            return self._exchange_ms(node, work, group) * factor
        op = _TIMED_AS.get(node.op, cast(CollectiveOp, node.op))
        return self.links.time_us(op, group, work.message_bytes) * (1e-3 * factor)

    def _exchange_ms(self, node: AllToAll, work: Work, group: Span) -> Quantity:
        """Dispatch and combine, by the kernels of this phase."""
        modes, moe = self.pool.dispatch_mode, self.problem.model.moe
        mode = modes.prefill if self.phase == "prefill" else modes.decode
        crossing = cross_host_fraction(moe, group.ranks, group.units, mode) if moe and group.ranks > 1 else 0.0
        if mode == "throughput":
            return self.links.throughput_dispatch_us(group, work.message_bytes, crossing) * 1e-3
        op: CollectiveOp = "dispatch" if node.role == "dispatch" else "combine"
        return self.links.time_us(op, group, work.message_bytes, cross_fraction=crossing) * 1e-3

    @cached_property
    def _boundary_crosses(self) -> bool:
        return p2p_crosses(self.pool, self.problem.cluster, self.first_rank)

    def _boundary_ms(self, ctx: WorkContext, priced: Sequence[Priced], width: int) -> Grid:
        """One hand-over between stages, by the branch's boundary block; zero in a pipeline of one stage."""
        name = self.dag.branch(self.phase).boundary
        if name is None or len(self.pool.stages) == 1:
            return np.zeros(width)
        hidden = self.problem.model.hidden_size
        leaving = next((p.work.output for p in reversed(priced) if p.work.output.width == hidden), entry_flow(ctx))
        works, _ = self._walk([name], leaving._replace(rows="token"), ctx)
        rows = [Priced(block, node, work, ()) for block, node, work in works]
        return cast(Grid, self._times(rows, width)[0].sum(axis=0)) if rows else np.zeros(width)


def _axis(node: AnyNode) -> Axis:
    """The axis of a collective; the whole stage for a node that names none."""
    axis: Axis = getattr(node, "axis", "stage")
    return axis


def _counted(works: Sequence[tuple[Block, AnyNode, Work]], counts: tuple[int, ...]) -> Iterator[Priced]:
    return (Priced(block, node, work, counts) for block, node, work in works)


def _alike(one: Flow, other: Flow) -> bool:
    return (one.share, one.rows, one.width) == (other.share, other.rows, other.width)


def _table(values: Sequence[Quantity], width: int) -> Grid:
    """Numbers and arrays as one array [values, width]."""
    table = np.empty((len(values), width))
    for row, value in enumerate(values):
        table[row] = value
    return table


def peak_flops(gpu: GpuSpec, dtype: Dtype) -> float:
    """Dense peak in FLOP/s for operands of `dtype`; the bf16 peak where the device computes such weights in bf16."""
    return (gpu.tflops(dtype) or gpu.bf16_tflops) * 1e12


def compute_dtype(model: ModelSpec, precision: Precision, gpu: GpuSpec, weight_class: WeightClass) -> Dtype:
    """Operand type of products with `weight_class`: the weights' own where the device has it, else bf16 after conversion."""
    dtype = weight_dtype(model, precision, weight_class)
    return dtype if gpu.tflops(dtype) is not None else "bf16"
