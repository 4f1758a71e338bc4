"""PP016."""

from collections.abc import Iterator

from validators.block_graph import graphs
from validators.examples import dense, edit, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP016",
    stage="graph",
    severity="info",
    message="block `{block}`: `{send}` sends 1/{axis} of what each rank has, and the receivers gather it again",
    hint="leave it as it is: fewer bytes cross the link between stages, and a gather inside the stage makes up for it",
    sources=("vllm: distributed/parallel_state.py:1069-1081,1220-1223",),
    knowledge="pipeline-parallelism.md#sliced-sends",
    passes=lambda: [example("whole tensors", dense)],
    fails=lambda: [example("a slice each", _sliced)],
)
def sliced_send(subject: Subject) -> Iterator[Hit]:
    """Ranks of a tp group have the same tensor, so each may send its slice; without the gather behind it the next stage has slices only."""
    boundaries = {branch.boundary for _, branch, _ in subject.branches()}
    for graph in graphs(subject):
        if graph.block.name not in boundaries:
            continue
        for send in graph.of_op("send"):
            cuts = graph.upstream(send.id, "chunk")
            if cuts and graph.of_op("all_gather"):
                axis = getattr(cuts[-1], "axis", "tp")
                yield Hit(graph.path_of(send), block=graph.block.name, send=send.id, axis=axis)


def _sliced() -> Subject:
    base = dense()
    index = next(i for i, block in enumerate(base.dag.blocks) if block.name == "boundary")
    nodes = [
        {"id": "slice", "op": "chunk", "axis": "tp", "dim": "tokens", "inputs": ["in"]},
        {"id": "send", "op": "send", "inputs": ["slice"]},
        {"id": "recv", "op": "recv", "inputs": ["pipeline:send"]},
        {"id": "whole", "op": "all_gather", "axis": "tp", "dim": "tokens", "inputs": ["recv"]},
    ]
    return edit(edit(base, f"/blocks/{index}/nodes", nodes), f"/blocks/{index}/output", "whole")
