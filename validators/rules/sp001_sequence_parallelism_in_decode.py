"""SP001."""

from collections.abc import Iterator

from strategy.legality import sp_serves_prefill
from validators.examples import dense, disaggregated, edit
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="SP001",
    stage="strategy",
    severity="error",
    message="pool `{pool}` serves {phases} only, yet has sp_kind={kind}",
    hint="set sp_kind to none; to split the cache of long contexts in decode use dcp_size",
    sources=("S0 Interaction: prefill only", "S1 SP Phase", "sglang: layers/layernorm_sp.py:31-32"),
    knowledge="sequence-parallelism.md#prefill-only",
    settles=("X6",),
    requires=frozenset({"DG009"}),
    passes=lambda: named("token shards in prefill", lambda: dense(sp_kind="megatron")),
    fails=lambda: named(
        "token shards in a decode pool", lambda: edit(disaggregated(), "/strategy/pools/1/sp_kind", "megatron")
    ),
)
def sequence_parallelism_in_decode(subject: Subject) -> Iterator[Hit]:
    """Sequence parallelism splits the tokens of a prompt; a decode step brings one token of each sequence."""
    for path, pool in subject.pools():
        if not sp_serves_prefill(pool):
            phases = " and ".join(pool.phases)
            yield Hit(f"{path}/sp_kind", pool=pool.name, phases=phases, kind=pool.sp_kind)
