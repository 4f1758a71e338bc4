"""EP003."""

from collections.abc import Iterator

from strategy.legality import lowering_legal
from strategy.strategy import EpLowering, Pool
from validators.block_graph import BlockGraph, graphs, role_of
from validators.examples import drop, moe
from validators.examples_moe import named, with_pool
from validators.mismatches import typed
from validators.registry import Hit, rule
from validators.subject import Subject

MOST_EXPERTS = 16
"""A layer has one expert node; of a block with many, the first ones are looked at here, and all of them by the typing pass."""


@rule(
    code="EP003",
    stage="typing",
    severity="error",
    message="{what}",
    hint="{change}",
    sources=(
        "S1 EP Communication: All-to-All or logically equivalent",
        "vllm: distributed/device_communicators/all2all.py:55-161",
        "vllm: config/parallel.py:788-793 (use_all2all)",
    ),
    knowledge="expert-parallelism.md#three-lowerings",
    settles=("X16",),
    passes=lambda: [
        *named("all_to_all there and back", moe),
        *named("all_gather and reduce_scatter", lambda: moe(ep_lowering="all_gather")),
        *named("replicated tokens, one all_reduce", lambda: moe(tp=4, dp=1, ep=4, ep_lowering="replicated")),
    ],
    fails=lambda: [
        *named("expert outputs without combine", lambda: drop(moe(), "moe.combine")),
        *named("another lowering than declared", lambda: with_pool(moe(), ep_lowering="all_gather")),
        *named("replicas with different tokens, no dispatch", lambda: moe(ep_lowering="replicated")),
    ],
)
def tokens_that_miss_their_experts(subject: Subject) -> Iterator[Hit]:
    """Tokens reach the ranks of their experts and come back by explicit collectives, in one of three equal ways, the declared one."""
    illegal = [(path, pool) for path, pool in subject.pools() if not lowering_legal(pool)]
    for path, pool in illegal:
        yield _unreachable(path, pool)
    if illegal:
        return
    for hit in typed(subject, "EP003"):
        facts = hit.facts
        needs = "" if facts["kind"] == "content" else f", needs {facts['needed'] or 'a complete value'}"
        yield Hit(
            hit.path,
            what=f"`{facts['node']}` ({facts['op']}) meets {facts['found'] or 'a Partial sum of expert outputs'}{needs}",
            change=f"insert {facts['repair'] or 'all_to_all over ep with role combine'} before `{facts['node']}`",
        )
    if not subject.typing.mismatches:
        yield from _undeclared(subject)


def _unreachable(path: str, pool: Pool) -> Hit:
    attention = pool.attention
    return Hit(
        f"{path}/ep_lowering",
        what=f"ep_lowering is replicated, but ranks of an expert group hold different tokens (tp_size={attention.tp_size}, "
        f"dp_size={attention.dp_size}, cp_size={attention.cp_size})",
        change="set ep_lowering to all_to_all or all_gather, or keep ep_size x moe tp_size a divisor of attention.tp_size",
    )


def _undeclared(subject: Subject) -> Iterator[Hit]:
    """Blocks that exchange tokens in another way than the strategy says, which is what the cost is computed from."""
    for graph in graphs(subject):
        for expert in graph.of_op("expert")[:MOST_EXPERTS]:
            found = _lowerings_of(graph, expert.id)
            for pool in subject.pools_of(graph.block.name):
                if pool.experts is not None and pool.experts.ep_size > 1 and pool.ep_lowering not in found:
                    yield Hit(
                        graph.path_of(expert),
                        what=f"`{expert.id}` gets its tokens by {found[0]}, yet ep_lowering of pool `{pool.name}` is {pool.ep_lowering}",
                        change=f"set ep_lowering to {found[0]}, or dispatch and combine by {pool.ep_lowering}",
                    )


def _lowerings_of(graph: BlockGraph, expert_id: str) -> tuple[EpLowering, ...]:
    """How tokens reach an expert node, by the op that dispatches them.

    Tokens gathered before the router chooses are a dispatch to who declares all_gather (SGLang), and the whole of the token shards
    to who declares replicated.
    """
    gathers = graph.upstream(expert_id, "all_to_all", "all_gather")
    ops = [node.op for node in gathers if role_of(node) == "dispatch"]
    if "all_to_all" in ops:
        return ("all_to_all",)
    if "all_gather" in ops:
        return ("all_gather",)
    return ("replicated", "all_gather") if gathers else ("replicated",)
