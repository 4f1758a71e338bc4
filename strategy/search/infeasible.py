"""When nothing is left: which limit binds, by how much, and the smallest changes of the request after which a plan exists.

Every change offered was planned: it is merged into the problem and the search is run on it.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from operator import attrgetter
from typing import Any

from strategy.capabilities import able_on, capabilities, runs_on
from strategy.hardware import Cluster
from strategy.legality import divisors, illegal, legal_ep_sizes, legal_tp_sizes
from strategy.memory import memory_fraction
from strategy.model import Dtype
from strategy.quantisation import element_bytes
from strategy.request import Constraints, FixedDegrees, Problem, Slo
from strategy.result import Change, Infeasible, Limit
from strategy.search.choose import order
from strategy.search.points import Candidate, Priced, candidate_excess
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, describe, describe_strategy
from strategy.values import MAX_DEGREE

MAX_CHANGES = 4
MAX_HOSTS = 64
MIN_ISL = 1024
BISECTIONS = 5
"""Plans made to find how far an amount must fall, after halving it."""
GAINED = 0.98
"""What of a limit's excess must be left at most on four times the GPUs, or no more are tried."""
ROOM = 1.05
"""A relaxed latency limit is offered with this much room above the best that was found."""

Planned = Callable[[Problem], Candidate | None]
Pricing = Callable[[Problem], Priced]
Patch = tuple[dict[str, Any], str, Problem]
"""A change of the request, the same in words, and the problem it leads to."""


def explain(problem: Problem, priced: Priced, price: Pricing) -> Infeasible:
    """Limits that no candidate meets, and of each kind of change the smallest after which a plan was found.

    Where no change is enough alone: those after which the model fits and the load is carried, with the latencies that come with them.
    """

    def plan(changed: Problem) -> Candidate | None:
        return _best(changed, price(changed))

    tried = [_tried(kind, price) for kind in _kinds_of_change(problem, priced, plan)]
    nearest = [change for change, _ in tried if change is not None]
    if not nearest:
        nearest = [change for _, patch in tried if patch is not None and (change := _verified(patch, plan(patch[2])))]
    return Infeasible(limits=tuple(_limits(problem, priced)), nearest=tuple(nearest[:MAX_CHANGES]))


def _best(problem: Problem, priced: Priced) -> Candidate | None:
    return next(iter(order(problem, [one for one in priced.candidates if one.meets_slo])), None)


def _verified(patch: Patch, found: Candidate | None) -> Change | None:
    """A patch as a change, where there is a plan after it."""
    if found is None:
        return None
    change, message, _ = patch
    outcome = f"{describe_strategy(found.strategy)}: TTFT {found.ttft_ms:.0f} ms, TPOT {found.tpot_ms:.1f} ms"
    return Change(change=change, message=f"{message} ({outcome})", verified=True)


def _tried(kind: Iterator[Patch], price: Pricing) -> tuple[Change | None, Patch | None]:
    """The first change of a kind after which there is a plan; and the first after which only the limits are missed, with limits that are met."""
    relaxed: Patch | None = None
    reached: list[tuple[int, float]] = []
    missed: Patch | None = None
    for patch in kind:
        changed = patch[2]
        priced = price(changed)
        found = _best(changed, priced)
        if found is not None:
            between = _fewer_hosts(missed, patch, lambda problem: _best(problem, price(problem)))
            return between or _verified(patch, found), relaxed
        missed = patch
        if priced.candidates and not _rate_is_short(changed, priced):
            relaxed = relaxed or _with_limits(patch, priced)
            excess = min(candidate_excess(changed.slo, one) for one in priced.candidates)
            if any(4 * gpus <= changed.cluster.gpus and excess > GAINED * other for gpus, other in reached):
                break
            reached.append((changed.cluster.gpus, excess))
    return None, relaxed


def _with_limits(patch: Patch, priced: Priced) -> Patch | None:
    """A patch with its latency limits relaxed to the candidate that is nearest to them."""
    change, message, changed = patch
    found = next(_relaxed_limits(changed, priced), None)
    return None if found is None else (change | found[0], f"{message} and {found[1]}", found[2])


def _fewer_hosts(missed: Patch | None, enough: Patch, plan: Planned) -> Change | None:
    """The change to the fewest hosts between two that were tried, by bisection; None where there are none between, or none of them are enough."""
    if missed is None or missed[2].cluster.gpus_per_host != enough[2].cluster.gpus_per_host:
        return None
    low, high, found = missed[2].cluster.hosts, enough[2].cluster.hosts, None
    for _ in range(BISECTIONS):
        if high - low < 2:
            break
        middle = (low + high) // 2
        patch = _with_cluster(enough[2], enough[2].cluster.gpus_per_host, middle)
        better = _verified(patch, plan(patch[2]))
        low, high, found = (low, middle, better) if better else (middle, high, found)
    return found


def _limits(problem: Problem, priced: Priced) -> Iterator[Limit]:
    if priced.candidates and _rate_is_short(problem, priced):
        yield _rate_limit(problem, priced)
    elif priced.candidates:
        yield from _slo_limits(problem.slo, priced)
    elif priced.misfits and not priced.fitting:
        yield _memory_limit(problem, priced)
    elif priced.fitting:
        yield _serving_limit(problem)
    else:
        yield from _legality_limits(problem)


def _rate_is_short(problem: Problem, priced: Priced) -> bool:
    """Whether no candidate serves the request rate that is asked for, whatever the latency."""
    return problem.workload.request_rate is not None and _most_requests(problem, priced) < problem.workload.request_rate


def _carrying(problem: Problem, priced: Priced) -> list[Candidate]:
    """Candidates that serve the request rate that is asked for; all of them where none does."""
    tokens = (problem.workload.request_rate or 0.0) * problem.workload.osl
    return [one for one in priced.candidates if one.tokens_per_s >= tokens * (1 - 1e-9)] or list(priced.candidates)


def _most_requests(problem: Problem, priced: Priced) -> float:
    """Requests per second of the candidate that serves most."""
    return max(one.tokens_per_s for one in priced.candidates) / problem.workload.osl


def _rate_limit(problem: Problem, priced: Priced) -> Limit:
    best = max(priced.candidates, key=lambda one: one.tokens_per_s)
    wanted, most = problem.workload.request_rate or 0.0, _most_requests(problem, priced)
    return Limit(
        name="request_rate", required=wanted, available=float(f"{most:.4g}"), unit="requests/s",
        message=(
            f"{wanted:g} requests/s are asked; the most found is {most:.4g} on {best.gpus} GPUs ({describe_strategy(best.strategy)}), whatever the latency"
        ),
    )  # fmt: skip


def _serving_limit(problem: Problem) -> Limit:
    """Pools fit, yet none may serve as asked: replicas that are fixed do not fit the cluster, or two pools need GPUs for both."""
    gpus, asked = problem.constraints.fix.gpus or problem.cluster.gpus, _asked(problem.constraints)
    if gpus > problem.cluster.gpus or problem.serving != "disaggregated":
        return Limit(
            name="CH007", required=problem.constraints.fix.gpus, available=problem.cluster.gpus, unit="GPUs",
            message=f"no number of replicas that fit memory gives {asked} on {problem.cluster.gpus} GPUs",
        )  # fmt: skip
    return Limit(
        name="serving", required=2, available=1, unit="pools",
        message=f"no two pools, one for each phase, fit on {gpus} GPUs with {asked}; one pool that serves both does",
    )  # fmt: skip


def _slo_limits(slo: Slo, priced: Priced) -> Iterator[Limit]:
    """Latency limits out of reach on their own, or else both together."""
    lowest = {name: min(priced.candidates, key=attrgetter(name)) for name in ("ttft_ms", "tpot_ms")}
    wanted = {"ttft_ms": slo.planned_ttft_ms, "tpot_ms": slo.planned_tpot_ms}
    alone = [name for name, one in lowest.items() if getattr(one, name) > wanted[name]]
    nearest = min(priced.candidates, key=lambda c: candidate_excess(slo, c))
    kept = f" (with {slo.headroom:.0%} of the limit kept free)" if slo.headroom else ""
    for name in alone or [n for n in lowest if math.isfinite(wanted[n])]:
        found = lowest[name] if name in alone else nearest
        label, best = name.removesuffix("_ms").upper(), getattr(found, name)
        text = f"{label} of {wanted[name]:g} ms is asked{kept}; the best found is {_told(best)} ms ({describe_strategy(found.strategy)})"
        together = "" if alone else ", with the other limit taken into account"
        yield Limit(name=name, required=wanted[name], available=round(best, 3), unit="ms", message=text + together)


def _told(ms: float) -> str:
    """Four digits of a number, or all those before the point."""
    return f"{ms:.4g}" if ms < 1000 else f"{ms:.0f}"


def _memory_limit(problem: Problem, priced: Priced) -> Limit:
    best = min(priced.misfits, key=lambda m: m.required_gb)
    fraction, _ = memory_fraction(problem.engine)
    usable = problem.cluster.gpu.memory_gb * fraction
    return Limit(
        name="memory", required=round(best.required_gb, 1), available=round(usable, 1), unit="GB",
        message=(
            f"one GPU would hold {best.required_gb:.1f} GB (weights, one sequence of {problem.workload.isl + problem.workload.osl} tokens, "
            f"buffers) at the widest split of {problem.cluster.gpus} GPUs ({describe(best.pool)}); {usable:.1f} GB of "
            f"{problem.cluster.gpu.memory_gb:.1f} GB may be used"
        ),
    )  # fmt: skip


def _legality_limits(problem: Problem) -> Iterator[Limit]:
    """No legal pool at all: the constraints or the shape of the cluster rule every one out."""
    fixed, model = problem.constraints.fix, problem.model
    pool = _asked_pool(problem)
    code = illegal(model, pool, problem.precision, problem.cluster, engine=problem.engine)
    if not _engine_runs(problem):
        yield _engine_limit(problem)
        return
    legal_tp = legal_tp_sizes(model, problem.cluster.gpus, engine=problem.engine)
    if fixed.tp_size is not None and fixed.tp_size not in legal_tp:
        heads = model.attention.num_heads
        cause = (
            f"does not divide {heads} attention heads" if heads % fixed.tp_size else "cannot split every weight evenly"
        )
        yield Limit(
            name="TP001" if heads % fixed.tp_size else code or "TP004", required=fixed.tp_size, available=None, unit="ranks",
            message=f"tp_size={fixed.tp_size} {cause} of {model.name}; legal values on {problem.cluster.gpus} GPUs: {_listed(legal_tp)}",
        )  # fmt: skip
    elif model.linear is not None and max(fixed.cp_size or 1, fixed.dcp_size or 1) > 1:
        name, size = ("cp_size", fixed.cp_size) if (fixed.cp_size or 1) > 1 else ("dcp_size", fixed.dcp_size)
        layers = len(model.linear_layers)
        yield Limit(
            name="AT012", required=size, available=1, unit="ranks",
            message=f"{name}={size}: {layers} layers of {model.name} pass a state from token to token, which no shard of the tokens can start from; legal values: 1",
        )  # fmt: skip
    elif model.moe is None and max(fixed.ep_size or 1, fixed.moe_tp_size or 1) > 1:
        name, size = ("ep_size", fixed.ep_size) if (fixed.ep_size or 1) > 1 else ("moe_tp_size", fixed.moe_tp_size)
        yield Limit(
            name="EP005", required=size, available=1, unit="ranks",
            message=f"{name}={size}: {model.name} is dense and has no experts to split; legal values: 1",
        )  # fmt: skip
    elif fixed.ep_size is not None and model.moe is not None and model.moe.num_experts % fixed.ep_size:
        legal_ep = legal_ep_sizes(model, problem.cluster.gpus)
        yield Limit(
            name=code or "EP005", required=fixed.ep_size, available=None, unit="ranks",
            message=f"ep_size={fixed.ep_size} does not divide {model.moe.num_experts} experts of {model.name}; legal values: {_listed(legal_ep)}",
        )  # fmt: skip
    else:
        yield Limit(
            name=code or "CH007", required=pool.world_size, available=problem.cluster.gpus, unit="GPUs",
            message=f"no legal strategy on {problem.cluster.gpus} GPUs has {_asked(problem.constraints)}; legal tp_size: {_listed(legal_tp)}",
        )  # fmt: skip


def _engine_runs(problem: Problem) -> bool:
    """Whether the engine, where one is named, runs on the accelerator, with the weights."""
    return problem.engine is None or problem.engine in able_on(problem.cluster.gpu, problem.precision.weights)


def _engine_limit(problem: Problem) -> Limit:
    assert problem.engine is not None
    gpu, row, weights = problem.cluster.gpu, capabilities(problem.engine), problem.precision.weights
    able = ", ".join(able_on(gpu, weights)) or "none that we know flags of"
    runs = runs_on(row, gpu)
    lacking = f"has no kernels for {weights} weights on" if runs else "does not run on"
    text = f"{row.title} {row.version} {lacking} {gpu.name} ({gpu.arch}); engines that do: {able}"
    return Limit(name="EN022" if runs else "EN019", required=None, available=None, unit="", message=text)


def _asked_pool(problem: Problem) -> Pool:
    """The pool that the fixed degrees describe, to ask the predicates what is wrong with it."""
    fixed, model = problem.constraints.fix, problem.model
    attention = AttentionMesh(dp_size=fixed.dp_size or 1, tp_size=fixed.tp_size or 1)
    pp_size = min(fixed.pp_size or 1, model.num_layers)
    bounds = [model.num_layers * i // pp_size for i in range(pp_size + 1)]
    experts = None
    if model.moe is not None:
        ep_size = fixed.ep_size or 1
        experts = ExpertMesh(ep_size=ep_size, tp_size=fixed.moe_tp_size or max(1, attention.width // ep_size))
    stages = tuple(pairwise(bounds))
    return Pool(pp_size=pp_size, stages=stages, attention=attention, experts=experts, replicas=fixed.replicas or 1)


def _asked(constraints: Constraints) -> str:
    fixed = [f"{name}={value}" for name, value in constraints.fix.model_dump(exclude_none=True).items()]
    return " and ".join([*fixed, *(f"no {name}" for name in constraints.forbid)]) or "all its degrees legal"


def _listed(values: list[int]) -> str:
    return ", ".join(map(str, values)) or "none"


def _kinds_of_change(problem: Problem, priced: Priced, plan: Planned) -> list[Iterator[Patch]]:
    """Changes worth trying, a list for each kind, smallest first: as a patch of the request, in words, and applied."""
    if priced.candidates and _rate_is_short(problem, priced):
        return [
            _lower_rate(problem, priced),
            fewer_bytes(problem),
            more_gpus(problem, MAX_HOSTS * problem.cluster.gpu.gpus_per_host),
        ]
    if priced.candidates:
        return [
            _less_headroom(problem, priced),
            _relaxed_limits(problem, priced),
            _lower_load(problem, plan),
            fewer_bytes(problem),
            more_gpus(problem, 4 * problem.cluster.gpus),
        ]
    if priced.fitting:
        return [_any_serving(problem), more_gpus(problem, 4 * problem.cluster.gpus), *_free_degrees(problem)]
    if priced.misfits:
        return [
            fewer_bytes(problem),
            more_gpus(problem, MAX_HOSTS * problem.cluster.gpu.gpus_per_host),
            _shorter(problem, plan),
        ]
    return _free_degrees(problem)


def _free_degrees(problem: Problem) -> list[Iterator[Patch]]:
    if not _engine_runs(problem):
        return [_other_engine(problem)]
    return [_nearest_degrees(problem), _freed_degrees(problem), _allowed_again(problem)]


def _other_engine(problem: Problem) -> Iterator[Patch]:
    """An engine that runs on the accelerator with the weights, else none."""
    for engine in (*able_on(problem.cluster.gpu, problem.precision.weights), None):
        told = "name no engine" if engine is None else f"serve with {engine}"
        yield {"engine": engine}, told, problem.model_copy(update={"engine": engine})


def _any_serving(problem: Problem) -> Iterator[Patch]:
    """One pool for both phases."""
    yield (
        {"serving": "colocated"},
        "serve both phases from one pool",
        problem.model_copy(update={"serving": "colocated"}),
    )


def _lower_rate(problem: Problem, priced: Priced) -> Iterator[Patch]:
    """As many requests per second as were found to be served within the limits, or nearly."""
    most = _most_requests(problem, priced)
    for share in (1.0, 0.5, 0.25, 0.1):
        rate = _rounded_down(most * share)
        yield _with_workload(problem, "request_rate", rate, f"send {rate:g} requests a second")


def _less_headroom(problem: Problem, priced: Priced) -> Iterator[Patch]:
    """As much of the limits kept free as the nearest candidate leaves, where the limits themselves can be met."""
    slo = problem.slo
    used = min(candidate_excess(slo, c) for c in priced.candidates) * slo.kept
    if slo.headroom and used < 1:
        left = math.floor((1 - used) * 100) / 100
        changed = problem.model_copy(update={"slo": slo.model_copy(update={"headroom": left})})
        yield {"slo": {"headroom": left}}, f"keep {left:.0%} of the limits free", changed


def _relaxed_limits(problem: Problem, priced: Priced) -> Iterator[Patch]:
    slo = problem.slo
    nearest = min(_carrying(problem, priced), key=lambda c: candidate_excess(slo, c))
    relaxed: dict[str, float] = {}
    for name, limit in (("ttft_ms", slo.planned_ttft_ms), ("tpot_ms", slo.planned_tpot_ms)):
        reached = getattr(nearest, name)
        if reached > limit:
            relaxed[name] = _rounded_up(reached * ROOM / slo.kept)
    if not relaxed:
        return
    changed = problem.model_copy(update={"slo": slo.model_copy(update=relaxed)})
    text = " and ".join(
        f"allow a {name.removesuffix('_ms').upper()} of {value:g} ms" for name, value in relaxed.items()
    )
    yield {"slo": relaxed}, text, changed


def _lower_load(problem: Problem, plan: Planned) -> Iterator[Patch]:
    """Fewer requests in flight, where the request states how many."""
    stated = problem.workload.concurrency
    if stated is not None:
        yield from _most(
            stated, 1, lambda n: _with_workload(problem, "concurrency", n, f"send {n} requests at a time"), plan
        )


def _most(stated: int, least: int, patch: Callable[[int], Patch], plan: Planned) -> Iterator[Patch]:
    """The patch with the highest value below `stated` for which there is a plan: by halving down to `least`, then by bisection."""
    low = high = stated
    while low > least and (low == high or plan(patch(low)[2]) is None):
        low, high = max(least, low // 2), low
    for _ in range(BISECTIONS):
        middle = (low + high) // 2
        if middle == low:
            break
        low, high = (middle, high) if plan(patch(middle)[2]) is not None else (low, middle)
    if low < stated:
        yield patch(low)


def _with_workload(problem: Problem, name: str, value: float, message: str) -> Patch:
    load = problem.workload.model_copy(update={name: value})
    return {"workload": {name: value}}, message, problem.model_copy(update={"workload": load})


def _rounded_down(value: float) -> float:
    """Down to two significant digits."""
    step = 10 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.floor(value / step + 1e-9) * step:.6g}")


def _rounded_up(value: float) -> float:
    """Up to two significant digits."""
    step = 10 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step) * step:.6g}")


def _nearest_degrees(problem: Problem) -> Iterator[Patch]:
    """The nearest legal degree in place of a fixed one."""
    model, gpus = problem.model, problem.cluster.gpus
    legal = {
        "tp_size": legal_tp_sizes(model, gpus, engine=problem.engine),
        "ep_size": legal_ep_sizes(model, gpus),
        "pp_size": divisors(gpus),
    }
    for name, value in problem.constraints.fix.model_dump(exclude_none=True).items():
        for other in sorted(legal.get(name, []), key=lambda n: (abs(n - value), n)):
            yield _with_degree(problem, name, other, f"fix {name}={other} instead of {value}")


def _freed_degrees(problem: Problem) -> Iterator[Patch]:
    """One fixed degree left free."""
    for name in problem.constraints.fix.model_dump(exclude_none=True):
        yield _with_degree(problem, name, None, f"leave {name} free")


def _with_degree(problem: Problem, name: str, value: int | None, message: str) -> Patch:
    constraints = problem.constraints
    fixed = FixedDegrees.model_validate({**constraints.fix.model_dump(), name: value})
    changed = problem.model_copy(update={"constraints": constraints.model_copy(update={"fix": fixed})})
    return {"constraints": {"fix": {name: value}}}, message, changed


def _allowed_again(problem: Problem) -> Iterator[Patch]:
    """One forbidden kind of parallelism allowed."""
    constraints = problem.constraints
    for name in constraints.forbid:
        rest = tuple(f for f in constraints.forbid if f != name)
        changed = problem.model_copy(update={"constraints": constraints.model_copy(update={"forbid": rest})})
        yield {"constraints": {"forbid": list(rest)}}, f"allow {name}", changed


def _shorter(problem: Problem, plan: Planned) -> Iterator[Patch]:
    """Shorter prompts, where the cache of one sequence is what does not fit."""
    isl = problem.workload.isl
    if isl > MIN_ISL:
        yield from _most(isl, MIN_ISL, lambda n: _with_workload(problem, "isl", n, f"send prompts of {n} tokens"), plan)


def fewer_bytes(problem: Problem) -> Iterator[Patch]:
    """Smaller weights, where the device computes with them."""
    formats: tuple[Dtype, ...] = ("fp8", "nvfp4")
    for dtype in formats:
        smaller = element_bytes(dtype) < element_bytes(problem.precision.weights)
        if smaller and problem.cluster.gpu.tflops(dtype) is not None:
            precision = problem.precision.model_copy(update={"weights": dtype})
            yield (
                {"precision": {"weights": dtype}},
                f"serve {dtype} weights",
                problem.model_copy(update={"precision": precision}),
            )


def more_gpus(problem: Problem, most: int) -> Iterator[Patch]:
    """More GPUs on the host, then more hosts, up to `most` GPUs."""
    cluster = problem.cluster
    full = cluster.gpu.gpus_per_host
    per_host = cluster.gpus_per_host
    while per_host < full:
        per_host = min(full, 2 * per_host)
        yield _with_cluster(problem, per_host, cluster.hosts)
    hosts = cluster.hosts
    while hosts * full < most and hosts < MAX_DEGREE:
        hosts = min(MAX_DEGREE, hosts + 1 if hosts < 4 else 2 * hosts)
        yield _with_cluster(problem, max(full, cluster.gpus_per_host), hosts)


def _with_cluster(problem: Problem, gpus_per_host: int, hosts: int) -> Patch:
    cluster = Cluster(gpu=problem.cluster.gpu, gpus_per_host=gpus_per_host, hosts=hosts)
    changed = problem.model_copy(update={"cluster": cluster})
    change = {"cluster": {"gpus_per_host": gpus_per_host, "hosts": hosts}}
    return change, f"use {cluster.gpus} GPUs ({hosts} x {gpus_per_host} {cluster.gpu.name})", changed
