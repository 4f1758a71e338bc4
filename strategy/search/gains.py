"""What one change would buy: more GPUs, faster links, narrower weights. Each is planned, not guessed."""

from collections.abc import Callable, Iterator
from typing import Any

from strategy.request import Problem
from strategy.result import Gain
from strategy.search.infeasible import Patch, fewer_bytes, more_gpus
from strategy.search.points import Candidate
from strategy.strategy import describe_strategy

NOTHING = 0.01
"""Share below which a change buys nothing."""

Planned = Callable[[Problem], Candidate | None]


def gains(problem: Problem, best: Candidate, plan: Planned) -> tuple[Gain, ...]:
    """For each change of hardware or precision the plan that it leads to, beside `best`. The kind of serving stays that of `best`."""
    kind = "disaggregated" if best.strategy.disaggregated else "colocated"
    settled = problem.model_copy(update={"serving": kind})
    found = []
    for change, words, changed in _changes(settled, best):
        other = plan(changed)
        if other is not None:
            found.append(Gain(change=change, message=f"{words}: {_bought(problem, best, other)}"))
    return tuple(found)


def _changes(problem: Problem, best: Candidate) -> Iterator[Patch]:
    gpus = problem.cluster.gpus
    if problem.objective != "min_gpus":
        yield from (patch for patch in [next(more_gpus(problem, 2 * gpus), None)] if patch is not None)
    if best.strategy.world_size > best.strategy.pools[0].replicas:
        yield _faster(problem, "scale_up_gb_per_s", "links between GPUs twice as fast")
    if problem.cluster.hosts > 1 and any(
        pool.ranks_per_replica > problem.cluster.domain for pool in best.strategy.pools
    ):
        yield _faster(problem, "nic_gb_per_s", "a network twice as fast")
    yield from (patch for patch in [next(fewer_bytes(problem), None)] if patch is not None)


def _faster(problem: Problem, name: str, words: str) -> Patch:
    """One rate of the GPU doubled."""
    gpu = problem.cluster.gpu
    value = 2 * getattr(gpu, name)
    cluster = problem.cluster.model_copy(update={"gpu": gpu.model_copy(update={name: value})})
    change: dict[str, Any] = {"cluster": {name: value}}
    return change, words, problem.model_copy(update={"cluster": cluster})


def _bought(problem: Problem, best: Candidate, other: Candidate) -> str:
    """The difference that the objective sees, and the plan where it is another one."""
    if problem.objective == "latency":
        osl = problem.workload.osl
        text = _share(1 - other.latency_ms(osl) / best.latency_ms(osl), "less time for a request")
    elif problem.objective == "min_gpus":
        fewer = best.gpus - other.gpus
        text = f"{other.gpus} GPUs do" if fewer > 0 else "no fewer GPUs"
    else:
        text = _share(other.tokens_per_s / best.tokens_per_s - 1, "more tokens/s")
    same = describe_strategy(other.strategy) == describe_strategy(best.strategy)
    return text if same or text.startswith("nothing") else f"{text} ({describe_strategy(other.strategy)})"


def _share(gained: float, of_what: str) -> str:
    return f"{gained:.0%} {of_what}" if gained >= NOTHING else "nothing"
