"""CM006."""

from collections.abc import Iterator

from validators.examples import dense, edit_node, example, insert
from validators.mismatches import owned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CM006",
    stage="typing",
    severity="error",
    message="block `{block}`, {phase}: `{node}` sums over {axis}, but its input is {found}",
    hint="{repair}",
    sources=(
        "sglang: layers/layernorm_sp.py:14-24",
        "vllm: model_executor/layers/fused_moe/runner/moe_runner.py:483-517",
    ),
    knowledge="collectives.md#only-on-partial-values",
    passes=lambda: [example("a sum after each row split", dense)],
    fails=lambda: [
        example(
            "all_reduce twice",
            lambda: insert(dense(), "attention.reduce", id="again", op="all_reduce", axis="tp", inputs=["reduce"]),
        ),
        example(
            "all_reduce over the stage's other axis", lambda: edit_node(dense(tp=2, dp=2), "ffn.reduce", axis="dp")
        ),
    ],
)
def reduced_complete_tensor(subject: Subject) -> Iterator[Hit]:
    """Only Partial values are summed: reducing a complete tensor over g ranks multiplies it by g."""
    for m in owned(subject, "CM006"):
        repair = f"delete `{m.node}`" if m.repair == "remove it" else f"{m.repair} in `{m.node}`"
        yield Hit(m.path, block=m.block, phase=m.phase, node=m.node, axis=m.axis, found=m.found, repair=repair)
