"""Plans with a pool for each phase: pair prefill and decode pools, size them so that neither waits for the other, price the best pairs.

A pool is summed up by what a replica of it carries within the limits. The best pools of each phase are paired at the replica counts that
balance them; these pairs are narrowed first by what their slower side carries, then by their price at rough loads, all at once in arrays.
The best of them become strategies, which are priced like all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from strategy.engine_limits import hands_over
from strategy.fleet import (
    Passes,
    Plants,
    PromptTime,
    batch_points,
    chunks,
    engine_of,
    packed_prompts,
    points_up_to,
    running_at_once,
    step_ms,
    transfer_ms,
)
from strategy.legality import kv_shards_fit
from strategy.operating import operate
from strategy.passes import Grid, Seat
from strategy.request import Problem
from strategy.search.space import strategy_is_legal
from strategy.strategy import Phase, Pool, Strategy

KEPT_POOLS = 24
"""Pools of each phase that are paired: the best of each width, then the best of all."""
RATED_PAIRS = 256
"""Pairs that are priced at rough loads, by what their slower side carries."""
RATED_LOADS = 4096
"""The same where one load is stated, which pairs bear more or less well whatever they might carry at others."""
PRICED_PAIRS = 40
"""Pairs that become candidates."""
PREFILL_LOAD = 0.75
"""Share of its capacity up to which a prefill pool answers without a long queue."""
ENOUGH = 1e12
"""What carrying a stated rate counts beside requests per second: more than any of them."""
MAX_BATCH = 1024.0
"""Sequences on an attention replica, beyond which a decode pool is not judged."""

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Pools by position, and replicas of each: arrays of one length."""

    first: Index
    second: Index
    prefillers: Index
    decoders: Index

    def at(self, index: Index) -> "Pairs":
        """Those at `index`."""
        return Pairs(self.first[index], self.second[index], self.prefillers[index], self.decoders[index])


@dataclass(frozen=True)
class Halves:
    """Pools, each as half of a disaggregated plan, in numbers: arrays [pools]."""

    passes: Passes
    pools: tuple[Pool, ...]

    @property
    def problem(self) -> Problem:
        """What is planned for."""
        return self.passes.problem

    @cached_property
    def seats(self) -> tuple[Seat, ...]:
        """Every pool at the start of the cluster."""
        return tuple(Seat(pool) for pool in self.pools)

    @cached_property
    def gpus(self) -> Index:
        """GPUs of a replica."""
        return np.array([pool.ranks_per_replica for pool in self.pools])

    @cached_property
    def servers(self) -> Index:
        """Attention replicas of a replica."""
        return np.array([pool.attention.dp_size for pool in self.pools])

    @cached_property
    def prompts(self) -> Grid:
        """Kernel times of prefill, [pools, fields of `PromptTime`]."""
        return np.array(self.passes.prefill_ms(self.seats))

    @cached_property
    def prompt_fits(self) -> NDArray[np.bool_]:
        """Whether a pool that only prefills holds a prompt."""
        return np.array([self.passes.sequences(alone(pool, "prefill")) > 0 for pool in self.pools])

    @cached_property
    def keeps_prompts_whole(self) -> NDArray[np.bool_]:
        """Whether each rank of a pool that only prefills has the cache of a prompt whole: decode shares it, if anyone; unless that is fixed."""
        fixed = self.problem.constraints.fix.dcp_size is not None
        return np.array([fixed or pool.dcp_size == 1 for pool in self.pools])

    @cached_property
    def room(self) -> Index:
        """Sequences that fit on an attention replica of a pool that only decodes; none where prompts are shared or cut, which it never meets."""
        whole = [pool if pool.attention.cp_size == 1 and not pool.chunk_tokens else None for pool in self.pools]
        return np.array([self.passes.sequences(alone(pool, "decode")) if pool else 0 for pool in whole])

    @cached_property
    def chunks(self) -> Grid:
        """Passes in which a prompt is prefilled."""
        return np.array([chunks(self.problem.workload, pool) for pool in self.pools], dtype=np.float64)

    @cached_property
    def packed(self) -> Grid:
        """Prompts of a packed pass."""
        return np.array([packed_prompts(self.problem.workload, pool) for pool in self.pools])

    @cached_property
    def transfer_ms(self) -> Grid:
        """Time to hand the cache of a prompt over."""
        return np.array([transfer_ms(self.problem, self.passes.calibration, pool) for pool in self.pools])

    def plants(self, pairs: Pairs) -> Plants:
        """Pairs of pools as deployments, as if both pools started at a scale-up unit."""
        first, second = pairs.first, pairs.second
        decoders = (pairs.decoders * self.servers[second])[:, None].astype(np.float64)
        prefillers = (pairs.prefillers * self.servers[first])[:, None].astype(np.float64)
        fitting = np.where(self.prompt_fits[first], self.room[second], 0)[:, None] * decoders
        apart = np.ones(decoders.shape, dtype=np.bool_)
        return Plants(
            workload=self.problem.workload,
            engine=engine_of(self.problem, self.passes.calibration, apart),
            decode_ms=lambda count: self.passes.decode_ms(self.seats, count)[second],
            prompt_ms=PromptTime(*self.prompts[first].T[:, :, None]),
            chunks=self.chunks[first][:, None],
            packed=self.packed[first][:, None],
            transfer_ms=self.transfer_ms[first][:, None],
            decode_servers=decoders,
            prefill_servers=prefillers,
            front_ends=np.ones_like(decoders),
            balanced=np.zeros_like(apart),
            disaggregated=apart,
            max_concurrency=fitting,
            resident=running_at_once(self.problem, fitting, decoders),
            gpus=(pairs.prefillers * self.gpus[first] + pairs.decoders * self.gpus[second])[:, None].astype(np.float64),
        )

    def strategy(self, pairs: Pairs, row: int) -> Strategy:
        """One of the pairs as a strategy."""
        first = self._alone(int(pairs.first[row]), "prefill", int(pairs.prefillers[row]))
        second = self._alone(int(pairs.second[row]), "decode", int(pairs.decoders[row]))
        return Strategy(pools=(first, second))

    def _alone(self, place: int, phase: Phase, replicas: int) -> Pool:
        """A pool when it serves one phase only; each is made once."""
        key = (place, phase, replicas)
        if key not in self._known_alone:
            self._known_alone[key] = alone(self.pools[place], phase, replicas)
        return self._known_alone[key]

    @cached_property
    def _known_alone(self) -> dict[tuple[int, Phase, int], Pool]:
        return {}


def alone(pool: Pool, phase: Phase, replicas: int = 1) -> Pool:
    """The pool when it serves one phase only."""
    return pool.model_copy(update={"name": phase, "phases": (phase,), "replicas": replicas})


def disaggregated(passes: Passes, pools: Sequence[Pool]) -> list[Strategy]:
    """The best pairs of `pools`, best first; none where the problem does not ask for a pool of each phase."""
    problem = passes.problem
    kept = [pool for pool in pools if pool.ranks_per_replica < problem.cluster.gpus]
    if not kept or not _wanted(problem):
        return []
    halves = Halves(passes, tuple(kept))
    capacity = _prefill_rates(halves), _decode_rates(halves)
    pairs = _sized(halves, *capacity)
    rated = RATED_LOADS if _is_closed(problem) else RATED_PAIRS
    pairs = pairs.at(np.argsort(-_carried(halves, pairs, *capacity), kind="stable")[:rated])
    if not len(pairs.first):
        return []
    plants = halves.plants(pairs)
    ranked = (halves.strategy(pairs, row) for row in _ranked(problem, plants).tolist())
    return list(islice((strategy for strategy in ranked if strategy_is_legal(problem, strategy)), PRICED_PAIRS))


def _wanted(problem: Problem) -> bool:
    worthwhile = problem.serving == "disaggregated" or problem.objective == "throughput"
    free = problem.constraints.fix.replicas is None
    return problem.cluster.gpus > 1 and problem.serving != "colocated" and worthwhile and free


def _is_closed(problem: Problem) -> bool:
    """Whether one load is priced."""
    return problem.workload.concurrency is not None or problem.objective == "latency"


def _prefill_rates(halves: Halves) -> Grid:
    """Prompts per second that a replica of each pool prefills in time; zero where it cannot."""
    every = np.arange(len(halves.pools))
    latency, taken = halves.plants(Pairs(every, every, np.ones_like(every), np.ones_like(every))).prefill_ms
    in_time = (latency[:, 0] <= halves.problem.slo.planned_ttft_ms) & halves.prompt_fits & halves.keeps_prompts_whole
    return np.asarray(np.where(in_time, 1e3 * halves.servers / taken[:, 0] * PREFILL_LOAD, 0.0))


def _decode_rates(halves: Halves) -> Grid:
    """Requests per second that a replica of each pool decodes in time, at the batch where it may do most; zero where it cannot."""
    work, apart = halves.problem.workload, np.ones((1, 1), dtype=np.bool_)
    most = MAX_BATCH if work.concurrency is None else float(min(MAX_BATCH, work.concurrency))
    batches = batch_points(points_up_to(most))
    kernels = halves.passes.decode_ms(halves.seats, len(batches))
    steps = step_ms(engine_of(halves.problem, halves.passes.calibration, apart), kernels, batches)
    allowed = (steps <= halves.problem.slo.planned_tpot_ms) & (batches <= halves.room[:, None]) & (batches <= most)
    if halves.problem.objective == "latency":
        allowed &= batches == 1
    rates = 1e3 * batches * halves.servers[:, None] / (steps * max(1, work.osl - 1))
    return np.asarray(np.where(allowed, rates, 0.0).max(axis=1))


def _kept(halves: Halves, rates: Grid) -> Index:
    """The best pool per GPU of each width, then the best of all: wide pools stay in view beside narrow ones."""
    order = np.lexsort((halves.gpus, -rates / halves.gpus))
    order = order[rates[order] > 0]
    _, first = np.unique(halves.gpus[order], return_index=True)
    return np.asarray(np.array(list(dict.fromkeys([*order[np.sort(first)], *order])), dtype=np.int64)[:KEPT_POOLS])


def _sized(halves: Halves, prompts: Grid, requests: Grid) -> Pairs:
    """Pairs of the kept pools whose caches fit each other, at every replica count worth rating."""
    first = _kept(halves, prompts)
    fed = _kept(halves, requests * _can_be_fed(halves, first))
    first, second = (side.ravel() for side in np.meshgrid(first, fed, indexing="ij"))
    tp = np.array([pool.attention.tp_size for pool in halves.pools])
    asked, able = halves.problem, zip(first.tolist(), second.tolist(), strict=True)
    moved = [hands_over(asked.model, halves.pools[one], halves.pools[other], asked.engine) for one, other in able]
    compatible = kv_shards_fit(tp[first], tp[second]) & np.array(moved, dtype=np.bool_)
    first, second = first[compatible], second[compatible]
    prefillers, decoders = _counts(halves, prompts[first], requests[second], halves.gpus[first], halves.gpus[second])
    rows = np.repeat(np.arange(len(first)), prefillers.shape[1])
    counted = np.stack([rows, prefillers.ravel(), decoders.ravel()], axis=1)
    counted = counted[_allowed(halves, counted, first, second)]
    unique = np.unique(counted, axis=0) if len(counted) else counted
    return Pairs(first[unique[:, 0]], second[unique[:, 0]], unique[:, 1], unique[:, 2])


def _can_be_fed(halves: Halves, first: Index) -> NDArray[np.bool_]:
    """Whether a pool can take over the cache from any of the pools `first`."""
    asked, feeders = halves.problem, [halves.pools[place] for place in first.tolist()]
    if asked.engine is None:
        return np.ones(len(halves.pools), dtype=np.bool_)
    return np.array([any(hands_over(asked.model, one, pool, asked.engine) for one in feeders) for pool in halves.pools])


def _allowed(halves: Halves, asked: Index, first: Index, second: Index) -> NDArray[np.bool_]:
    rows, prefillers, decoders = asked.T
    fixed, forbid = halves.problem.constraints.fix, halves.problem.constraints.forbid
    used = prefillers * halves.gpus[first[rows]] + decoders * halves.gpus[second[rows]]
    some = (prefillers >= 1) & (decoders >= 1) & (used <= halves.problem.cluster.gpus)
    if fixed.gpus is not None:
        some &= used == fixed.gpus
    return np.asarray(some & (np.maximum(prefillers, decoders) == 1) if "dp" in forbid else some)


def _counts(halves: Halves, prompts: Grid, requests: Grid, g_first: Index, g_second: Index) -> tuple[Index, Index]:
    """Replica counts [pairs, choices]: near the balance of both sides on all GPUs, just enough prefill for as much decode, and few of both."""
    gpus = halves.problem.constraints.fix.gpus or halves.problem.cluster.gpus
    balance = gpus / (g_second + g_first * requests / prompts)
    decoders = [np.floor(balance) + more for more in (-1, 0, 1)]
    prefillers = [(gpus - n * g_second) // g_first for n in decoders]
    level = (gpus - balance * g_second) / g_first
    for more in (-1, 0, 1):
        prefillers.append(np.floor(level) + more)
        decoders.append((gpus - prefillers[-1] * g_first) // g_second)
    enough = [np.minimum(have, np.ceil(n * requests / prompts)) for have, n in zip(prefillers, decoders, strict=True)]
    few = [(1, 1), (1, 2), (2, 1)]
    prefillers += enough + [np.full_like(balance, n) for n, _ in few]
    decoders += decoders + [np.full_like(balance, n) for _, n in few]
    return np.stack(prefillers, axis=1).astype(np.int64), np.stack(decoders, axis=1).astype(np.int64)


def _carried(halves: Halves, pairs: Pairs, prompts: Grid, requests: Grid) -> Grid:
    """Requests per second that the slower side of each pair carries; where few GPUs are asked for those come first, of pairs that carry a stated rate."""
    rates = np.minimum(pairs.prefillers * prompts[pairs.first], pairs.decoders * requests[pairs.second])
    if halves.problem.objective == "throughput":
        return np.asarray(rates)
    gpus = pairs.prefillers * halves.gpus[pairs.first] + pairs.decoders * halves.gpus[pairs.second]
    wanted = halves.problem.workload.request_rate
    if wanted is None and halves.problem.objective == "latency":
        return np.asarray(rates / gpus)
    return np.asarray((rates + ENOUGH * (rates >= PREFILL_LOAD * (wanted or 0.0))) / gpus * (rates > 0))


def _ranked(problem: Problem, plants: Plants) -> Index:
    """Rows of deployments from best to worst by the objective, those that miss the limits behind.

    The load is rough, but for a stated rate: the next rough load above it may miss limits that the rate itself does not.
    """
    found = operate(problem, plants, refined=problem.workload.request_rate is not None)
    point, gpus = found.point.at((slice(None), 0)), plants.gpus[:, 0]
    tokens = point.tokens_per_s_per_gpu * gpus
    latency = point.ttft_ms + point.tpot_ms * (problem.workload.osl - 1)
    keys = {"throughput": (gpus, -tokens), "latency": (gpus, latency), "min_gpus": (-tokens, gpus)}[problem.objective]
    return np.lexsort((*keys, ~found.meets))
