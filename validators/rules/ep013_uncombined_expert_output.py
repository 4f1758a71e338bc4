"""EP013."""

from collections.abc import Iterator

from validators.block_graph import graphs, moves_only, role_of
from validators.examples import edit_node, moe
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="EP013",
    stage="graph",
    severity="error",
    message="`{reader}` ({op}) reads `{expert}` beside the combine `{combine}`: expert outputs lie at their experts, not at their tokens",
    hint="let `{reader}` read `{combine}` instead of `{expert}`",
    sources=("S1 EP Communication (experts may fan out in parallel)",),
    knowledge="expert-parallelism.md#route-dispatch-compute-combine",
    requires=frozenset({"DG003"}),
    passes=lambda: named("only combine reads the experts", moe),
    fails=lambda: named(
        "the merge reads the experts too",
        lambda: edit_node(moe(), "moe.merge", inputs=["combine", "experts", "shared_down"]),
    ),
)
def uncombined_expert_output(subject: Subject) -> Iterator[Hit]:
    """What experts compute goes back to its tokens before anything else reads it."""
    for graph in graphs(subject):
        for expert in graph.of_op("expert"):
            readers = [graph.nodes[node_id] for node_id in graph.consumers[expert.id]]
            combine = next((node for node in readers if role_of(node) == "combine"), None)
            for reader in readers:
                if combine is not None and not moves_only(reader):
                    yield Hit(
                        graph.path_of(reader), reader=reader.id, op=reader.op, expert=expert.id, combine=combine.id
                    )
