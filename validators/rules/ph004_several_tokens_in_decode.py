"""PH004."""

from collections.abc import Iterator

from strategy.dag import Ingress
from validators.examples import dense, edit_node, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PH004",
    stage="graph",
    severity="error",
    message="decode takes {tokens} new tokens of each sequence into one step; a step has 1",
    hint="leave `tokens_per_sequence` out, or set it to 1: the batch grows with sequences, not with tokens of one",
    sources=("S0 Decode Phase", "S1 §1.2 and §7.4", "S4 Decode Phase"),
    knowledge="decode.md#one-token-per-sequence",
    settles=("X14",),
    requires=frozenset({"DG001", "DG002"}),
    passes=lambda: [
        example("left out", dense),
        example("one", lambda: edit_node(dense(), "embed.ingress", tokens_per_sequence=1)),
    ],
    fails=lambda: [example("two", lambda: edit_node(dense(), "embed.ingress", tokens_per_sequence=2))],
)
def several_tokens_in_decode(subject: Subject) -> Iterator[Hit]:
    """The next token of a sequence is known only when this one has been sampled."""
    for name in sorted(subject.block_names("decode")):
        for place in subject.places_of(name):
            if isinstance(place.node, Ingress) and place.node.tokens_per_sequence not in (None, 1):
                yield Hit(f"{place.path}/tokens_per_sequence", tokens=place.node.tokens_per_sequence)
