"""DA001."""

from collections.abc import Iterator

from strategy.legality import width_identity
from strategy.strategy import ExpertMesh
from validators.examples_moe import QWEN3_30B, named, planned, with_pool
from validators.nearest import nearest_fit
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DA001",
    stage="strategy",
    severity="error",
    message="attention covers {dp} x {cp} x {tp} = {width} ranks, experts {moe_dp} x {ep} x {moe_tp} = {found}",
    hint="make experts.dp_size x ep_size x tp_size equal to {width}, the product of attention.dp_size, cp_size and tp_size{nearest}",
    sources=(
        "aiconfigurator: sdk/models/deepseek.py:145-154",
        "sglang: runtime_context.py:73-76",
        "tensorrt-llm: mapping.py MappingBase",
    ),
    knowledge="data-parallel-attention.md#two-meshes-of-one-width",
    settles=("X22",),
    passes=lambda: named("8 and 8", lambda: planned(QWEN3_30B, dp=8, ep=8, ep_lowering="all_gather")),
    fails=lambda: named(
        "8 and 4",
        lambda: with_pool(planned(QWEN3_30B, dp=8, ep=8, ep_lowering="all_gather"), experts=ExpertMesh(ep_size=4)),
    ),
)
def meshes_of_different_width(subject: Subject) -> Iterator[Hit]:
    """Both meshes number the same ranks of a stage: experts lie over attention's ranks and add none."""
    for path, pool in subject.pools():
        if subject.model.moe is None or pool.experts is None or width_identity(pool):
            continue
        attention, experts = pool.attention, pool.experts
        yield Hit(
            f"{path}/experts",
            dp=attention.dp_size,
            cp=attention.cp_size,
            tp=attention.tp_size,
            width=attention.width,
            moe_dp=experts.dp_size,
            ep=experts.ep_size,
            moe_tp=experts.tp_size,
            found=experts.width,
            nearest=nearest_fit(subject, pool),
        )
