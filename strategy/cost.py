"""What a DAG delivers under load: TTFT, TPOT and throughput over a range of concurrencies, and the estimate at one of them.

The formulas are those of `strategy.fleet`, of which one DAG is the smallest; here are its faces: a curve, an estimate with the time of
every node, and the words that go with it.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from strategy.calibration import Calibration, EngineConstants
from strategy.collectives import p2p_crosses, span
from strategy.dag import Dag
from strategy.fleet import (
    Curve,
    Fleet,
    Passes,
    chunks,
    constants_of,
    decode_load,
    microbatches,
    packed_prompts,
    prefill_load,
)
from strategy.memory import fullest_gb
from strategy.model import Mamba2
from strategy.operating import load_grid, operate
from strategy.passes import Grid, PassTime, Pricer, TimeKind
from strategy.request import Problem
from strategy.result import Estimate, OpShare
from strategy.strategy import Phase, Pool, Strategy


def curve(dag: Dag, problem: Problem, calibration: Calibration, concurrency: Grid | None = None) -> Curve:
    """Performance at each of `concurrency` (default: a logarithmic grid up to what memory holds)."""
    return Server(dag, problem, calibration).curve(concurrency)


def estimate(dag: Dag, problem: Problem, calibration: Calibration, *, concurrency: int | None = None) -> Estimate:
    """Performance at one operating point of any DAG.

    `concurrency` None takes the load of `strategy.operating`: the workload's, else one for its request rate, else the best within SLO and
    memory (one request for the objective `latency`).
    """
    fleet = Server(dag, problem, calibration).fleet
    point = (
        operate(problem, fleet.plants).point
        if concurrency is None
        else fleet.plants.curve(np.array([[float(concurrency)]]))
    )
    return estimates(fleet, point)[0]


@dataclass(frozen=True)
class Server:
    """A DAG at work on a cluster: a fleet of one, in numbers."""

    dag: Dag
    problem: Problem
    calibration: Calibration

    @cached_property
    def fleet(self) -> Fleet:
        """The DAG as a deployment, priced with its own blocks."""
        passes = Passes(self.problem, self.calibration, self.dag)
        return Fleet(self.problem, self.calibration, (self.dag.strategy,), passes)

    @cached_property
    def decode_pool(self) -> Pool:
        """The pool that decodes."""
        return self.dag.strategy.pool_for("decode")

    @cached_property
    def prefill_pool(self) -> Pool:
        """The pool that prefills."""
        return self.dag.strategy.pool_for("prefill")

    @cached_property
    def max_concurrency(self) -> int:
        """Requests whose cache fits at once; 0 when some pool cannot hold one."""
        return int(self.fleet.plants.max_concurrency[0, 0])

    @cached_property
    def resident(self) -> int:
        """Requests that the engine keeps running at once."""
        return int(self.fleet.plants.resident[0, 0])

    @cached_property
    def decode_servers(self) -> int:
        """Attention replicas that decode."""
        return int(self.fleet.plants.decode_servers[0, 0])

    @cached_property
    def prefill_servers(self) -> int:
        """Attention replicas that prefill."""
        return int(self.fleet.plants.prefill_servers[0, 0])

    @cached_property
    def transfer_ms(self) -> float:
        """Time to hand a prompt's cache from the prefill pool to the decode pool."""
        return float(self.fleet.plants.transfer_ms[0, 0])

    @cached_property
    def packed_prompts(self) -> float:
        """Prompts that one pass may hold when several wait."""
        return packed_prompts(self.problem.workload, self.prefill_pool)

    def microbatches(self, batch: Grid) -> Grid:
        """Microbatches in flight when `batch` sequences decode."""
        return microbatches(self.decode_pool, batch)

    def decode_pass(self, batch: Grid) -> PassTime:
        """One decode pass over `batch` sequences per attention replica and microbatch."""
        load = decode_load(self.problem.workload, batch)
        return Pricer(self.dag, "decode", self.problem, self.calibration).price(load)

    def prefill_pass(self, batch: Grid) -> PassTime:
        """One prefill pass over `batch` prompts."""
        load = prefill_load(self.problem.workload, self.prefill_pool, batch)
        return Pricer(self.dag, "prefill", self.problem, self.calibration).price(load)

    def curve(self, concurrency: Grid | None = None) -> Curve:
        """Performance at each of `concurrency` (default: up to what memory holds), arrays of one axis."""
        asked = (
            np.unique(load_grid(self.fleet.plants))
            if concurrency is None
            else np.asarray(concurrency, dtype=np.float64)
        )
        return self.fleet.plants.curve(asked[None, :]).at(0)

    def operating_point(self) -> int:
        """Concurrency to judge the DAG by."""
        return int(operate(self.problem, self.fleet.plants).point.concurrency[0, 0])


# --- estimates ----------------------------------------------------------------------------------------------------------------------


def estimates(fleet: Fleet, points: Curve) -> list[Estimate]:
    """The estimate of every deployment at its load: `points` are arrays [deployments, 1]."""
    decode, prefill = fleet.decode_passes(points.decode_batch[:, 0]), fleet.prefill_passes()
    deployments = [_deployment(fleet, row) for row in range(len(fleet.strategies))]
    rows = zip(deployments, decode, prefill, strict=True)
    return [one.estimate(points.at((row, 0)), passes, prompt) for row, (one, passes, prompt) in enumerate(rows)]


def _deployment(fleet: Fleet, row: int) -> "_Deployment":
    problem, strategy, plants = fleet.problem, fleet.strategies[row], fleet.plants
    disaggregated = bool(plants.disaggregated[row, 0])
    engine = constants_of(problem, fleet.calibration, disaggregated=disaggregated)
    engine = replace(engine, prefill_time=float(plants.prefill_pace[row, 0]))
    fits = (int(values[row, 0]) for values in (plants.max_concurrency, plants.resident, plants.decode_servers))
    return _Deployment(problem, fleet.calibration, strategy, fleet.passes, engine, disaggregated, *fits)


@dataclass(frozen=True)
class _Deployment:
    """One row of a fleet, in words."""

    problem: Problem
    calibration: Calibration
    strategy: Strategy
    passes: Passes
    engine: EngineConstants
    disaggregated: bool
    max_concurrency: int
    resident: int
    decode_servers: int

    def estimate(self, point: Curve, decode: PassTime, prefill: PassTime) -> Estimate:
        """The estimate at a curve of one point, with one pass of each phase."""
        shares = self._breakdown(point, decode, prefill)
        concurrency = int(point.concurrency)
        return Estimate(
            ttft_ms=float(point.ttft_ms),
            tpot_ms=float(point.tpot_ms),
            tokens_per_s_per_gpu=float(point.tokens_per_s_per_gpu),
            requests_per_s=float(point.requests_per_s),
            gpus=self.strategy.world_size,
            concurrency=concurrency,
            memory_gb=fullest_gb(
                self.problem, {pool: self.passes.stages(pool) for pool in self.strategy.pools}, concurrency
            ),
            max_concurrency=self.max_concurrency,
            bottleneck=self._bottleneck(point, shares),
            breakdown=shares,
            notes=tuple(self._notes(concurrency, {"TTFT": float(point.ttft_ms), "TPOT": float(point.tpot_ms)})),
        )

    def _breakdown(self, point: Curve, decode: PassTime, prefill: PassTime) -> tuple[OpShare, ...]:
        """Time of every node in one prefill pass of a prompt and in one decode step, each phase summing to that pass."""
        batch = float(point.decode_batch)
        host = self.engine.decode_step_ms + self.engine.per_sequence_us * 1e-3 * batch
        turns = float(microbatches(self.strategy.pool_for("decode"), np.asarray(batch)))
        waiting = max(0.0, turns * float(decode.interval_ms[0]) - float(decode.latency_ms[0])) * self.engine.decode_time
        passes = chunks(self.problem.workload, self.strategy.pool_for("prefill"))
        launch = self.engine.prefill_pass_ms * passes + self.engine.request_ms
        return (
            *_shares(prefill, "prefill", self.engine.prefill_time),
            OpShare(phase="prefill", op="host", kind="other", ms=launch),
            *_shares(decode, "decode", self.engine.decode_time),
            OpShare(phase="decode", op="host", kind="other", ms=host),
            *([OpShare(phase="decode", op="pipeline_wait", kind="other", ms=waiting)] if waiting > 1e-9 else []),
        )

    def _bottleneck(self, point: Curve, shares: tuple[OpShare, ...]) -> str:
        """What takes most of the time, as one phrase."""
        interference = float(point.prefill_share) if not self.disaggregated else 0.0
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
        cluster, first = self.problem.cluster, self.strategy.first_rank(pool)
        return span(pool, "stage", cluster, first).units > 1 or p2p_crosses(pool, cluster, first)

    def _error_notes(self) -> list[str]:
        """How far such estimates were from measurements."""
        gpu, model = self.problem.cluster.gpu, self.problem.model
        error = self.calibration.error_of(model, gpu)
        if error is None:
            return []
        seen = {
            "configuration": f"other configurations of {model.name}, or of its shape, on {gpu.name}, or like them, were fitted",
            "model": f"{model.name} was not among the models fitted",
            "gpu": f"{gpu.name} was not among the GPUs fitted",
        }[error.held_out]
        return [
            f"{seen}: such estimates were off by {error.tpot:.0f} % of TPOT and {error.ttft:.0f} % of TTFT on average"
        ]

    def _near_limits(self, reached: dict[str, float]) -> list[str]:
        """Limits that are nearer than the estimate may be off."""
        error, slo = self.calibration.error_of(self.problem.model, self.problem.cluster.gpu), self.problem.slo
        if error is None:
            return []
        limits = {"TTFT": (slo.ttft_ms, error.ttft), "TPOT": (slo.tpot_ms, error.tpot)}
        close = [
            name for name, (most, off) in limits.items() if most and most * (1 - off / 100) < reached[name] <= most
        ]
        room = min(0.9, max((limits[name][1] for name in close), default=0.0) / 100)
        told = f"{' and '.join(close)} may be over the limit when measured: slo.headroom {room:.2f} keeps as much free as such estimates were off"
        return [told] if close else []

    def _notes_on_states(self) -> list[str]:
        """What widens it where layers have state spaces."""
        unfitted = "state-space layers take the kernel efficiencies of attention: none of their kernels was fitted"
        snapshots = "a prefix is reused only as far as an engine kept a snapshot of its states, which costs cache"
        return [unfitted, *([snapshots] if self.problem.workload.prefix_hit_ratio else [])]

    def _notes(self, concurrency: int, reached: dict[str, float]) -> list[str]:
        """What widens the uncertainty of these numbers."""
        gpu, model = self.problem.cluster.gpu, self.problem.model
        notes = [*self._error_notes(), *self._near_limits(reached)]
        if gpu.arch not in self.calibration.calibrated_archs:
            notes.append(f"kernel efficiencies were not fitted on {gpu.arch}: those of other GPUs are assumed")
        if isinstance(model.linear, Mamba2):
            notes += self._notes_on_states()
        if not self.calibration.fabrics_of(gpu):
            notes.append(f"no measured collectives for {gpu.name}: latency and bandwidth terms are assumed")
        if any(self._leaves_unit(pool) for pool in self.strategy.pools):
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


def _shares(times: PassTime, phase: Phase, scale: float) -> tuple[OpShare, ...]:
    """Milliseconds per node summed over layers and stages; hand-overs between stages as one entry."""
    total: dict[tuple[str, TimeKind], float] = {}
    spent = (times.counts.sum(axis=1) * times.node_ms[:, 0] * scale).tolist()
    for key, ms in zip(zip(times.names, times.kinds(0), strict=True), spent, strict=True):
        if ms > 0:
            total[key] = total.get(key, 0.0) + ms
    stages = times.counts.shape[1]
    crossing = float((stages - 1) * times.boundary_ms[0]) * scale
    if crossing > 0:
        total[("boundary", "communication")] = crossing
    return tuple(OpShare(phase=phase, op=op, kind=kind, ms=ms) for (op, kind), ms in total.items())


def _cause(share: OpShare) -> str:
    """The family of causes that a share of time belongs to, in words."""
    if share.kind == "other":
        return "host work between steps" if share.op == "host" else "waiting in the pipeline"
    if share.kind == "communication":
        return "communication"
    if share.kind == "compute":
        return "matrix arithmetic"
    return "reading the KV cache" if share.op.endswith(".attend") else "reading weights"
