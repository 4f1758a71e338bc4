"""Serving points as arrays: what `strategy.cost` computes for one deployment at a time, for all of them at once, with derivatives.

Work, bytes and messages of every node are taken from the cost model's own walk, once; only the fitted factors vary. A test compares the
outcome with `strategy.cost.curve`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from evals.cost_factors import Key, engine_keys, node_keys
from evals.cost_rows import Point
from strategy.build import build
from strategy.calibration import ENGINE_QUANTITIES, Calibration
from strategy.cost import Server
from strategy.passes import PassTime
from strategy.serving import Demand, steady_state
from strategy.strategy import Phase

Grid = NDArray[np.float64]
Matrix = Any
"""A scipy sparse matrix."""
BATCH_SHARES = (0.05, 0.15, 0.35, 0.6, 0.8, 1.0)
"""Decode batches that are priced, over the requests in flight."""
STEP = 1e-4
FREE = -40.0
"""Logarithm of a factor that takes all time from what it multiplies."""
_PERFECT = {"compute": 1.0, "memory": 1.0, "overhead_us": 0.0, "half_rows": 0.0, "half_bytes": 0.0}
KERNEL_QUANTITIES = ("compute_time", "memory_time", "launch_time", "imbalance", "message_time")


@dataclass(frozen=True)
class Prediction:
    """What was predicted for every point."""

    ttft_ms: Grid
    tpot_ms: Grid


@dataclass(frozen=True)
class PassTable:
    """Nodes of one phase of all points: milliseconds with every factor at one, [nodes, grid], and the factors that each takes."""

    owner: NDArray[np.int64]
    compute_ms: Grid
    memory_ms: Grid
    launch_ms: Grid
    message_ms: Grid
    takes: dict[str, Matrix]
    """Per quantity, [nodes, factors]."""
    sums: Matrix
    """[points, nodes]"""

    def totals(self, logs: Grid) -> tuple[Grid, Grid, Grid, Grid, Grid]:
        """Milliseconds of nodes by what decides them: arithmetic, memory, launches, messages; and all of a point."""
        scale = {name: np.exp(matrix @ logs)[:, None] for name, matrix in self.takes.items()}
        compute, memory = self.compute_ms * scale["compute_time"], self.memory_ms * scale["memory_time"]
        bound = compute > memory
        busiest = scale["imbalance"]
        arithmetic, moving = np.where(bound, compute, 0.0) * busiest, np.where(bound, 0.0, memory) * busiest
        launch = self.launch_ms * scale["launch_time"]
        message = self.message_ms * scale["message_time"]
        return arithmetic, moving, launch, message, self.sums @ (arithmetic + moving + launch + message)

    def slopes(self, logs: Grid) -> tuple[Grid, list[Matrix]]:
        """Totals [points, grid] and, per grid column, their derivatives by the logarithms of factors [points, factors]."""
        arithmetic, moving, launch, message, total = self.totals(logs)
        parts = {
            "compute_time": arithmetic,
            "memory_time": moving,
            "launch_time": launch,
            "imbalance": arithmetic + moving,
            "message_time": message,
        }
        found = []
        for column in range(total.shape[1]):
            weighted = sum(sparse.diags(part[:, column]) @ self.takes[name] for name, part in parts.items())
            found.append((self.sums @ weighted).tocsr())
        return total, found


@dataclass
class Names:
    """Factors by the order in which they were met."""

    index: dict[Key, int] = field(default_factory=dict)

    def of(self, keys: Sequence[Key]) -> list[int]:
        """Columns of `keys`."""
        return [self.index.setdefault(key, len(self.index)) for key in keys]


@dataclass(frozen=True)
class Table:
    """All points, ready to be predicted for any values of the factors."""

    points: tuple[Point, ...]
    keys: tuple[Key, ...]
    passes: dict[Phase, PassTable]
    engine: dict[str, Matrix]
    """Per engine quantity, [points, factors]."""
    batches: Grid
    running: Grid
    asked: Grid
    osl: Grid
    packed: Grid
    prefill_replicas: Grid
    disaggregated: NDArray[np.bool_]
    transfer_ms: Grid
    measured_ttft_ms: Grid
    measured_tpot_ms: Grid
    roofline_tpot_ms: Grid
    """Least time of a step at the batch that the measurement implies, every efficiency at one."""

    def predict(self, logs: Grid) -> tuple[Grid, Grid]:
        """TTFT and TPOT of every point, in ms."""
        decode, prefill = (self.passes[phase].totals(logs)[4] for phase in ("decode", "prefill"))
        return self._serve(decode, prefill, self._engine_values(logs))

    def slopes(self, logs: Grid) -> tuple[Grid, Grid, Grid, Grid]:
        """TTFT, TPOT and their derivatives by the logarithms of the factors, [points, factors]."""
        (decode, d_decode), (prefill, d_prefill) = (self.passes[p].slopes(logs) for p in ("decode", "prefill"))
        values = self._engine_values(logs)
        ttft, tpot = self._serve(decode, prefill, values)
        d_ttft = d_tpot = sparse.csr_matrix((len(self.points), len(self.keys)))

        def added(moved: tuple[Grid, Grid], by: Grid | float, inner: Matrix) -> None:
            nonlocal d_ttft, d_tpot
            d_ttft = d_ttft + sparse.diags((moved[0] - ttft) / by) @ inner
            d_tpot = d_tpot + sparse.diags((moved[1] - tpot) / by) @ inner

        for column, inner in enumerate(d_decode):
            by = STEP * decode[:, column]
            added(self._serve(_moved(decode, column, by), prefill, values), by, inner)
        for column, inner in enumerate(d_prefill):
            by = STEP * prefill[:, column]
            added(self._serve(decode, _moved(prefill, column, by), values), by, inner)
        for name, matrix in self.engine.items():
            moved = {**values, name: values[name] * (1 + STEP)}
            added(self._serve(decode, prefill, moved), STEP, matrix)
        return ttft, tpot, d_ttft.toarray(), d_tpot.toarray()

    def _engine_values(self, logs: Grid) -> dict[str, Grid]:
        return {name: np.exp(matrix @ logs) for name, matrix in self.engine.items()}

    def _serve(self, decode: Grid, prefill: Grid, engine: dict[str, Grid]) -> tuple[Grid, Grid]:
        """From passes to latencies under load."""
        steps = decode + engine["decode_step_ms"][:, None] + engine["per_sequence_us"][:, None] * 1e-3 * self.batches
        passes = prefill * engine["prefill_time"][:, None] + engine["prefill_pass_ms"][:, None]
        load = Demand(
            batch=self.batches[:, -1],
            osl=self.osl,
            alone_ms=passes[:, 0] + engine["request_ms"],
            taken_ms=passes[:, 1] / self.packed,
            queue=engine["queue"],
            queue_growth=engine["queue_growth"],
            prefill_replicas=self.prefill_replicas,
            disaggregated=self.disaggregated,
            transfer_ms=self.transfer_ms,
        )
        served = steady_state(load, lambda batch: interpolate(self.batches, steps, batch))
        life = served.ttft_ms + served.tpot_ms * (self.osl - 1)
        return served.ttft_ms + (self.asked - self.running) * life / self.running, served.tpot_ms


def interpolate(points: Grid, values: Grid, at: Grid) -> Grid:
    """Row by row linear interpolation: `points` and `values` are [rows, grid], `at` is [rows]."""
    rows = np.arange(len(at))
    left = np.clip((points < at[:, None]).sum(axis=1) - 1, 0, points.shape[1] - 2)
    width = points[rows, left + 1] - points[rows, left]
    share = np.clip((at - points[rows, left]) / np.where(width > 0, width, 1.0), 0.0, 1.0)
    return np.asarray(values[rows, left] * (1 - share) + values[rows, left + 1] * share)


def _moved(values: Grid, column: int, by: Grid) -> Grid:
    moved = values.copy()
    moved[:, column] += by
    return moved


@dataclass
class _Nodes:
    """Rows of a `PassTable` as they are collected."""

    owner: list[int] = field(default_factory=list)
    compute_ms: list[Grid] = field(default_factory=list)
    memory_ms: list[Grid] = field(default_factory=list)
    launch_ms: list[Grid] = field(default_factory=list)
    message_ms: list[Grid] = field(default_factory=list)
    takes: dict[str, list[list[int]]] = field(default_factory=lambda: {name: [] for name in KERNEL_QUANTITIES})

    def add(self, owner: int, point: Point, phase: Phase, times: PassTime, names: Names) -> None:
        """All nodes of one pass; layers of a kind are counted, so a node's time is that of all its runs."""
        for row, one in enumerate(times.priced):
            runs = times.counts[row].sum()
            if runs == 0 or not times.node_ms[row].any():
                continue
            parts = times.parts
            self.owner.append(owner)
            self.compute_ms.append(parts.compute_ms[row] * runs)
            self.memory_ms.append(parts.memory_ms[row] * runs)
            self.launch_ms.append(parts.launch_ms[row] * runs)
            self.message_ms.append(parts.message_ms[row] * runs)
            keys = node_keys(point, phase, one.node.op, parts.kernels[row], spread=bool(parts.spread[row]))
            for name in KERNEL_QUANTITIES:
                self.takes[name].append(names.of(keys.get(name, [])))

    def table(self, points: int, factors: int) -> PassTable:
        """The finished table."""
        owner = np.array(self.owner)
        nodes = len(owner)
        sums = sparse.csr_matrix((np.ones(nodes), (owner, np.arange(nodes))), shape=(points, nodes))
        takes = {name: membership(rows, factors) for name, rows in self.takes.items()}
        compute, memory, launch, message = (
            np.array(column) for column in (self.compute_ms, self.memory_ms, self.launch_ms, self.message_ms)
        )
        return PassTable(owner, compute, memory, launch, message, takes=takes, sums=sums)


def membership(rows: Sequence[Sequence[int]], width: int) -> Matrix:
    """0/1 matrix [rows, width] with ones at the columns that each row lists."""
    lengths = [len(row) for row in rows]
    columns = np.array([column for row in rows for column in row], dtype=np.int64)
    return sparse.csr_matrix(
        (np.ones(len(columns)), (np.repeat(np.arange(len(rows)), lengths), columns)), shape=(len(rows), width)
    )


def tabulate(points: Sequence[Point], calibration: Calibration) -> Table:
    """Walk every point once. `calibration` gives efficiencies and collectives; its factors are set aside."""
    plain = calibration.replaced(factors=())
    names, nodes = Names(), {"decode": _Nodes(), "prefill": _Nodes()}
    servers = [Server(build(p.problem.model, p.strategy), p.problem, plain) for p in points]
    engine_rows: dict[str, list[list[int]]] = {name: [] for name in ENGINE_QUANTITIES}
    batches = np.array([_batches(server, point.concurrency) for server, point in zip(servers, points, strict=True)])
    packed = np.array([server.packed_prompts for server in servers])
    roofline = []
    for owner, (server, point) in enumerate(zip(servers, points, strict=True)):
        decode = server.decode_pass(batches[owner] / server.microbatches(batches[owner]))
        nodes["decode"].add(owner, point, "decode", decode, names)
        nodes["prefill"].add(owner, point, "prefill", server.prefill_pass(np.array([1.0, packed[owner]])), names)
        roofline.append(_roofline_ms(server, point))
        for name, keys in engine_keys(point).items():
            engine_rows[name].append(names.of(keys))
    count, width = len(points), len(names.index)
    asked = np.array([p.concurrency for p in points])
    return Table(
        points=tuple(points),
        keys=tuple(names.index),
        passes={"decode": nodes["decode"].table(count, width), "prefill": nodes["prefill"].table(count, width)},
        engine={name: membership(rows, width) for name, rows in engine_rows.items()},
        batches=batches,
        running=np.minimum(asked, [max(1, server.resident) for server in servers]),
        asked=asked,
        osl=np.array([float(p.problem.workload.osl) for p in points]),
        packed=packed,
        prefill_replicas=np.array([s.prefill_servers / s.decode_servers for s in servers]),
        disaggregated=np.array([p.strategy.disaggregated for p in points]),
        transfer_ms=np.array([server.transfer_ms for server in servers]),
        measured_ttft_ms=np.array([p.ttft_ms for p in points]),
        measured_tpot_ms=np.array([p.tpot_ms for p in points]),
        roofline_tpot_ms=np.array(roofline),
    )


def roofline(points: Sequence[Point], calibration: Calibration) -> Prediction:
    """The baseline: every efficiency at one, free launches, communication and hosts, no waiting but for sharing and memory."""
    perfect = tuple(e.model_copy(update=_PERFECT) for e in calibration.efficiencies)
    table = tabulate(points, calibration.replaced(efficiencies=perfect))
    free = {
        "decode_step_ms",
        "per_sequence_us",
        "prefill_pass_ms",
        "request_ms",
        "queue",
        "message_time",
        "launch_time",
    }
    logs = np.zeros(len(table.keys))
    for column, key in enumerate(table.keys):
        logs[column] = FREE if key.quantity in free and key == Key(key.quantity, key.op, key.phase) else 0.0
    return Prediction(*table.predict(logs))


def _batches(server: Server, concurrency: float) -> Grid:
    """Batches of one decoding replica to price, ascending and distinct."""
    most = max(1.0, min(concurrency, max(1, server.resident)) / server.decode_servers)
    found = np.maximum(1.0, most * np.array(BATCH_SHARES))
    ties = np.arange(len(found)) * 1e-6
    return np.asarray(found + ties - ties[-1] * (most > 1.0))


def _roofline_ms(server: Server, point: Point) -> float:
    """Least milliseconds of a decode step at the batch that Little's law finds in the measurement."""
    decoding = point.tpot_ms * (point.problem.workload.osl - 1)
    batch = point.concurrency * decoding / (point.ttft_ms + decoding) / server.decode_servers
    times = server.decode_pass(np.array([max(1.0, batch)]))
    least = np.maximum(times.parts.peak_compute_ms, times.parts.peak_memory_ms)
    return float(times.counts.sum(axis=1) @ least[:, 0])
