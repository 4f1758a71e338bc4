"""EN005."""

from collections.abc import Iterator

from strategy.engine_limits import context_gap
from strategy.strategy import AttentionMesh
from validators.choices import engine_row
from validators.examples_moe import LLAMA_8B, asked, named, planned, with_pool
from validators.nearest import pools_to_set
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN005",
    stage="strategy",
    severity="error",
    message="{engine}: {why}; the plan has cp_size={cp}",
    hint="{repair}",
    sources=(
        "vllm: v1/worker/gpu/pcp_manager.py:156-230",
        "sglang: srt/arg_groups/model_overrides/deepseek_v2.py:107-125,189-205",
    ),
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
def context_parallelism_that_the_engine_lacks(subject: Subject) -> Iterator[Hit]:
    """An engine has prefill context parallelism for some kinds of attention, and sets what lies beside it (tp, experts) as its kernels need."""
    row = engine_row(subject, "EN005")
    if row is None:
        return
    for path, pool in subject.pools():
        gap = context_gap(row, subject.model, pool)
        if gap is not None:
            why, change = gap
            repair = pools_to_set([pool.model_copy(update=change)])
            yield Hit(f"{path}/attention/cp_size", engine=row.title, why=why, cp=pool.attention.cp_size, repair=repair)
