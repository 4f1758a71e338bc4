"""DA007."""

from collections.abc import Iterator

from validators.examples import drop, moe
from validators.examples_moe import named
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="DA007",
    stage="typing",
    severity="error",
    message="`{node}` reads {found}, needs {needed}, under dense_ffn: gathered",
    hint="gather tokens over axis stage before the FFN and reduce_scatter them after it, or set dense_ffn to local",
    sources=(
        "sglang: arg_groups/validation_hook.py:207-211",
        "sglang: layers/dp_attention.py:1046-1120",
    ),
    knowledge="data-parallel-attention.md#dense-layers",
    passes=lambda: named("tokens gathered over the stage", lambda: moe(dense_ffn="gathered")),
    fails=lambda: named(
        "no gather before a FFN that is split over the stage",
        lambda: drop(drop(moe(dense_ffn="gathered"), "ffn.gather"), "ffn.scatter"),
    ),
)
def dense_ffn_without_its_tokens(subject: Subject) -> Iterator[Hit]:
    """A dense FFN under DP attention either stays in the replica, or gathers the tokens of the stage, is split over it, and scatters them back."""
    return typed(subject, "DA007")
