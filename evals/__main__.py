"""`python -m evals run SUITE... [--proposer planner|llm] [--out FOLDER]` and `python -m evals report [FOLDER]`."""

from pathlib import Path
from typing import Annotated

import typer

from evals.fit import fit_factors
from evals.log import Entry, read, write
from evals.report import to_markdown
from evals.run import run_suite
from evals.suite import suites

RUNS = Path("runs")

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Measure the loop, offline.")


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(help="Suites to run, or `all`.")],
    proposer: Annotated[str, typer.Option(help="planner or llm")] = "planner",
    out: Annotated[Path, typer.Option(help="Folder of logs and reports.")] = RUNS,
) -> None:
    """Run suites; exit 1 when a sample fails."""
    known = suites()
    chosen = list(known) if names == ["all"] else names
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise typer.BadParameter(f"unknown suite `{unknown[0]}`; there are: {', '.join(known)}")
    if proposer not in ("planner", "llm"):
        raise typer.BadParameter(f"unknown proposer `{proposer}`; there are: planner, llm")
    failed = [name for name in chosen if not _run_one(name, proposer, out)]
    if failed:
        raise typer.Exit(1)


def _run_one(name: str, proposer: str, out: Path) -> bool:
    log = run_suite(suites()[name], proposer=proposer, progress=_show)
    page = write(log, out).with_suffix(".md")
    page.write_text(to_markdown(log), encoding="utf-8")
    passed = sum(entry.passed for entry in log.entries)
    seconds = sum(entry.ms for entry in log.entries) / 1e3
    typer.echo(f"{name}: {passed} of {len(log.entries)} samples passed in {seconds:.1f} s; report: {page}")
    return log.passed


def _show(entry: Entry) -> None:
    mark = "pass" if entry.passed else "FAIL"
    typer.echo(
        f"  {mark}  {entry.sample:<48} {entry.ms / 1e3:6.2f} s  {entry.error or entry.output.get('summary', '')}",
        err=True,
    )


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of logs.")] = RUNS) -> None:
    """Print the report of every log in a folder."""
    logs = sorted(folder.glob("*.jsonl"))
    if not logs:
        raise typer.BadParameter(f"no logs in `{folder}`; run a suite first: {', '.join(suites())}")
    for path in logs:
        typer.echo(to_markdown(read(path)))


app.command("fit")(fit_factors)

if __name__ == "__main__":
    app()
