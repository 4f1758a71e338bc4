"""EN009."""

from collections.abc import Iterator

from strategy.engine_limits import expert_copies_fit
from validators.choices import engine_row, experts_of
from validators.examples_moe import QWEN3_30B, asked, named, planned
from validators.nearest import nearest_fit
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN009",
    stage="strategy",
    severity="error",
    message="SGLang cannot combine moe dp_size={moe_dp} with ep_size={ep}, moe tp_size={moe_tp}, pp_size={pp}, cp_size={cp}",
    hint="set experts.dp_size to 1, or use ep_size x dp_size = {width} with pp_size 1 and cp_size 1 or {moe_dp}{nearest}",
    sources=("sglang: arg_groups/parallel_hook.py:170-192",),
    knowledge="sglang.md#expert-sizes",
    passes=lambda: named(
        "no copies",
        lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="sglang"), tp=8, ep=4, moe_tp=2, ep_lowering="replicated"),
    ),
    fails=lambda: named(
        "copies and cut experts",
        lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="sglang"), tp=8, ep=2, moe_tp=2, ep_lowering="replicated"),
    ),
)
def unsupported_expert_copies(subject: Subject) -> Iterator[Hit]:
    """SGLang copies experts (moe_dp) only where ep alone fills what the copies leave, without pipeline stages."""
    row = engine_row(subject, "EN009")
    if row is None:
        return
    for path, pool in subject.pools():
        if not expert_copies_fit(row, subject.model, pool):
            yield Hit(
                f"{path}/experts",
                pp=pool.pp_size,
                cp=pool.attention.cp_size,
                width=pool.width,
                ep=experts_of(pool).ep_size,
                moe_tp=experts_of(pool).tp_size,
                moe_dp=experts_of(pool).dp_size,
                nearest=nearest_fit(subject, pool),
            )
