"""CM004."""

from collections.abc import Iterator

from strategy.dag import edges
from validators.examples import dense, drop, edit_node, example, insert
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="CM004",
    stage="graph",
    severity="error",
    message="block `{block}`: `{node}` has {count} where it needs one",
    hint="{repair}",
    sources=("astra-sim: workload/Workload.cc issue_send_comm, issue_recv_comm",),
    knowledge="pipeline-parallelism.md#send-and-recv-at-a-boundary",
    requires=frozenset({"DG001", "DG002", "DG012"}),
    passes=lambda: [example("one send, one recv", dense)],
    fails=lambda: [
        example(
            "two receivers of one send",
            lambda: insert(dense(), "boundary.recv", id="again", op="recv", inputs=["recv", "pipeline:send"]),
        ),
        example("a receiver whose sender is left out", lambda: drop(dense(), "boundary.send")),
        example("a receiver without a sender", lambda: edit_node(dense(), "boundary.recv", inputs=["in"])),
    ],
)
def unmatched_send(subject: Subject) -> Iterator[Hit]:
    """Each send has exactly one recv and each recv exactly one send, else one side waits for ever."""
    for block in subject.dag.blocks:
        received: dict[str, int] = {}
        for place in subject.places_of(block.name):
            if place.node.op != "recv":
                continue
            named = [edge.source for edge in edges(place.node) if edge.kind == "pipeline"]
            sends = {send.node.id for send in subject.places_of_op(block.name, "send")}
            senders = [source for source in named if source in sends]
            for sender in senders:
                received[sender] = received.get(sender, 0) + 1
            if len(senders) != 1 or len(place.node.inputs) != 1:
                yield _hit(
                    place.path,
                    block.name,
                    place.node.id,
                    len(senders),
                    "sender",
                    "let it read `pipeline:` of one send and nothing else",
                )
        for place in subject.places_of(block.name):
            if place.node.op == "send" and received.get(place.node.id, 0) != 1:
                count = received.get(place.node.id, 0)
                yield _hit(
                    place.path,
                    block.name,
                    place.node.id,
                    count,
                    "receiver",
                    f"let one recv read `pipeline:{place.node.id}`",
                )


def _hit(path: str, block: str, node: str, count: int, what: str, repair: str) -> Hit:
    return Hit(path, block=block, node=node, count=f"{count or 'no'} {what}{'s' if count > 1 else ''}", repair=repair)
