"""EN012."""

from collections.abc import Iterator

from strategy.engine_limits import token_shards_exist
from validators.choices import engine_row
from validators.examples_moe import LLAMA_8B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN012",
    stage="strategy",
    severity="error",
    message="SGLang has sp_kind megatron for dense Qwen3 models in one pipeline stage only; `{model}` with pp_size={pp} is not among them",
    hint="set sp_kind to none",
    sources=("sglang: arg_groups/layernorm_sp_hook.py:109-188",),
    knowledge="sglang.md#layer-norm-sequence-parallelism",
    passes=lambda: named("no token shards", lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="sglang"), tp=2)),
    fails=lambda: named(
        "token shards for Llama", lambda: planned(LLAMA_8B, asked(LLAMA_8B, engine="sglang"), tp=2, sp_kind="megatron")
    ),
)
def token_shards_that_sglang_lacks(subject: Subject) -> Iterator[Hit]:
    """SGLang shards tokens between tp collectives for the architectures on its list only."""
    row = engine_row(subject, "EN012")
    if row is None:
        return
    for path, pool in subject.pools():
        if not token_shards_exist(row, subject.model, pool):
            yield Hit(f"{path}/sp_kind", model=subject.model.name, pp=pool.pp_size)
