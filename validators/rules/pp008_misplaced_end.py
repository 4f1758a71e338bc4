"""PP008."""

from collections.abc import Iterator

from strategy.dag import AnyNode
from strategy.strategy import Phase
from validators.block_graph import weight_of
from validators.examples import dense, edit, example, insert
from validators.registry import Hit, rule
from validators.subject import Subject

EMBED = ("ingress", "embedding")
HEAD = ("lm_head", "sample")
END_PARTS = {
    "ingress": "embed",
    "embedding": "embed",
    "select_last": "head",
    "sample": "head",
    "lm_head": "head",
    "final_norm": "head",
}
"""The part of a branch in which an op or weight belongs."""


@rule(
    code="PP008",
    stage="graph",
    severity="error",
    message="{phase}: {what}",
    hint="{repair}",
    sources=("S3 PP figure", "vllm: model_executor/models/llama.py:377-397, 502-509"),
    knowledge="pipeline-parallelism.md#embedding-and-head-placement",
    requires=frozenset({"DG001", "DG002"}),
    passes=lambda: [example("embedding first, head last", dense)],
    fails=lambda: [
        example(
            "sampling inside a layer", lambda: insert(dense(), "ffn.norm", id="sample", op="sample", inputs=["norm"])
        ),
        example("a head that is the embedding", lambda: edit(dense(), "/branches/prefill/head", "embed")),
    ],
)
def misplaced_end(subject: Subject) -> Iterator[Hit]:
    """Token ids become vectors on the first stage, and vectors become tokens on the last."""
    told: set[str] = set()
    for phase, branch, path in subject.branches():
        yield from _lacking(subject, phase, f"{path}/embed", branch.embed, EMBED)
        yield from _lacking(subject, phase, f"{path}/head", branch.head, HEAD)
        for name in sorted({block for stamp in branch.layers for block in stamp.blocks}):
            for place in subject.places_of(name):
                part = END_PARTS.get(_what(place.node))
                if part is not None and place.path not in told:
                    told.add(place.path)
                    what = (
                        f"`{place.node.id}` ({_what(place.node)}) stands in block `{name}`, which every layer repeats"
                    )
                    yield Hit(place.path, phase=phase, what=what, repair=f"move it to the `{part}` block")


def _what(node: AnyNode) -> str:
    """A node's op, or the weight of a linear or norm."""
    return weight_of(node) or node.op


def _lacking(subject: Subject, phase: Phase, path: str, block: str, needed: tuple[str, ...]) -> Iterator[Hit]:
    present = {_what(place.node) for place in subject.places_of(block)}
    missing = [name for name in needed if name not in present]
    if missing:
        part = path.rpartition("/")[2]
        yield Hit(
            path,
            phase=phase,
            what=f"its {part} block `{block}` has no {' and no '.join(missing)}",
            repair=f"add {', '.join(missing)} to it",
        )
