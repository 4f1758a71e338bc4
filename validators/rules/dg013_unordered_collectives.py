"""DG013."""

from collections.abc import Iterator

from strategy.mesh import axis_size
from strategy.strategy import Pool
from validators.block_graph import collective_axis
from validators.examples import dense, edit_node, example, insert, moe
from validators.order import unordered
from validators.registry import Hit, rule
from validators.subject import Place, Subject


@rule(
    code="DG013",
    stage="graph",
    severity="warning",
    message="block `{block}`: collectives `{first}` and `{second}` share ranks, and neither waits for the other",
    hint="let `{second}` also read `sync:{first}`, unless both run on streams of their own",
    sources=("vllm: distributed/parallel_state.py:2149-2155, config/parallel.py:906-914",),
    knowledge="dag-document.md#order-of-collectives",
    requires=frozenset({"DG001", "DG002", "DG003", "DG007"}),
    passes=lambda: [example("one after the other", dense), example("dispatch, then combine", moe)],
    fails=lambda: [example("the shared experts are summed beside the routed ones", _shared_beside_routed)],
)
def unordered_collectives(subject: Subject) -> Iterator[Hit]:
    """Ranks that enter collectives in different orders hang; a rank takes nodes in document order, an engine with streams may not."""
    for block in subject.dag.blocks:
        pools = subject.pools_of(block.name)
        places = {place.node.id: place for place in subject.places_of(block.name) if _meets(place, pools)}
        for first, second in unordered(subject.reads(block), places):
            yield Hit(places[second].path, block=block.name, first=first, second=second)


def _meets(place: Place, pools: tuple[Pool, ...]) -> bool:
    """Whether a node is a collective with more than one rank."""
    axis = collective_axis(place.node)
    return axis is not None and any(axis_size(pool, axis) > 1 for pool in pools)


def _shared_beside_routed() -> Subject:
    base = moe(tp=4, dp=1, ep=2, ep_lowering="replicated")
    split = edit_node(base, "moe.shared_gate_up", split="column")
    split = edit_node(split, "moe.shared_down", split="row")
    return insert(split, "moe.shared_down", id="shared_sum", op="all_reduce", axis="tp", inputs=["shared_down"])
