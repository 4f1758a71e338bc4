"""The document as a graph for other tools: DOT and GraphML of the template, `.npz` of the unrolled DAG."""

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from strategy.dag import AnyNode, Block, Branch, Dag, edges
from strategy.expand import PHASES, expand
from strategy.export.artifacts import Artifact, Plan
from strategy.ops import op_kind
from strategy.strategy import Phase

if TYPE_CHECKING:
    import networkx as nx

_STYLES = {"data": "solid", "sync": "dashed", "pipeline": "bold"}
_FILLS = {"compute": "white", "communication": "#ffe0b2", "control": "#e1f5fe"}


class Vertex(NamedTuple):
    """A template node of one phase."""

    name: str
    phase: Phase
    block: Block
    node: AnyNode
    layers: str
    """Ranges of layers that it stands for; empty outside layers."""


class Arrow(NamedTuple):
    """An edge between template nodes."""

    source: str
    target: str
    kind: str
    loop: bool = False
    """Carried to the next decode step."""
    next_layer: bool = False
    """From one layer to the next of the same blocks."""


def to_dot(plan: Plan) -> tuple[Artifact, ...]:
    """`dag.dot`: one cluster a phase, one a block."""
    lines = [
        "digraph strategy {",
        "  rankdir=TB; compound=true;",
        '  node [shape=box, style=filled, fontname="sans-serif"];',
    ]
    for phase in PHASES:
        lines += [f'  subgraph "cluster_{phase}" {{', f'    label="{phase}";']
        for block, layers in uses(plan.dag, phase):
            label = f"{block.name} (layers {layers})" if layers else block.name
            lines += [f'    subgraph "cluster_{phase}_{block.name}" {{', f'      label="{label}";']
            lines += [f"      {_dot_node(vertex)}" for vertex in _vertices(phase, block, layers)]
            lines.append("    }")
        lines.append("  }")
    lines += [f"  {_dot_edge(arrow)}" for arrow in arrows(plan.dag)]
    return (Artifact("dag.dot", "\n".join([*lines, "}"]) + "\n", "text/vnd.graphviz"),)


def _dot_node(vertex: Vertex) -> str:
    axis = getattr(vertex.node, "axis", None)
    text = f"{vertex.node.id}\\n{vertex.node.op}" + (f" ({axis})" if axis else "")
    return f'"{vertex.name}" [label="{text}", fillcolor="{_FILLS[op_kind(vertex.node.op)]}"];'


def _dot_edge(arrow: Arrow) -> str:
    label = ', label="next step"' if arrow.loop else ', label="next layer"' if arrow.next_layer else ""
    free = ", constraint=false" if arrow.loop or arrow.next_layer else ""
    return f'"{arrow.source}" -> "{arrow.target}" [style={_STYLES[arrow.kind]}{label}{free}];'


def to_graphml(plan: Plan) -> tuple[Artifact, ...]:
    """`dag.graphml`, as networkx writes it."""
    import networkx as nx

    out = BytesIO()
    nx.write_graphml(template_graph(plan.dag), out)
    return (Artifact("dag.graphml", out.getvalue().decode(), "application/xml"),)


def to_npz(plan: Plan) -> tuple[Artifact, ...]:
    """`dag.npz`: the columns of the unrolled DAG. Raises `InputError` when it is too large."""
    out = BytesIO()
    expand(plan.dag).save(out)
    return (Artifact("dag.npz", out.getvalue(), "application/octet-stream"),)


def template_graph(dag: Dag) -> "nx.MultiDiGraph[str]":
    """Both branches with their links, node and edge attributes as strings and booleans."""
    import networkx as nx

    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    for phase in PHASES:
        for block, layers in uses(dag, phase):
            for vertex in _vertices(phase, block, layers):
                fields = vertex.node.model_dump(mode="json", exclude_none=True, exclude={"id", "inputs"})
                told = {name: str(value) for name, value in fields.items()}
                graph.add_node(
                    vertex.name, phase=phase, block=block.name, layers=layers, kind=op_kind(vertex.node.op), **told
                )
    for arrow in arrows(dag):
        graph.add_edge(arrow.source, arrow.target, kind=arrow.kind, loop=arrow.loop, next_layer=arrow.next_layer)
    return graph


def uses(dag: Dag, phase: Phase) -> list[tuple[Block, str]]:
    """Blocks of a branch in order of first use, with the layers they stand for."""
    branch = dag.branch(phase)
    found: dict[str, list[str]] = {branch.embed: []}
    for stamp in branch.layers:
        for name in stamp.blocks:
            found.setdefault(name, []).append(f"{stamp.range[0]}-{stamp.range[1] - 1}")
    for name in filter(None, (branch.boundary, branch.head)):
        found.setdefault(name, [])
    return [(block, ", ".join(ranges)) for name, ranges in found.items() if (block := dag.block(name)) is not None]


def _vertices(phase: Phase, block: Block, layers: str) -> list[Vertex]:
    return [Vertex(f"{phase}.{block.name}.{node.id}", phase, block, node, layers) for node in block.nodes]


def arrows(dag: Dag) -> list[Arrow]:
    """Every edge once: inside blocks, from block to block, across phases and steps."""
    found: dict[Arrow, None] = {}
    for phase in PHASES:
        for block, _ in uses(dag, phase):
            found |= dict.fromkeys(_inside(phase, block))
        found |= dict.fromkeys(_between(dag, phase))
    found |= {Arrow(link.source, link.target, link.kind, loop=link.loop): None for link in dag.links}
    return list(found)


def _inside(phase: Phase, block: Block) -> Iterator[Arrow]:
    for node in block.nodes:
        for edge in edges(node):
            if edge.source != "in":
                yield Arrow(f"{phase}.{block.name}.{edge.source}", f"{phase}.{block.name}.{node.id}", edge.kind)


def _between(dag: Dag, phase: Phase) -> Iterator[Arrow]:
    """The residual stream from the output of each block to what reads `in` in the next one."""
    for source, target, next_layer in _sequence(dag.branch(phase)):
        before, after = dag.block(source), dag.block(target)
        if before is None or after is None:
            continue
        for node in after.nodes:
            for edge in edges(node):
                if edge.source == "in":
                    ends = (f"{phase}.{source}.{before.output}", f"{phase}.{target}.{node.id}")
                    yield Arrow(*ends, edge.kind, next_layer=next_layer)


def _sequence(branch: Branch) -> Iterator[tuple[str, str, bool]]:
    """Pairs of blocks that follow each other; the boundary stands between the end of a layer and the start of one."""
    last = branch.embed
    for stamp in (stamp for stamp in branch.layers if stamp.blocks):
        for name in stamp.blocks:
            yield last, name, False
            last = name
        if stamp.range[1] - stamp.range[0] > 1:
            yield last, stamp.blocks[0], True
        if branch.boundary is not None:
            yield last, branch.boundary, False
            yield branch.boundary, stamp.blocks[0], True
    yield last, branch.head, False
