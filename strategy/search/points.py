"""Price candidates: each strategy becomes its best operating point under the request's load and limits."""

from dataclasses import dataclass

import numpy as np

from strategy.calibration import Calibration
from strategy.cost import Curve, curve
from strategy.dag import Dag
from strategy.memory import StageMemory
from strategy.request import Problem, Slo
from strategy.search.space import replica_counts
from strategy.strategy import Pool, Strategy


@dataclass(frozen=True)
class Candidate:
    """A strategy at the load where it does best (or, when nothing meets the limits, where it comes nearest)."""

    strategy: Strategy
    dag: Dag
    concurrency: int
    ttft_ms: float
    tpot_ms: float
    tokens_per_s: float
    """Output tokens of the whole deployment."""
    meets_slo: bool

    @property
    def gpus(self) -> int:
        """GPUs in use."""
        return self.strategy.world_size

    @property
    def tokens_per_s_per_gpu(self) -> float:
        """Output tokens per GPU in use."""
        return self.tokens_per_s / self.gpus

    def latency_ms(self, osl: int) -> float:
        """Time from arrival to the last token."""
        return self.ttft_ms + self.tpot_ms * (osl - 1)


@dataclass(frozen=True)
class Misfit:
    """A legal pool whose weights or a single sequence do not fit, with what one rank would need."""

    pool: Pool
    required_gb: float


@dataclass(frozen=True)
class Priced:
    """Everything the search looked at."""

    candidates: tuple[Candidate, ...]
    misfits: tuple[Misfit, ...]


def needed_gb(stage: StageMemory) -> float:
    """What a rank needs to hold one sequence, in 10^9 bytes."""
    return (
        stage.weights_bytes
        + stage.activation_bytes
        + stage.comm_bytes
        + stage.runtime_bytes
        + stage.kv_bytes_per_sequence
    ) / 1e9


def replicated(problem: Problem, calibration: Calibration, pool: Pool, one: Dag) -> list[Candidate]:
    """A pool at every replica count worth considering; `one` is the DAG of one replica."""
    found = []
    for replicas in replica_counts(problem, pool):
        strategy = Strategy(pools=(pool.model_copy(update={"replicas": replicas}),))
        candidate = at_best_load(problem, calibration, one.model_copy(update={"strategy": strategy}))
        found.append(candidate)
        if problem.objective == "min_gpus" and candidate.meets_slo:
            break  # more replicas of the same pool only cost more GPUs
    return found


def at_best_load(problem: Problem, calibration: Calibration, dag: Dag) -> Candidate:
    """A DAG at the load to judge it by."""
    points = curve(dag, problem, calibration, _asked_load(problem))
    meets = within(problem.slo, points.ttft_ms, points.tpot_ms) & carries(problem, points)
    index = _best_index(problem, points, meets)
    tokens_per_s = float(points.tokens_per_s_per_gpu[index]) * dag.strategy.world_size
    ttft_ms, tpot_ms = float(points.ttft_ms[index]), float(points.tpot_ms[index])
    return Candidate(
        dag.strategy, dag, int(points.concurrency[index]), ttft_ms, tpot_ms, tokens_per_s, bool(meets[index])
    )


def _asked_load(problem: Problem) -> np.ndarray | None:
    """The one load to price when the request states it; None for a range of loads."""
    if problem.workload.concurrency is not None:
        return np.array([float(problem.workload.concurrency)])
    if problem.objective == "latency" and problem.workload.request_rate is None:
        return np.array([1.0])
    return None


def carries(problem: Problem, points: Curve) -> np.ndarray:
    """Where the request rate that was asked for is served."""
    return np.asarray(points.requests_per_s >= (problem.workload.request_rate or 0.0))


def _best_index(problem: Problem, points: Curve, meets: np.ndarray) -> int:
    """The load to judge a candidate by: where the objective is best within the limits, or where they are exceeded least."""
    if not meets.any():
        short = np.where(carries(problem, points), 1.0, 1e6)
        return int((excess(problem.slo, points.ttft_ms, points.tpot_ms) * short).argmin())
    if problem.workload.request_rate is not None or problem.objective == "latency":
        return int(meets.argmax())
    return int(np.where(meets, points.tokens_per_s_per_gpu, -np.inf).argmax())


def within(slo: Slo, ttft_ms: np.ndarray, tpot_ms: np.ndarray) -> np.ndarray:
    """Where both limits hold."""
    return np.asarray((ttft_ms <= (slo.ttft_ms or np.inf)) & (tpot_ms <= (slo.tpot_ms or np.inf)))


def excess(slo: Slo, ttft_ms: np.ndarray, tpot_ms: np.ndarray) -> np.ndarray:
    """By what factor the worse of the two limits is exceeded (1 is on the limit)."""
    return np.asarray(np.maximum(ttft_ms / (slo.ttft_ms or np.inf), tpot_ms / (slo.tpot_ms or np.inf)))


def candidate_excess(slo: Slo, candidate: Candidate) -> float:
    """The same of one candidate."""
    return max(candidate.ttft_ms / (slo.ttft_ms or np.inf), candidate.tpot_ms / (slo.tpot_ms or np.inf))
