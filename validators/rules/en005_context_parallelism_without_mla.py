"""EN005."""

from collections.abc import Iterator

from strategy.engine_limits import context_parallelism_fits
from strategy.strategy import AttentionMesh
from validators.choices import engine_row
from validators.examples_moe import LLAMA_8B, asked, named, planned, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN005",
    stage="strategy",
    severity="error",
    message="vLLM has prefill context parallelism for MLA models only; the plan has cp_size={cp}",
    hint="set attention.cp_size to 1 and use tp_size or pp_size",
    sources=("vllm: v1/worker/gpu/pcp_manager.py:156-230",),
    knowledge="vllm.md#prefill-context-parallelism",
    passes=lambda: named("no cp ranks", lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="vllm"), tp=2)),
    fails=lambda: named(
        "cp ranks for grouped-query attention",
        lambda: with_pool(
            planned(LLAMA_8B, asked(LLAMA_8B, engine="vllm"), tp=2),
            attention=AttentionMesh(tp_size=2, cp_size=2),
            sp_kind="cp_allgather",
            cp_decode_use="batch_shard",
        ),
    ),
)
def context_parallelism_without_mla(subject: Subject) -> Iterator[Hit]:
    """VLLM's prefill context parallelism gathers latents and knows no other cache."""
    row = engine_row(subject, "EN005")
    if row is None:
        return
    for path, pool in subject.pools():
        if not context_parallelism_fits(row, subject.model, pool):
            yield Hit(f"{path}/attention/cp_size", cp=pool.attention.cp_size)
