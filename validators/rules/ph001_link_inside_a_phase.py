"""PH001."""

from collections.abc import Iterator

from validators.examples import dense, edit, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PH001",
    stage="graph",
    severity="error",
    message="the link from `{source}` to `{target}` stays inside one step of {phase}",
    hint="delete it; inside a branch nodes are joined by `inputs`, and state for the next step goes with loop: true",
    sources=("S1 §1",),
    knowledge="decode.md#separate-branches",
    requires=frozenset({"DG001", "DG002", "DG007"}),
    passes=lambda: [
        example("links join branches and steps", dense),
        example("chunks of a prompt", lambda: dense(chunk_tokens=512)),
    ],
    fails=lambda: [
        example(
            "the cache of decode handed to the same step",
            lambda: edit(
                dense(),
                "/links/-",
                {"source": "decode.attention.kv", "target": "decode.attention.attend", "kind": "sync"},
            ),
        ),
    ],
)
def link_inside_a_phase(subject: Subject) -> Iterator[Hit]:
    """The two phases are branches of their own, and links are what joins them; a branch is not patched by links."""
    for joined in subject.links.joined:
        if subject.links.refused.get(joined.path) == "PH001":
            yield Hit(joined.path, source=joined.link.source, target=joined.link.target, phase=joined.source.phase)
