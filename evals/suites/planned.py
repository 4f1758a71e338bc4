"""Planned: random models, clusters, workloads and limits; whatever the planner returns passes the rules and the proof."""

from collections.abc import Sequence
from random import Random
from typing import Any

from evals.suite import Sample, Score, Suite, measure
from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.build import build
from strategy.cost import estimate
from strategy.errors import InputError
from strategy.memory import max_concurrency
from strategy.request import Problem, Request
from strategy.search import SearchResult, search
from strategy.strategy import describe_strategy
from validators.validate import Verdict, validate

REQUESTS = 400
CATALOGUE = (
    "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b", "llama-3.1-70b-fp8", "qwen3-14b", "qwen3-32b-fp8", "qwen3-30b-a3b", "mixtral-8x7b",
    "gpt-oss-20b", "gpt-oss-120b", "deepseek-v3", "qwen3-235b-a22b-fp8", "gemma-3-27b", "glm-4.5-air", "kimi-k2",
)  # fmt: skip
GPUS = (
    "h100-sxm",
    "h200-sxm",
    "b200-sxm",
    "b300-sxm",
    "a100-80g-sxm",
    "l40s",
    "h100-pcie",
    "mi300x",
    "mi355x",
    "gb200-nvl72",
)
FIXES = (
    {"tp_size": 2},
    {"pp_size": 2},
    {"ep_size": 4},
    {"dp_size": 2},
    {"replicas": 2},
    {"gpus": 4},
    {"tp_size": 4, "pp_size": 2},
    {"dcp_size": 2},
)
FORBIDDEN = ("tp", "pp", "ep", "sp", "dp", "dp_attention", "dcp")
PROVED_ALTERNATIVES = 1
"""Alternatives that are proved besides the plan; the rules judge all of them."""


def drawn(seed: int) -> Sequence[Sample]:
    """Random requests, three in four about a model that no catalogue holds."""
    rng = Random(f"planned-{seed}")  # noqa: S311 (repeatable)
    return [Sample(f"request-{index:03}", drawn_request(rng)) for index in range(REQUESTS)]


def drawn_request(rng: Random) -> dict[str, Any]:
    """A question that can be read; it need not have an answer."""
    while True:
        asked = {
            "model": drawn_model(rng) if rng.random() < 0.75 else rng.choice(CATALOGUE),
            "cluster": _drawn_cluster(rng),
            "workload": _drawn_workload(rng),
            "slo": _drawn_limits(rng),
            "objective": rng.choice(("throughput", "throughput", "latency", "min_gpus")),
            "serving": rng.choice(("auto", "auto", "colocated", "disaggregated")),
            "engine": rng.choice((None, None, "vllm", "sglang", "trtllm")),
            "constraints": rng.choice(
                ({}, {}, {}, {"fix": rng.choice(FIXES)}, {"forbid": rng.sample(FORBIDDEN, rng.choice((1, 2)))})
            ),
        }
        try:
            resolve(Request.model_validate(asked))
        except InputError:
            continue
        return asked


def drawn_model(rng: Random) -> dict[str, Any]:
    """Any decoder that the format can say: GQA or MLA, dense or MoE, with or without shared experts, windows and blocks of scales."""
    layers = rng.choice((2, 5, 16, 24, 33, 48, 61, 80))
    unit = rng.choice((64, 128, 256))
    moe = rng.random() < 0.5
    spec: dict[str, Any] = {
        "name": "drawn",
        "hidden_size": 256 * rng.randint(2, 48),
        "num_layers": layers,
        "vocab_size": rng.choice((32_000, 50_257, 128_256, 151_936, 163_840, 200_064)),
        "attention": _drawn_attention(rng),
        "intermediate_size": unit * rng.randint(4, 220),
        "tie_word_embeddings": rng.random() < 0.3,
        "checkpoint": rng.choice(
            (
                {},
                {},
                {"weights": "fp8", "block": (128, 128)},
                {"weights": "fp8"},
                {"weights": "int4", "group_size": 128},
            )
        ),
    }
    if moe:
        spec |= _drawn_experts(rng, layers)
    if rng.random() < 0.2 and spec["attention"]["kind"] == "gqa":
        every = rng.choice((2, 4, 6))
        spec["window"] = {
            "kind": rng.choice(("sliding", "chunked")),
            "size_tokens": rng.choice((128, 1024, 8192)),
            "layers": [n for n in range(layers) if n % every],
        }
    return spec


def _drawn_attention(rng: Random) -> dict[str, Any]:
    heads = rng.choice((8, 12, 16, 20, 32, 40, 48, 64, 96, 128))
    if rng.random() < 0.3:
        return {
            "kind": "mla",
            "num_heads": heads,
            "q_lora_rank": rng.choice((None, 768, 1536)),
            "kv_lora_rank": rng.choice((256, 512)),
            "qk_nope_head_dim": rng.choice((64, 128)),
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
        }
    shared = rng.choice([n for n in (1, 2, 4, 5, 8, 16) if heads % n == 0])
    return {"kind": "gqa", "num_heads": heads, "num_kv_heads": heads // shared, "head_dim": rng.choice((64, 96, 128))}


def _drawn_experts(rng: Random, layers: int) -> dict[str, Any]:
    experts = rng.choice((8, 16, 60, 64, 96, 128, 160, 256, 384))
    width = rng.choice((64, 128, 256)) * rng.randint(2, 16)
    return {
        "moe": {
            "num_experts": experts,
            "top_k": rng.choice((1, 2, 4, 6, 8)),
            "expert_intermediate_size": width,
            "shared_intermediate_size": rng.choice((0, 0, width, 2 * width)),
        },
        "dense_layers": list(range(rng.choice((0, 0, 1, 3, layers // 2)))),
    }


def _drawn_cluster(rng: Random) -> dict[str, Any]:
    gpu = rng.choice(GPUS)
    hosts = rng.choice((1, 1, 1, 2, 2, 3, 4, 6, 8))
    per_host = rng.choice((4, 4, 2) if gpu.startswith("gb") else (1, 2, 3, 4, 5, 6, 8, 8, 8, 8))
    cluster = {"gpu": gpu, "gpus_per_host": per_host, "hosts": hosts}
    return cluster | rng.choice(({}, {}, {}, {"memory_gb": rng.choice((24, 48, 400))}, {"nic_gb_per_s": 5}))


def _drawn_workload(rng: Random) -> dict[str, Any]:
    isl, osl = int(2 ** rng.uniform(0, 17)), int(2 ** rng.uniform(0, 12))
    load = rng.choice(
        ({}, {}, {"concurrency": int(2 ** rng.uniform(0, 11))}, {"request_rate": round(2 ** rng.uniform(-4, 6), 3)})
    )
    return {"isl": isl, "osl": osl, **load, "prefix_hit_ratio": rng.choice((0.0, 0.0, 0.5, 0.9))}


def _drawn_limits(rng: Random) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if rng.random() < 0.5:
        limits["ttft_ms"] = round(2 ** rng.uniform(6, 15))
    if rng.random() < 0.5:
        limits["tpot_ms"] = round(2 ** rng.uniform(2, 8), 1)
    return limits


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Plan, then judge everything that came back."""
    problem = resolve(Request.model_validate(sample.input)).problem
    found = search(problem, calibration())
    if found.best is None:
        return _refused(found)
    verdict = validate(found.best.dag, problem.model, problem)
    priced = estimate(found.best.dag, problem, calibration(), concurrency=found.best.concurrency)
    off = max(_apart(found.best.ttft_ms, priced.ttft_ms), _apart(found.best.tpot_ms, priced.tpot_ms))
    return {
        "summary": f"{describe_strategy(found.best.strategy)} on {found.best.gpus} of {problem.cluster.gpus} GPUs",
        "planned": True,
        "verdicts": [_told(verdict), *_alternatives(problem, found)],
        "promises": _broken_promises(problem, found),
        "price_gap": off,
        "dag": found.best.dag.model_dump(mode="json"),
        "findings": [f.model_dump(mode="json") for f in verdict.errors],
    }


def _refused(found: SearchResult) -> dict[str, Any]:
    limits = [] if found.infeasible is None else [limit.message for limit in found.infeasible.limits]
    return {"summary": f"infeasible: {'; '.join(limits)}"[:300], "planned": False, "limits": limits}


def _alternatives(problem: Problem, found: SearchResult) -> list[dict[str, Any]]:
    told = []
    for index, other in enumerate(found.alternatives):
        dag = build(problem.model, other.strategy)
        told.append(_told(validate(dag, problem.model, problem, prove=index < PROVED_ALTERNATIVES), other.summary))
    return told


def _told(verdict: Verdict, name: str = "the plan") -> dict[str, Any]:
    proof = None if verdict.proof is None else verdict.proof.passed
    return {"name": name, "errors": [f"{f.code} {f.message}" for f in verdict.errors], "proved": proof}


def _broken_promises(problem: Problem, found: SearchResult) -> list[str]:
    """What of the request the plan does not keep."""
    best, slo = found.best, problem.slo
    assert best is not None
    kept = {
        "GPUs": best.gpus <= problem.cluster.gpus,
        "memory": max_concurrency(problem, best.strategy) >= 1,
        "ttft_ms": slo.ttft_ms is None or best.ttft_ms <= slo.ttft_ms,
        "tpot_ms": slo.tpot_ms is None or best.tpot_ms <= slo.tpot_ms,
        "serving": problem.serving in ("auto", "disaggregated" if best.strategy.disaggregated else "colocated"),
        "estimate": found.estimate is not None and found.estimate.gpus == best.gpus,
    }
    return [name for name, holds in kept.items() if not holds]


def valid(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """No rule refuses the plan or an alternative."""
    if not output["planned"]:
        return None
    wrong = [f"{one['name']}: {error}" for one in output["verdicts"] for error in one["errors"]]
    return Score("valid", float(not wrong), "; ".join(wrong)[:600])


def proved(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """The plan, run on virtual ranks, gives what one device gives; so does the first alternative."""
    if not output["planned"]:
        return None
    first = output["verdicts"][: 1 + PROVED_ALTERNATIVES]
    failed = [one["name"] for one in first if not one["proved"]]
    return Score("proved", float(not failed), f"not proved: {', '.join(failed)}")


def keeps_the_request(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """Limits, memory, GPUs and serving are as asked."""
    return (
        Score("keeps_the_request", float(not output["promises"]), f"broken: {', '.join(output['promises'])}")
        if output["planned"]
        else None
    )


def refusal_has_limits(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """A refusal names what cannot be met."""
    return (
        None if output["planned"] else Score("refusal_has_limits", float(bool(output["limits"])), "no limit is named")
    )


def _apart(found: float, priced: float) -> float:
    """The relative difference of two prices; none between two that are nothing (no time lies between tokens where there is one)."""
    return abs(found / priced - 1) if priced else float(found != 0)


def price_gap(_sample: Sample, output: dict[str, Any]) -> Score | None:
    """How far the search's price of the plan is from that of its DAG."""
    return measure("price_gap", output["price_gap"], better="lower", unit="share") if output["planned"] else None


PLANNED = Suite(
    name="planned",
    about="random models, clusters and limits: every plan passes the rules and the proof",
    samples=lambda: (),
    drawn=drawn,
    solve=solve,
    scorers=(valid, proved, keeps_the_request, refusal_has_limits, price_gap),
    usual=24,
)
