"""Pieces of what a terminal shows: tables, bars, findings, proofs. Everything here takes values and returns rich renderables."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from api.documents import Judged
from strategy.result import Estimate, Finding, MemoryGb, OpShare, PeerEstimate, PeerOp, Proof

COLOURS = {
    "valid": "bold green",
    "infeasible": "bold red",
    "needs_clarification": "bold yellow",
    "rejected": "bold red",
    "error": "bold red",
    "warning": "bold yellow",
    "info": "bold cyan",
}
KINDS = {"compute": "blue", "memory": "green", "communication": "yellow", "other": "bright_black"}
PIPED_WIDTH = 140
EIGHTHS = " ▏▎▍▌▋▊▉"
"""A cell of a bar, filled by eighths."""
WIDE_BAR, SHORT_BAR = 24, 8
NARROW = 76
"""Columns below which bars are short."""
MEMORY_PARTS = (
    ("weights", "█", "blue"),
    ("kv", "▓", "magenta"),
    ("activations", "▒", "green"),
    ("other", "░", "bright_black"),
)
MAX_OPS = 5
"""Ops of a phase that are named; the rest is summed."""
EXCERPT_WIDTH = 100


def console() -> Console:
    """Standard output: colours only on a terminal without NO_COLOR; wide lines stay whole when piped."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=max(out.width, PIPED_WIDTH))


def show(value: RenderableType) -> None:
    """Print to standard output; what its encoding has no signs for is replaced."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(_lines(value, console()).encode(encoding, "replace").decode(encoding))


def text(value: RenderableType) -> str:
    """The same as a file holds it: without colours, and wide."""
    return _lines(value, Console(highlight=False, width=PIPED_WIDTH, color_system=None, force_terminal=False))


def _lines(value: RenderableType, out: Console) -> str:
    with out.capture() as captured:
        out.print(value)
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def section(title: str, body: RenderableType) -> RenderableType:
    """A titled, indented part."""
    return Group(Text(f"\n{title}", style="bold"), Padding(body, (0, 0, 0, 2), expand=False))


def bar_width() -> int:
    """Cells of a bar on this terminal."""
    return WIDE_BAR if console().width >= NARROW else SHORT_BAR


def bar(share: float, style: str, width: int) -> Text:
    """A bar of `width` cells, filled to `share`, exact to an eighth of a cell."""
    eighths = round(8 * width * min(1.0, max(0.0, share)))
    full, part = divmod(eighths, 8)
    filled = "█" * full + (EIGHTHS[part] if part else "")
    return Text.assemble((filled, style), ("·" * (width - len(filled)), "bright_black"))


def duration(ms: float) -> str:
    """A time in the unit that people read, three digits of it: `971 ms`, `1.98 s`, `640 us`."""
    value, unit = (ms / 1000, "s") if ms >= 1000 else (ms, "ms") if ms >= 0.1 or not ms else (1000 * ms, "us")
    digits = 0 if value >= 100 or not value else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def rate(per_s: float) -> str:
    """Events a second, with the digits that tell small numbers apart: `1,240`, `3.4`, `0.27`."""
    digits = 0 if per_s >= 10 or not per_s else 1 if per_s >= 1 else 2
    return f"{per_s:,.{digits}f}"


def limit(ms: float) -> str:
    """A limit as it was asked for: `1 s`, `40 ms`."""
    return f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:g} ms"


def estimate(value: Estimate) -> RenderableType:
    """An operating point without its limits: the numbers, the memory, and where the time goes."""
    rows = [
        ("TTFT", duration(value.ttft_ms)),
        ("TPOT", duration(value.tpot_ms)),
        ("throughput", f"{rate(value.tokens_per_s_per_gpu)} tokens/s/GPU, {value.requests_per_s:,.2f} requests/s"),
        ("GPUs", f"{value.gpus:,}"),
        ("load", load(value)),
        ("bound by", value.bottleneck),
        ("memory", f"{value.memory_gb.total:.1f} of {value.memory_gb.capacity:.1f} GB on the fullest GPU"),
    ]
    grid = Table.grid(padding=(0, 2))
    for name, told in rows:
        grid.add_row(Text(name, style="dim"), Text(told))
    return Group(grid, memory(value.memory_gb), Text(""), *times(value.breakdown), *notes(value))


def load(value: Estimate) -> str:
    """Requests in flight, and for how many there is room."""
    return f"{value.concurrency:,} requests in flight, KV room for {value.max_concurrency:,}"


def notes(value: Estimate) -> list[RenderableType]:
    """What makes the numbers uncertain."""
    return [Text(f"uncertain: {note}", style="yellow") for note in value.notes]


def memory(value: MemoryGb) -> RenderableType:
    """A bar in proportion to the capacity, and its legend."""
    return Group(memory_bar(value, 2 * bar_width()), memory_legend(value))


def memory_bar(value: MemoryGb, width: int) -> Text:
    """The parts one after another; dots are what is free."""
    made, used = Text(), 0
    for name, glyph, style in MEMORY_PARTS:
        cells = min(round(width * getattr(value, name) / value.capacity), width - used)
        made.append(glyph * cells, style)
        used += cells
    return made.append("·" * (width - used), "bright_black")


def memory_legend(value: MemoryGb) -> Text:
    """Each part of the bar with its amount."""
    made = Text()
    for name, glyph, style in MEMORY_PARTS:
        made.append("  " if made else "").append(glyph, style)
        made.append(f" {'KV' if name == 'kv' else name} {getattr(value, name):.1f}")
    return made


def peer_estimate(value: PeerEstimate) -> RenderableType:
    """What another cost model says, and what ours says of the same plan at the same load."""
    ours = value.ours
    rows = [
        ("TTFT", duration(value.ttft_ms), ours and duration(ours.ttft_ms)),
        ("TPOT", duration(value.tpot_ms), ours and duration(ours.tpot_ms)),
        ("tokens/s/GPU", f"{value.tokens_per_s_per_gpu:,.1f}", ours and f"{ours.tokens_per_s_per_gpu:,.1f}"),
        ("requests/s", f"{value.requests_per_s:,.2f}", ours and f"{ours.requests_per_s:,.2f}"),
        ("memory", f"{value.memory_gb:.1f} GB", ours and f"{ours.memory_gb.total:.1f} GB"),
    ]
    source = f"{value.cost_backend} {value.version}"
    grid = table([heading(""), heading(source), heading("ours")], [(name, said, us or "-") for name, said, us in rows])
    told = Text(f"{value.gpus:,} GPUs, {value.concurrency:,} requests in flight; its tables: {value.tables}")
    said = [Text(f"{source}: {note}", style="yellow") for note in value.notes]
    return Group(grid, told, Text(""), *times(value.breakdown), *said, *(notes(ours) if ours else []))


def times(shares: Sequence[OpShare | PeerOp]) -> list[RenderableType]:
    """The slowest ops of each phase with their share of a pass; the colour is what bounds them (of another cost model: where it is from)."""
    found: list[RenderableType] = []
    for phase, title in (("prefill", "Prefill pass"), ("decode", "Decode step")):
        mine = sorted((share for share in shares if share.phase == phase), key=lambda share: -share.ms)
        if mine:
            told = Text.assemble(f"{title} ", (duration(sum(share.ms for share in mine)), "bold"))
            found += [*([Text("")] if found else []), told, _ops(mine)]
    return found


def _ops(ranked: Sequence[OpShare | PeerOp]) -> RenderableType:
    total, width = sum(share.ms for share in ranked), bar_width()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(min_width=width)
    grid.add_column(min_width=max(map(len, KINDS)))
    for share in ranked[:MAX_OPS]:
        kind = share.kind if isinstance(share, OpShare) else share.source
        part, style = share.ms / total if total else 0.0, KINDS.get(kind, KINDS["other"])
        grid.add_row(share.op, duration(share.ms), f"{part:.0%}", bar(part, style, width), Text(kind, style=style))
    rest = ranked[MAX_OPS:]
    if rest:
        left = sum(share.ms for share in rest)
        grid.add_row(f"{len(rest)} others", duration(left), f"{left / total if total else 0:.0%}")
    return grid


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


def findings(values: Iterable[Finding]) -> RenderableType:
    """Each finding with its place and its fix."""
    rows: list[RenderableType] = []
    for value in values:
        rows.append(Text.assemble(_mark(value), f" {value.message}"))
        rows.append(Padding(Group(Text(f"at {value.path or '/'}", style="dim"), *_fix(value)), (0, 0, 0, 2)))
    return Group(*rows)


def judged(file: Judged) -> RenderableType:
    """One file's verdict as compilers print it: `file:line:column: severity code message`, the line with its place, the hint."""
    verdict = file.judgement
    word = Text("valid" if verdict.valid else "not valid", style=COLOURS["valid" if verdict.valid else "rejected"])
    rows: list[RenderableType] = []
    for value in verdict.findings:
        line, column = file.position(value.path)
        rows.append(Text.assemble((f"{file.name}:{line}:{column}: ", "bold"), _mark(value), f" {value.message}"))
        rows += excerpt(file.document.text, line, column, COLOURS[value.severity])
        place = Text(f"at {value.path or '/'}", style="dim")
        rows.append(Padding(Group(place, *_fix(value)), (0, 0, 1, len(str(line)) + 3)))
    if verdict.proof is not None:
        rows.append(Text.assemble(f"{file.name}: proof ", proof(verdict.proof)))
    return Group(*rows, Text.assemble(f"{file.name}: ", word))


def excerpt(text: str, line: int, column: int, style: str) -> list[RenderableType]:
    """A line of a document with its number, and a mark under the column; the part around the column where the line is long."""
    lines = text.splitlines()
    if not 0 < line <= len(lines):
        return []
    width = min(EXCERPT_WIDTH, max(20, console().width - len(str(line)) - 6))
    start = max(0, min(column - width // 3, len(lines[line - 1]) - width))
    shown = lines[line - 1][start : start + width]
    margin = f"  {' ' * len(str(line))} | "
    return [
        Text.assemble((f"  {line} | ", "bright_black"), shown, no_wrap=True, overflow="crop"),
        Text.assemble(
            (margin, "bright_black"), " " * (column - 1 - start), ("^", style), no_wrap=True, overflow="crop"
        ),
    ]


def _mark(value: Finding) -> Text:
    return Text(f"{value.severity} {value.code}", style=COLOURS[value.severity])


def _fix(value: Finding) -> list[RenderableType]:
    return [Text.assemble(("hint: ", "green"), value.hint)] if value.hint else []


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


def bullets(values: Iterable[str]) -> RenderableType:
    """One line each."""
    grid = Table.grid(padding=(0, 1))
    for value in values:
        grid.add_row("-", Text(value))
    return grid
