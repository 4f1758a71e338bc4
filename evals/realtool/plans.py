"""The plans whose exports are judged: every model of the catalogue on GPUs of every kind, colocated and disaggregated, drawn and planned."""

from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import NamedTuple

from knowledge.calibration import calibration
from knowledge.catalogue import gpus, models
from knowledge.resolve import resolve
from strategy.build import build
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
TRIES = 6
PROMPT_TOKENS, ANSWER_TOKENS = 1024, 256


class Planned(NamedTuple):
    """A valid plan with a name that tells what it is for."""

    name: str
    plan: Plan
    by_planner: bool = False
    """The planner's answer to a request; else drawn by chance from the space."""


def planned(seed: int, *, names: tuple[str, ...] = ()) -> Iterator[Planned]:
    """Valid plans of every model (or of those named), the same ones for the same seed."""
    for index, model in enumerate(models()):
        if names and model not in names:
            continue
        rng = Random(f"{seed} {model}")  # noqa: S311 (repeatable)
        for turn in range(GPUS_PER_MODEL):
            yield from _of_model(model, *_place(index, turn, GPUS_PER_MODEL), rng)
        for turn in range(PLANNED_GPUS_PER_MODEL):
            yield from _winners(model, *_place(index, turn, PLANNED_GPUS_PER_MODEL))


def _place(index: int, turn: int, turns: int) -> tuple[str, Engine | None]:
    """Accelerator and engine of a model's turn: all of them come up over the catalogue."""
    kinds = list(gpus())
    return kinds[(turns * index + turn) % len(kinds)], ENGINES[(index + turn) % len(ENGINES)]


def _of_model(model: str, gpu: str, engine: Engine | None, rng: Random) -> Iterator[Planned]:
    """One colocated and one disaggregated plan on the smallest cluster that holds each."""
    for serving in SERVINGS:
        for hosts in HOSTS:
            problem = _problem(model, gpu, hosts, engine)
            plan = None if problem is None else _drawn(problem, serving, rng)
            if plan is not None:
                yield Planned(f"{model}.{gpu}.{serving}.{engine or 'any'}", plan)
                break


def _winners(model: str, gpu: str, engine: Engine | None) -> Iterator[Planned]:
    """What the planner answers for each kind of serving, on the smallest cluster for which it has an answer."""
    for serving in SERVINGS:
        for hosts in HOSTS:
            problem = _problem(model, gpu, hosts, engine, serving)
            plan = None if problem is None or not _some_fit(problem) else _answer(problem)
            if plan is not None:
                yield Planned(f"{model}.{gpu}.{serving}.{engine or 'any'}.planned", plan, by_planner=True)
                break


def _some_fit(problem: Problem) -> bool:
    """Whether a plan may exist; cheaper to ask than a search that ends with why there is none."""
    return any(_fits(problem, pool) for pool in islice(pools(problem), POOLS_LOOKED_AT))


def _answer(problem: Problem) -> Plan | None:
    best = search(problem, calibration()).best
    return None if best is None else Plan(best.dag, problem.model, problem)


def _problem(model: str, gpu: str, hosts: int, engine: Engine | None, serving: Serving = "auto") -> Problem | None:
    asked = {
        "model": model,
        "cluster": {"gpu": gpu, "hosts": hosts},
        "workload": {"isl": PROMPT_TOKENS, "osl": ANSWER_TOKENS},
        "engine": engine,
        "serving": serving,
    }
    try:
        return resolve(Request.model_validate(asked)).problem
    except InputError:  # a precision that the GPU lacks
        return None


def _drawn(problem: Problem, serving: str, rng: Random) -> Plan | None:
    """A valid plan by chance from the space; None where none of a few tries is valid."""
    space = [pool for pool in islice(pools(problem), POOLS_LOOKED_AT) if _fits(problem, pool)]
    for _ in range(TRIES if space else 0):
        strategy = _colocated(problem, space, rng) if serving == "colocated" else _pair(problem, space, rng)
        if strategy is None:
            return None
        dag = build(problem.model, strategy)
        if not validate(dag, problem.model, problem, prove=False).errors:
            return Plan(dag, problem.model, problem)
    return None


def _fits(problem: Problem, pool: Pool) -> bool:
    return min(stage.sequences for stage in stage_memory(problem, pool)) >= 1


def _colocated(problem: Problem, space: list[Pool], rng: Random) -> Strategy:
    pool = rng.choice(space)
    fit = problem.cluster.gpus // pool.ranks_per_replica
    return Strategy(pools=(pool.model_copy(update={"replicas": rng.randint(1, fit)}),))


def _pair(problem: Problem, space: list[Pool], rng: Random) -> Strategy | None:
    small = [pool for pool in space if 2 * pool.ranks_per_replica <= problem.cluster.gpus]
    if not small:
        return None
    chosen = {"prefill": rng.choice(small), "decode": rng.choice(small)}
    return Strategy(
        pools=tuple(pool.model_copy(update={"name": role, "phases": (role,)}) for role, pool in chosen.items())
    )
