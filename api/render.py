"""Results for people: what a terminal shows. Everything here takes values and returns rich renderables; nothing is decided."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from api.documents import Judged
from strategy.dag import AnyNode, Block, Branch, Dag, LayerStamp
from strategy.request import Request
from strategy.result import Alternative, Estimate, Finding, Infeasible, MemoryGb, OpShare, Proof, Result
from strategy.strategy import Pool, Strategy, combination, describe

COLOURS = {
    "valid": "bold green",
    "infeasible": "bold red",
    "needs_clarification": "bold yellow",
    "rejected": "bold red",
    "error": "red",
    "warning": "yellow",
    "info": "cyan",
}
PIPED_WIDTH = 140
BAR_WIDTH = 40
MEMORY_PARTS = (("weights", "█"), ("kv", "▓"), ("activations", "▒"), ("other", "░"))
MAX_OPS = 6
"""Rows of the time table; the rest is summed."""


def show(value: RenderableType) -> None:
    """Print to standard output: colours only on a terminal without NO_COLOR; wide lines stay whole when piped."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out = Console(highlight=False, width=max(out.width, PIPED_WIDTH))
    with out.capture() as captured:
        out.print(value)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def result(value: Result) -> RenderableType:
    """One plan from top to bottom: the verdict, the strategy, the numbers, the graph, and why."""
    parts: list[RenderableType | None] = [_headline(value), _question(value)]
    if value.infeasible is not None:
        parts.append(infeasible(value.infeasible))
    if value.strategy is not None:
        parts.append(section("Strategy", strategy(value.strategy)))
    if value.estimate is not None:
        parts.append(section("Estimate", estimate(value.estimate)))
        parts.append(section("Memory of the fullest GPU", memory(value.estimate.memory_gb)))
    if value.proof is not None:
        parts.append(section("Proof", proof(value.proof)))
    if value.dag is not None:
        parts.append(section(f"DAG ({value.dag.num_nodes} nodes)", outline(value.dag)))
    if value.report.findings:
        parts.append(section("Findings", findings(value.report.findings)))
    parts.append(_why(value))
    return Group(*(part for part in parts if part is not None))


def section(title: str, body: RenderableType) -> RenderableType:
    """A titled, indented part."""
    return Group(Text(f"\n{title}", style="bold"), Padding(body, (0, 0, 0, 2), expand=False))


def strategy(value: Strategy) -> RenderableType:
    """Each pool in a line: degrees, layers of each stage, GPUs."""
    return Group(*(Text(_pool_line(pool, named=value.disaggregated)) for pool in value.pools))


def estimate(value: Estimate) -> RenderableType:
    """The numbers of the operating point, then where the time goes."""
    grid = Table.grid(padding=(0, 3))
    grid.add_row("TTFT", f"{value.ttft_ms:,.0f} ms", "throughput", f"{value.tokens_per_s_per_gpu:,.0f} tokens/s/GPU")
    grid.add_row("TPOT", f"{value.tpot_ms:,.1f} ms", "requests", f"{value.requests_per_s:,.2f} /s")
    load = f"{value.concurrency:,} (KV room for {value.max_concurrency:,})"
    grid.add_row("GPUs", f"{value.gpus:,}", "concurrency", load)
    grid.add_row("bottleneck", value.bottleneck)
    notes = [Text(f"note: {note}", style="yellow") for note in value.notes]
    return Group(grid, *([_breakdown(value.breakdown)] if value.breakdown else []), *notes)


def memory(value: MemoryGb) -> RenderableType:
    """A bar in proportion to the capacity, and its legend."""
    bar = Text("[")
    used = 0
    for name, glyph in MEMORY_PARTS:
        cells = round(BAR_WIDTH * getattr(value, name) / value.capacity)
        cells = min(cells, BAR_WIDTH - used)
        used += cells
        bar.append(glyph * cells)
    bar.append(" " * (BAR_WIDTH - used) + f"] {value.total:.1f} of {value.capacity:.1f} GB")
    legend = "  ".join(f"{glyph} {name} {getattr(value, name):.1f}" for name, glyph in MEMORY_PARTS)
    return Group(bar, Text(legend))


def proof(value: Proof) -> Text:
    """The outcome of the execution, and where it departed when it did."""
    word = Text("passed" if value.passed else "failed", style="bold green" if value.passed else "bold red")
    facts = f": {value.ranks} virtual ranks, {value.sequences} sequences, prefill and {value.steps} decode steps"
    line = Text.assemble(word, f"{facts}; largest difference from one device {value.max_abs_error:.1e}")
    away = value.departure
    if away is None:
        return line
    layer = "" if away.layer is None else f" in layer {away.layer}"
    text = f"first departs at {away.node}{layer}, ranks {list(away.ranks)}, by {away.max_abs_error:.2g}. {away.detail}"
    return Text.assemble(line, f"\n{text.strip()}")


def outline(dag: Dag) -> RenderableType:
    """Both branches as the blocks they stamp, then each block as one line of nodes."""
    rows = [Text(f"{phase:<8}{_branch(dag.branch(phase))}") for phase in ("prefill", "decode")]
    width = max(len(block.name) for block in dag.blocks) + 2
    grid = Table.grid(padding=0)
    grid.add_column(min_width=width)
    grid.add_column(overflow="fold")
    for block in dag.blocks:
        grid.add_row(Text(block.name, style="cyan"), _block(block))
    return Group(*rows, grid)


def findings(values: Iterable[Finding]) -> RenderableType:
    """Each finding with its place and its fix."""
    rows: list[RenderableType] = []
    for value in values:
        mark = Text(f"{value.severity} {value.code}", style=COLOURS[value.severity])
        rows.append(Text.assemble(mark, f" {value.path or '/'}: {value.message}"))
        if value.hint:
            rows.append(Padding(Text(f"hint: {value.hint}"), (0, 0, 0, 2), expand=False))
    return Group(*rows)


def infeasible(value: Infeasible) -> RenderableType:
    """Which limits break, and the nearest requests that do not break them."""
    rows: list[RenderableType] = [Text(f"{limit.name}: {limit.message}") for limit in value.limits]
    parts = [section("Limits", Group(*rows))]
    if value.nearest:
        told = [f"{change.message}{' (planned: it works)' if change.verified else ''}" for change in value.nearest]
        parts.append(section("Nearest change that fits", _bullets(told)))
    return Group(*parts)


def judged(file: Judged) -> RenderableType:
    """One file's verdict as compilers print it: `file:line:column: severity code message`, then the hint."""
    verdict = file.judgement
    word = Text("valid" if verdict.valid else "not valid", style=COLOURS["valid" if verdict.valid else "rejected"])
    rows: list[RenderableType] = []
    for value in verdict.findings:
        line, column = file.position(value.path)
        mark = Text(f"{value.severity} {value.code}", style=COLOURS[value.severity])
        rows.append(Text.assemble(f"{file.name}:{line}:{column}: ", mark, f" {value.message}"))
        rows.append(
            Padding(Text(f"at {value.path or '/'}" + (f"; hint: {value.hint}" if value.hint else "")), (0, 0, 0, 2))
        )
    if verdict.proof is not None:
        rows.append(Text.assemble(f"{file.name}: proof ", proof(verdict.proof)))
    return Group(*rows, Text.assemble(f"{file.name}: ", word))


def cell(value: object) -> str:
    """A value in a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"
    return ", ".join(map(cell, value)) if isinstance(value, list | tuple) else str(value)


def heading(field: str) -> str:
    """A field name as a column's heading, its unit written as units are."""
    units = {"_tb_per_s": " TB/s", "_gb_per_s": " GB/s", "_gb": " GB", "_tflops": " TFLOPS", "_b": " 10^9"}
    for ending, unit in units.items():
        if field.endswith(ending):
            return field.removesuffix(ending).replace("_", " ") + unit
    return field.replace("_", " ")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table; the first column is never broken."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for index, name in enumerate(header):
        made.add_column(name, overflow="fold", no_wrap=index == 0)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def _headline(value: Result) -> RenderableType:
    mark = Text(value.status.replace("_", " "), style=COLOURS[value.status])
    return Text.assemble(mark, f"  {_asked(value.request)}  (by {value.origin.replace('_', ' ')})")


def _asked(request: Request | None) -> str:
    if request is None:
        return "one question first"
    model = request.model if isinstance(request.model, str) else str(request.model.get("name", "your model"))
    cluster, load = request.cluster, request.workload
    hosts = f"{cluster.hosts} x " if cluster.hosts > 1 else ""
    limits = [("TTFT", request.slo.ttft_ms), ("TPOT", request.slo.tpot_ms)]
    slo = "".join(f", {name} <= {limit:g} ms" for name, limit in limits if limit is not None)
    return f"{model} on {hosts}{cluster.gpus_per_host or ''} {cluster.gpu}, {load.isl} in, {load.osl} out{slo}"


def _question(value: Result) -> RenderableType | None:
    return section("Question", Text(value.question)) if value.question else None


def _why(value: Result) -> RenderableType:
    parts: list[RenderableType] = []
    if value.explanation:
        parts.append(section("Why", Text(value.explanation)))
    if value.alternatives:
        parts.append(section("Why not the others", _alternatives(value.alternatives)))
    if value.assumptions:
        parts.append(section("Assumed", _bullets(value.assumptions)))
    if value.citations:
        parts.append(section("Read more (knowledge/pages)", _bullets(_cited(value))))
    return Group(*parts)


def _cited(value: Result) -> list[str]:
    return [f"{cited.ref}  {cited.title}".rstrip() for cited in value.citations]


def _pool_line(pool: Pool, *, named: bool) -> str:
    names = " + ".join(combination(pool, pool.phases[0])) if pool.phases else ""
    stages = ", ".join(f"{start}-{end - 1}" for start, end in pool.stages)
    layers = f"; layers {stages}" if pool.pp_size > 1 else ""
    label = f"{pool.name}: " if named else ""
    gpus = f" on {pool.world_size} GPUs" if pool.world_size > 1 else ""
    return f"{label}{describe(pool)}{f' ({names})' if names else ''}{gpus}{layers}"


def _breakdown(shares: Sequence[OpShare]) -> RenderableType:
    """The slowest ops of each phase beside each other, in ms of one forward pass."""
    rows: list[tuple[str, str, str, str]] = []
    for phase in ("prefill", "decode"):
        ranked = sorted((share for share in shares if share.phase == phase), key=lambda share: -share.ms)
        rows += [(phase, share.op, share.kind, f"{share.ms:,.2f} ms") for share in ranked[:MAX_OPS]]
        if len(ranked) > MAX_OPS:
            rest = sum(share.ms for share in ranked[MAX_OPS:])
            rows.append((phase, f"{len(ranked) - MAX_OPS} others", "", f"{rest:,.2f} ms"))
    return Group(Text(""), table(("phase", "op", "bound by", "time a pass"), rows))


def _alternatives(values: Sequence[Alternative]) -> RenderableType:
    rows = [
        (
            value.summary,
            f"{value.estimate.gpus}",
            f"{value.estimate.ttft_ms:,.0f}",
            f"{value.estimate.tpot_ms:,.1f}",
            f"{value.estimate.tokens_per_s_per_gpu:,.0f}",
            value.reason,
        )
        for value in values
    ]
    return table(("strategy", "GPUs", "TTFT ms", "TPOT ms", "tok/s/GPU", "lost because"), rows)


def _bullets(values: Iterable[str]) -> RenderableType:
    return Group(*(Text(f"- {value}") for value in values))


def _branch(branch: Branch) -> str:
    """`embed > [attention ffn] x 80 > head_prefill`."""
    runs = [f"[{' '.join(run.blocks)}] x {run.range[1] - run.range[0]}" for run in _merged(branch.layers)]
    boundary = f"  ({branch.boundary} between stages)" if branch.boundary else ""
    return " > ".join((branch.embed, *runs, branch.head)) + boundary


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
    """A node's name, with what it communicates, coloured when it does."""
    axis = getattr(node, "axis", None)
    if axis is None:
        split = getattr(node, "split", None)
        short = {"column": "/col", "row": "/row", "vocab": "/vocab"}.get(str(split), "")
        return f"{node.id}{short}", ""
    return f"{node.op}({axis})", "magenta"
