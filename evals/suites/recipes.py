"""Recipes: public deployments that state their strategy. None of them may be refused; each is executed as well."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import yaml

from evals.suite import Sample, Score, Suite
from knowledge.resolve import resolve
from strategy.build import build
from strategy.legality import even_stages
from strategy.request import Engine, Problem, Request
from strategy.strategy import AttentionMesh, ExpertMesh, Phase, Pool, Strategy, describe_strategy
from validators.validate import validate

DATA = Path(__file__).parent.parent / "data" / "recipes.yaml"
UNSTATED = {"isl": 1024, "osl": 1024}
"""Traffic of a deployment that states none."""


def samples() -> Sequence[Sample]:
    """The deployments of `recipes.yaml`, one that was run at several loads once."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows():
        kept = {key: value for key, value in row.items() if key not in ("id", "concurrency")}
        found.setdefault(repr(kept), row)
    return [Sample(row["id"], row) for row in found.values()]


def rows() -> list[dict[str, Any]]:
    """`recipes.yaml` as it is written."""
    found: list[dict[str, Any]] = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    return found


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Build the deployment's canonical DAG, judge it against its own cluster, and prove it."""
    row = sample.input
    problem = resolve(Request.model_validate(request_of(row))).problem
    strategy = deployed(row["pools"], problem)
    dag = build(problem.model, strategy)
    verdict = validate(dag, problem.model, problem)
    return {
        "summary": f"{row['model']} on {strategy.world_size} {row['gpu']}: {describe_strategy(strategy)}",
        "errors": [f"{finding.code} {finding.message}" for finding in verdict.errors],
        "warnings": sorted({finding.code for finding in verdict.findings if finding.severity == "warning"}),
        "proved": bool(verdict.proof and verdict.proof.passed),
        "findings": [finding.model_dump(mode="json") for finding in verdict.errors],
        "dag": dag.model_dump(mode="json"),
    }


def deployed(pools: list[dict[str, Any]], problem: Problem) -> Strategy:
    """Published pools (one, or prefill and decode) as a strategy for `problem`."""
    found = tuple(_fitted(_pool(pools, index, problem), problem) for index in range(len(pools)))
    return Strategy(pools=found)


def _fitted(pool: Pool, problem: Problem) -> Pool:
    """The pool on this model: stages as the engine lays them out, no expert mesh for a dense one."""
    stages = even_stages(problem.model.num_layers, pool.pp_size, problem.engine)
    return pool.model_copy(update={"stages": stages, **({"experts": None} if problem.model.moe is None else {})})


def request_of(row: dict[str, Any]) -> dict[str, Any]:
    """The request that a deployment answers: its model, GPUs, traffic, precision and engine."""
    world = gpus_of(row)
    per_host = 4 if row["gpu"].startswith("gb") else 8
    cluster = {"gpu": row["gpu"], "gpus_per_host": min(per_host, world), "hosts": ceil(world / per_host)}
    return {
        "model": row["model"],
        "cluster": cluster,
        "workload": {**UNSTATED, **{key: row[key] for key in ("isl", "osl", "concurrency") if key in row}},
        "precision": {"weights": row["weights"]} if row["weights"] else {},
        "engine": row["engine"],
    }


def gpus_of(row: dict[str, Any]) -> int:
    """GPUs of a deployment."""
    return sum(pool["workers"] * pool["tp"] * pool["dp"] * pool.get("pp", 1) for pool in row["pools"])


def pool_of_facts(pool: dict[str, Any]) -> dict[str, Any]:
    """A pool of another table (degrees of one left out) as `recipes.yaml` has it."""
    degrees = {name: pool.get(name, 1) for name in ("tp", "dp", "ep", "pp")}
    return {"workers": pool["replicas"], **degrees, "redundant": 0}


def _pool(pools: list[dict[str, Any]], index: int, problem: Problem) -> Pool:
    """One published pool on our two meshes: attention tp x dp, experts over the same ranks."""
    given = pools[index]
    tp, dp, ep = given["tp"], given["dp"], given["ep"]
    width = tp * dp
    phases: tuple[Phase, ...] = ("prefill", "decode") if len(pools) == 1 else (("prefill",), ("decode",))[index]
    return Pool(
        name="serve" if len(pools) == 1 else phases[0],
        phases=phases,
        replicas=given["workers"],
        pp_size=given.get("pp", 1),
        stages=((0, 1),),
        attention=AttentionMesh(dp_size=dp, tp_size=tp),
        experts=ExpertMesh(ep_size=ep, tp_size=width // ep),
        ep_lowering="replicated" if dp == 1 else "all_to_all" if ep > 1 else "all_gather",
        dp_layout=_layout(problem.engine),
        redundant_experts=given["redundant"],
    )


def _layout(engine: Engine | None) -> Any:
    return "inner" if engine in ("sglang", "trtllm") else "outer"


def accepted(_sample: Sample, output: dict[str, Any]) -> Score:
    """What runs in production is not refused."""
    return Score("accepted", float(not output["errors"]), "; ".join(output["errors"]))


def proved(_sample: Sample, output: dict[str, Any]) -> Score:
    """Its DAG gives what one device gives."""
    return Score("proved", float(output["proved"]), "the proof failed or did not run")


RECIPES = Suite(
    name="recipes", about="public deployments are accepted", samples=samples, solve=solve, scorers=(accepted, proved)
)
