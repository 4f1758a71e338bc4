"""`python -m evals.service [PART...]`: the service under faults, load and attack, at full size, and the table of what was measured."""

import json
import os
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from evals.service.benches import BENCHES, FULL, Output, Sizes
from evals.version import commit

RECORD = Path(__file__).with_name("record.json")
TABLE = Path(__file__).parents[1] / "SERVICE.md"
HEAD = """# The service under faults, load and attack

Written by `python -m evals.service [PART...]`; a part keeps its line until it is run again. Times are by the clock on the wall unless
they say `cpu` (processor time of the server) or `own` (without the time for which our processes waited for a processor). `load` is how many programs wanted a processor when the part began and ended, and on how many processors.

| part | what has to hold | measured | faults | when, commit, load |
| --- | --- | --- | --- | --- |
"""


def main(
    parts: Annotated[list[str] | None, typer.Argument(help="parts to run; all of them unless named")] = None,
    seed: Annotated[int | None, typer.Option(help="where chance starts")] = None,
    kills: Annotated[int | None, typer.Option(min=1, help="processes to kill, where that is what a part does")] = None,
    add: Annotated[bool, typer.Option("--add", help="add to what is in the table: counts are summed")] = False,
) -> None:
    """Run parts and write the table; exit 1 when something did not hold."""
    unknown = [name for name in parts or () if name not in BENCHES]
    if unknown:
        raise typer.BadParameter(f"no part `{unknown[0]}`; there are: {', '.join(BENCHES)}")
    sizes = FULL if kills is None else replace(FULL, kills=kills)
    faults = 0
    for name in parts or BENCHES:
        found = measured(name, seed, sizes)
        typer.echo(f"{name}: {json.dumps(found['facts'])}")
        for fault in found["faults"]:
            typer.echo(f"  FAULT {fault}")
        keep(name, found, add=add)
        faults += len(found["faults"])
    if faults:
        raise typer.Exit(1)


def measured(name: str, seed: int | None, sizes: Sizes = FULL) -> Output:
    """One part, with when and where."""
    bench = BENCHES[name]
    before = os.getloadavg()[0]
    code = commit()
    with tempfile.TemporaryDirectory() as folder:
        found = bench.run(Path(folder), bench.seed if seed is None else seed, sizes)
    load = f"{before:.0f} to {os.getloadavg()[0]:.0f} on {os.cpu_count()}"
    return {**found, "at": datetime.now(UTC).isoformat(timespec="minutes")[:16], "commit": code, "load": load}


def keep(name: str, found: Output, *, add: bool = False) -> None:
    """Put a part into the record, or add it to what is there, and write the table anew."""
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    if add and name in record:
        found = _sum(record[name], found)
    record[name] = {**found, "faults": found["faults"][:20]}
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    TABLE.write_text(HEAD + "".join(_row(part, record[part]) for part in BENCHES if part in record), encoding="utf-8")


def _sum(before: Output, found: Output) -> Output:
    """Two runs of a part as one: counts are summed, times are the longer ones."""

    def both(name: str, one: float, other: float) -> float:
        return max(one, other) if name.endswith(("_s", "_mb")) else one + other

    facts = {name: both(name, before["facts"].get(name, 0), value) for name, value in found["facts"].items()}
    return {**found, "facts": facts, "faults": before["faults"] + found["faults"]}


def _row(name: str, found: Output) -> str:
    facts = ", ".join(f"{fact.replace('_', ' ')} {_number(value)}" for fact, value in found["facts"].items())
    faults = len(found["faults"]) or "none"
    return (
        f"| {name} | {BENCHES[name].holds} | {facts} | {faults} | {found['at']}, {found['commit']}, {found['load']} |\n"
    )


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    typer.run(main)
