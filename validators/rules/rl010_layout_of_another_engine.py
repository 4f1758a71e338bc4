"""RL010."""

from collections.abc import Iterator

from strategy.engine_limits import dp_layout_fits
from validators.choices import engine_row
from validators.examples import MOE, about, example, moe, problem
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RL010",
    stage="layout",
    severity="error",
    message="dp_layout is {layout}, and {engine} lays attention replicas out {wanted} of the pipeline",
    hint="set dp_layout: {wanted}; it changes which ranks form the groups",
    sources=("vllm: distributed/parallel_state.py:2149-2164", "sglang: runtime_context.py:79-120"),
    knowledge="rank-layout.md#outer-and-inner-attention-replicas",
    settles=("X30",),
    passes=lambda: [
        example("outer for vLLM", lambda: about(_two_stages("outer"), problem(MOE, engine="vllm"))),
        example("either with one stage", lambda: about(moe(dp_layout="inner"), problem(MOE, engine="vllm"))),
    ],
    fails=lambda: [
        example("inner for vLLM", lambda: about(_two_stages("inner"), problem(MOE, engine="vllm"))),
        example("outer for SGLang", lambda: about(_two_stages("outer"), problem(MOE, engine="sglang"))),
    ],
)
def layout_of_another_engine(subject: Subject) -> Iterator[Hit]:
    """Attention replicas outside or inside the stages give other groups for the same degrees, so the layout is the engine's."""
    row = engine_row(subject, "RL010")
    if row is None:
        return
    for path, pool in subject.pools():
        if not dp_layout_fits(row, subject.model, pool):
            yield Hit(f"{path}/dp_layout", layout=pool.dp_layout, engine=row.engine, wanted=row.dp_layout)


def _two_stages(layout: str) -> Subject:
    return moe(dp=2, tp=2, pp=2, dp_layout=layout, ep_lowering="all_gather")
