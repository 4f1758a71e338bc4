"""AT006."""

from collections.abc import Iterator

from strategy.legality import dcp_divides
from strategy.strategy import Pool
from validators.choices import divisor_choices, listed
from validators.examples_moe import DEEPSEEK_V3, named, planned, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="AT006",
    stage="strategy",
    severity="error",
    message="dcp_size={dcp} does not fit attention tp_size={tp} and cp_size={cp}",
    hint="set dcp_size to one of {choices}",
    sources=("vllm: config/parallel.py:594-607", "sglang: distributed/parallel_state.py:2665-2669"),
    knowledge="decode-context-parallelism.md#legal-sizes",
    settles=("X6",),
    passes=lambda: named("TP8, no DCP", lambda: planned(DEEPSEEK_V3, tp=8, ep=8, ep_lowering="replicated")),
    fails=lambda: named(
        "TP8, DCP3", lambda: with_pool(planned(DEEPSEEK_V3, tp=8, ep=8, ep_lowering="replicated"), dcp_size=3)
    ),
)
def indivisible_decode_context(subject: Subject) -> Iterator[Hit]:
    """Decode context parallelism regroups the tp ranks there are and adds none."""
    for path, pool in subject.pools():
        if not dcp_divides(pool):
            attention = pool.attention
            yield Hit(
                f"{path}/dcp_size",
                dcp=pool.dcp_size,
                tp=attention.tp_size,
                cp=attention.cp_size,
                choices=_choices(pool),
            )


def _choices(pool: Pool) -> str:
    tp, cp = pool.attention.tp_size, pool.attention.cp_size
    return divisor_choices(tp, tp) if cp == 1 else listed(sorted({1, cp, tp * cp}))
