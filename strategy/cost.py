"""What a DAG delivers under load: TTFT, TPOT and throughput over a range of concurrencies, and the estimate at one of them.

The load is closed: `concurrency` requests are always in flight. A decoding pool runs steps over the sequences it holds, a prefilling one
passes over packed prompts; `strategy.serving` finds the steady state of the two. Requests beyond what the cache holds wait for a slot.
Replicas and attention replicas share the load evenly. All sums are over numpy grids; `estimate` reads off one point of `curve`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from strategy.calibration import Calibration, EngineConstants
from strategy.collectives import p2p_crosses, span
from strategy.dag import Dag
from strategy.memory import PREFILL_BUDGET_TOKENS, kv_bytes_per_token, max_concurrency, memory_gb, resident_sequences
from strategy.passes import Grid, PassTime, Pricer, TimeKind
from strategy.request import Problem
from strategy.result import Estimate, OpShare
from strategy.serving import Demand, steady_state
from strategy.strategy import Pool
from strategy.work import Load

GRID_POINTS = 24
MAX_GRID_CONCURRENCY = 65_536
POINTS_PER_DOUBLING = 2
"""Batch sizes priced for each doubling; step times in between are interpolated."""


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
        arch = self.problem.cluster.gpu.arch
        return self.calibration.engine(self.problem.engine, arch, disaggregated=self.disaggregated)

    @cached_property
    def max_concurrency(self) -> int:
        """Requests whose cache fits at once."""
        return max_concurrency(self.problem, self.dag.strategy)

    @cached_property
    def resident(self) -> int:
        """Requests that the engine keeps running at once. Where not one fits, which the rules say, prices are as if all did."""
        fits = self.max_concurrency >= self.decode_servers
        return resident_sequences(self.problem, self.dag.strategy) if fits else MAX_GRID_CONCURRENCY

    @cached_property
    def decode_servers(self) -> int:
        """Attention replicas that decode."""
        return self.decode_pool.replicas * self.decode_pool.attention.dp_size

    @cached_property
    def prefill_servers(self) -> int:
        """Attention replicas that prefill."""
        return self.prefill_pool.replicas * self.prefill_pool.attention.dp_size

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
        microbatches = self.microbatches(batch)
        times = self.decode_pass(batch / microbatches)
        kernels = np.maximum(times.latency_ms, microbatches * times.interval_ms)
        return cast(Grid, kernels + self._host_ms(batch))

    def microbatches(self, batch: Grid) -> Grid:
        """Microbatches in flight when `batch` sequences decode."""
        pool = self.decode_pool
        return cast(Grid, np.clip(np.floor(batch), 1, max(pool.pp_size, pool.microbatches)))

    def _host_ms(self, batch: Grid) -> Grid:
        return self.engine.decode_step_ms + self.engine.per_sequence_us * 1e-3 * batch

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
        scale, host = self.engine.prefill_time, self.engine.prefill_pass_ms
        latency = (times.latency_ms[0] + (self.chunks - 1) * times.interval_ms[0]) * scale + host * self.chunks
        taken = self.chunks * (times.interval_ms[1] * scale + host) / self.packed_prompts
        return float(latency) + self.engine.request_ms, float(taken)

    @property
    def _host_prefill_ms(self) -> float:
        return self.engine.prefill_pass_ms * self.chunks + self.engine.request_ms

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
        served = steady_state(self.demand(np.maximum(1.0, running / self.decode_servers)), self._step_of(running))
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

    def demand(self, batch: Grid) -> Demand:
        """The load that `batch` requests in flight put on each decoding attention replica."""
        alone, taken = self.prefill_ms
        return Demand(
            batch=batch,
            osl=self.problem.workload.osl,
            alone_ms=alone,
            taken_ms=taken,
            queue=self.engine.queue,
            queue_growth=self.engine.queue_growth,
            prefill_replicas=self.prefill_servers / self.decode_servers,
            disaggregated=self.disaggregated,
            transfer_ms=self.transfer_ms,
        )

    def _step_of(self, running: Grid) -> Callable[[Grid], Grid]:
        """The decode step at any batch up to that of `running`, interpolated between points.

        The points do not depend on what was asked, so a load has one price whether it is asked for alone or on a grid.
        """
        top = max(1.0, float(running.max()) / self.decode_servers)
        points = 2.0 ** (np.arange(POINTS_PER_DOUBLING * int(np.ceil(np.log2(top))) + 1) / POINTS_PER_DOUBLING)
        steps = self.step_ms(points)
        return lambda batch: np.interp(batch, points, steps)

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
        microbatches = self.microbatches(batch)
        decode = _shares(self.decode_pass(batch / microbatches), "decode", 1.0)
        host = OpShare(phase="decode", op="host", kind="other", ms=float(self._host_ms(batch)[0]))
        waiting = float(self.step_ms(batch)[0]) - sum(s.ms for s in decode) - host.ms
        idle = [OpShare(phase="decode", op="pipeline_wait", kind="other", ms=waiting)] if waiting > 1e-9 else []
        prefill = _shares(self.prefill_pass(np.array([1.0])), "prefill", self.engine.prefill_time)
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
        if self.max_concurrency < self.decode_servers:
            notes.append("the cache does not fit even one request per replica: priced as if it did")
        if concurrency > self.resident:
            notes.append(
                f"{concurrency - self.resident} of {concurrency} requests wait: the cache holds {self.resident}"
            )
        return notes


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
