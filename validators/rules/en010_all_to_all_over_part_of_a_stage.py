"""EN010."""

from collections.abc import Iterator

from validators.choices import engine_row, experts_of
from validators.examples_moe import QWEN3_30B, asked, named, planned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EN010",
    stage="strategy",
    severity="warning",
    message="SGLang's all_to_all backends spread experts over all {width} ranks of a stage; the plan has ep_size={ep}",
    hint="set experts.ep_size to {width}, or ep_lowering to all_gather",
    sources=("sglang: arg_groups/overrides.py:1578-1620",),
    knowledge="sglang.md#all-to-all-backends",
    passes=lambda: named("EP8 over 8 ranks", lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="sglang"), dp=8, ep=8)),
    fails=lambda: named(
        "EP4 over 8 ranks", lambda: planned(QWEN3_30B, asked(QWEN3_30B, engine="sglang"), dp=8, ep=4, moe_tp=2)
    ),
)
def all_to_all_over_part_of_a_stage(subject: Subject) -> Iterator[Hit]:
    """SGLang's all_to_all backends set ep_size to the stage width."""
    row = engine_row(subject, "EN010")
    if row is None:
        return
    for path, pool in subject.pools():
        if (
            row.all_to_all_spans_stage
            and pool.experts is not None
            and pool.ep_lowering == "all_to_all"
            and pool.experts.ep_size not in (1, pool.width)
        ):
            yield Hit(
                f"{path}/experts/ep_size",
                width=pool.width,
                ep=experts_of(pool).ep_size,
                moe_tp=experts_of(pool).tp_size,
                moe_dp=experts_of(pool).dp_size,
            )
