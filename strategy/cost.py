"""What a DAG delivers under load: TTFT, TPOT and throughput over a range of concurrencies, and the estimate at one of them.

The load is closed: `concurrency` requests are always in flight, so Little's law ties rate and latency. A decoding pool runs steps of D(b)
milliseconds over b sequences; on a colocated pool prefills take a share u of the time, which stretches the time per token to D / (1 - u)
and makes a new prompt wait for those before it. On disaggregated pools decode runs undisturbed and the KV cache travels in between.
Replicas and attention replicas share the load evenly. All sums are over numpy grids; `estimate` reads off one point of `curve`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from strategy.calibration import Calibration, EngineConstants
from strategy.collectives import p2p_crosses, span
from strategy.dag import Dag
from strategy.memory import PREFILL_BUDGET_TOKENS, kv_bytes_per_token, max_concurrency, memory_gb
from strategy.passes import Grid, PassTime, Pricer, TimeKind
from strategy.request import Problem
from strategy.result import Estimate, OpShare
from strategy.strategy import Pool
from strategy.work import Load

GRID_POINTS = 24
MAX_GRID_CONCURRENCY = 65_536
POINTS_PER_DOUBLING = 2
"""Batch sizes priced for each doubling; step times in between are interpolated."""
UTILISATION_LIMIT = 0.97
"""Share of a pool's time that prefill may take before it counts as saturated."""
RESIDENT_SHARE = 0.9
"""Share of the cache that running sequences fill on average, the rest being room to grow."""
_ROUNDS = 24


@dataclass(frozen=True)
class Curve:
    """Performance over concurrencies, arrays of one length in ascending order of `concurrency`."""

    concurrency: Grid
    ttft_ms: Grid
    tpot_ms: Grid
    requests_per_s: Grid
    tokens_per_s_per_gpu: Grid
    """Output tokens."""
    decode_batch: Grid
    """Sequences decoding at once on one attention replica."""
    prefill_share: Grid
    """Share of the prefilling pool's time spent in prefill."""
    max_concurrency: int
    """Requests whose cache fits at once."""


def curve(dag: Dag, problem: Problem, calibration: Calibration, concurrency: Grid | None = None) -> Curve:
    """Performance at each of `concurrency` (default: a logarithmic grid up to what memory holds)."""
    return Server(dag, problem, calibration).curve(concurrency)


def estimate(dag: Dag, problem: Problem, calibration: Calibration, *, concurrency: int | None = None) -> Estimate:
    """Performance at one operating point of any DAG.

    `concurrency` None takes the workload's, else derives it from its request rate, else takes the highest that meets SLO and memory
    (one request for the objective `latency`).
    """
    server = Server(dag, problem, calibration)
    chosen = concurrency or server.operating_point()
    point = server.curve(np.array([float(chosen)]))
    return server.estimate(point, chosen)


@dataclass(frozen=True)
class Server:
    """A DAG at work on a cluster."""

    dag: Dag
    problem: Problem
    calibration: Calibration

    @cached_property
    def decode_pool(self) -> Pool:
        """The pool that decodes."""
        return self.dag.strategy.pool_for("decode")

    @cached_property
    def prefill_pool(self) -> Pool:
        """The pool that prefills."""
        return self.dag.strategy.pool_for("prefill")

    @cached_property
    def disaggregated(self) -> bool:
        """Whether the phases run on pools of their own."""
        return self.decode_pool.name != self.prefill_pool.name

    @cached_property
    def engine(self) -> EngineConstants:
        """What the engine adds."""
        return self.calibration.engine(self.problem.engine)

    @cached_property
    def max_concurrency(self) -> int:
        """Requests whose cache fits at once."""
        return max_concurrency(self.problem, self.dag.strategy)

    @cached_property
    def resident(self) -> int:
        """Requests that engines keep in flight: they admit by what the cache holds now, when sequences are half grown on average."""
        work = self.problem.workload
        grown = (work.isl + work.osl) / (work.isl + work.osl / 2)
        return max(self.max_concurrency, int(self.max_concurrency * grown * RESIDENT_SHARE))

    @cached_property
    def decode_servers(self) -> int:
        """Attention replicas that decode."""
        return self.decode_pool.replicas * self.decode_pool.attention.dp_size

    # --- one pass --------------------------------------------------------------------------------------------------------------------

    def decode_pass(self, batch: Grid) -> PassTime:
        """One decode pass over `batch` sequences per attention replica and microbatch, half way through their outputs."""
        work = self.problem.workload
        return Pricer(self.dag, "decode", self.problem, self.calibration).price(
            Load(batch, 1.0, work.isl + work.osl / 2)
        )

    def step_ms(self, batch: Grid) -> Grid:
        """Time between two tokens of a sequence when `batch` sequences decode on an attention replica, [grid].

        A pipeline keeps as many microbatches in flight as it has stages: a token takes the sum over stages, or one turn of all microbatches
        on the slowest stage when that is longer.
        """
        microbatches = self._microbatches(batch)
        times = self.decode_pass(batch / microbatches)
        kernels = np.maximum(times.latency_ms, microbatches * times.interval_ms) * self.engine.kernel_scale
        return kernels + self._host_ms(batch)

    def _microbatches(self, batch: Grid) -> Grid:
        pool = self.decode_pool
        return cast(Grid, np.clip(np.floor(batch), 1, max(pool.pp_size, pool.microbatches)))

    def _host_ms(self, batch: Grid) -> Grid:
        return (self.engine.decode_step_us + self.engine.per_sequence_us * batch) * 1e-3

    @cached_property
    def new_tokens(self) -> float:
        """Prompt tokens that are not in a prefix cache."""
        return max(1.0, self.problem.workload.isl * (1 - self.problem.workload.prefix_hit_ratio))

    @cached_property
    def chunks(self) -> int:
        """Passes in which a prompt is prefilled."""
        return int(np.ceil(self.new_tokens / (self.prefill_pool.chunk_tokens or self.new_tokens)))

    @cached_property
    def packed_prompts(self) -> float:
        """Prompts that one pass may hold when several wait."""
        return max(1.0, (self.prefill_pool.chunk_tokens or PREFILL_BUDGET_TOKENS) // self.new_tokens)

    def prefill_pass(self, batch: Grid) -> PassTime:
        """One prefill pass over `batch` prompts; of a chunked prompt, the chunk whose past is the mean one (the sum over chunks is exact)."""
        isl, chunk = self.problem.workload.isl, self.new_tokens / self.chunks
        attended = (isl - self.new_tokens) + self.new_tokens * (self.chunks + 1) / (2 * self.chunks)
        return Pricer(self.dag, "prefill", self.problem, self.calibration).price(Load(batch, chunk, attended))

    @cached_property
    def prefill_ms(self) -> tuple[float, float]:
        """Latency of one prompt on an idle pool, and the time it takes from the pool when passes are packed."""
        times = self.prefill_pass(np.array([1.0, self.packed_prompts]))
        scale, host = self.engine.kernel_scale * self.engine.prefill_scale, self.engine.prefill_step_us * 1e-3
        latency = (times.latency_ms[0] + (self.chunks - 1) * times.interval_ms[0]) * scale + host * self.chunks
        taken = self.chunks * (times.interval_ms[1] * scale + host) / self.packed_prompts
        return float(latency) + self.engine.request_ms, float(taken)

    @property
    def _host_prefill_ms(self) -> float:
        return self.engine.prefill_step_us * 1e-3 + self.engine.request_ms

    @cached_property
    def transfer_ms(self) -> float:
        """Time to hand a prompt's cache from the prefill pool to the decode pool; zero when they are one."""
        if not self.disaggregated:
            return 0.0
        model, precision = self.problem.model, self.problem.precision
        per_rank = max(kv_bytes_per_token(model, precision, self.prefill_pool)) * self.problem.workload.isl
        rate = self.problem.cluster.gpu.nic_gb_per_s * 1e9 * self.calibration.alpha_beta.network_efficiency
        return per_rank / rate * 1e3

    # --- under load ------------------------------------------------------------------------------------------------------------------

    def grid(self) -> Grid:
        """Concurrencies from one to what memory holds, evenly on a logarithmic scale."""
        top = min(max(1, self.max_concurrency), MAX_GRID_CONCURRENCY)
        return cast(Grid, np.unique(np.round(np.geomspace(1, top, GRID_POINTS))))

    def curve(self, concurrency: Grid | None = None) -> Curve:
        """Performance at each of `concurrency` (default `grid`)."""
        asked = self.grid() if concurrency is None else np.asarray(concurrency, dtype=np.float64)
        running = np.minimum(asked, max(1, self.resident))
        batch = np.maximum(1.0, running / self.decode_servers)
        served = self._disaggregated(batch) if self.disaggregated else self._colocated(batch)
        life_ms = served.ttft_ms + served.tpot_ms * (self.problem.workload.osl - 1)
        requests_per_s = 1e3 * running / life_ms
        ttft_ms = served.ttft_ms + (asked - running) / requests_per_s * 1e3
        rate = requests_per_s * self.problem.workload.osl / self.dag.strategy.world_size
        return Curve(
            asked,
            ttft_ms,
            served.tpot_ms,
            requests_per_s,
            rate,
            served.decode_batch,
            served.prefill_share,
            self.max_concurrency,
        )

    def _step_of(self, batch: Grid) -> tuple[Grid, Grid]:
        """Points (sequences, step time) between which the step of any batch is interpolated.

        The points do not depend on what was asked, so a load has one price whether it is asked for alone or on a grid.
        """
        doublings = int(np.ceil(np.log2(max(1.0, float(batch.max())))))
        points = 2.0 ** (np.arange(POINTS_PER_DOUBLING * doublings + 1) / POINTS_PER_DOUBLING)
        return points, self.step_ms(points)

    def _colocated(self, batch: Grid) -> "_Served":
        """Steady state of prefill and decode on the same ranks, by fixed-point iteration on the request rate."""
        latency, taken = self.prefill_ms
        osl, points = self.problem.workload.osl, self._step_of(batch)
        decoding, share = batch, np.zeros_like(batch)
        ttft, tpot = np.full_like(batch, latency), np.interp(batch, *points)
        for _ in range(_ROUNDS):
            per_ms = batch / (ttft + (osl - 1) * tpot)
            share = 0.5 * share + 0.5 * np.minimum(per_ms * taken, UTILISATION_LIMIT)
            decoding = np.clip(batch - per_ms * ttft, np.minimum(batch, 1.0), batch)
            step = np.interp(decoding, *points)
            tpot = step / (1 - share * self._interrupts(batch))
            ttft = latency + self._waiting(batch, share, taken) + 0.5 * step * (batch > 1)
        return _Served(ttft, tpot, decoding, share)

    def _interrupts(self, batch: Grid) -> Grid:
        """Share of prefills that interrupt somebody else's decoding: all but a lone sequence's own."""
        return cast(Grid, np.clip((batch - 1) / batch, 0.0, 1.0))

    def _waiting(self, batch: Grid, share: Grid, taken: float) -> Grid:
        """Time that a prompt waits for the prompts before it: random arrivals (M/D/1) plus the bunched part of the load."""
        random = taken * share / (2 * (1 - share))
        return cast(Grid, np.minimum(random, batch * taken) + self.engine.burst * taken * (batch - 1) / 2)

    def _disaggregated(self, batch: Grid) -> "_Served":
        """Steady state of two pools in a row; a saturated prefill pool makes requests queue before it."""
        latency, taken = self.prefill_ms
        osl, points = self.problem.workload.osl, self._step_of(batch)
        servers = self.prefill_pool.replicas * self.prefill_pool.attention.dp_size
        capacity = UTILISATION_LIMIT * servers / (taken * self.decode_servers)
        ttft, decoding, share = np.full_like(batch, latency), batch, np.zeros_like(batch)
        tpot = np.interp(batch, *points)
        for _ in range(_ROUNDS):
            per_ms = np.minimum(batch / (ttft + (osl - 1) * tpot), capacity)
            share = 0.5 * share + 0.5 * np.minimum(per_ms / capacity * UTILISATION_LIMIT, UTILISATION_LIMIT)
            decoding = np.clip(per_ms * (osl - 1) * tpot, np.minimum(batch, 1.0), batch)
            tpot = np.interp(decoding, *points)
            waiting = self._waiting(batch * self.decode_servers / servers, share, taken)
            ttft = np.maximum(latency + waiting + self.transfer_ms, batch / capacity - (osl - 1) * tpot)
        return _Served(ttft, tpot, decoding, share)

    # --- one operating point ---------------------------------------------------------------------------------------------------------

    def operating_point(self) -> int:
        """Concurrency that the workload states, or implies by its rate, or that the SLO and memory allow."""
        work = self.problem.workload
        if work.concurrency is not None:
            return work.concurrency
        if work.request_rate is not None:
            return self._for_rate(self.curve(), work.request_rate)
        if self.problem.objective == "latency":
            return 1
        return best_concurrency(self.curve(), self.problem)

    def _for_rate(self, points: Curve, rate: float) -> int:
        """Requests in flight at which `rate` requests per second are served; the highest there is when they cannot be."""
        rates = np.maximum.accumulate(points.requests_per_s)
        return max(1, int(np.ceil(np.interp(rate, rates, points.concurrency))))

    def estimate(self, point: Curve, concurrency: int) -> Estimate:
        """The estimate at a curve of one point."""
        shares = self.breakdown(point)
        return Estimate(
            ttft_ms=float(point.ttft_ms[0]),
            tpot_ms=float(point.tpot_ms[0]),
            tokens_per_s_per_gpu=float(point.tokens_per_s_per_gpu[0]),
            requests_per_s=float(point.requests_per_s[0]),
            gpus=self.dag.strategy.world_size,
            concurrency=concurrency,
            memory_gb=memory_gb(self.problem, self.dag.strategy, concurrency),
            max_concurrency=self.max_concurrency,
            bottleneck=self._bottleneck(point, shares),
            breakdown=shares,
            notes=tuple(self._notes(concurrency)),
        )

    def breakdown(self, point: Curve) -> tuple[OpShare, ...]:
        """Time of every node in one prefill pass of a prompt and in one decode step, each phase summing to that pass."""
        batch = np.array([float(point.decode_batch[0])])
        microbatches = self._microbatches(batch)
        scale = self.engine.kernel_scale
        decode = _shares(self.decode_pass(batch / microbatches), "decode", scale)
        host = OpShare(phase="decode", op="host", kind="other", ms=float(self._host_ms(batch)[0]))
        waiting = float(self.step_ms(batch)[0]) - sum(s.ms for s in decode) - host.ms
        idle = [OpShare(phase="decode", op="pipeline_wait", kind="other", ms=waiting)] if waiting > 1e-9 else []
        prefill = _shares(self.prefill_pass(np.array([1.0])), "prefill", scale * self.engine.prefill_scale)
        launch = OpShare(phase="prefill", op="host", kind="other", ms=self._host_prefill_ms)
        return (*prefill, launch, *decode, host, *idle)

    def _bottleneck(self, point: Curve, shares: tuple[OpShare, ...]) -> str:
        """What takes most of the time, as one phrase."""
        interference = float(point.prefill_share[0]) if not self.disaggregated else 0.0
        if interference > 0.5:
            return f"prefill: takes {interference:.0%} of the time of ranks that decode as well"
        if self.problem.workload.concurrency and self.problem.workload.concurrency > self.max_concurrency > 0:
            return f"memory: the cache holds {self.max_concurrency} requests at once"
        decode = [s for s in shares if s.phase == "decode"]
        causes: dict[str, float] = {}
        for share in decode:
            causes[_cause(share)] = causes.get(_cause(share), 0.0) + share.ms
        cause = max(causes, key=lambda name: causes[name])
        return f"decode: {cause} ({causes[cause] / sum(causes.values()):.0%})"

    def _leaves_unit(self, pool: Pool) -> bool:
        """Whether a replica of `pool` communicates over the network."""
        cluster, first = self.problem.cluster, self.dag.strategy.first_rank(pool)
        return span(pool, "stage", cluster, first).units > 1 or p2p_crosses(pool, cluster, first)

    def _notes(self, concurrency: int) -> list[str]:
        """What widens the uncertainty of these numbers."""
        gpu, model = self.problem.cluster.gpu, self.problem.model
        notes = []
        if gpu.arch not in self.calibration.calibrated_archs:
            notes.append(f"kernel efficiencies were not fitted on {gpu.arch}: those of other GPUs are assumed")
        if not self.calibration.fabrics_of(gpu):
            notes.append(f"no measured collectives for {gpu.name}: latency and bandwidth terms are assumed")
        if any(self._leaves_unit(pool) for pool in self.dag.strategy.pools):
            notes.append("communication across hosts follows the network's rate, not a measurement")
        for name, provenance in ((gpu.name, gpu.provenance), (model.name, model.provenance)):
            if provenance.status != "verified":
                notes.append(f"facts about {name} are {provenance.status.replace('_', ' ')}: {provenance.source}")
        if concurrency > self.resident:
            notes.append(
                f"{concurrency - self.resident} of {concurrency} requests wait: the cache holds {self.resident}"
            )
        return notes


@dataclass(frozen=True)
class _Served:
    """Steady state of one attention replica over a grid of loads."""

    ttft_ms: Grid
    tpot_ms: Grid
    decode_batch: Grid
    prefill_share: Grid


def best_concurrency(points: Curve, problem: Problem) -> int:
    """The concurrency of highest throughput on `points` that meets SLO and memory; one when none does."""
    slo = problem.slo
    meets = points.concurrency <= max(1, points.max_concurrency)
    if slo.ttft_ms is not None:
        meets &= points.ttft_ms <= slo.ttft_ms
    if slo.tpot_ms is not None:
        meets &= points.tpot_ms <= slo.tpot_ms
    if not meets.any():
        return 1
    return int(points.concurrency[np.argmax(np.where(meets, points.tokens_per_s_per_gpu, -1.0))])


def _shares(times: PassTime, phase: str, scale: float) -> tuple[OpShare, ...]:
    """Milliseconds per node summed over layers and stages; hand-overs between stages as one entry."""
    total: dict[tuple[str, TimeKind], float] = {}
    for row, one in enumerate(times.priced):
        ms = float(times.counts[row].sum() * times.node_ms[row, 0]) * scale
        if ms > 0:
            key = (f"{one.block.name}.{one.node.id}", times.kind(row, 0))
            total[key] = total.get(key, 0.0) + ms
    stages = times.counts.shape[1]
    crossing = float((stages - 1) * times.boundary_ms[0]) * scale
    if crossing > 0:
        total[("boundary", "communication")] = crossing
    return tuple(
        OpShare.model_validate({"phase": phase, "op": op, "kind": kind, "ms": ms}) for (op, kind), ms in total.items()
    )


def _cause(share: OpShare) -> str:
    """The family of causes that a share of time belongs to, in words."""
    if share.kind == "other":
        return "host work between steps" if share.op == "host" else "waiting in the pipeline"
    if share.kind == "communication":
        return "communication"
    if share.kind == "compute":
        return "matrix arithmetic"
    return "reading the KV cache" if share.op.endswith(".attend") else "reading weights"
