"""Deployments side by side: passes and steady states of many strategies for one problem, as arrays.

Rows are deployments, columns are loads. What an estimate says of one DAG (`strategy.cost`) and what the search says of every candidate
run through these formulas: an estimate is a fleet of one. Pools that have the same blocks share a walk (`strategy.passes`), deployments
that share pools share their prices, and nothing here looks at a DAG but to price it.

The load is closed: `concurrency` requests are always in flight. A decoding pool runs steps over the sequences it holds, a prefilling one
passes over packed prompts; `strategy.serving` finds the steady state of the two. Requests beyond what the cache holds wait for a slot.
Replicas and attention replicas share the load evenly.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from strategy.build import build
from strategy.calibration import Calibration, EngineConstants
from strategy.collectives import Links, unit_size
from strategy.dag import Dag
from strategy.memory import PREFILL_BUDGET_TOKENS, StageMemory, admitted, fewest_sequences, handoff_bytes, stage_memory
from strategy.mesh import axis_sizes
from strategy.model import ModelSpec
from strategy.passes import Grid, PassTime, Pricer, Seat, Table
from strategy.request import Problem, Workload
from strategy.serving import Demand, Served, front_time_ms, polling_steps, steady_state
from strategy.strategy import Phase, Pool, Strategy
from strategy.work import Load

MAX_GRID_CONCURRENCY = 65_536
POINTS_PER_DOUBLING = 2
"""Batch sizes priced for each doubling; step times in between are interpolated."""
LEAST_OUTPUT_TOKENS = 1.01
"""What a request of one output token counts for in the steady state, which shares time by decode steps: next to none."""


# --- what one pass runs -------------------------------------------------------------------------------------------------------------


def decode_load(work: Workload, batch: Grid) -> Load:
    """One decode pass over `batch` sequences, half way through their outputs."""
    return Load(batch, 1.0, work.isl + work.osl / 2)


def microbatches(pool: Pool, batch: Grid) -> Grid:
    """Microbatches in flight when `batch` sequences decode: as many as there are stages, or as the pool says."""
    return cast(Grid, np.clip(np.floor(batch), 1, max(pool.pp_size, pool.microbatches)))


def new_tokens(work: Workload) -> float:
    """Prompt tokens that are not in a prefix cache."""
    return max(1.0, work.isl * (1 - work.prefix_hit_ratio))


def chunks(work: Workload, pool: Pool) -> int:
    """Passes in which a prompt is prefilled."""
    return int(np.ceil(new_tokens(work) / (pool.chunk_tokens or new_tokens(work))))


def packed_prompts(work: Workload, pool: Pool) -> float:
    """Prompts that one pass may hold when several wait."""
    return max(1.0, (pool.chunk_tokens or PREFILL_BUDGET_TOKENS) // new_tokens(work))


def front_ends(strategy: Strategy) -> int:
    """Servers that requests enter by."""
    return 1 if strategy.disaggregated else strategy.pools[0].replicas


def balanced(pool: Pool) -> bool:
    """Whether attention replicas of a pool run their passes in step."""
    return pool.attention.dp_size > 1


def prefill_load(work: Workload, pool: Pool, batch: Grid) -> Load:
    """One prefill pass over `batch` prompts; of a chunked prompt, the chunk whose past is the mean one (the sum over chunks is exact)."""
    passes, tokens = chunks(work, pool), new_tokens(work)
    attended = (work.isl - tokens) + tokens * (passes + 1) / (2 * passes)
    return Load(batch, tokens / passes, attended)


def batch_points(count: int) -> Grid:
    """The first `count` batch sizes at which decode is priced."""
    return 2.0 ** (np.arange(count) / POINTS_PER_DOUBLING)


# --- pools that share a walk --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """What decides the blocks of a pool; two pools of a shape have the same template."""

    kinds: tuple[Hashable, ...]
    """Kinds, and which degrees are above one."""
    pool: Pool = field(compare=False)
    """One of them."""


def kinds_of(pool: Pool) -> Hashable:
    """What decides the blocks of one stage of a pool."""
    sizes = axis_sizes(pool)
    tp, cp, dcp, ep, moe_tp = (sizes[axis] for axis in ("tp", "cp", "dcp", "ep", "moe_tp"))
    return (
        *(size > 1 for size in sizes.values()), pool.experts is None, pool.sp_kind, pool.ep_lowering, pool.dense_ffn, pool.lm_head,
        pool.cp_decode_use, pool.dispatch_mode, pool.redundant_experts, pool.chunk_tokens is None,
        ep == sizes["stage"], ep * moe_tp == tp, dcp > tp, dcp == cp, cp if pool.sp_kind == "cp_ring" else 0,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def template(model: ModelSpec, shape: Shape) -> Dag:
    """The canonical DAG of a shape."""
    return build(model, Strategy(pools=(shape.pool,)))


class PromptTime(NamedTuple):
    """Milliseconds of prefill kernels on one pool."""

    latency: float
    """A pass over one prompt (or chunk)."""
    interval: float
    """Between two such passes of a full pipeline."""
    packed: float
    """The same of passes that hold as many prompts as they may."""
    least: float
    """The same at the peak rates."""


_OF_A_REPLICA = attrgetter(
    "attention.dp_size", "attention.cp_size", "attention.tp_size", "experts", "dcp_size", "stages", "chunk_tokens", "microbatches", "sp_kind", "dp_layout", "ep_lowering",
    "redundant_experts", "dense_ffn", "lm_head", "moe_layout", "cp_order", "cp_decode_use", "dispatch_mode.prefill", "dispatch_mode.decode",
)  # fmt: skip


class Passes:
    """Times of passes of pools under one problem; remembered, so that deployments that share pools share prices.

    With a `dag`, pools are priced with its blocks, whatever they are; else with their canonical ones.
    """

    def __init__(self, problem: Problem, calibration: Calibration, dag: Dag | None = None) -> None:
        self.problem = problem
        self.calibration = calibration
        self.dag = dag
        self.links = Links(problem.cluster, calibration)
        self._unit = unit_size(problem.cluster)
        self.points = 0
        """Batch points that are priced at least, so that loads met later find their prices."""
        self._decode: dict[Hashable, Grid] = {}
        self._prefill: dict[Hashable, PromptTime] = {}
        self._prompts: dict[Hashable, tuple[Table, int]] = {}
        """Where the pass over one prompt was priced: a table and its column."""
        self._stages: dict[Hashable, list[StageMemory]] = {}
        self._sequences: dict[Hashable, int] = {}

    def pricers(self, phase: Phase, seats: Sequence[Seat]) -> list[tuple[Pricer, list[int]]]:
        """A pricer for each shape among `seats`, with the positions of those it prices."""
        groups: dict[Hashable, list[int]] = {}
        for position, seat in enumerate(seats):
            groups.setdefault(None if self.dag else kinds_of(seat.pool), []).append(position)
        found = []
        for kinds, members in groups.items():
            seated = tuple(seats[position] for position in members)
            # The blocks of a pipeline are those of one stage and one more, which hands over.
            deepest = max((seat.pool for seat in seated), key=lambda pool: pool.pp_size)
            dag = self.dag or template(self.problem.model, Shape((kinds, deepest.pp_size > 1), deepest))
            found.append((Pricer(dag, phase, self.problem, self.calibration, seated, self.links), members))
        return found

    def prepare(self, pools: Sequence[Pool], points: int) -> None:
        """Price many pools at once, up to `points` batch points."""
        self.points = max(self.points, points)
        seats = [Seat(pool) for pool in pools]
        self.decode_ms(seats, points)
        self.prefill_ms(seats)

    def decode_ms(self, seats: Sequence[Seat], count: int) -> Grid:
        """Kernel time between two tokens of a sequence at each of `batch_points(count)`, [seats, points].

        A pipeline keeps as many microbatches in flight as it has stages: a token takes the sum over stages, or one turn of all microbatches
        on the slowest stage when that is longer.
        """
        keys = [self._key(seat) for seat in seats]
        wanted = {k: s for k, s in zip(keys, seats, strict=True) if len(self._decode.get(k, ())) < count}
        new, points = list(wanted.values()), batch_points(max(count, self.points))
        for pricer, members in self.pricers("decode", new):
            turns = np.array([microbatches(new[n].pool, points) for n in members])
            owner = np.repeat(np.arange(len(members)), len(points))
            times = pricer.table(decode_load(self.problem.workload, (points / turns).ravel()), owner).pipelines
            kernels = np.maximum(times.latency_ms, turns.ravel() * times.interval_ms).reshape(turns.shape)
            self._decode |= {self._key(new[n]): row for n, row in zip(members, kernels, strict=True)}
        return np.array([self._decode[key][:count] for key in keys])

    def prefill_ms(self, seats: Sequence[Seat]) -> list[PromptTime]:
        """Kernel times of prompts, for each seat."""
        keys = [self._key(seat) for seat in seats]
        new = list({k: s for k, s in zip(keys, seats, strict=True) if k not in self._prefill}.values())
        for pricer, members in self.pricers("prefill", new):
            pools, work = [new[n].pool for n in members], self.problem.workload
            loads = [prefill_load(work, pool, np.array([1.0, packed_prompts(work, pool)])) for pool in pools]
            load = Load(
                np.concatenate([one.batch for one in loads]),
                np.repeat([one.new_tokens for one in loads], 2),
                np.repeat([one.kv_tokens for one in loads], 2),
            )
            table = pricer.table(load, np.repeat(np.arange(len(members)), 2))
            self._prompts |= {self._key(new[n]): (table, 2 * place) for place, n in enumerate(members)}
            times = table.pipelines
            found = (times.latency_ms[::2], times.interval_ms[::2], times.interval_ms[1::2], times.least_ms[1::2])
            rows = zip(members, *(ms.tolist() for ms in found), strict=True)
            self._prefill |= {self._key(new[n]): PromptTime(*every) for n, *every in rows}
        return [self._prefill[key] for key in keys]

    def sequences(self, pool: Pool) -> int:
        """Sequences of isl + osl tokens whose cache fits on each attention replica of a pool."""
        key = (self._pool_key(pool), pool.phases)
        if key not in self._sequences:
            self._sequences[key] = fewest_sequences(self.stages(pool))
        return self._sequences[key]

    def stages(self, pool: Pool) -> list[StageMemory]:
        """Memory of every stage of a pool."""
        key = (self._pool_key(pool), pool.phases)
        if key not in self._stages:
            self._stages[key] = stage_memory(self.problem, pool, self.dag)
        return self._stages[key]

    def prompt_passes(self, seats: Sequence[Seat]) -> list[PassTime]:
        """Times of every node in a pass over one prompt (or a chunk of it), for each seat."""
        self.prefill_ms(seats)
        return [table.pass_of(column) for table, column in (self._prompts[self._key(seat)] for seat in seats)]

    def _key(self, seat: Seat) -> Hashable:
        """Equal for seats with equal prices: pools that lie inside one scale-up unit do so wherever they start."""
        return self._pool_key(seat.pool), self._lay(seat)

    def _lay(self, seat: Seat) -> Hashable:
        """How the replicas lie on scale-up units, where that can matter."""
        unit, ranks, first = self._unit, seat.pool.ranks_per_replica, seat.first_rank
        last = first + seat.pool.replicas * ranks - 1
        if first // unit == last // unit or (unit % ranks == 0 and first % ranks == 0):
            return None  # every replica inside one unit
        return first % unit, 0 if ranks % unit == 0 else seat.pool.replicas

    def _pool_key(self, pool: Pool) -> Hashable:
        """What tells a replica of `pool` from another, its name and phases aside."""
        return _OF_A_REPLICA(pool)


# --- under load ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """Performance over concurrencies, arrays of one shape, ascending in `concurrency` along the last axis."""

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

    def at(self, index: Any) -> "Curve":
        """The points at `index`."""
        return Curve(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})

    def replaced(self, rows: NDArray[np.int64], others: "Curve") -> "Curve":
        """With other points at `rows`."""
        found = {name: getattr(self, name).copy() for name in self.__dataclass_fields__}
        for name, values in found.items():
            values[rows] = getattr(others, name)
        return Curve(**found)


@dataclass(frozen=True)
class Plants:
    """Deployments in numbers, arrays [deployments, 1] unless said otherwise: all that their performance depends on."""

    workload: Workload
    engine: EngineConstants
    """What the engine adds, arrays in place of numbers."""
    decode_ms: Callable[[int], Grid]
    """Kernel time of a decode step at that many of the batch points, [deployments, points]."""
    prompt_ms: PromptTime
    """Kernel times of prefill, arrays in place of numbers."""
    chunks: Grid
    """Passes in which a prompt is prefilled."""
    packed: Grid
    """Prompts that one pass may hold when several wait."""
    transfer_ms: Grid
    """Time to hand a prompt's cache from the prefill pool to the decode pool; zero when they are one."""
    decode_servers: Grid
    """Attention replicas that decode."""
    prefill_servers: Grid
    """Attention replicas that prefill."""
    front_ends: Grid
    """Servers that requests enter by: each replica has its own, a disaggregated deployment one."""
    balanced: NDArray[np.bool_]
    """Whether attention replicas share their steps, so that engines hold prompts back to fill several replicas at once."""
    disaggregated: NDArray[np.bool_]
    """Whether the phases run on pools of their own."""
    max_concurrency: Grid
    """Requests whose cache fits at once; 0 when some pool cannot hold one."""
    resident: Grid
    """Requests that engines keep running at once."""
    gpus: Grid

    def at(self, rows: NDArray[np.int64]) -> "Plants":
        """The deployments at `rows`."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        cut = {name: value[rows] for name, value in own.items() if isinstance(value, np.ndarray)}
        engine = EngineConstants(*(value[rows] for value in vars(self.engine).values()))
        prompt = PromptTime(*(value[rows] for value in self.prompt_ms))  # type: ignore[index]
        return Plants(
            **(own | cut | {"engine": engine, "prompt_ms": prompt, "decode_ms": lambda n: self.decode_ms(n)[rows]})
        )

    @cached_property
    def prefill_pace(self) -> Grid:
        """What the engine makes of the kernels of prefill; a packed pass takes no less than at the peak rates."""
        return np.asarray(np.maximum(self.engine.prefill_time, self.prompt_ms.least / self.prompt_ms.packed))

    @cached_property
    def prefill_ms(self) -> tuple[Grid, Grid]:
        """Latency of one prompt on an idle pool, and the time it takes from the pool when passes are packed."""
        engine, prompt = self.engine, self.prompt_ms
        whole = prompt.latency + (self.chunks - 1) * prompt.interval
        latency = whole * self.prefill_pace + engine.prefill_pass_ms * self.chunks + engine.request_ms
        taken = self.chunks * (prompt.packed * self.prefill_pace + engine.prefill_pass_ms) / self.packed
        return latency, taken

    def step_at(self, most: float) -> Callable[[Grid], Grid]:
        """The decode step at any batch up to `most` per attention replica, interpolated between points.

        The points do not depend on what is asked, so a load has one price whether it is asked for alone or on a grid.
        """
        count = points_up_to(most)
        return interpolation(step_ms(self.engine, self.decode_ms(count), batch_points(count)))

    def demand(self, batch: Grid) -> Demand:
        """The load that `batch` requests in flight put on each decoding attention replica."""
        alone, taken = self.prefill_ms
        behind = self.decode_servers / self.front_ends
        in_flight = batch * behind
        polling = polling_steps(self.engine.poll_steps, self.engine.relaxed_polls, in_flight)
        return Demand(
            batch=batch,
            osl=max(self.workload.osl, LEAST_OUTPUT_TOKENS),
            alone_ms=alone,
            taken_ms=taken,
            burst=self.engine.burst,
            queue=self.engine.queue,
            queue_half=self.engine.queue_half,
            prefill_replicas=self.prefill_servers / self.decode_servers,
            disaggregated=self.disaggregated,
            transfer_ms=self.transfer_ms,
            front_ms=self.engine.front_ms * np.maximum(in_flight - 1, 0.0),
            interference=self.engine.interference,
            standing=self.engine.standing / behind,
            front_busy_ms=in_flight * front_time_ms(self.engine.admit_ms, self.engine.stream_us, self.workload.osl),
            held_steps=polling + np.where(self.balanced, self.engine.balance_steps, 0.0),
        )

    def curve(self, asked: Grid) -> Curve:
        """Performance at each concurrency of `asked`, [deployments, loads]."""
        running = np.minimum(asked, np.maximum(1, self.resident))
        batch = np.maximum(1.0, running / self.decode_servers)
        served = steady_state(self.demand(batch), self.step_at(float(batch.max())))
        first_ms, tpot_ms = self._tokens_ms(served, running)
        life_ms = first_ms + tpot_ms * (self.workload.osl - 1)
        requests_per_s = 1e3 * running / life_ms
        ttft_ms = first_ms + (asked - running) / requests_per_s * 1e3
        rate = requests_per_s * self.workload.osl / self.gpus
        return Curve(asked, ttft_ms, tpot_ms, requests_per_s, rate, served.decode_batch, served.prefill_share)

    def _tokens_ms(self, served: Served, running: Grid) -> tuple[Grid, Grid]:
        """Time to the first token and between two, `running` requests in flight.

        Where the first token is the last there is none between: what is waited for is before it, at least until all prompts have had their turn.
        """
        if self.workload.osl > 1:
            return served.ttft_ms, served.tpot_ms
        waited = served.ttft_ms + served.tpot_ms * (LEAST_OUTPUT_TOKENS - 1)
        turn = running / self.prefill_servers * self.prefill_ms[1]
        return np.maximum(waited, turn), np.zeros_like(served.tpot_ms)


def step_ms(engine: EngineConstants, kernels_ms: Grid, batch: Grid) -> Grid:
    """A decode step over `batch` sequences: its kernels as the engine runs them, and what the engine adds."""
    return kernels_ms * engine.decode_time + engine.decode_step_ms + engine.per_sequence_us * 1e-3 * batch


def points_up_to(most: float) -> int:
    """How many batch points reach `most`."""
    return POINTS_PER_DOUBLING * int(np.ceil(np.log2(max(2.0, most)))) + 1


def running_at_once(problem: Problem, fitting: Grid, servers: Grid) -> Grid:
    """Requests that engines keep running where `fitting` whole ones fit. Where not one does, which the rules say, prices are as if all did."""
    return np.where(fitting >= servers, admitted(problem, fitting), MAX_GRID_CONCURRENCY)


def transfer_ms(problem: Problem, calibration: Calibration, pool: Pool) -> float:
    """Time to hand a prompt's cache from `pool` to one that decodes, over its GPUs' network."""
    per_rank = handoff_bytes(problem.model, problem.precision, pool, problem.workload.isl)
    rate = problem.cluster.gpu.nic_gb_per_s * 1e9 * calibration.alpha_beta.network_efficiency
    return per_rank / rate * 1e3


@dataclass(frozen=True)
class Fleet:
    """Strategies at work on a cluster, each on its own."""

    problem: Problem
    calibration: Calibration
    strategies: tuple[Strategy, ...]
    passes: Passes

    @cached_property
    def decode_seats(self) -> tuple[Seat, ...]:
        """The pools that decode."""
        return tuple(_seat(strategy, "decode") for strategy in self.strategies)

    @cached_property
    def prefill_seats(self) -> tuple[Seat, ...]:
        """The pools that prefill."""
        return tuple(_seat(strategy, "prefill") for strategy in self.strategies)

    @cached_property
    def plants(self) -> Plants:
        """The deployments in numbers."""
        work, prefill = self.problem.workload, [seat.pool for seat in self.prefill_seats]
        pairs = zip(self.decode_seats, prefill, strict=True)
        apart = [decode.pool.name != pool.name for decode, pool in pairs]
        handed = [
            transfer_ms(self.problem, self.calibration, pool) if parted else 0.0
            for pool, parted in zip(prefill, apart, strict=True)
        ]
        decoders, prefillers = _column(map(_servers, self.decode_seats)), _column(map(_servers, self.prefill_seats))
        fitting = _column(map(self._fitting, self.strategies)) * decoders
        disaggregated = np.array(apart)[:, None]
        return Plants(
            workload=work,
            engine=engine_of(self.problem, self.calibration, disaggregated),
            decode_ms=lambda count: self.passes.decode_ms(self.decode_seats, count),
            prompt_ms=PromptTime(*np.array(self.passes.prefill_ms(self.prefill_seats)).T[:, :, None]),
            chunks=_column(chunks(work, pool) for pool in prefill),
            packed=_column(packed_prompts(work, pool) for pool in prefill),
            transfer_ms=_column(handed),
            decode_servers=decoders,
            prefill_servers=prefillers,
            front_ends=_column(front_ends(strategy) for strategy in self.strategies),
            balanced=_column(balanced(pool) for pool in prefill) > 0,
            disaggregated=disaggregated,
            max_concurrency=fitting,
            resident=running_at_once(self.problem, fitting, decoders),
            gpus=_column(strategy.world_size for strategy in self.strategies),
        )

    def _fitting(self, strategy: Strategy) -> int:
        """Sequences whose cache fits on a decoding attention replica; 0 when some pool cannot hold one."""
        fitting = {pool.name: self.passes.sequences(pool) for pool in strategy.pools}
        return fitting[strategy.pool_for("decode").name] if all(fitting.values()) else 0

    def decode_passes(self, batch: Grid) -> list[PassTime]:
        """Of every deployment one decode pass when `batch` [deployments] sequences decode on an attention replica."""
        turns = np.array([microbatches(s.pool, b) for s, b in zip(self.decode_seats, batch, strict=True)])
        each, found = batch / turns, dict[int, PassTime]()
        for pricer, members in self.passes.pricers("decode", self.decode_seats):
            table = pricer.table(decode_load(self.problem.workload, each[members]), np.arange(len(members)))
            found |= {member: table.pass_of(place) for place, member in enumerate(members)}
        return [found[n] for n in range(len(self.decode_seats))]

    def prefill_passes(self) -> list[PassTime]:
        """Of every deployment one prefill pass over a prompt (or a chunk of it)."""
        return self.passes.prompt_passes(self.prefill_seats)


def constants_of(problem: Problem, calibration: Calibration, *, disaggregated: bool) -> EngineConstants:
    """Constants of the problem's engine for its model, weights and GPU."""
    arch, weights = problem.cluster.gpu.arch, problem.precision.weights
    return calibration.engine(problem.engine, arch, problem.model, weights, disaggregated=disaggregated)


def engine_of(problem: Problem, calibration: Calibration, disaggregated: NDArray[np.bool_]) -> EngineConstants:
    """Constants of the problem's engine, arrays like `disaggregated`."""
    kinds = [vars(constants_of(problem, calibration, disaggregated=apart)).values() for apart in (False, True)]
    values: Any = (np.where(disaggregated, apart, together) for together, apart in zip(*kinds, strict=True))
    return EngineConstants(*values)


def _column(values: Iterable[float]) -> Grid:
    return np.array(list(values), dtype=np.float64)[:, None]


def _servers(seat: Seat) -> int:
    return seat.pool.replicas * seat.pool.attention.dp_size


def _seat(strategy: Strategy, phase: Phase) -> Seat:
    pool = strategy.pool_for(phase)
    return Seat(pool, strategy.first_rank(pool))


def interpolation(steps: Grid) -> Callable[[Grid], Grid]:
    """`steps` [rows, points], given at `batch_points`, as a function of batches [rows, any]: linear between points, flat below the first."""
    rows, count = steps.shape
    points, flat = batch_points(count), steps.ravel()
    slopes = (np.diff(steps, axis=1, append=steps[:, -1:]) / np.diff(points, append=2 * points[-1])).ravel()
    starts = (np.arange(rows) * count)[:, None]

    def at(batch: Grid) -> Grid:
        inside = np.minimum(np.maximum(batch, 1.0), points[-1])
        left = (POINTS_PER_DOUBLING * np.log2(inside)).astype(np.int64)
        cell = starts + left
        return np.asarray(flat[cell] + slopes[cell] * (inside - points[left]))

    return at
