"""EN013."""

from collections.abc import Iterator

from validators.choices import engine_row
from validators.examples_moe import LLAMA_8B, QWEN3_30B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN013",
    stage="strategy",
    severity="warning",
    message="pool `{pool}`: {what}",
    hint="{repair}",
    sources=("sglang: arg_groups/overrides.py:1623-1628", "sglang: arg_groups/parallel_hook.py:326-333"),
    knowledge="sglang.md#pipelines-and-chunks",
    passes=lambda: named("one stage", lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="sglang"), tp=2)),
    fails=lambda: [
        *named("two stages", lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="sglang"), pp=2)),
        *named("chunks of attention replicas", _chunked),
    ],
)
def sglang_schedules_otherwise(subject: Subject) -> Iterator[Hit]:
    """SGLang stops overlapping the schedule with pipelines, and divides the chunk size by the attention replicas."""
    row = engine_row(subject, "EN013")
    if row is None:
        return
    for path, pool in subject.pools():
        if pool.pp_size > 1 and not row.overlaps_stages:
            what = "with several stages SGLang prepares a batch only when the one before it is done"
            yield Hit(
                f"{path}/pp_size", pool=pool.name, what=what, repair="expect some time between steps, or use one stage"
            )
        dp = pool.attention.dp_size
        if dp > 1 and pool.chunk_tokens is not None and row.divides_chunks:
            what = f"SGLang divides chunked_prefill_size by {dp} attention replicas"
            repair = f"set chunked_prefill_size to {pool.chunk_tokens * dp} for chunks of {pool.chunk_tokens} (our export does)"
            yield Hit(f"{path}/chunk_tokens", pool=pool.name, what=what, repair=repair)


def _chunked() -> Subject:
    return planned(QWEN3_30B, asked(QWEN3_30B, engine="sglang"), dp=8, ep=8, dp_layout="inner", chunk_tokens=1024)
