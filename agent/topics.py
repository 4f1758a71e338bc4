"""What a reader should know before choosing a layout for a problem: one question for each choice, most decisive first."""

from collections.abc import Callable, Iterator

from agent.proposers import Shown
from strategy.request import Problem

Search = Callable[[str, int], tuple[Shown, ...]]

ENGINE_PAGES = {"vllm": "vllm.md", "sglang": "sglang.md", "trtllm": "tensorrt-llm.md"}
DEPLOYMENT_PAGES = frozenset({*ENGINE_PAGES.values(), "dynamo.md", "ray-serve.md", "engines.md"})
"""Pages about software: of use only for the engine that a request names."""
VOCABULARY = "terms.md"
HITS_EACH = 4
"""Sections looked at for each question."""


def sections_for(problem: Problem, search: Search, most: int) -> tuple[Shown, ...]:
    """At most `most` sections: the best of each question in turn, then the next best ones; none about an engine that is not asked for."""
    hits = [
        [section for section in search(question, HITS_EACH) if _fits(section, problem)]
        for question in questions(problem)
    ]
    found: dict[str, Shown] = {}
    for rank in range(HITS_EACH):
        for sections in hits:
            if rank < len(sections) and len(found) < most:
                found.setdefault(sections[rank].ref, sections[rank])
    return tuple(found.values())


def sections_for_question(question: str, problem: Problem, search: Search, most: int) -> tuple[Shown, ...]:
    """The best sections about one question, none about an engine that is not asked for."""
    return tuple(section for section in search(question, 2 * most + HITS_EACH) if _fits(section, problem))[:most]


def questions(problem: Problem) -> Iterator[str]:
    """The choices that are open for this model, cluster and traffic, in the words that pages use."""
    model, cluster = problem.model, problem.cluster
    if cluster.domain == 1:
        yield "PCIe cards without NVLink: pipeline or tensor parallelism"
    elif cluster.gpus > cluster.domain:
        yield "keep tensor parallelism inside the scale-up domain, across hosts"
    yield f"{model.name} on {cluster.gpu.name}"  # measured facts, and what users wrote about their own machines
    if model.moe is None:
        yield "tensor parallelism or replicas"
    elif model.attention.kind == "mla":
        yield "MLA: when DP attention pays"
    else:
        yield "GQA first uses TP, then DP attention"
    if model.parallel_block is not None:
        yield "attention and FFN side by side, one sum a layer"
    if model.no_mixer_layers or model.no_ffn_layers or model.layer_shapes:
        yield (
            "layers of one block" if model.linear is not None else "layers that lack a half, stages balanced by weights"
        )
    yield {
        "latency": "lowest latency tensor parallelism TPOT",
        "throughput": "latency, throughput or fewest GPUs",
        "min_gpus": "fewest GPUs that fit",
    }[problem.objective]
    if problem.serving != "colocated":
        yield (
            "balancing prefill and decode pools" if problem.serving == "disaggregated" else "colocated or disaggregated"
        )
    if model.moe is not None:
        yield "experts: expert parallelism or tensor parallelism inside experts, load imbalance"
    if cluster.gpus > 1:
        yield "when pipelines pay"
    if problem.engine is not None:
        yield f"{problem.engine} parallel sizes limits flags"


def _fits(section: Shown, problem: Problem) -> bool:
    page = section.ref.partition("#")[0]
    asked = ENGINE_PAGES.get(problem.engine or "")
    return page != VOCABULARY and (page not in DEPLOYMENT_PAGES or page == asked)
