"""A result from top to bottom, for a terminal: the verdict, the numbers against their limits, why, the graph, and what was assumed."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from api.render import (
    COLOURS,
    bar,
    bar_width,
    bullets,
    duration,
    findings,
    limit,
    load,
    memory_bar,
    memory_legend,
    notes,
    proof,
    rate,
    section,
    times,
)
from strategy.dag import AnyNode, Block, Branch, Dag, LayerStamp
from strategy.request import Request
from strategy.result import Alternative, Change, Estimate, Infeasible, Limit, Proof, Result
from strategy.strategy import Pool, Strategy, combination, describe, describe_strategy

AXES = {
    "tp": "blue",
    "ep": "yellow",
    "dp": "green",
    "cp": "magenta",
    "dcp": "bright_magenta",
    "moe_tp": "cyan",
    "moe_dp": "bright_yellow",
}
"""Colours of the axes that collectives run over, close to those of the page."""
LABEL_WIDTH = len("throughput")
MOST_RUNS = 32
"""Runs of layers that are listed one by one where layers lack halves."""
WITHOUT_PLAN = {
    "infeasible": "nothing on this hardware meets the request",
    "needs_clarification": "one question first",
    "rejected": "no valid plan came out",
}
NEXT = "Add `-o DIR` for the launch commands of every engine, the graph and this report as files."


def result(value: Result, *, saved: bool = True) -> RenderableType:
    """Everything there is to say about a plan, and how to have it as files unless it is `saved`."""
    parts: list[RenderableType | None] = [headline(value), _question(value)]
    if value.infeasible is not None:
        parts.append(infeasible(value.infeasible))
    if value.status == "rejected" and value.explanation:
        parts.append(section("Why", Text(value.explanation)))
    if value.estimate is not None:
        parts.append(section("Numbers", _numbers(value.estimate, value.request, value.proof)))
        parts.append(section("Where the time goes", Group(*times(value.estimate.breakdown))))
    if value.strategy is not None:
        parts.append(section("Layout", strategy(value.strategy)))
    if value.dag is not None:
        parts.append(section(f"DAG ({value.dag.num_nodes} nodes)", outline(value.dag)))
    if value.report.findings:
        parts.append(section("Findings", findings(value.report.findings)))
    parts.append(_why(value))
    if value.dag is not None and not saved:
        parts.append(Text(f"\n{NEXT}", style="dim"))
    return Group(*(part for part in parts if part is not None))


def headline(value: Result) -> RenderableType:
    """The verdict and the plan in a line, then the request as it was understood."""
    words = Text(value.status.replace("_", " "), style=COLOURS[value.status])
    if value.strategy is not None:
        gpus = f" on {value.strategy.world_size} GPUs" if value.strategy.world_size > 1 else ""
        words.append(f"  {describe_strategy(value.strategy)}{gpus}", "bold")
    elif value.status in WITHOUT_PLAN:
        words.append(f"  {WITHOUT_PLAN[value.status]}", "bold")
    if value.request is None:
        return words
    return Group(words, Text(f"{asked(value.request)}  (by {value.origin.replace('_', ' ')})", style="dim"))


def asked(request: Request) -> str:
    """A request in a line: model, GPUs, traffic, limits."""
    model = request.model if isinstance(request.model, str) else str(request.model.get("name", "your model"))
    cluster, work = request.cluster, request.workload
    hosts = f"{cluster.hosts} x " if cluster.hosts > 1 else ""
    per_host = f"{cluster.gpus_per_host} " if cluster.gpus_per_host else ""
    limits = [("TTFT", request.slo.ttft_ms), ("TPOT", request.slo.tpot_ms)]
    slo = "".join(f", {name} <= {limit(most)}" for name, most in limits if most is not None)
    slo += f", {request.slo.headroom:.0%} of that kept free" if slo and request.slo.headroom else ""
    return f"{model} on {hosts}{per_host}{cluster.gpu}, {work.isl:,} in, {work.osl:,} out{slo}"


def _question(value: Result) -> RenderableType | None:
    return section("Question", Text(value.question)) if value.question else None


# --- numbers ---


def _numbers(value: Estimate, request: Request | None, outcome: Proof | None) -> RenderableType:
    """Each number, as a bar against its limit where it has one."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim", min_width=LABEL_WIDTH)
    grid.add_column(no_wrap=True, justify="right", style="bold")
    width, slo = bar_width(), request.slo if request else None
    grid.add_row("TTFT", duration(value.ttft_ms), *_against(value.ttft_ms, slo.ttft_ms if slo else None, width))
    grid.add_row("TPOT", duration(value.tpot_ms), *_against(value.tpot_ms, slo.tpot_ms if slo else None, width))
    held = value.memory_gb
    grid.add_row("memory", f"{held.total:.1f} GB", memory_bar(held, width), f"of {held.capacity:.1f} GB, fullest GPU")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True, style="dim", min_width=LABEL_WIDTH)
    facts.add_row("", memory_legend(held))
    facts.add_row(
        "throughput", f"{rate(value.tokens_per_s_per_gpu)} tokens/s/GPU, {value.requests_per_s:,.2f} requests/s"
    )
    facts.add_row("load", load(value))
    facts.add_row("bound by", value.bottleneck)
    if outcome is not None:
        facts.add_row("proof", proof(outcome))
    return Group(grid, facts, *notes(value))


def _against(value: float, most: float | None, width: int) -> tuple[RenderableType, str]:
    if most is None:
        return Text("·" * width, style="dim"), "no limit asked"
    return bar(value / most, "green" if value <= most else "red", width), f"limit {limit(most)}"


def strategy(value: Strategy) -> RenderableType:
    """Each pool: degrees, GPUs, layers of each stage."""
    return Group(*(Text(_pool_line(pool, named=value.disaggregated)) for pool in value.pools))


def _pool_line(pool: Pool, *, named: bool) -> str:
    names = " + ".join(combination(pool, pool.phases[0])) if pool.phases else ""
    stages = ", ".join(f"{start}-{end - 1}" for start, end in pool.stages)
    layers = f"; layers {stages}" if pool.pp_size > 1 else ""
    label = f"{pool.name}: " if named else ""
    gpus = f" on {pool.world_size} GPUs" if pool.world_size > 1 else ""
    return f"{label}{describe(pool)}{f' ({names})' if names else ''}{gpus}{layers}"


# --- what breaks ---


def infeasible(value: Infeasible) -> RenderableType:
    """Which limits break and by how much, and the nearest requests that do not break them."""
    limits = Group(*(part for broken in value.limits for part in _limit(broken)))
    parts = [section("What breaks", limits)]
    if value.nearest:
        parts.append(section("What would fit", bullets(map(_change, value.nearest))))
    return Group(*parts)


def _limit(broken: Limit) -> list[RenderableType]:
    rows: list[RenderableType] = [Text.assemble((broken.name, "bold red"), f": {broken.message}")]
    if broken.required is None or broken.available is None:
        return rows
    grid, full = Table.grid(padding=(0, 2)), max(broken.required, broken.available)
    for name, amount, style in (("needed", broken.required, "red"), ("available", broken.available, "green")):
        grid.add_row(
            Text(name, style="dim"),
            bar(amount / full if full else 0, style, bar_width()),
            f"{amount:,.4g} {broken.unit}",
        )
    return [*rows, grid]


def _change(change: Change) -> str:
    return f"{change.message}{' (planned: it works)' if change.verified else ''}"


# --- the graph ---


def outline(dag: Dag) -> RenderableType:
    """Both branches as the blocks they stamp, then each block as one line of nodes."""
    rows = [Text(f"{phase:<8}{_branch(dag.branch(phase))}") for phase in ("prefill", "decode")]
    width = max(len(block.name) for block in dag.blocks) + 2
    grid = Table.grid(padding=0)
    grid.add_column(min_width=width, no_wrap=True)
    grid.add_column(overflow="fold")
    for block in dag.blocks:
        grid.add_row(Text(block.name, style="dim"), _block(block))
    return Group(*rows, grid)


def _branch(branch: Branch) -> str:
    """`embed > [attention ffn] x 80 > head_prefill`; kinds of layers with their number where many of them lack a half."""
    merged = _merged(branch.layers)
    runs = [_run(run.blocks, run.range[1] - run.range[0]) for run in merged]
    if len(runs) > MOST_RUNS and any(len(run.blocks) < 2 for run in merged):
        kinds = Counter({run.blocks: 0 for run in merged})
        for run in merged:
            kinds[run.blocks] += run.range[1] - run.range[0]
        runs = [f"{', '.join(_run(*kind) for kind in kinds.items())} in {len(merged)} runs"]
    boundary = f"  ({branch.boundary} between stages)" if branch.boundary else ""
    return " > ".join((branch.embed, *runs, branch.head)) + boundary


def _run(blocks: tuple[str, ...], layers: int) -> str:
    return f"[{' '.join(blocks) or 'nothing'}] x {layers}"


def _merged(runs: Sequence[LayerStamp]) -> list[LayerStamp]:
    """Neighbouring layer runs of the same blocks as one."""
    found: list[LayerStamp] = []
    for run in runs:
        if found and found[-1].blocks == run.blocks and found[-1].range[1] == run.range[0]:
            found[-1] = LayerStamp(range=(found[-1].range[0], run.range[1]), blocks=run.blocks)
        else:
            found.append(run)
    return found


def _block(block: Block) -> Text:
    line = Text()
    for index, node in enumerate(block.nodes):
        line.append(" > " if index else "")
        line.append(*_node(node))
    return line


def _node(node: AnyNode) -> tuple[str, str]:
    """A node's name, with what it communicates, in the colour of its axis when it does."""
    axis = getattr(node, "axis", None)
    if axis is None:
        split = getattr(node, "split", None)
        short = {"column": "/col", "row": "/row", "vocab": "/vocab"}.get(str(split), "")
        return f"{node.id}{short}", ""
    return f"{node.op}({axis})", AXES.get(axis, "magenta")


# --- why ---


def _why(value: Result) -> RenderableType:
    parts: list[RenderableType] = []
    if value.origin != "planner" and value.status == "valid" and value.explanation:
        parts.append(section("Why", Text(value.explanation)))
    if value.alternatives:
        parts.append(section("Why not the others", _alternatives(value)))
    if value.assumptions:
        parts.append(section("Assumed", bullets(value.assumptions)))
    if value.citations:
        parts.append(
            section(
                "Read more (knowledge/pages)", bullets(f"{one.ref}  {one.title}".rstrip() for one in value.citations)
            )
        )
    return Group(*parts)


def _alternatives(value: Result) -> RenderableType:
    """The plan and those it was chosen over, best first, each with why it lost."""
    made = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column("strategy", overflow="fold", ratio=1)
    for name in ("GPUs", "TTFT", "TPOT", "tok/s/GPU"):
        made.add_column(name, justify="right", no_wrap=True)
    if value.estimate is not None and value.strategy is not None:
        made.add_row(Text(f"{describe_strategy(value.strategy)} (the plan)", style="bold"), *_point(value.estimate))
    for other in value.alternatives:
        made.add_row(_lost(other), *_point(other.estimate))
    return made


def _lost(other: Alternative) -> RenderableType:
    return Group(Text(other.summary), Padding(Text(other.reason, style="dim"), (0, 0, 0, 2)))


def _point(value: Estimate) -> Iterable[str]:
    times_of = (duration(value.ttft_ms), duration(value.tpot_ms))
    return (f"{value.gpus:,}", *times_of, rate(value.tokens_per_s_per_gpu))
