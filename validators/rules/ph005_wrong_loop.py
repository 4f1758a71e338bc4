"""PH005."""

from collections.abc import Iterator

from validators.examples import dense, drop_link, edit, example
from validators.links import nodes_of_op, reference
from validators.registry import Hit, rule
from validators.subject import Place, Subject


@rule(
    code="PH005",
    stage="graph",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S1 §7.1", "S4 Constraint 2"),
    knowledge="decode.md#loop-edges",
    settles=("X14",),
    requires=frozenset({"DG001", "DG002", "DG007", "PH008"}),
    passes=lambda: [example("the cache of each layer and the sampled token", dense)],
    fails=lambda: [
        example(
            "the cache is forgotten between steps", lambda: drop_link(dense(), "decode.kv", "decode.attend", loop=True)
        ),
        example(
            "the sampled token does not come back",
            lambda: drop_link(dense(), "decode.sample", "decode.ingress", loop=True),
        ),
        example(
            "activations kept for the next step",
            lambda: edit(
                dense(),
                "/links/-",
                {"source": "decode.ffn.add", "target": "decode.attention.norm", "kind": "data", "loop": True},
            ),
        ),
    ],
)
def wrong_loop(subject: Subject) -> Iterator[Hit]:
    """A step needs all of the one before it: the sampled token and the cache of each layer, and nothing else crosses steps."""
    inside = [j for j in subject.links.joined if j.source.phase == j.target.phase == "decode"]
    for joined in inside:
        if subject.links.refused.get(joined.path) == "PH005":
            what = f"the loop from `{joined.link.source}` to `{joined.link.target}` carries state that a step does not keep"
            yield Hit(
                joined.path,
                what=what,
                repair="delete it; loops go from sample to ingress, and from the cache of a layer to its attention",
            )
    written = {(j.source.place.path, j.target.place.path) for j in inside}
    for update, reader in subject.links.caches["decode"]:
        if (update.path, reader.path) not in written:
            yield from _missing(subject, update, reader, "sync")
    yield from _token(subject, written)


def _token(subject: Subject, written: set[tuple[str, str]]) -> Iterator[Hit]:
    """The loop of the sampled token, where both of its ends exist (PP008 speaks when they do not)."""
    branch = subject.dag.branches.decode
    samples, entries = nodes_of_op(subject, branch.head, "sample"), nodes_of_op(subject, branch.embed, "ingress")
    for entry in entries if samples else ():
        if not any((sample.path, entry.path) in written for sample in samples):
            yield from _missing(subject, samples[0], entry, "data")


def _missing(subject: Subject, source: Place, target: Place, kind: str) -> Iterator[Hit]:
    names = reference("decode", source), reference("decode", target)
    if not subject.links.lacks(*names):
        return
    repair = f"add {{source: {names[0]}, target: {names[1]}, kind: {kind}, loop: true}}"
    yield Hit("/links", what=f"no loop brings `{names[0]}` of one step to `{names[1]}` of the next", repair=repair)
