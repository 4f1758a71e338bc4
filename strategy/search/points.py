"""Price candidates: each strategy becomes its best operating point under the request's load and limits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from strategy.build import build
from strategy.dag import Dag
from strategy.fleet import Fleet, Passes
from strategy.memory import StageMemory
from strategy.model import ModelSpec
from strategy.operating import operate
from strategy.request import Slo
from strategy.strategy import Pool, Strategy


@dataclass(frozen=True)
class Candidate:
    """A strategy at the load where it does best (or, when nothing meets the limits, where it comes nearest)."""

    strategy: Strategy
    concurrency: int
    ttft_ms: float
    tpot_ms: float
    tokens_per_s: float
    """Output tokens of the whole deployment."""
    meets_slo: bool
    model: ModelSpec = field(repr=False, compare=False)

    @cached_property
    def dag(self) -> Dag:
        """Its canonical DAG."""
        return build(self.model, self.strategy)

    @cached_property
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
    passes: Passes
    """What they were priced with."""


def needed_gb(stage: StageMemory) -> float:
    """What a rank needs to hold one sequence, in 10^9 bytes."""
    return (
        stage.weights_bytes
        + stage.activation_bytes
        + stage.comm_bytes
        + stage.runtime_bytes
        + stage.kv_bytes_per_sequence
    ) / 1e9


def candidates(passes: Passes, strategies: Sequence[Strategy]) -> list[Candidate]:
    """Every strategy at the load to judge it by."""
    if not strategies:
        return []
    plants = Fleet(passes.problem, passes.calibration, tuple(strategies), passes).plants
    found = operate(passes.problem, plants)
    columns = (
        found.point.concurrency,
        found.point.ttft_ms,
        found.point.tpot_ms,
        found.point.tokens_per_s_per_gpu * plants.gpus,
    )
    rows = zip(strategies, np.hstack(columns).tolist(), found.meets.tolist(), strict=True)
    model = passes.problem.model
    return [
        Candidate(strategy, int(load), ttft_ms, tpot_ms, tokens_per_s, meets, model)
        for strategy, (load, ttft_ms, tpot_ms, tokens_per_s), meets in rows
    ]


def candidate_excess(slo: Slo, candidate: Candidate) -> float:
    """By what factor the worse of the two limits is exceeded (1 is on the limit)."""
    return max(candidate.ttft_ms / (slo.ttft_ms or float("inf")), candidate.tpot_ms / (slo.tpot_ms or float("inf")))
