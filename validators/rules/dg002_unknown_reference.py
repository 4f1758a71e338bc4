"""DG002."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from strategy.dag import RESIDUAL, edges
from validators.examples import dense, edit, edit_node, example
from validators.links import nodes_of_op, split_reference
from validators.registry import Hit, rule
from validators.subject import PHASES, Subject


@rule(
    code="DG002",
    stage="graph",
    severity="error",
    message="there is no {what} `{name}`",
    hint="{repair}",
    sources=("chakra: src/feeder/et_feeder.cpp readNode, resolveDep",),
    knowledge="dag-document.md#unique-names-and-known-endpoints",
    requires=frozenset({"DG001"}),
    passes=lambda: [example("every input, block and link end exists", dense)],
    fails=lambda: [
        example("an input that no node has", lambda: edit_node(dense(), "ffn.act", inputs=["gateup"])),
        example("a branch that names no block", lambda: edit(dense(), "/branches/decode/head", "head")),
        example(
            "a link from a node that is not there", lambda: edit(dense(), "/links/1/source", "prefill.embed.sample")
        ),
    ],
)
def unknown_reference(subject: Subject) -> Iterator[Hit]:
    """Every input, block output, branch entry and link end names something that exists, else it waits for ever."""
    yield from _inputs(subject)
    yield from _blocks(subject)
    yield from _link_ends(subject)


def _inputs(subject: Subject) -> Iterator[Hit]:
    outside = {subject.dag.branches.prefill.embed, subject.dag.branches.decode.embed}
    for b, block in enumerate(subject.dag.blocks):
        ids = {node.id for node in block.nodes}
        readable = ids if block.name in outside else ids | {RESIDUAL}
        for n, node in enumerate(block.nodes):
            for i, edge in enumerate(edges(node)):
                if edge.source not in readable:
                    path = f"/blocks/{b}/nodes/{n}/inputs/{i}"
                    yield _hit(path, f"node in block `{block.name}`", edge.source, readable)
        if block.output not in ids:
            yield _hit(f"/blocks/{b}/output", f"node in block `{block.name}`", block.output, ids)


def _blocks(subject: Subject) -> Iterator[Hit]:
    known = {block.name for block in subject.dag.blocks}
    for _phase, branch, path in subject.branches():
        named = [(f"{path}/embed", branch.embed), (f"{path}/head", branch.head)]
        if branch.boundary is not None:
            named.append((f"{path}/boundary", branch.boundary))
        for s, stamp in enumerate(branch.layers):
            named += [(f"{path}/layers/{s}/blocks/{i}", name) for i, name in enumerate(stamp.blocks)]
        for place, name in named:
            if name not in known:
                yield _hit(place, "block", name, known)


def _link_ends(subject: Subject) -> Iterator[Hit]:
    known = [f"{phase}.{block}.{node}" for block, node in list(subject.by_name)[:500] for phase in PHASES]
    for index, link in enumerate(subject.dag.links):
        for key, text in (("source", link.source), ("target", link.target)):
            parts = split_reference(text)
            exists = parts is not None and parts[0] in PHASES and parts[1:] in subject.by_name
            if not exists and not _cache_left_out(subject, text):
                yield _hit(f"/links/{index}/{key}", "node", text, known)


def _cache_left_out(subject: Subject, text: str) -> bool:
    """Whether the end is the cache of a block that has attention and no `kv_cache_update`: PH007 and PH008 say that."""
    parts = split_reference(text)
    if parts is None or parts[0] not in PHASES or not nodes_of_op(subject, parts[1], "attention"):
        return False
    return not nodes_of_op(subject, parts[1], "kv_cache_update")


def _hit(path: str, what: str, name: str, known: Iterable[str]) -> Hit:
    near = get_close_matches(name, list(known), n=1)
    return Hit(
        path, what=what, name=name, repair=f"did you mean `{near[0]}`?" if near else "add it, or name one that exists"
    )
