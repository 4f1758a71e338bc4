"""PF001."""

from collections.abc import Iterator

from strategy.result import Proof
from validators.examples import dense, drop, example, moe
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PF001",
    stage="proof",
    severity="error",
    message="run on virtual ranks, the DAG does not compute what one device computes: {what}",
    hint="compare `{node}` and what it reads with the canonical DAG of the same strategy",
    sources=(
        "the proof: the DAG executed on a scaled-down model of the same structure, against a single-device reference",
    ),
    knowledge="placement-algebra.md#proof-by-execution",
    passes=lambda: [example("dense over tp x pp", dense), example("experts over ep", moe)],
    fails=lambda: [example("a sum left out, seen by the proof alone", lambda: drop(dense(), "ffn.reduce"))],
)
def departure_from_one_device(subject: Subject) -> Iterator[Hit]:
    """A plan is right when its ranks together give the numbers of one device, in prefill and in every decode step."""
    proof = subject.proof
    if not proof.passed:
        yield Hit("", what=_what(proof), node=proof.departure.node if proof.departure else "the logits")


def _what(proof: Proof) -> str:
    found = proof.departure
    if found is None:
        return f"the largest error is {proof.max_abs_error:.3g}"
    layer = "" if found.layer is None else f" in layer {found.layer}"
    detail = f" ({found.detail})" if found.detail else ""
    return f"`{found.node}`{layer} is the first to differ, by {found.max_abs_error:.3g}{detail}"
