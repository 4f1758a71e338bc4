"""Price candidates: each strategy becomes its best operating point under the request's load and limits."""

from dataclasses import dataclass

import numpy as np

from strategy.build import build
from strategy.calibration import Calibration
from strategy.cost import Curve, curve
from strategy.dag import Dag
from strategy.memory import StageMemory, stage_memory
from strategy.request import Objective, Problem, Slo
from strategy.search.space import pools, replica_counts
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


def price_all(problem: Problem, calibration: Calibration) -> Priced:
    """Price every legal pool at every replica count worth considering."""
    candidates: list[Candidate] = []
    misfits: list[Misfit] = []
    for pool in pools(problem):
        stages = stage_memory(problem, pool)
        if min(stage.sequences for stage in stages) < 1:
            misfits.append(Misfit(pool, max(_needed_gb(stage) for stage in stages)))
            continue
        candidates += _replicated(problem, calibration, pool)
    return Priced(tuple(candidates), tuple(misfits))


def _needed_gb(stage: StageMemory) -> float:
    """What a rank needs to hold one sequence, in 10^9 bytes."""
    return (
        stage.weights_bytes
        + stage.activation_bytes
        + stage.comm_bytes
        + stage.runtime_bytes
        + stage.kv_bytes_per_sequence
    ) / 1e9


def _replicated(problem: Problem, calibration: Calibration, pool: Pool) -> list[Candidate]:
    found = []
    counts = replica_counts(problem, pool)
    if not counts:
        return []
    one = build(problem.model, Strategy(pools=(pool,)))
    for replicas in counts:
        strategy = Strategy(pools=(pool.model_copy(update={"replicas": replicas}),))
        dag = one.model_copy(update={"strategy": strategy})
        point = best_point(problem, curve(dag, problem, calibration))
        if point is not None:
            found.append(Candidate(strategy, dag, *point))
            if problem.objective == "min_gpus" and point[-1]:
                break  # more replicas of the same pool only cost more GPUs
    return found


def best_point(problem: Problem, priced: Curve) -> tuple[int, float, float, float, bool] | None:
    """Concurrency, TTFT, TPOT, tokens/s and whether the limits hold, at the best load of a curve; None when no load is possible."""
    allowed = priced.feasible
    if not allowed.any():
        return None
    meets = allowed & within(problem.slo, priced.ttft_ms, priced.tpot_ms)
    if meets.any():
        index = _best_index(problem.objective, priced, meets)
    else:
        index = int(np.where(allowed, excess(problem.slo, priced.ttft_ms, priced.tpot_ms), np.inf).argmin())
    return (
        int(priced.concurrency[index]), float(priced.ttft_ms[index]), float(priced.tpot_ms[index]),
        float(priced.tokens_per_s[index]), bool(meets[index]),
    )  # fmt: skip


def _best_index(objective: Objective, priced: Curve, meets: np.ndarray) -> int:
    if objective == "latency":
        return int(np.where(meets, priced.ttft_ms + priced.tpot_ms, np.inf).argmin())
    return int(np.where(meets, priced.tokens_per_s, -np.inf).argmax())


def within(slo: Slo, ttft_ms: np.ndarray, tpot_ms: np.ndarray) -> np.ndarray:
    """Where both limits hold."""
    return (ttft_ms <= (slo.ttft_ms or np.inf)) & (tpot_ms <= (slo.tpot_ms or np.inf))


def excess(slo: Slo, ttft_ms: np.ndarray, tpot_ms: np.ndarray) -> np.ndarray:
    """By what factor the worse of the two limits is exceeded (1 is on the limit)."""
    return np.maximum(ttft_ms / (slo.ttft_ms or np.inf), tpot_ms / (slo.tpot_ms or np.inf))


def candidate_excess(slo: Slo, candidate: Candidate) -> float:
    """The same of one candidate."""
    return max(candidate.ttft_ms / (slo.ttft_ms or np.inf), candidate.tpot_ms / (slo.tpot_ms or np.inf))
