"""Price candidates: each strategy becomes its best operating point under the request's load and limits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from strategy.build import build
from strategy.dag import Dag
from strategy.fleet import Curve, Fleet, Passes
from strategy.memory import StageMemory
from strategy.model import ModelSpec
from strategy.operating import operate
from strategy.request import Slo
from strategy.search.space import with_replicas
from strategy.strategy import Pool, Strategy

MAX_ROUNDS = 4
COUNTS_A_ROUND = 16


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
    points: Curve = field(repr=False, compare=False)
    """Where it was priced, [candidates, 1], and its place there."""
    row: int = field(repr=False, compare=False)

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
    fitting: int
    """Legal pools that fit, also where none of them came to be a candidate."""
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
        Candidate(strategy, int(load), ttft_ms, tpot_ms, tokens_per_s, meets, model, found.point, row)
        for row, (strategy, (load, ttft_ms, tpot_ms, tokens_per_s), meets) in enumerate(rows)
    ]


def points_of(chosen: Sequence[Candidate]) -> Curve:
    """Candidates at their loads, arrays [candidates, 1]."""
    names = Curve.__dataclass_fields__
    return Curve(**{name: np.array([getattr(one.points, name)[one.row] for one in chosen]) for name in names})


def candidate_excess(slo: Slo, candidate: Candidate) -> float:
    """By what factor the worse of the two limits is exceeded (1 is on the limit)."""
    return max(candidate.ttft_ms / slo.planned_ttft_ms, candidate.tpot_ms / slo.planned_tpot_ms)


def fewest_replicas(passes: Passes, found: Sequence[Candidate]) -> list[Candidate]:
    """Of each pool among `found` at several replica counts, the fewest replicas that meet the limits; all counts where none does.

    Counts between the last that misses them and the first that meets them are priced until none is left.
    """
    by_pool: dict[Strategy, list[Candidate]] = {}
    for one in found:
        by_pool.setdefault(_single(one.strategy), []).append(one)
    for _ in range(MAX_ROUNDS):
        between = {pool: _between(own) for pool, own in by_pool.items()}
        asked = [(pool, with_replicas(pool.pools[0], n)) for pool, counts in between.items() for n in counts]
        for (pool, _), priced in zip(asked, candidates(passes, [s for _, s in asked]), strict=True):
            by_pool[pool].append(priced)
        if not asked:
            break
    return [one for own in by_pool.values() for one in _least(own)]


def _single(strategy: Strategy) -> Strategy:
    """A strategy of one pool with one replica; one of two pools as it is."""
    return strategy if strategy.disaggregated else with_replicas(strategy.pools[0], 1)


def _least(own: Sequence[Candidate]) -> list[Candidate]:
    meeting = [one for one in own if one.meets_slo]
    return [min(meeting, key=lambda one: one.gpus)] if meeting else list(own)


def _between(own: Sequence[Candidate]) -> list[int]:
    """Replica counts that may yet be the fewest, at most `COUNTS_A_ROUND` of them, evenly."""
    meeting = [one.strategy.pools[0].replicas for one in own if one.meets_slo and not one.strategy.disaggregated]
    if not meeting:
        return []
    most = min(meeting)
    missing = [one.strategy.pools[0].replicas for one in own if one.strategy.pools[0].replicas < most]
    left = range(max(missing, default=0) + 1, most)
    step = -(-len(left) // COUNTS_A_ROUND) or 1
    return list(left[::step])
