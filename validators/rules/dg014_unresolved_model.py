"""DG014."""

from collections.abc import Iterator

from validators.examples import MOE, about, dense, edit_node, example, problem
from validators.mismatches import owned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DG014",
    stage="typing",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("vllm: config/parallel.py:140-190",),
    knowledge="dag-document.md#degrees-and-references",
    passes=lambda: [example("weights that the model has", dense)],
    fails=lambda: [
        example("a weight of another model", lambda: edit_node(dense(), "ffn.gate_up", weight="w1")),
        example("a DAG of another model than asked for", lambda: about(dense(), problem(MOE))),
    ],
)
def unresolved_model(subject: Subject) -> Iterator[Hit]:
    """Weights are those of the model, and the model is the one asked for; degrees below one are refused when the document is read."""
    if subject.problem is not None and subject.problem.model.name != subject.model.name:
        asked = subject.problem.model.name
        yield Hit(
            "/model",
            what=f"the DAG is for `{subject.model.name}`, the request is about `{asked}`",
            repair=f"plan for `{asked}`",
        )
    for m in owned(subject, "DG014"):
        what = f"block `{m.block}`: `{subject.model.name}` has no weight `{m.found}` that `{m.node}` could use"
        yield Hit(f"{m.path}/weight", what=what, repair=f"use one of {m.needed}")
