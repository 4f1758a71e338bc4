"""Prompts: is everything in them that an answer needs? Judged by a reader that does what they say and knows nothing else."""

import copy
import re
from collections.abc import Sequence
from typing import Any, get_args

from agent.prompts import messages_for
from agent.proposers import Brief
from agent.wire import Answer, decode, strict_schema
from evals.reader import Messages, answer_from, mended_from
from evals.suite import Sample, Score, Suite, measure
from knowledge.resolve import resolve
from strategy.ops import CommunicationOp, ComputeOp, ControlOp
from strategy.request import Problem, Request
from strategy.result import Finding
from strategy.strategy import Pool
from validators.validate import validate

REPAIRS = 3
CLUSTERS: tuple[tuple[str, str, int], ...] = (
    ("llama-3.1-8b", "l40s", 1),
    ("llama-3.1-8b", "h100-sxm", 8),
    ("llama-3.1-70b", "h100-sxm", 4),
    ("llama-3.1-70b", "h200-sxm", 8),
    ("llama-3.1-70b-fp8", "mi300x", 8),
    ("llama-3.1-405b", "b200-sxm", 8),
    ("qwen3-32b", "a100-80g-sxm", 8),
    ("gemma-3-27b", "h100-sxm", 2),
    ("mixtral-8x7b", "h100-sxm", 4),
    ("gpt-oss-120b", "h200-sxm", 4),
    ("qwen3-30b-a3b", "h100-sxm", 4),
    ("deepseek-v3", "b200-sxm", 8),
)
"""Model, GPU, GPUs of one host."""
MISTAKES: dict[str, dict[str, Any]] = {
    "sequence parallelism without a mesh for it": {"sp_kind": "cp_ring"},
    "stages that leave layers out": {"stages": [[0, 3]]},
    "more stages than were listed": {"pp_size": 2},
    "more replicas than GPUs": {"replicas": 512},
}


def samples() -> Sequence[Sample]:
    """A first question for each cluster, and for each mistake a question with its findings."""
    requests = [_request(*cluster) for cluster in CLUSTERS]
    first = [Sample(f"first-{r['model']}-{r['cluster']['gpu']}", r) for r in requests]
    mend = [
        Sample(f"mend-{name.replace(' ', '-')}-{r['model']}", r, {"mistake": change})
        for name, change in MISTAKES.items()
        for r in (requests[3], requests[8])
    ]
    return [*first, *mend]


def _request(model: str, gpu: str, gpus: int) -> dict[str, Any]:
    return {
        "model": model,
        "cluster": {"gpu": gpu, "gpus_per_host": gpus},
        "workload": {"isl": 2048, "osl": 256, "concurrency": 4},
    }


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Read the prompt and answer; with a mistake, make it and mend it by what the next prompts say."""
    problem = resolve(Request.model_validate(sample.input)).problem
    messages = messages_for(Brief(problem=problem), "json_schema")
    answer = answer_from(messages)
    asked = 1
    if "mistake" in sample.target:
        answer["strategy"]["pools"][0] |= copy.deepcopy(sample.target["mistake"])
        asked += _mend(answer, problem)
    errors = _errors(answer, problem)
    return {
        "summary": f"{'mended' if asked > 1 else 'answered'} after {asked} prompts: {', '.join(f.code for f in errors) or 'valid'}",
        "findings": [finding.model_dump(mode="json") for finding in errors],
        "asked": asked,
        "characters": sum(len(text) for _, text in messages),
        "untold": untold(messages, messages_for(Brief(problem=problem, write_graph=True), "json_schema")),
    }


def _mend(answer: dict[str, Any], problem: Problem) -> int:
    """Mend the answer in place; how often it was asked again."""
    for repair in range(REPAIRS):
        errors = _errors(answer, problem)
        if not errors:
            return repair
        changed = mended_from(messages_for(Brief(problem=problem, last=answer, findings=errors), "json_schema"))
        answer.clear()
        answer.update(changed)
    return REPAIRS


def _errors(answer: dict[str, Any], problem: Problem) -> tuple[Finding, ...]:
    decoded = decode(answer, problem.model)
    if decoded.dag is None:
        return decoded.findings
    return validate(decoded.dag, problem.model, problem).errors


def untold(messages: Messages, asking_for_a_graph: Messages) -> list[str]:
    """Fields of a pool that an answer states, and ops of the format where a graph is asked for, that the prompt never names."""
    parts = (strict_schema(Answer).get("$defs") or {}).values()
    fields = {name for part in parts for name in part.get("properties", {})} & Pool.model_fields.keys()
    ops = {op for kind in (ComputeOp, CommunicationOp, ControlOp) for op in get_args(kind)}
    return sorted(_unnamed(fields, messages) | _unnamed(ops, asking_for_a_graph))


def _unnamed(names: set[str], messages: Messages) -> set[str]:
    text = "\n".join(text for _, text in messages)
    return {name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)}


def enough(_sample: Sample, output: dict[str, Any]) -> Score:
    """Who does what the prompt says gives a valid answer."""
    codes = [finding["code"] for finding in output["findings"]]
    return Score("enough", float(not codes), f"left: {', '.join(codes)}")


def everything_named(_sample: Sample, output: dict[str, Any]) -> Score:
    """Every field and every op that an answer may have is named."""
    return Score("everything_named", float(not output["untold"]), f"never named: {', '.join(output['untold'])}")


def characters(_sample: Sample, output: dict[str, Any]) -> Score:
    """Length of the first prompt."""
    return measure("characters", output["characters"], better="lower", unit="characters")


PROMPTS = Suite(
    name="prompts",
    about="whether a reader that knows nothing else can answer by the prompt alone",
    samples=samples,
    solve=solve,
    scorers=(enough, everything_named, characters),
)
