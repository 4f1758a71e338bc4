"""CH009."""

from collections.abc import Iterator

from strategy.legality import experts_declared
from validators.examples import edit, example, moe
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CH009",
    stage="strategy",
    severity="error",
    message="`{model}` has {experts} routed experts, and pool `{pool}` does not say how {width} ranks split them",
    hint="set `experts` with dp_size x ep_size x tp_size = {width}: ep_size spreads whole experts, tp_size splits each",
    sources=("S1 §6.2.3", "vllm: model_executor/layers/fused_moe/config.py:1226-1245"),
    knowledge="expert-parallelism.md#tensor-parallelism-inside-experts",
    settles=("X11",),
    passes=lambda: [example("declared", moe)],
    fails=lambda: [example("left out", lambda: edit(moe(), "/strategy/pools/0/experts", None))],
)
def undeclared_expert_mesh(subject: Subject) -> Iterator[Hit]:
    """Whether tensor parallelism applies inside experts or only outside is said, not guessed."""
    for path, pool in subject.pools():
        moe_part = subject.model.moe
        if moe_part is not None and not experts_declared(subject.model, pool):
            yield Hit(
                f"{path}/experts",
                model=subject.model.name,
                experts=moe_part.num_experts,
                pool=pool.name,
                width=pool.width,
            )
