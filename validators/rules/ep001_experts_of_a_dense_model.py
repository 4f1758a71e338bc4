"""EP001."""

from collections.abc import Iterator

from strategy.legality import experts_fit_model
from strategy.strategy import ExpertMesh
from validators.examples_moe import LLAMA_8B, QWEN3_30B, named, planned, with_pool
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP001",
    stage="strategy",
    severity="error",
    message="`{model}` is dense, yet an expert mesh is declared (ep_size={ep_size}, moe tp_size={moe_tp})",
    hint="set experts to null",
    sources=("vllm: config/model.py:1498-1503", "megatron: transformer_config.py:1595-1596"),
    knowledge="expert-parallelism.md#only-for-moe-models",
    passes=lambda: named("an MoE model", lambda: planned(QWEN3_30B, dp=8, ep=8)),
    fails=lambda: named("a dense model", lambda: with_pool(planned(LLAMA_8B, tp=4), experts=ExpertMesh(ep_size=4))),
)
def experts_of_a_dense_model(subject: Subject) -> Iterator[Hit]:
    """Expert parallelism spreads experts, and a dense model has none."""
    for path, pool in subject.pools():
        if pool.experts is not None and not experts_fit_model(subject.model, pool):
            yield Hit(
                f"{path}/experts",
                model=subject.model.name,
                ep_size=pool.experts.ep_size,
                moe_tp=pool.experts.tp_size,
            )
