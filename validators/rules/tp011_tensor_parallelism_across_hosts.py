"""TP011."""

from collections.abc import Iterator

from strategy.legality import inside_domain
from validators.examples_moe import LLAMA_8B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="TP011",
    stage="layout",
    severity="warning",
    message="attention tp_size={tp_size} exceeds the {domain} GPU(s) of one {fabric} domain: each of its all_reduces leaves it",
    hint="use attention.tp_size <= {domain}, and pp_size or replicas for the other GPUs",
    sources=("S3 Rules of thumb 1", "vllm: docs/serving/parallelism_scaling.md", "ray: dp_server.py:178-182"),
    knowledge="tensor-parallelism.md#stay-inside-the-scale-up-domain",
    passes=lambda: named("TP8 in a host of 8", lambda: planned(LLAMA_8B, asked(LLAMA_8B), tp=8)),
    fails=lambda: named("TP16 over two hosts", lambda: planned(LLAMA_8B, asked(LLAMA_8B, hosts=2), tp=16)),
)
def tensor_parallelism_across_hosts(subject: Subject) -> Iterator[Hit]:
    """A tp group meets twice in every layer, so a slow link inside it slows every layer; it runs, and some deployments accept it."""
    if subject.problem is None:
        return
    cluster = subject.problem.cluster
    for path, pool in subject.pools():
        if not inside_domain(pool, "tp", cluster):
            yield Hit(
                f"{path}/attention/tp_size",
                tp_size=pool.attention.tp_size,
                domain=cluster.domain,
                fabric=cluster.gpu.scale_up,
            )
