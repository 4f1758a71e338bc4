"""Subjects with figures or a Ray Serve file beside the DAG: right ones, and ones with a usual mistake."""

from typing import Any

from strategy.memory import max_concurrency, memory_gb
from strategy.request import Problem
from strategy.result import Estimate
from validators.claims import Claims
from validators.examples import beside
from validators.examples_moe import LLAMA_8B, QWEN3_30B, asked, planned
from validators.subject import Subject

SLOW = {"ttft_ms": 1e6, "tpot_ms": 1e6}
"""Times that no bound refuses."""


def estimated(subject: Subject, *, scale: dict[str, float] | None = None, **fields: Any) -> Subject:
    """The subject with an estimate beside it: right figures of memory, each multiplied by `scale`, and other `fields`."""
    problem = _problem(subject)
    memory = memory_gb(problem, subject.dag.strategy, 64).model_dump()
    memory |= {name: memory[name] * factor for name, factor in (scale or {}).items()}
    figures: dict[str, Any] = {
        "tokens_per_s_per_gpu": 1.0, "requests_per_s": 1.0, "gpus": subject.dag.strategy.world_size, "concurrency": 64,
        "memory_gb": memory, "max_concurrency": max_concurrency(problem, subject.dag.strategy), "bottleneck": "weights", **SLOW,
    }  # fmt: skip
    estimate = Estimate.model_validate({**figures, **fields})
    return Subject(subject.dag, subject.model, problem, Claims(estimate=estimate))


def _problem(subject: Subject) -> Problem:
    assert subject.problem is not None
    return subject.problem


def llama(**degrees: Any) -> Subject:
    """Llama 3.1 8B under a request."""
    return planned(LLAMA_8B, asked(LLAMA_8B), **degrees)


def ray(deployment: dict[str, Any] | None = None, *, base: Subject | None = None, **parts: Any) -> Subject:
    """A plan of two attention replicas over two tp ranks each with its Serve file; `parts` replaces parts of the one `LLMConfig`."""
    plan = base or planned(QWEN3_30B, asked(QWEN3_30B, engine="vllm"), tp=2, dp=2, ep=4)
    config = {
        "model_loading_config": {"model_id": "qwen"},
        "engine_kwargs": {"tensor_parallel_size": 2, "data_parallel_size": 2, "enable_expert_parallel": True},
        **parts,
    }
    return _with_problem(plan, deployment or {"llm_config": config})


def ray_engine(**engine: Any) -> Subject:
    """The same with other engine arguments."""
    standard = {"tensor_parallel_size": 2, "data_parallel_size": 2, "enable_expert_parallel": True}
    return ray(engine_kwargs={**standard, **engine})


def old_ray(**parts: Any) -> Subject:
    """The same for the Ray of the source documents."""
    standard = {"tensor_parallel_size": 2, "data_parallel_size": 2, "enable_expert_parallel": True}
    spread = {"experimental_configs": {"dp_size_per_node": 2}}
    return ray({"ray_version": "2.53", "llm_config": {"engine_kwargs": standard, **spread, **parts}})


def _with_problem(plan: Subject, deployment: dict[str, Any]) -> Subject:
    return Subject(plan.dag, plan.model, plan.problem, beside(plan, deployment=deployment).claims)
