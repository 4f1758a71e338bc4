"""PP005."""

from collections.abc import Iterator

from strategy.dag import Send
from validators.examples import dense, edit, example, insert
from validators.links import nodes_of_op
from validators.order import reached, sources
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP005",
    stage="graph",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S4 Communication Semantics", "S3 PP groups", "vllm: v1/worker/gpu_worker.py:1335-1391"),
    knowledge="pipeline-parallelism.md#send-and-recv-at-a-boundary",
    requires=frozenset({"CM004", "DG001", "DG002", "DG009", "DP011"}),
    passes=lambda: [
        example("send and recv between the stages", dense),
        example("one stage, no boundary", lambda: dense(pp=1)),
    ],
    fails=lambda: [
        example("no boundary", lambda: edit(dense(), "/branches/decode/boundary", None)),
        example("a boundary that sends nothing", lambda: edit(dense(), "/branches/prefill/boundary", "ffn")),
        example(
            "a send in the middle of a layer",
            lambda: insert(
                insert(dense(), "ffn.act", id="send", op="send", inputs=["act"]),
                "ffn.send",
                id="recv",
                op="recv",
                inputs=["pipeline:send"],
            ),
        ),
    ],
)
def stages_not_joined(subject: Subject) -> Iterator[Hit]:
    """What leaves a stage reaches the next one through one send and one recv per rank, at the boundary and nowhere else."""
    for phase, branch, path in subject.branches():
        pool = subject.dag.strategy.pool_for(phase)
        if pool.pp_size > 1 and not _hands_over(subject, branch.boundary):
            named = (
                f"its boundary `{branch.boundary}` hands nothing over" if branch.boundary else "it names no boundary"
            )
            what = f"{phase} runs on {pool.pp_size} stages, and {named}"
            yield Hit(
                f"{path}/boundary",
                what=what,
                repair="name a block `in` -> send -> recv (`pipeline:send`) as `boundary`",
            )
    yield from _elsewhere(subject)


def _hands_over(subject: Subject, name: str | None) -> bool:
    """Whether what leaves the block came through a recv."""
    block = subject.dag.block(name) if name is not None else None
    if block is None:
        return False
    behind = reached(sources(block), [block.output])
    return any(place.node.id in behind for place in nodes_of_op(subject, block.name, "recv"))


def _elsewhere(subject: Subject) -> Iterator[Hit]:
    boundaries = {branch.boundary for _, branch, _ in subject.branches()}
    inside = {
        name
        for _, branch, _ in subject.branches()
        for name in (branch.embed, branch.head, *(b for s in branch.layers for b in s.blocks))
    }
    for name in sorted(inside - boundaries):
        for place in (
            p for p in nodes_of_op(subject, name, "send") if isinstance(p.node, Send) and p.node.axis is None
        ):
            what = f"block `{name}`: `{place.node.id}` sends to another stage from the middle of this one"
            yield Hit(place.path, what=what, repair="delete it and its recv; stages meet in the `boundary` block")
