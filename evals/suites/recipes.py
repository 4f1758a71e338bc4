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
from strategy.strategy import AttentionMesh, ExpertMesh, Phase, Pool, Strategy, describe
from validators.validate import validate

DATA = Path(__file__).parent.parent / "data" / "recipes.yaml"


def samples() -> Sequence[Sample]:
    """The deployments of `recipes.yaml`."""
    return [Sample(row["id"], row) for row in yaml.safe_load(DATA.read_text(encoding="utf-8"))]


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Build the deployment's canonical DAG, judge it against its own cluster, and prove it."""
    row = sample.input
    pools = [_pool(row, index) for index in range(len(row["pools"]))]
    world = sum(pool.world_size for pool in pools)
    problem = resolve(Request.model_validate(_request(row, world))).problem
    fitted = tuple(_fitted(pool, problem) for pool in pools)
    strategy = Strategy(pools=fitted)
    verdict = validate(build(problem.model, strategy), problem.model, problem)
    errors = [f"{finding.code} {finding.message}" for finding in verdict.findings if finding.severity == "error"]
    warnings = sorted({finding.code for finding in verdict.findings if finding.severity == "warning"})
    summary = f"{row['model']} on {world} {row['gpu']}: {'; '.join(describe(pool) for pool in fitted)}"
    return {
        "summary": summary,
        "errors": errors,
        "warnings": warnings,
        "proved": bool(verdict.proof and verdict.proof.passed),
    }


def _fitted(pool: Pool, problem: Problem) -> Pool:
    """The pool on this model: stages as the engine lays them out, no expert mesh for a dense one."""
    stages = even_stages(problem.model.num_layers, pool.pp_size, problem.engine)
    return pool.model_copy(update={"stages": stages, **({"experts": None} if problem.model.moe is None else {})})


def _request(row: dict[str, Any], world: int) -> dict[str, Any]:
    per_host = 4 if row["gpu"].startswith("gb") else 8
    hosts = ceil(world / per_host)
    cluster = {"gpu": row["gpu"], "gpus_per_host": min(per_host, world), "hosts": hosts}
    workload = {"isl": row["isl"], "osl": row["osl"]}
    precision = {"weights": row["weights"]} if row["weights"] else {}
    return {
        "model": row["model"],
        "cluster": cluster,
        "workload": workload,
        "precision": precision,
        "engine": row["engine"],
    }


def _pool(row: dict[str, Any], index: int) -> Pool:
    """One published pool on our two meshes: attention tp x dp, experts over the same ranks."""
    given, engine = row["pools"][index], row["engine"]
    tp, dp, ep = given["tp"], given["dp"], given["ep"]
    width = tp * dp
    phases: tuple[Phase, ...] = ("prefill", "decode") if len(row["pools"]) == 1 else (("prefill",), ("decode",))[index]
    return Pool(
        name="serve" if len(row["pools"]) == 1 else phases[0],
        phases=phases,
        replicas=given["workers"],
        pp_size=given.get("pp", 1),
        stages=((0, 1),),
        attention=AttentionMesh(dp_size=dp, tp_size=tp),
        experts=ExpertMesh(ep_size=ep, tp_size=width // ep),
        ep_lowering="replicated" if dp == 1 else "all_to_all" if ep > 1 else "all_gather",
        dp_layout=_layout(engine),
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
