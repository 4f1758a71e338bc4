"""PH003."""

from collections.abc import Iterator

from validators.examples import dense, edit, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PH003",
    stage="graph",
    severity="error",
    message="prefill depends on decode: the link from `{source}` to `{target}`",
    hint="delete it; prefill of a sequence is over before its decode begins",
    sources=("S1 §1",),
    knowledge="decode.md#separate-branches",
    requires=frozenset({"DG001", "DG002"}),
    passes=lambda: [example("prefill to decode only", dense)],
    fails=lambda: [
        example(
            "the sampled token goes back to the prompt",
            lambda: edit(
                dense(),
                "/links/-",
                {"source": "decode.head_decode.sample", "target": "prefill.embed.ingress", "kind": "data"},
            ),
        ),
    ],
)
def link_back_to_prefill(subject: Subject) -> Iterator[Hit]:
    """Prefill comes first, so nothing in it waits for decode."""
    for joined in subject.links.joined:
        if subject.links.refused.get(joined.path) == "PH003":
            yield Hit(joined.path, source=joined.link.source, target=joined.link.target)
