"""CH004."""

from collections.abc import Iterator

from strategy.legality import meshes_nest
from strategy.strategy import AttentionMesh, ExpertMesh
from validators.choices import experts_of
from validators.examples import MOE, plan, pool
from validators.examples_moe import named, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CH004",
    stage="strategy",
    severity="error",
    message="pool `{pool}`: attention dp{dp} x cp{cp} x tp{tp} and experts {experts} cut the same {width} ranks across each other",
    hint="choose sizes of which one divides the other at every cut, such as ep_size {width} with expert tp_size 1, or the other moe_layout",
    sources=("S1 §6.4.1, §6.2.2, §6.3.1", "vllm, sglang, tensorrt-llm: powers of two nest by themselves"),
    knowledge="combinations.md#nesting-order",
    settles=("X10",),
    requires=frozenset({"DA001", "AT006", "CH009", "EP001"}),
    passes=lambda: named("2 x 2 under 2 x 2", lambda: plan(MOE, pool(MOE, dp=2, tp=2, ep=2, moe_tp=2))),
    fails=lambda: named("2 x 3 under 3 x 2", _crossing),
)
def meshes_that_cross(subject: Subject) -> Iterator[Hit]:
    """Stages hold cp groups, these hold tp groups, and expert groups are made of whole ones or lie within one: groups nest, they never straddle."""
    for path, pool_ in subject.pools():
        if not meshes_nest(pool_):
            mesh, experts = pool_.attention, experts_of(pool_)
            sizes = f"dp{experts.dp_size} x ep{experts.ep_size} x tp{experts.tp_size} ({pool_.moe_layout})"
            yield Hit(
                f"{path}/experts",
                pool=pool_.name,
                dp=mesh.dp_size,
                cp=mesh.cp_size,
                tp=mesh.tp_size,
                experts=sizes,
                width=pool_.width,
            )


def _crossing() -> Subject:
    heads = MOE.attention.model_copy(update={"num_heads": 6, "num_kv_heads": 6})
    moe = MOE.moe.model_copy(update={"num_experts": 12}) if MOE.moe else None
    model = MOE.model_copy(update={"attention": heads, "moe": moe, "intermediate_size": 768, "vocab_size": 768})
    base = plan(model, pool(model, dp=6, ep=6))
    return with_pool(base, attention=AttentionMesh(dp_size=2, tp_size=3), experts=ExpertMesh(ep_size=3, tp_size=2))
