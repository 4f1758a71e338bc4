"""PH010."""

from collections.abc import Iterator

from strategy.strategy import Pool
from validators.examples import dense, drop_link, edit, example
from validators.links import reference
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PH010",
    stage="graph",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S4 Failure-prone: causal masking cannot be ignored",),
    knowledge="prefill.md#causal-order-and-chunks",
    requires=frozenset({"DG001", "DG002", "DG009", "PH008"}),
    passes=lambda: [
        example("a prompt in one piece", dense),
        example("each chunk reads the cache of those before it", lambda: dense(chunk_tokens=512)),
    ],
    fails=lambda: [
        example(
            "chunks that do not see each other",
            lambda: drop_link(dense(chunk_tokens=512), "prefill.kv", "prefill.attend", loop=True),
        ),
        example(
            "activations handed to the next chunk",
            lambda: edit(
                dense(chunk_tokens=512),
                "/links/-",
                {"source": "prefill.ffn.add", "target": "prefill.attention.norm", "kind": "data", "loop": True},
            ),
        ),
    ],
)
def chunks_out_of_order(subject: Subject) -> Iterator[Hit]:
    """A chunk of a prompt sees the chunks before it, through the cache of each layer, and never those after it."""
    pool = subject.dag.strategy.pool_for("prefill")
    pairs = subject.links.caches["prefill"]
    wanted = {(update.path, reader.path) for update, reader in pairs}
    written = set()
    for joined in subject.links.joined:
        if joined.source.phase == joined.target.phase == "prefill" and joined.link.loop:
            ends = (joined.source.place.path, joined.target.place.path)
            written.add(ends)
            if ends not in wanted:
                what = f"the loop from `{joined.link.source}` to `{joined.link.target}` carries state that a chunk does not keep"
                yield Hit(
                    joined.path, what=what, repair="delete it; only the cache of a layer passes to the next chunk"
                )
    yield from _pieces(pool, bool(written & wanted))
    for update, reader in pairs if pool.chunk_tokens is not None else ():
        names = reference("prefill", update), reference("prefill", reader)
        if (update.path, reader.path) not in written and subject.links.lacks(*names):
            what = (
                f"prompts run in chunks of {pool.chunk_tokens} tokens, and `{names[1]}` does not see the chunks before"
            )
            yield Hit(
                "/links", what=what, repair=f"add {{source: {names[0]}, target: {names[1]}, kind: sync, loop: true}}"
            )


def _pieces(pool: Pool, looped: bool) -> Iterator[Hit]:
    """A loop for chunks where there is one piece does nothing."""
    if looped and pool.chunk_tokens is None:
        what = f"prefill has a loop from chunk to chunk, and pool `{pool.name}` runs prompts in one piece"
        yield Hit("/links", severity="warning", what=what, repair="set chunk_tokens, or delete the loop")
