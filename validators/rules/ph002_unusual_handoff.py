"""PH002."""

from collections.abc import Iterator

from validators.examples import dense, drop_link, edit, example
from validators.links import carries_kv, carries_token, nodes_of_op, reference
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PH002",
    stage="graph",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S1 §1.1", "S2 prefill/decode disaggregation"),
    knowledge="decode.md#separate-branches",
    requires=frozenset({"DG001", "DG002"}),
    passes=lambda: [example("the cache and the first token", dense)],
    fails=lambda: [
        example(
            "activations handed to decode",
            lambda: edit(
                dense(),
                "/links/-",
                {"source": "prefill.ffn.norm", "target": "decode.attention.attend", "kind": "sync"},
            ),
        ),
        example("the first token is lost", lambda: drop_link(dense(), "prefill.sample", "decode.ingress")),
    ],
)
def unusual_handoff(subject: Subject) -> Iterator[Hit]:
    """Decode takes two things from prefill and no other: the cache of each layer and the first sampled token."""
    crossing = [j for j in subject.links.joined if (j.source.phase, j.target.phase) == ("prefill", "decode")]
    for joined in crossing:
        if subject.links.refused.get(joined.path) == "PH002":
            ends = f"`{joined.link.source}` ({joined.source.place.node.op}) to `{joined.link.target}` ({joined.target.place.node.op})"
            how = " as a loop" if joined.link.loop else ", which have no layer in common" if carries_kv(joined) else ""
            what = f"decode depends on prefill from {ends}{how}"
            yield Hit(
                joined.path, what=what, repair="link kv_cache_update to attention, or sample to ingress, without loop"
            )
    reached = {joined.target.place.path for joined in crossing if carries_token(joined)}
    branch = subject.dag.branches
    entries = subject.places_of_op(branch.decode.embed, "ingress")
    if not reached or any(entry.path not in reached for entry in entries):
        repair = f"add the data link from the sample of prefill.{branch.prefill.head} to the ingress of decode.{branch.decode.embed}"
        if _can_be_joined(subject) and _is_untold(subject):
            yield Hit("/links", what="no link brings the first sampled token from prefill to decode", repair=repair)


def _is_untold(subject: Subject) -> bool:
    """Whether no link that is refused was meant to bring the token."""
    branches = subject.dag.branches
    samples, entries = (
        nodes_of_op(subject, branches.prefill.head, "sample"),
        nodes_of_op(subject, branches.decode.embed, "ingress"),
    )
    return subject.links.lacks(reference("prefill", samples[0]), reference("decode", entries[0]))


def _can_be_joined(subject: Subject) -> bool:
    """Whether both ends exist; PP008 speaks when they do not."""
    branches = subject.dag.branches
    ends = ((branches.prefill.head, "sample"), (branches.decode.embed, "ingress"))
    return all(any(place.node.op == op for place in subject.places_of(name)) for name, op in ends)
