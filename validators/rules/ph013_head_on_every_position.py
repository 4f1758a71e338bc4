"""PH013."""

from collections.abc import Iterator

from validators.examples import dense, drop, example
from validators.mismatches import owned
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PH013",
    stage="typing",
    severity="warning",
    message="block `{block}`: {what}",
    hint="put `select_last` in front of the LM head: one row a sequence is enough",
    sources=("layer templates of S1 §8", "vllm: model_executor/layers/logits_processor.py:98-134"),
    knowledge="prefill.md#only-last-positions-reach-the-head",
    passes=lambda: [example("the last position of each sequence", dense)],
    fails=lambda: [example("every position of the prompt", lambda: drop(dense(), "head_prefill.last"))],
)
def head_on_every_position(subject: Subject) -> Iterator[Hit]:
    """Only the last position of a prompt is sampled; logits of the others are wasted, and sampling them is wrong."""
    found = owned(subject, "PH013")
    wrong = [m for m in found if m.kind == "content"]
    for m in wrong or found:
        what = f"`{m.node}` {'samples' if wrong else 'runs on'} every position of the prompt"
        yield Hit(m.path, severity="error" if wrong else "warning", block=m.block, what=what)
