"""DG011."""

from collections.abc import Iterator

from validators.examples import dense, example, insert, moe
from validators.mismatches import owned
from validators.registry import Hit, rule
from validators.subject import Subject
from validators.typing_pass import Mismatch


@rule(
    code="DG011",
    stage="typing",
    severity="error",
    message="block `{block}`, {phase}: `{node}` {what}",
    hint="{repair}",
    sources=("S1 §7.3 and §6.4.1", "sglang: layers/layer_boundary/contracts.py:29-175"),
    knowledge="placement-algebra.md#reading-a-mismatch",
    settles=("X3",),
    passes=lambda: [example("dense", dense), example("experts over ep", moe)],
    fails=lambda: [
        example(
            "a shard cut once more",
            lambda: insert(
                moe(tp=2, dp=2), "moe.chunk", id="again", op="chunk", axis="tp", dim="tokens", inputs=["chunk"]
            ),
        ),
    ],
)
def unmatched_placement(subject: Subject) -> Iterator[Hit]:
    """A data edge joins two nodes whose placements agree; where they differ a communication node is missing, or one is too many."""
    for m in owned(subject, "DG011"):
        yield Hit(m.path, block=m.block, phase=m.phase, node=m.node, what=_what(m), repair=_repair(m))


def _what(m: Mismatch) -> str:
    if m.kind == "order":
        return f"takes slices over {m.axis} that are not the rows the ranks own: it meets {m.found}"
    return f"needs {m.needed} and gets {m.found}" if m.needed else f"gets {m.found}"


def _repair(m: Mismatch) -> str:
    if m.kind == "placements":
        return f"bring both inputs of `{m.node}` into one placement"
    if m.kind == "order":
        return "undo collectives in the reverse order of those that made the shards, on the same axes"
    return f"put {m.repair} in front of `{m.node}`" if m.repair else f"change what `{m.node}` reads"
