"""SP002."""

from collections.abc import Iterator

from strategy.legality import sp_kind_fits_mesh
from strategy.strategy import Pool
from validators.examples import dense
from validators.examples_moe import named, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP002",
    stage="strategy",
    severity="error",
    message="sp_kind={kind} does not fit attention tp_size={tp} and cp_size={cp}",
    hint="{repair}; megatron needs tp_size above 1 and cp_size 1, the cp kinds need cp_size above 1, none needs cp_size 1",
    sources=("megatron: model_parallel_config.py:502-504", "sglang: arg_groups/layernorm_sp_hook.py:135-139"),
    knowledge="sequence-parallelism.md#two-techniques-under-one-name",
    settles=("X8",),
    requires=frozenset({"DA001"}),
    passes=lambda: named("megatron over tp ranks", lambda: dense(sp_kind="megatron")),
    fails=lambda: named("megatron without tp ranks", lambda: with_pool(dense(tp=1), sp_kind="megatron")),
)
def sequence_parallelism_of_the_wrong_kind(subject: Subject) -> Iterator[Hit]:
    """Two techniques share a name: one shards tokens between tp collectives, the other gives tokens ranks of their own."""
    for path, pool in subject.pools():
        if not sp_kind_fits_mesh(pool):
            attention = pool.attention
            yield Hit(
                f"{path}/sp_kind", kind=pool.sp_kind, tp=attention.tp_size, cp=attention.cp_size, repair=_repair(pool)
            )


def _repair(pool: Pool) -> str:
    """A pool that only decodes has no prompts to cut, so there no kind is of use."""
    if pool.attention.cp_size == 1:
        return "set sp_kind to none"
    if "prefill" not in pool.phases:
        return "set attention.cp_size to 1"
    return "set sp_kind to cp_allgather, or attention.cp_size to 1"
