"""SP003."""

from collections.abc import Iterator

from validators.examples import dense, drop
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP003",
    stage="typing",
    severity="error",
    message="`{node}` reads {found}, needs {needed}",
    hint="insert all_gather over {axis} with dim tokens before `{node}`",
    sources=(
        "S1 SP Communication",
        "sglang: layers/layernorm_sp.py:14-24",
    ),
    knowledge="sequence-parallelism.md#megatron-form",
    settles=("X28",),
    passes=lambda: named("tokens gathered before qkv", lambda: dense(tp=4, sp_kind="megatron")),
    fails=lambda: named(
        "no all_gather before qkv", lambda: drop(dense(tp=4, sp_kind="megatron"), "attention_prefill.spread")
    ),
)
def token_shard_at_a_column_split(subject: Subject) -> Iterator[Hit]:
    """A column-split matrix multiplies whole sequences by its columns, so token shards are gathered before it."""
    return typed(subject, "SP003")
