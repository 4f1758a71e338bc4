"""The plans whose exports are judged: every model of the catalogue on GPUs of every kind, colocated and disaggregated, drawn and planned."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise, zip_longest
from random import Random
from typing import Any, NamedTuple

from knowledge.calibration import calibration
from knowledge.catalogue import gpus, models
from knowledge.resolve import resolve
from strategy.build import build
from strategy.capabilities import able_on
from strategy.errors import InputError
from strategy.export import Plan
from strategy.memory import stage_memory
from strategy.request import Engine, Problem, Request, Serving
from strategy.search import search
from strategy.search.space import pools
from strategy.strategy import Pool, Strategy
from validators.validate import validate

ENGINES: tuple[Engine | None, ...] = (None, "vllm", "sglang", "trtllm")
HOSTS = (1, 2, 4, 8)
SERVINGS: tuple[Serving, ...] = ("colocated", "disaggregated")
GPUS_PER_MODEL = 2
PLANNED_GPUS_PER_MODEL = 3
POOLS_LOOKED_AT = 400
POOLS_DRAWN_FROM = 4_000
KEPT_EVEN = 0.5
"""Share of pipelines that keep even stages."""
TRIES = 6
OUTSIDE_PER_MODEL = 4
ANSWER_TOKENS = 256
PROMPT_TOKENS = (1024, 40_000)
"""Of the first and of other turns of a model: for the long ones, prompts and their caches are shared among ranks as well (CP, DCP)."""


class Planned(NamedTuple):
    """A valid plan with a name that tells what it is for."""

    name: str
    plan: Plan
    config: Mapping[str, Any]
    """The model's `config.json`."""
    by_planner: bool = False
    """The planner's answer to a request; else drawn by chance from the space."""


class Slot(NamedTuple):
    """A plan to be made: for which model, accelerator and engine, how served, and who chooses it."""

    model: str
    config: Mapping[str, Any] | None
    """Its `config.json` where the catalogue does not have the model."""
    cluster: Mapping[str, Any]
    """Of the request, but for the number of hosts."""
    engine: Engine | None
    serving: Serving
    by_planner: bool
    isl: int = PROMPT_TOKENS[0]

    @property
    def name(self) -> str:
        """What the plan is called."""
        parts = (
            self.model,
            self.cluster["gpu"],
            self.serving,
            self.engine or "any",
            *(("planned",) if self.by_planner else ()),
            *(("long",) if self.isl > PROMPT_TOKENS[0] else ()),
        )
        return ".".join(parts)


def planned(
    seed: int, *, names: tuple[str, ...] = (), on: tuple[str, ...] = (), most: int | None = None
) -> Iterator[Planned]:
    """Valid plans of every model (or of those named) on every GPU (or `on` those), the same ones for the same seed; `most` ends after so many.

    A fine-tune is planned like what it was made of, so only where it is named. Models take turns, so that any beginning of the list has all of them about equally often.
    """
    chosen = [key for key, one in models().items() if (key in names if names else one.like is None)]
    mixed = [_of_model(model, on or tuple(gpus()), seed) for model in chosen]
    return _made(mixed, seed, most)


def outside(configs: Mapping[str, Mapping[str, Any]], seed: int, *, most: int | None = None) -> Iterator[Planned]:
    """The same for models by their `config.json`, on hosts and accelerators that nobody sells."""
    mixed = [
        [_elsewhere(model, config, turn, Random(f"{seed} {model} {turn}")) for turn in range(OUTSIDE_PER_MODEL)]  # noqa: S311 (repeatable)
        for model, config in configs.items()
    ]
    return _made(mixed, seed, most)


def _made(slots_of_models: Iterable[list[Slot]], seed: int, most: int | None) -> Iterator[Planned]:
    slots = (slot for turn in zip_longest(*slots_of_models) for slot in turn if slot is not None)
    made = (_of_slot(slot, seed) for slot in slots)
    return islice((one for one in made if one is not None), most)


def _elsewhere(model: str, config: Mapping[str, Any], turn: int, rng: Random) -> Slot:
    base = gpus()[rng.choice(list(gpus()))]
    cluster = {
        "gpu": base.key,
        "memory_gb": round(base.memory_gb * rng.uniform(0.7, 2.5), 1),
        "memory_tb_per_s": round(base.memory_tb_per_s * rng.uniform(0.5, 2), 2),
        "nic_gb_per_s": round(base.nic_gb_per_s * rng.uniform(0.5, 2), 1),
        "gpus_per_host": rng.choice((2, 4, 6, 8, 16)),
    }
    engine = rng.choice(able_on(base) or (None,))
    isl = PROMPT_TOKENS[turn // 2 % 2]
    return Slot(f"{model}-{turn}", config, cluster, engine, rng.choice(SERVINGS), turn % 2 == 0, isl)


def _of_model(model: str, kinds: Sequence[str], seed: int) -> list[Slot]:
    """All slots of a model in an order by chance."""
    turns = [(turn, GPUS_PER_MODEL, False) for turn in range(GPUS_PER_MODEL)]
    turns += [(turn, PLANNED_GPUS_PER_MODEL, True) for turn in range(PLANNED_GPUS_PER_MODEL)]
    slots = [
        Slot(model, None, *_place(model, turn, of, kinds), serving, by_planner, PROMPT_TOKENS[min(turn, 1)])
        for turn, of, by_planner in turns
        for serving in SERVINGS
    ]
    Random(f"{seed} {model}").shuffle(slots)  # noqa: S311 (repeatable)
    return slots


def _place(model: str, turn: int, turns: int, kinds: Sequence[str]) -> tuple[dict[str, Any], Engine | None]:
    """Accelerator and engine of a model's turn, by its name: other models and their order change nothing."""
    first = Random(model).randrange(len(kinds) * len(ENGINES))  # noqa: S311 (repeatable)
    return {"gpu": kinds[(turns * first + turn) % len(kinds)]}, ENGINES[(first + turn) % len(ENGINES)]


def _of_slot(slot: Slot, seed: int) -> Planned | None:
    """Its plan: the planner's on the smallest cluster for which it has an answer, a drawn one on a cluster of any size."""
    rng = Random(f"{seed} {slot.name}")  # noqa: S311 (repeatable)
    for hosts in HOSTS if slot.by_planner else rng.sample(HOSTS, len(HOSTS)):
        problem = _problem(slot, hosts)
        if problem is None or not _some_fit(problem):
            continue
        plan = _answer(problem) if slot.by_planner else _drawn(problem, slot.serving, rng)
        if plan is not None:
            config = slot.config or models()[slot.model].config
            return Planned(slot.name, plan, config, slot.by_planner)
    return None


def _some_fit(problem: Problem) -> bool:
    """Whether a plan may exist; cheaper to ask than a search that ends with why there is none."""
    return any(_fits(problem, pool) for pool in islice(pools(problem), POOLS_LOOKED_AT))


def _answer(problem: Problem) -> Plan | None:
    best = search(problem, calibration()).best
    return None if best is None else Plan(best.dag, problem.model, problem)


def _problem(slot: Slot, hosts: int) -> Problem | None:
    asked = {
        "model": slot.config or slot.model,
        "cluster": {**slot.cluster, "hosts": hosts},
        "workload": {"isl": slot.isl, "osl": ANSWER_TOKENS},
        "engine": slot.engine,
        "serving": slot.serving if slot.by_planner else "auto",
    }
    try:
        return resolve(Request.model_validate(asked)).problem
    except InputError:  # a precision that the GPU lacks
        return None


def _drawn(problem: Problem, serving: str, rng: Random) -> Plan | None:
    """A valid plan by chance from the space; None where none of a few tries is valid."""
    space = list(islice(pools(problem), POOLS_DRAWN_FROM))
    rng.shuffle(space)
    fitting = (pool for pool in space if _fits(problem, pool))
    for _ in range(TRIES):
        strategy = _colocated(problem, fitting, rng) if serving == "colocated" else _pair(problem, fitting, rng)
        if strategy is None:
            return None
        dag = build(problem.model, strategy)
        if not validate(dag, problem.model, problem, prove=False).errors:
            return Plan(dag, problem.model, problem)
    return None


def _fits(problem: Problem, pool: Pool) -> bool:
    return min(stage.sequences for stage in stage_memory(problem, pool)) >= 1


def _colocated(problem: Problem, fitting: Iterator[Pool], rng: Random) -> Strategy | None:
    pool = next(fitting, None)
    return None if pool is None else Strategy(pools=(_varied(problem, pool, problem.cluster.gpus, rng),))


def _pair(problem: Problem, fitting: Iterator[Pool], rng: Random) -> Strategy | None:
    """Two pools that share the cluster, each with replicas of its own."""
    prefill = _within(fitting, problem.cluster.gpus - 1)
    decode = prefill and _within(fitting, problem.cluster.gpus - prefill.ranks_per_replica)
    if prefill is None or decode is None:
        return None
    first = _varied(problem, prefill, problem.cluster.gpus - decode.ranks_per_replica, rng)
    second = _varied(problem, decode, problem.cluster.gpus - first.world_size, rng)
    named = {"prefill": first, "decode": second}
    return Strategy(
        pools=tuple(pool.model_copy(update={"name": role, "phases": (role,)}) for role, pool in named.items())
    )


def _within(fitting: Iterator[Pool], gpus: int) -> Pool | None:
    return next((pool for pool in islice(fitting, POOLS_LOOKED_AT) if pool.ranks_per_replica <= gpus), None)


def _varied(problem: Problem, pool: Pool, gpus: int, rng: Random) -> Pool:
    """The pool with replicas by chance on at most `gpus` GPUs, and with every second pipeline cut unevenly where that fits."""
    more = pool.model_copy(update={"replicas": rng.randint(1, gpus // pool.ranks_per_replica)})
    if pool.pp_size == 1 or rng.random() < KEPT_EVEN:
        return more
    cuts = sorted(rng.sample(range(1, problem.model.num_layers), pool.pp_size - 1))
    bounds = (0, *cuts, problem.model.num_layers)
    uneven = more.model_copy(update={"stages": tuple(pairwise(bounds))})
    return uneven if _fits(problem, uneven) else more
