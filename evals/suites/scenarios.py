"""Scenarios: real requests on real clusters, from JSON and from text, feasible and not."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from agent.deps import default_deps
from agent.graph import run
from evals.settings import llm_for
from evals.suite import Sample, Score, Suite
from strategy.request import Request
from strategy.result import Result
from strategy.strategy import describe

DATA = Path(__file__).parent.parent / "data" / "scenarios.yaml"


def samples() -> Sequence[Sample]:
    """The cases of `scenarios.yaml`."""
    cases = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    return [Sample(case["id"], case.get("text") or case["request"], case["expect"]) for case in cases]


async def solve(sample: Sample, proposer: str) -> dict[str, Any]:
    """Run the loop on a request or a text; every change that an infeasible result offers is planned as well."""
    deps = default_deps(llm_for(proposer))
    asked = sample.input if isinstance(sample.input, str) else Request.model_validate(sample.input)
    result = await run(asked, deps)
    changes = [
        await _after(result, change.change, proposer)
        for change in (result.infeasible.nearest if result.infeasible else ())
    ]
    return {"summary": summary(result), "result": result.model_dump(mode="json", exclude={"dag"}), "changes": changes}


async def _after(result: Result, change: dict[str, Any], proposer: str) -> str:
    """Status of the request with a change merged in."""
    assert result.request is not None
    changed = merge(result.request.model_dump(mode="json", exclude_unset=True), change)
    return (await run(Request.model_validate(changed), default_deps(llm_for(proposer)))).status


def merge(request: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A request with a patch merged into it, mapping by mapping."""
    merged = dict(request)
    for key, value in change.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def summary(result: Result) -> str:
    """The outcome in a line."""
    if result.strategy is not None and result.estimate is not None:
        pools = ", ".join(describe(pool) for pool in result.strategy.pools)
        return f"{result.status}: {pools}; TTFT {result.estimate.ttft_ms:.0f} ms, TPOT {result.estimate.tpot_ms:.1f} ms"
    limits = ", ".join(limit.name for limit in result.infeasible.limits) if result.infeasible else result.question or ""
    return f"{result.status}: {limits}"


def _result(output: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = output["result"]
    return found


def status(sample: Sample, output: dict[str, Any]) -> Score:
    """The result has the status that the sample calls for."""
    wanted, found = sample.target["status"], _result(output)["status"]
    return Score("status", float(wanted == found), f"expected {wanted}, got {found}")


def proved(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """A valid result carries a proof that passed and no error finding."""
    result = _result(output)
    if result["status"] != "valid":
        return None
    errors = [finding["code"] for finding in result["report"]["findings"] if finding["severity"] == "error"]
    passed = bool(result["proof"] and result["proof"]["passed"]) and not errors
    return Score("proved", float(passed), f"proof {json.dumps(result['proof'])}, errors {errors}")


def within_limits(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """A valid result meets its own SLO by its own estimate and fits the memory."""
    result = _result(output)
    if result["status"] != "valid":
        return None
    slo, estimate = result["request"].get("slo") or {}, result["estimate"]
    over = [name for name in ("ttft_ms", "tpot_ms") if slo.get(name) and estimate[name] > slo[name] * 1.0001]
    if estimate["memory_gb"]["total"] > estimate["memory_gb"]["capacity"]:
        over.append("memory")
    return Score("within_limits", float(not over), f"over: {', '.join(over)}")


def binding_limit(sample: Sample, output: dict[str, Any]) -> Score | None:
    """An infeasible result names the limit that binds."""
    if "limit" not in sample.target:
        return None
    infeasible = _result(output)["infeasible"] or {"limits": []}
    names = [limit["name"] for limit in infeasible["limits"]]
    return Score(
        "binding_limit", float(sample.target["limit"] in names), f"expected {sample.target['limit']}, got {names}"
    )


def changes_hold(sample: Sample, output: dict[str, Any]) -> Score | None:
    """An infeasible result offers a change, and planning every change it offers gives a valid result."""
    if sample.target["status"] != "infeasible":
        return None
    outcomes = output["changes"]
    return Score("changes_hold", float(bool(outcomes) and set(outcomes) == {"valid"}), f"after the changes: {outcomes}")


def degrees(sample: Sample, output: dict[str, Any]) -> Score | None:
    """Degrees that the request fixed are in the strategy."""
    wanted = sample.target.get("degrees")
    if not wanted:
        return None
    pool = _result(output)["strategy"]["pools"][0]
    flat = {"tp_size": pool["attention"]["tp_size"], "pp_size": pool["pp_size"], "replicas": pool["replicas"]}
    wrong = {name: flat[name] for name, value in wanted.items() if flat[name] != value}
    return Score("degrees", float(not wrong), f"expected {wanted}, got {wrong}")


SCENARIOS = Suite(
    name="scenarios",
    about="real requests on real clusters",
    samples=samples,
    solve=solve,
    scorers=(status, proved, within_limits, binding_limit, changes_hold, degrees),
)
