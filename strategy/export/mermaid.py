"""A DAG as a Mermaid flowchart: the folded template, one subgraph per phase and block."""

from strategy.dag import Block, Branch, Dag, edges
from strategy.ops import op_kind

MAX_EDGES = 500
"""Mermaid's own default limit; a template stays far below it."""

_SHAPES = {"compute": ("[", "]"), "communication": ("{{", "}}"), "control": ("([", "])")}
_ARROWS = {"data": "-->", "sync": "-.->", "pipeline": "==>"}


def to_mermaid(dag: Dag) -> str:
    """Both branches, each block drawn once with the layers it stands for."""
    lines = ["flowchart TB"]
    for phase in ("prefill", "decode"):
        branch = dag.branch(phase)
        lines.append(f"  subgraph {phase}")
        sequence = _sequence(branch)
        for name, label in sequence.items():
            block = dag.block(name)
            if block is not None:
                lines += _block(phase, block, label)
        lines += [f"    {phase}_{a} ==> {phase}_{b}" for a, b in zip(list(sequence), list(sequence)[1:], strict=False)]
        lines.append("  end")
    for link in dag.links:
        arrow, label = _ARROWS[link.kind], "|next step|" if link.loop else ""
        lines.append(f"  {link.source.replace('.', '_')} {arrow}{label} {link.target.replace('.', '_')}")
    kinds = (
        "classDef communication fill:#ffe0b2,stroke:#e65100,color:#000",
        "classDef control fill:#e1f5fe,stroke:#01579b,color:#000",
    )
    return "\n".join([*lines[: MAX_EDGES * 4], *(f"  {kind}" for kind in kinds)]) + "\n"


def _sequence(branch: Branch) -> dict[str, str]:
    """Blocks in order of first use, with the layers they stand for."""
    found: dict[str, list[str]] = {branch.embed: []}
    for stamp in branch.layers:
        for name in stamp.blocks:
            found.setdefault(name, []).append(f"{stamp.range[0]}-{stamp.range[1] - 1}")
    for outside in (branch.boundary, branch.head):
        if outside is not None:
            found.setdefault(outside, [])
    return {name: f"{name} (layers {', '.join(ranges)})" if ranges else name for name, ranges in found.items()}


def _block(phase: str, block: Block, label: str) -> list[str]:
    prefix = f"{phase}_{block.name}"
    lines = [f'    subgraph {prefix}["{label}"]']
    for node in block.nodes:
        kind = op_kind(node.op)
        left, right = _SHAPES[kind]
        axis = getattr(node, "axis", None)
        text = f"{node.id}: {node.op}" + (f" ({axis})" if axis else "")
        lines.append(f'      {prefix}_{node.id}{left}"{text}"{right}' + ("" if kind == "compute" else f":::{kind}"))
        for edge in edges(node):
            if edge.source != "in":
                lines.append(f"      {prefix}_{edge.source} {_ARROWS[edge.kind]} {prefix}_{node.id}")
    return [*lines, "    end"]
