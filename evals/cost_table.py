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
from strategy.fleet import balanced, front_ends
from strategy.passes import PassTime
from strategy.serving import Demand, front_time_ms, polling_steps, steady_state
from strategy.strategy import Phase

Grid = NDArray[np.float64]
Matrix = Any
"""A scipy sparse matrix."""
BATCH_SHARES = (0.15, 0.5, 0.8, 1.0)
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
    """Nodes of one phase of all points: milliseconds with every factor at one, [nodes, grid], and the factors that they take.

    Nodes of one signature take the same factors; nodes of one point and signature lie together, as a pair.
    """

    owner: NDArray[np.int64]
    """The point of each node, ascending."""
    signature: NDArray[np.int64]
    pair: NDArray[np.int64]
    compute_ms: Grid
    memory_ms: Grid
    launch_ms: Grid
    message_ms: Grid
    takes: dict[str, Matrix]
    """Per quantity, [signatures, factors]."""
    starts: NDArray[np.int64]
    """The first node of each point."""

    def totals(self, logs: Grid) -> Grid:
        """Milliseconds of one pass of every point, [points, grid]."""
        return self._sums(self._parts(logs))

    def slopes(self, logs: Grid) -> tuple[Grid, dict[str, Grid]]:
        """The same, and the parts of nodes by the quantity whose factors scale them; `pull` carries slopes back to the factors."""
        arithmetic, moving, launch, message = parts = self._parts(logs)
        return self._sums(parts), {
            "compute_time": arithmetic,
            "memory_time": moving,
            "launch_time": launch,
            "imbalance": arithmetic + moving,
            "message_time": message,
        }

    def pull(self, parts: dict[str, Grid], by: Grid) -> Matrix:
        """Derivatives by the logarithms of factors [points, factors] of what grows `by` [points, grid] with the totals."""
        weight = by[self.owner]
        firsts = np.flatnonzero(np.diff(self.pair, prepend=-1))
        rows = self.owner[firsts], self.signature[firsts]
        shape = len(by), next(iter(self.takes.values())).shape[0]
        found = 0
        for name, part in parts.items():
            sums = np.bincount(self.pair, (part * weight).sum(axis=1))
            found = found + sparse.csr_matrix((sums, rows), shape=shape) @ self.takes[name]
        return found

    def _parts(self, logs: Grid) -> tuple[Grid, Grid, Grid, Grid]:
        """Milliseconds of nodes by what decides them: arithmetic, memory, launches, messages."""
        scale = {name: np.exp(matrix @ logs)[self.signature][:, None] for name, matrix in self.takes.items()}
        compute, memory = self.compute_ms * scale["compute_time"], self.memory_ms * scale["memory_time"]
        bound, busiest = compute > memory, scale["imbalance"]
        return (
            np.where(bound, compute, 0.0) * busiest,
            np.where(bound, 0.0, memory) * busiest,
            self.launch_ms * scale["launch_time"],
            self.message_ms * scale["message_time"],
        )

    def _sums(self, parts: tuple[Grid, Grid, Grid, Grid]) -> Grid:
        return np.asarray(np.add.reduceat(sum(parts), self.starts, axis=0))


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
    """Requests that cache and launch file let run at once; others of those asked for wait."""
    asked: Grid
    osl: Grid
    packed: Grid
    prefill_replicas: Grid
    disaggregated: NDArray[np.bool_]
    behind: Grid
    """Attention replicas behind each front end."""
    balanced: NDArray[np.bool_]
    transfer_ms: Grid
    least_prefill_ms: Grid
    """A packed pass of prefill, every efficiency at one."""
    measured_ttft_ms: Grid
    measured_tpot_ms: Grid
    roofline_tpot_ms: Grid
    """Least time of a step at the batch that the measurement implies, every efficiency at one."""

    def predict(self, logs: Grid) -> tuple[Grid, Grid]:
        """TTFT and TPOT of every point, in ms."""
        decode, prefill = (self.passes[phase].totals(logs) for phase in ("decode", "prefill"))
        return self._serve(decode, prefill, self._engine_values(logs))

    def slopes(self, logs: Grid) -> tuple[Grid, Grid, Grid, Grid]:
        """TTFT, TPOT and their derivatives by the logarithms of the factors, [points, factors]."""
        passes = {phase: table.slopes(logs) for phase, table in self.passes.items()}
        totals = {phase: total for phase, (total, _) in passes.items()}
        values = self._engine_values(logs)
        base = self._serve(totals["decode"], totals["prefill"], values)
        slopes: list[Matrix] = [0, 0]
        for phase, (total, parts) in passes.items():
            by = np.empty((2, *total.shape))
            for column in range(total.shape[1]):
                step = STEP * total[:, column]
                moved = {**totals, phase: _moved(total, column, step)}
                after = self._serve(moved["decode"], moved["prefill"], values)
                by[:, :, column] = [(one - before) / step for one, before in zip(after, base, strict=True)]
            slopes = [slopes[n] + self.passes[phase].pull(parts, by[n]) for n in range(2)]
        for name, matrix in self.engine.items():
            after = self._serve(totals["decode"], totals["prefill"], {**values, name: values[name] * (1 + STEP)})
            slopes = [slopes[n] + sparse.diags((after[n] - base[n]) / STEP) @ matrix for n in range(2)]
        return *base, slopes[0].toarray(), slopes[1].toarray()

    def _engine_values(self, logs: Grid) -> dict[str, Grid]:
        return {name: np.exp(matrix @ logs) for name, matrix in self.engine.items()}

    def _serve(self, decode: Grid, prefill: Grid, engine: dict[str, Grid]) -> tuple[Grid, Grid]:
        """From passes to latencies under load."""
        steps = decode * engine["decode_time"][:, None]
        steps = steps + engine["decode_step_ms"][:, None] + engine["per_sequence_us"][:, None] * 1e-3 * self.batches
        pace = np.maximum(engine["prefill_time"], self.least_prefill_ms / prefill[:, 1])
        passes = prefill * pace[:, None] + engine["prefill_pass_ms"][:, None]
        in_flight = self.batches[:, -1] * self.behind
        polling = polling_steps(engine["poll_steps"], engine["relaxed_polls"], in_flight)
        load = Demand(
            batch=self.batches[:, -1],
            osl=self.osl,
            alone_ms=passes[:, 0] + engine["request_ms"],
            taken_ms=passes[:, 1] / self.packed,
            burst=engine["burst"],
            queue=engine["queue"],
            queue_half=engine["queue_half"],
            prefill_replicas=self.prefill_replicas,
            disaggregated=self.disaggregated,
            transfer_ms=self.transfer_ms,
            front_ms=engine["front_ms"] * np.maximum(in_flight - 1, 0.0),
            interference=engine["interference"],
            standing=engine["standing"] / self.behind,
            front_busy_ms=in_flight * front_time_ms(engine["admit_ms"], engine["stream_us"], self.osl),
            held_steps=polling + np.where(self.balanced, engine["balance_steps"], 0.0),
        )
        served = steady_state(load, lambda batch: interpolate(self.batches, steps, batch))
        life = served.ttft_ms + served.tpot_ms * (self.osl - 1)
        return served.ttft_ms + (self.asked - self.running) * life / self.running, served.tpot_ms


def interpolate(points: Grid, values: Grid, at: Grid) -> Grid:
    """Row by row linear interpolation, flat outside: `points` and `values` are [rows, grid], `at` is [rows]."""
    found = values[:, 0]
    for left in range(points.shape[1] - 1):
        low, width = points[:, left], points[:, left + 1] - points[:, left]
        share = np.minimum(np.maximum((at - low) / width, 0.0), 1.0)
        found = found + share * (values[:, left + 1] - values[:, left])
    return np.asarray(found)


def _moved(values: Grid, column: int, by: Grid) -> Grid:
    moved = values.copy()
    moved[:, column] += by
    return moved


@dataclass
class _Nodes:
    """Rows of a `PassTable` as they are collected."""

    signatures: dict[tuple[tuple[int, ...], ...], int] = field(default_factory=dict)
    """Columns of the factors that a node takes, per quantity, by the order in which they were met."""
    rows: list[tuple[int, int]] = field(default_factory=list)
    """Point and signature of each node."""
    times: list[Grid] = field(default_factory=list)
    """Per node, [parts, grid]."""

    def add(self, owner: int, point: Point, phase: Phase, times: PassTime, names: Names, columns: slice) -> None:
        """All nodes of one pass; layers of a kind are counted, so a node's time is that of all its runs."""
        parts = times.parts
        for row, one in enumerate(times.priced):
            runs = times.counts[row].sum()
            if runs == 0 or not times.node_ms[row].any():
                continue
            keys = node_keys(point, phase, one.node.op, parts.kernels[row], spread=bool(parts.spread[row]))
            signature = tuple(tuple(names.of(keys.get(name, []))) for name in KERNEL_QUANTITIES)
            self.rows.append((owner, self.signatures.setdefault(signature, len(self.signatures))))
            found = (parts.compute_ms, parts.memory_ms, parts.launch_ms, parts.message_ms)
            self.times.append(np.array([_wide(one, row, columns) for one in found]) * runs)

    def table(self, factors: int) -> PassTable:
        """The finished table."""
        rows = np.array(self.rows)
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        owner, signature = rows[order].T
        pair = np.cumsum((np.diff(owner, prepend=-1) != 0) | (np.diff(signature, prepend=-1) != 0)) - 1
        compute, memory, launch, message = np.array(self.times)[order].transpose(1, 0, 2)
        takes = {
            name: membership([taken[n] for taken in self.signatures], factors)
            for n, name in enumerate(KERNEL_QUANTITIES)
        }
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        return PassTable(owner, signature, pair, compute, memory, launch, message, takes, starts)


def _wide(part: Grid, row: int, columns: slice) -> Grid:
    """A row of a table whose columns may be one for all loads."""
    return np.broadcast_to(part[row], (columns.stop,))[columns] if part.shape[1] == 1 else part[row, columns]


def membership(rows: Sequence[Sequence[int]], width: int) -> Matrix:
    """0/1 matrix [rows, width] with ones at the columns that each row lists."""
    lengths = [len(row) for row in rows]
    columns = np.array([column for row in rows for column in row], dtype=np.int64)
    return sparse.csr_matrix(
        (np.ones(len(columns)), (np.repeat(np.arange(len(rows)), lengths), columns)), shape=(len(rows), width)
    )


def tabulate(points: Sequence[Point], calibration: Calibration) -> Table:
    """Walk every configuration once, for all of its loads. `calibration` gives efficiencies and collectives; its factors are set aside."""
    plain = calibration.replaced(factors=())
    names, nodes = Names(), {"decode": _Nodes(), "prefill": _Nodes()}
    servers: list[Server] = [None] * len(points)  # type: ignore[list-item]
    batches, least, least_prefill = (np.empty((len(points), len(BATCH_SHARES))), *np.empty((2, len(points))))
    for rows in _alike(points):
        server = Server(build(points[rows[0]].problem.model, points[rows[0]].strategy), points[rows[0]].problem, plain)
        for row in rows:
            servers[row], batches[row] = server, _batches(server, min(points[row].concurrency, points[row].slots))
        _walk(server, [(row, points[row]) for row in rows], batches, (least, least_prefill), nodes, names)
    engine_rows = {
        name: [names.of(keys) for keys in found]
        for name, found in zip(
            ENGINE_QUANTITIES, zip(*(engine_keys(p).values() for p in points), strict=True), strict=True
        )
    }
    width = len(names.index)
    asked = np.array([p.concurrency for p in points])
    return Table(
        points=tuple(points),
        keys=tuple(names.index),
        passes={"decode": nodes["decode"].table(width), "prefill": nodes["prefill"].table(width)},
        engine={name: membership(rows, width) for name, rows in engine_rows.items()},
        batches=batches,
        running=np.minimum(asked, [min(max(1, s.resident), p.slots) for s, p in zip(servers, points, strict=True)]),
        asked=asked,
        osl=np.array([float(p.problem.workload.osl) for p in points]),
        packed=np.array([server.packed_prompts for server in servers]),
        prefill_replicas=np.array([s.prefill_servers / s.decode_servers for s in servers]),
        disaggregated=np.array([p.strategy.disaggregated for p in points]),
        behind=np.array([s.decode_servers / front_ends(s.dag.strategy) for s in servers]),
        balanced=np.array([balanced(server.prefill_pool) for server in servers]),
        transfer_ms=np.array([server.transfer_ms for server in servers]),
        least_prefill_ms=least_prefill,
        measured_ttft_ms=np.array([p.ttft_ms for p in points]),
        measured_tpot_ms=np.array([p.tpot_ms for p in points]),
        roofline_tpot_ms=least,
    )


def _alike(points: Sequence[Point]) -> list[list[int]]:
    """Rows of one configuration each, whose loads alone differ."""
    found: dict[tuple[str, ...], list[int]] = {}
    for row, point in enumerate(points):
        found.setdefault((point.problem.model.name, *point.group), []).append(row)
    return list(found.values())


def _walk(
    server: Server,
    points: list[tuple[int, Point]],
    batches: Grid,
    least: tuple[Grid, Grid],
    nodes: dict[str, _Nodes],
    names: Names,
) -> None:
    """Price the passes of one configuration: all batches of all its points at once, one pair of prefill passes for all of them."""
    shares = len(BATCH_SHARES)
    loads = np.concatenate([*(batches[row] for row, _ in points), [_measured_batch(server, p) for _, p in points]])
    decode = server.decode_pass(loads / server.microbatches(loads))
    prefill = server.prefill_pass(np.array([1.0, server.packed_prompts]))
    least_ms, least_prefill_ms = decode.least_ms(len(loads)), prefill.least_ms(2)
    for number, (row, point) in enumerate(points):
        nodes["decode"].add(row, point, "decode", decode, names, slice(number * shares, (number + 1) * shares))
        nodes["prefill"].add(row, point, "prefill", prefill, names, slice(0, 2))
        least[0][row], least[1][row] = least_ms[len(points) * shares + number], least_prefill_ms[1]


def roofline(points: Sequence[Point], calibration: Calibration) -> Prediction:
    """The baseline: every efficiency at one, free launches, communication and hosts, no waiting but for sharing and memory."""
    perfect = tuple(e.model_copy(update=_PERFECT) for e in calibration.efficiencies)
    table = tabulate(points, calibration.replaced(efficiencies=perfect))
    free = {
        "decode_step_ms",
        "per_sequence_us",
        "prefill_pass_ms",
        "request_ms",
        "burst",
        "queue",
        "front_ms",
        "poll_steps",
        "balance_steps",
        "standing",
        "admit_ms",
        "stream_us",
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


def _measured_batch(server: Server, point: Point) -> float:
    """Sequences decoding at once on one replica that Little's law finds in the measurement."""
    decoding = point.tpot_ms * (point.problem.workload.osl - 1)
    return max(1.0, point.concurrency * decoding / (point.ttft_ms + decoding) / server.decode_servers)
