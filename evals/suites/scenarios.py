"""Scenarios: real requests on real clusters, from JSON and from text, feasible and not; public deployments and a peer's cases as requests."""

from collections.abc import Iterator, Sequence
from itertools import islice
from math import log2
from pathlib import Path
from typing import Any

import yaml

from agent.deps import Deps
from agent.graph import run
from evals.exhaustive import cost_of, exhaustive, strategies
from evals.settings import deps_for
from evals.suite import Sample, Score, Suite, measure
from evals.suites.recipes import deployed, gpus_of, pool_of_facts, request_of, rows
from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.build import build
from strategy.cost import estimate
from strategy.request import Problem, Request
from strategy.result import Estimate, Result
from strategy.strategy import Strategy, describe_strategy
from validators.validate import validate

DATA = Path(__file__).parent.parent / "data"
TOP = 5
"""Plans of ours, the best and its alternatives, among which a recipe is looked for."""
MOST_PRICED, MOST_GPUS = 100, 16
"""Strategies and GPUs of a request that is compared with every strategy there is."""
PEER_SLO = {"ttft_ms": 1000, "tpot_ms": 40}
PEER_TRAFFIC = {"isl": 4000, "osl": 1000}
Json = dict[str, Any]


# --- samples --------------------------------------------------------------------------------------------------------------------------


def samples() -> Sequence[Sample]:
    """The cases of `scenarios.yaml`, then those of the peer, then requests that `recipes.yaml` answers."""
    cases = _read("scenarios.yaml")
    written = [Sample(case["id"], case.get("text") or case["request"], case["expect"]) for case in cases]
    return [*written, *map(_peer_sample, _read("peer_cases.yaml")), *_recipe_samples()]


def _read(name: str) -> list[Json]:
    found: list[Json] = yaml.safe_load((DATA / name).read_text(encoding="utf-8"))
    return found


def _peer_sample(case: Json) -> Sample:
    cluster = {"gpu": case["gpu"], "gpus_per_host": 8, "hosts": case["gpus"] // 8}
    request = {
        "model": case["model"],
        "cluster": cluster,
        "workload": PEER_TRAFFIC,
        "slo": case.get("slo", PEER_SLO),
        "engine": case.get("engine"),
    }
    peer = {"pools": [pool_of_facts(pool) for pool in case["pools"]], **case["says"], "wall_s": case["wall_s"]}
    return Sample(f"peer-{case['id']}", request, {"status": "valid", "peer": peer})


def _recipe_samples() -> Iterator[Sample]:
    """One request for each model, GPU and size of cluster; its recipes are all the deployments that were published for that request."""
    published: dict[str, list[list[Json]]] = {}
    first: dict[tuple[str, str, int], Json] = {}
    for row in rows():
        published.setdefault(repr(request_of(row)), []).append(row["pools"])
        first.setdefault((row["model"], row["gpu"], gpus_of(row)), row)
    for row in first.values():
        request = request_of(row)
        target = {"status": "valid", "recipes": published[repr(request)]}
        yield Sample(f"recipe-{row['id']}", request, target)


# --- solving --------------------------------------------------------------------------------------------------------------------------


async def solve(sample: Sample, proposer: str) -> Json:
    """Run the loop on a request or a text, then judge and price what it gave once more, outside the loop.

    Every change that an infeasible result offers is planned as well.
    """
    deps = deps_for(proposer)
    asked = sample.input if isinstance(sample.input, str) else Request.model_validate(sample.input)
    result = await run(asked, deps)
    nearest = result.infeasible.nearest if result.infeasible else ()
    return {
        "summary": summary(result),
        "result": result.model_dump(mode="json", exclude={"dag", "explanation"}),
        "dag": result.dag.model_dump(mode="json") if result.dag else None,
        "findings": [finding.model_dump(mode="json") for finding in result.report.errors],
        "usage": result.usage.model_dump(mode="json"),
        "judged": _judged(result),
        "changes": [await _after(result, change.change, deps) for change in nearest],
        **_beside_all(result),
        **_beside_peer(sample, result),
    }


def _beside_all(result: Result) -> Json:
    """What the plan costs beside the best of every strategy there is; nothing where those are many or the question is open."""
    if result.request is None or result.strategy is None or result.estimate is None:
        return {}
    problem = resolve(result.request).problem
    if not _closed(problem) or len(list(islice(strategies(problem), MOST_PRICED + 1))) > MOST_PRICED:
        return {}
    best = exhaustive(problem, calibration())
    if best.strategy is None:
        return {}
    return {
        "cost": cost_of(problem, result.estimate),
        "best": best.cost,
        "best_strategy": describe_strategy(best.strategy),
        "priced": best.priced,
    }


def _closed(problem: Problem) -> bool:
    """Whether a limit or a load is given, so that there is one best answer, on a cluster that can be gone through."""
    asked = (problem.slo.ttft_ms, problem.slo.tpot_ms, problem.workload.concurrency, problem.workload.request_rate)
    return any(asked) and problem.serving != "disaggregated" and problem.cluster.gpus <= MOST_GPUS


def _judged(result: Result) -> Json | None:
    """Verdict and price of the DAG by themselves; None where there is no DAG."""
    if result.dag is None or result.request is None or result.estimate is None:
        return None
    problem = resolve(result.request).problem
    verdict = validate(result.dag, problem.model, problem)
    priced = estimate(result.dag, problem, calibration(), concurrency=result.estimate.concurrency)
    errors = [finding.code for finding in verdict.errors]
    return {
        "proved": verdict.valid,
        "errors": errors,
        "estimate": priced.model_dump(mode="json", exclude={"breakdown"}),
    }


async def _after(result: Result, change: Json, deps: Deps) -> str:
    """Status of the request with a change merged in."""
    assert result.request is not None
    changed = merge(result.request.model_dump(mode="json", exclude_unset=True), change)
    return (await run(Request.model_validate(changed), deps)).status


def merge(request: Json, change: Json) -> Json:
    """A request with a patch merged into it, mapping by mapping."""
    merged = dict(request)
    for key, value in change.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def summary(result: Result) -> str:
    """The outcome in a line."""
    if result.strategy is not None and result.estimate is not None:
        found = result.estimate
        return f"{result.status}: {describe_strategy(result.strategy)}; TTFT {found.ttft_ms:.0f} ms, TPOT {found.tpot_ms:.1f} ms"
    limits = ", ".join(limit.name for limit in result.infeasible.limits) if result.infeasible else result.question or ""
    return f"{result.status}: {limits}"


def _beside_peer(sample: Sample, result: Result) -> Json:
    """Our plan beside the peer's, and the peer's plan at our price, as facts."""
    peer = sample.target.get("peer")
    if peer is None or result.request is None or result.strategy is None or result.estimate is None:
        return {}
    problem = resolve(result.request).problem
    strategy = deployed(peer["pools"], problem)
    priced = estimate(build(problem.model, strategy), problem, calibration())
    ours = result.estimate.tokens_per_s_per_gpu * result.estimate.gpus / problem.cluster.gpus
    facts = {
        "our plan": describe_strategy(result.strategy),
        "ours, tokens/s/GPU": f"{ours:.0f}",
        "peer's plan": describe_strategy(strategy),
        "at our price": _told(priced, problem, strategy),
        "peer says": f"{peer['tokens']:.0f}",
        "peer took": f"{peer['wall_s']:.0f} s",
    }
    return {"facts": facts, "peer_price": _deployment_rate(priced, problem, strategy), "our_price": ours}


def _deployment_rate(priced: Estimate, problem: Problem, strategy: Strategy) -> float | None:
    """Output tokens/s over every GPU of the cluster, the idle ones too; None when it misses a limit."""
    slo = problem.slo
    late = priced.ttft_ms > (slo.ttft_ms or float("inf")) or priced.tpot_ms > (slo.tpot_ms or float("inf"))
    return None if late else priced.tokens_per_s_per_gpu * strategy.world_size / problem.cluster.gpus


def _told(priced: Estimate, problem: Problem, strategy: Strategy) -> str:
    rate = _deployment_rate(priced, problem, strategy)
    return f"TTFT {priced.ttft_ms:.0f}, TPOT {priced.tpot_ms:.0f}: over" if rate is None else f"{rate:.0f}"


# --- scorers --------------------------------------------------------------------------------------------------------------------------


def _result(output: Json) -> Json:
    found: Json = output["result"]
    return found


def _answered(output: Json) -> bool:
    """Whether the result claims to be a plan."""
    return bool(_result(output)["status"] == "valid")


def status(sample: Sample, output: Json) -> Score:
    """The result has the status that the sample calls for."""
    wanted, found = sample.target["status"], _result(output)["status"]
    return Score("status", float(wanted == found), f"expected {wanted}, got {found}")


def proved(_sample: Sample, output: Json) -> Score | None:
    """What is called valid is so when it is judged again: no error finding, and the proof passes."""
    if not _answered(output):
        return None
    judged = output["judged"] or {"proved": False, "errors": ["no DAG"]}
    return Score("proved", float(judged["proved"]), f"errors {judged['errors']}, proved {judged['proved']}")


def slo_met(_sample: Sample, output: Json) -> Score | None:
    """A valid result meets the limits of its request by the price of its DAG."""
    if not _answered(output):
        return None
    slo, price = _result(output)["request"].get("slo") or {}, _price(output)
    over = [name for name in ("ttft_ms", "tpot_ms") if slo.get(name) and price.get(name, 1e12) > slo[name] * 1.0001]
    return Score("slo_met", float(not over), f"over: {', '.join(over)}")


def memory_fits(_sample: Sample, output: Json) -> Score | None:
    """A valid result fits the memory of its fullest GPU."""
    if not _answered(output):
        return None
    memory = _price(output).get("memory_gb", {"total": 1.0, "capacity": 0.0})
    fits = memory["total"] <= memory["capacity"]
    return Score("memory_fits", float(fits), f"{memory['total']:.1f} of {memory['capacity']:.1f} GB")


def _price(output: Json) -> Json:
    found: Json = (output["judged"] or {}).get("estimate") or {}
    return found


def binding_limit(sample: Sample, output: Json) -> Score | None:
    """An infeasible result names the limit that binds."""
    if "limit" not in sample.target:
        return None
    infeasible = _result(output)["infeasible"] or {"limits": []}
    names = [limit["name"] for limit in infeasible["limits"]]
    wanted = sample.target["limit"]
    return Score("binding_limit", float(wanted in names), f"expected {wanted}, got {names}")


def changes_hold(sample: Sample, output: Json) -> Score | None:
    """An infeasible result offers a change, and planning every change it offers gives a valid result."""
    if sample.target["status"] != "infeasible":
        return None
    outcomes = output["changes"]
    return Score("changes_hold", float(bool(outcomes) and set(outcomes) == {"valid"}), f"after the changes: {outcomes}")


def as_asked(sample: Sample, output: Json) -> Score | None:
    """Degrees, GPUs and pools that the request decides are those of the strategy."""
    wanted = {
        **sample.target.get("degrees", {}),
        **{k: sample.target[k] for k in ("gpus", "pools") if k in sample.target},
    }
    if not wanted or not _answered(output):
        return None
    pools = _result(output)["strategy"]["pools"]
    found = {**_degrees(pools[0]), "gpus": _price(output).get("gpus"), "pools": len(pools)}
    wrong = {name: found[name] for name, value in wanted.items() if found[name] != value}
    return Score("as_asked", float(not wrong), f"expected {wanted}, got {wrong}")


def _degrees(pool: Json) -> dict[str, int]:
    experts = pool["experts"] or {"ep_size": 1}
    return {
        **pool["attention"],
        "pp_size": pool["pp_size"],
        "ep_size": experts["ep_size"],
        "replicas": pool["replicas"],
    }


def recipe_in_top5(sample: Sample, output: Json) -> Score | None:
    """Whether one of our five best is what was deployed, replicas apart. A published plan is evidence, not truth: nothing depends on it."""
    distances = _distances(sample, output)
    return None if distances is None else measure("recipe_in_top5", float(min(distances) == 0), better="higher")


def recipe_distance(sample: Sample, output: Json) -> Score | None:
    """Doublings and halvings of degrees from the nearest of our five best to the nearest recipe."""
    distances = _distances(sample, output)
    return None if distances is None else measure("recipe_distance", min(distances), better="lower", unit="doublings")


def _distances(sample: Sample, output: Json) -> list[float] | None:
    recipes = sample.target.get("recipes")
    if not recipes or not _answered(output):
        return None
    result = _result(output)
    ours = [result["strategy"], *(one["strategy"] for one in result["alternatives"])][:TOP]
    return [distance(plan["pools"], recipe) for plan in ours for recipe in recipes]


def distance(pools: list[Json], recipe: list[Json]) -> float:
    """Doublings between the degrees of two plans, pool by pool; a pool more or less counts four."""
    apart = 4.0 * abs(len(pools) - len(recipe))
    for pool, other in zip(pools, recipe, strict=False):
        ours = _degrees(pool)
        pairs = [(ours["tp_size"], other["tp"]), (ours["dp_size"], other["dp"])]
        pairs += [(ours["pp_size"], other.get("pp", 1)), (ours["ep_size"], other["ep"])]
        apart += sum(abs(log2(one / two)) for one, two in pairs)
    return apart


def regret(_sample: Sample, output: Json) -> Score | None:
    """How much worse than the best of all strategies the plan is; below zero where two pools or another load do better than any one pool."""
    if "best" not in output or not _answered(output):
        return None
    lost = (output["cost"] - output["best"]) / abs(output["best"])
    return measure(
        "regret", lost, better="lower", unit="share", detail=f"best of {output['priced']}: {output['best_strategy']}"
    )


def beside_peer(_sample: Sample, output: Json) -> Score | None:
    """Our plan's throughput over that of the peer's plan, both at our price; nothing where the peer's plan misses a limit at our price."""
    if not output.get("peer_price"):
        return None
    ratio = log2(output["our_price"] / output["peer_price"])
    return measure("beside_peer", ratio, better="higher", unit="doublings")


def ttft_ms(_sample: Sample, output: Json) -> Score | None:
    """The price, so that a move of the cost model shows."""
    return measure("ttft_ms", _price(output)["ttft_ms"], better="same", unit="ms") if _price(output) else None


def tpot_ms(_sample: Sample, output: Json) -> Score | None:
    """The price, so that a move of the cost model shows."""
    return measure("tpot_ms", _price(output)["tpot_ms"], better="same", unit="ms") if _price(output) else None


def tokens_per_s_per_gpu(_sample: Sample, output: Json) -> Score | None:
    """The price, so that a move of the cost model shows."""
    price = _price(output)
    rate = price.get("tokens_per_s_per_gpu")
    return measure("tokens_per_s_per_gpu", rate, better="same", unit="tokens/s") if rate is not None else None


SCENARIOS = Suite(
    name="scenarios",
    about="real requests on real clusters, planned end to end",
    samples=samples,
    solve=solve,
    scorers=(
        status,
        proved,
        slo_met,
        memory_fits,
        binding_limit,
        changes_hold,
        as_asked,
        recipe_in_top5,
        recipe_distance,
        regret,
        beside_peer,
        ttft_ms,
        tpot_ms,
        tokens_per_s_per_gpu,
    ),
)
