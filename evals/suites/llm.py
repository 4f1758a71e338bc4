"""Llm: a language model behind an endpoint, or its recording, held to the bars of the loop.

`python -m evals run llm --proposer llm` asks MESHWRIGHT_LLM__BASE_URL (with MESHWRIGHT_RECORD=FILE every exchange is kept),
`--proposer recorded:FILE` replays such a file.
"""

from collections.abc import Sequence
from typing import Any

from agent.deps import RECORDED
from agent.graph import run
from evals.settings import EvalSettings, deps_for
from evals.suite import Sample, Score, Suite, measure
from strategy.request import Request
from strategy.result import Attempt, Result

Json = dict[str, Any]
WITHIN_ATTEMPTS = 3
MOST_OF_A_REPAIR = 0.15
WHOLE_GRAPH_TOKENS = 1_000
"""Answers shorter than this hold no graph: repeating one costs less than a patch of a graph."""

REQUESTS: tuple[Json, ...] = (
    {"model": "llama-3.1-8b", "cluster": {"gpu": "l40s", "gpus_per_host": 1}, "workload": {"isl": 1024, "osl": 128}},
    {"model": "llama-3.1-8b", "cluster": {"gpu": "h100-sxm", "gpus_per_host": 8}, "workload": {"isl": 2048, "osl": 256}},
    {"model": "llama-3.1-70b", "cluster": {"gpu": "h100-sxm", "gpus_per_host": 8}, "workload": {"isl": 4096, "osl": 500}, "slo": {"ttft_ms": 1500}},
    {"model": "llama-3.1-70b", "cluster": {"gpu": "h100-sxm", "hosts": 2}, "workload": {"isl": 4096, "osl": 500}, "objective": "latency"},
    {"model": "llama-3.1-70b", "cluster": {"gpu": "a100-80g-sxm", "gpus_per_host": 6}, "workload": {"isl": 2048, "osl": 256}},
    {"model": "llama-3.1-70b-fp8", "cluster": {"gpu": "h100-sxm", "gpus_per_host": 4}, "workload": {"isl": 8192, "osl": 512}, "slo": {"tpot_ms": 40}},
    {"model": "llama-3.1-405b-fp8", "cluster": {"gpu": "h200-sxm", "gpus_per_host": 8}, "workload": {"isl": 4096, "osl": 512}},
    {"model": "llama-3.1-405b", "cluster": {"gpu": "h100-sxm", "hosts": 2}, "workload": {"isl": 4096, "osl": 512}, "constraints": {"fix": {"pp_size": 2}}},
    {"model": "qwen3-32b", "cluster": {"gpu": "h100-sxm", "gpus_per_host": 4}, "workload": {"isl": 32768, "osl": 512}},
    {"model": "qwen3-14b", "cluster": {"gpu": "l40s", "gpus_per_host": 4}, "workload": {"isl": 2048, "osl": 256}, "objective": "min_gpus"},
    {"model": "gemma-3-27b", "cluster": {"gpu": "l40s", "gpus_per_host": 4}, "workload": {"isl": 2048, "osl": 256}},
    {"model": "mixtral-8x7b", "cluster": {"gpu": "a100-80g-sxm", "gpus_per_host": 4}, "workload": {"isl": 2048, "osl": 256}},
    {"model": "qwen3-30b-a3b", "cluster": {"gpu": "h100-sxm", "gpus_per_host": 8}, "workload": {"isl": 4096, "osl": 1024}},
    {"model": "qwen3-235b-a22b-fp8", "cluster": {"gpu": "h200-sxm", "gpus_per_host": 8}, "workload": {"isl": 4096, "osl": 512}},
    {"model": "gpt-oss-120b", "cluster": {"gpu": "h100-sxm", "gpus_per_host": 4}, "workload": {"isl": 4096, "osl": 512}, "engine": "vllm"},
    {"model": "deepseek-v3", "cluster": {"gpu": "h200-sxm", "hosts": 2}, "workload": {"isl": 4096, "osl": 512}},
    {"model": "deepseek-v3", "cluster": {"gpu": "h200-sxm", "hosts": 4}, "workload": {"isl": 4096, "osl": 512}, "serving": "disaggregated"},
    {"model": "deepseek-v3", "cluster": {"gpu": "b200-sxm", "gpus_per_host": 8}, "workload": {"isl": 1024, "osl": 1024}, "engine": "sglang"},
    {"model": "kimi-k2", "cluster": {"gpu": "h200-sxm", "hosts": 2}, "workload": {"isl": 8192, "osl": 300}, "constraints": {"forbid": ["pp"]}},
    {"model": "llama-3.1-70b", "cluster": {"gpu": "h100-sxm", "gpus_per_host": 8}, "workload": {"isl": 4096, "osl": 500}, "engine": "trtllm", "serving": "colocated"},
)  # fmt: skip


def samples() -> Sequence[Sample]:
    """Requests of every kind of model, on small and larger clusters."""
    return [Sample(f"{n:02} {r['model']} on {r['cluster']['gpu']}", r) for n, r in enumerate(REQUESTS)]


def absent(proposer: str) -> str:
    """Why the suite cannot run: it measures a language model."""
    if proposer.startswith(RECORDED):
        return ""
    if proposer != "llm":
        return "needs a language model: --proposer llm, or --proposer recorded:FILE"
    return "" if EvalSettings().llm else "no endpoint: set MESHWRIGHT_LLM__BASE_URL and MESHWRIGHT_LLM__MODEL"


async def solve(sample: Sample, proposer: str) -> Json:
    """Run the loop and keep what the bars are about."""
    result = await run(Request.model_validate(sample.input), deps_for(proposer))
    asked = [attempt for attempt in result.attempts if attempt.proposer == "llm" and attempt.usage.calls]
    return {
        "summary": f"{result.status} by {result.origin} after {len(asked)} answers",
        "status": result.status,
        "origin": result.origin,
        "answers": len(asked),
        "codes": [sorted({f.code for f in attempt.findings if f.severity == "error"}) for attempt in asked],
        "usage": result.usage.model_dump(),
        "repair_share": _repair_share(asked),
        "worth": _worth(result),
        "dag": result.dag.model_dump(mode="json") if result.dag else None,
    }


def _repair_share(asked: Sequence[Attempt]) -> float | None:
    """Output tokens of the mean repair over those of a first answer with a graph; None where there is no such repair."""
    if len(asked) < 2 or asked[0].usage.output_tokens < WHOLE_GRAPH_TOKENS:
        return None
    repairs = [attempt.usage.output_tokens for attempt in asked[1:]]
    return sum(repairs) / len(repairs) / asked[0].usage.output_tokens


def _worth(result: Result) -> float | None:
    """Throughput of the model's plan over the planner's own, where the model's stands."""
    planned = next((a for a in result.alternatives if a.reason.startswith("the planner's choice")), None)
    if result.origin != "llm" or result.estimate is None:
        return None
    best = planned.estimate.tokens_per_s_per_gpu if planned else result.estimate.tokens_per_s_per_gpu
    return result.estimate.tokens_per_s_per_gpu / max(best, 1e-9)


def answered(_sample: Sample, output: Json) -> Score:
    """Whatever the model did, the result is valid."""
    return Score("valid", float(output["status"] == "valid"), output["summary"])


def in_time(_sample: Sample, output: Json) -> Score:
    """The model's own plan stands within three answers."""
    good = output["origin"] == "llm" and output["answers"] <= WITHIN_ATTEMPTS
    return Score("within_3", float(good), f"{output['summary']}: {output['codes']}")


def at_once(_sample: Sample, output: Json) -> Score:
    """The first answer stands; over all samples at least 90 % should."""
    return measure("first_try", float(output["origin"] == "llm" and output["answers"] == 1), better="higher")


def small_repair(_sample: Sample, output: Json) -> Score | None:
    """A repair of a written graph takes a small part of a whole answer."""
    share = output["repair_share"]
    return None if share is None else Score("small_repair", float(share <= MOST_OF_A_REPAIR), f"{share:.0%}")


def tokens(_sample: Sample, output: Json) -> Score:
    """Tokens spent, in and out."""
    usage = output["usage"]
    return measure("tokens", usage["input_tokens"] + usage["output_tokens"], better="lower")


def worth(_sample: Sample, output: Json) -> Score | None:
    """Throughput beside the planner's."""
    return None if output["worth"] is None else measure("worth", output["worth"], better="higher")


LLM = Suite(
    name="llm", about="a language model, or a recording of one", samples=samples, solve=solve,
    scorers=(answered, in_time, at_once, small_repair, tokens, worth), absent=absent,
)  # fmt: skip
