"""Exports: public deployments written for their engine and its orchestrators, and read back. The files must start exactly the plan."""

from collections.abc import Iterable, Sequence
from typing import Any

from evals.suite import Sample, Score, Suite, measure
from evals.suites.recipes import deployed, request_of
from evals.suites.recipes import samples as recipes
from knowledge.resolve import resolve
from strategy.build import build
from strategy.capabilities import Target, capabilities
from strategy.errors import InputError
from strategy.export import FORMATS, Artifact, Plan
from strategy.export.express import Host, nearest
from strategy.request import Engine, Problem, Request
from strategy.strategy import Strategy, describe_strategy
from validators.artifacts import check_artifacts

TARGETS: dict[Engine, tuple[Target, ...]] = {
    "vllm": ("vllm", "ray", "dynamo", "llm-d"),
    "sglang": ("sglang", "dynamo"),
    "trtllm": ("trtllm", "dynamo"),
}
"""What a deployment on an engine is written for."""
Json = dict[str, Any]


def samples() -> Sequence[Sample]:
    """The deployments of `recipes.yaml` that name an engine, those of one shape once."""
    found: dict[str, Sample] = {}
    for sample in recipes():
        row = sample.input
        if row["engine"] in TARGETS:
            kept = {key: row[key] for key in ("model", "gpu", "weights", "engine", "pools")}
            found.setdefault(repr(kept), Sample(sample.id, row))
    return list(found.values())


async def solve(sample: Sample, _proposer: str) -> Json:
    """Write every target, and compare what the files would start with the plan."""
    row = sample.input
    asked = {
        **request_of(row),
        "precision": {},
    }  # as the checkpoint ships: no engine turns one checkpoint into any other
    problem = resolve(Request.model_validate(asked)).problem
    plan = Plan(build(problem.model, _expressible(row, problem)), problem.model, problem)
    told = {target: _written(target, plan, row["engine"]) for target in TARGETS[row["engine"]]}
    findings = [finding for one in told.values() for finding in one["findings"]]
    return {
        "summary": f"{describe_strategy(plan.dag.strategy)} for {', '.join(name for name, one in told.items() if one['files'])}",
        "targets": told,
        "findings": findings,
    }


def _expressible(row: Json, problem: Problem) -> Strategy:
    """The deployment with the lowerings that its engine has (the publications state degrees only); as it is where there are none."""
    strategy = deployed(row["pools"], problem)
    host = Host(problem.cluster.gpus_per_host)
    return nearest(capabilities(row["engine"]), problem.model, strategy, host) or strategy


def _written(target: Target, plan: Plan, engine: Engine) -> Json:
    """Files and what is wrong with them, or why there are none."""
    try:
        files = FORMATS[target].write(plan)
    except InputError as error:
        return {"files": 0, "options": 0, "findings": [], "refused": str(error)}
    moe = plan.model.moe
    experts = moe.num_experts if moe else None
    found = check_artifacts(target, files, plan.dag.strategy, engine=engine, num_experts=experts)
    told = [finding.model_dump(mode="json") for finding in found]
    return {"files": len(files), "options": _options(files), "findings": told, "refused": ""}


def _options(files: Iterable[Artifact]) -> int:
    """Flags and keys that the files state."""
    return sum(line.strip().startswith("-") or ": " in line for file in files for line in file.text.splitlines())


def reads_back(_sample: Sample, output: Json) -> Score:
    """What is written starts exactly the plan."""
    wrong = [f"{name}: {f['code']} {f['message']}" for name, one in output["targets"].items() for f in one["findings"]]
    return Score("reads_back", float(not wrong), "; ".join(wrong))


def written(_sample: Sample, output: Json) -> Score:
    """Share of the targets that can express the deployment."""
    told = output["targets"]
    refused = "; ".join(f"{name}: {one['refused']}" for name, one in told.items() if one["refused"])
    return measure(
        "written",
        sum(one["files"] > 0 for one in told.values()) / len(told),
        better="higher",
        unit="share",
        detail=refused,
    )


def options(_sample: Sample, output: Json) -> Score:
    """How much the files state; a flag that falls away or comes along is to be looked at."""
    return measure("options", sum(one["options"] for one in output["targets"].values()), better="same", unit="options")


EXPORTS = Suite(
    name="exports",
    about="deploy files of public deployments start exactly the plan",
    samples=samples,
    solve=solve,
    scorers=(reads_back, written, options),
)
