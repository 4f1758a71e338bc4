"""`python -m evals.mutate --strategies 500 --mutants 20000`: a large campaign, told as it runs. Exit 1 on a disagreement."""

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from evals.mutate.campaign import Tally, campaign
from evals.mutate.report import to_markdown

TOLD_EVERY = 25
"""Strategies between two lines of progress."""


def main(
    mutants: Annotated[int, typer.Option(help="Mutants in all.")] = 20_000,
    strategies: Annotated[int, typer.Option(help="Strategies that they are mutants of.")] = 500,
    seed: Annotated[int, typer.Option(help="Where chance starts.")] = 0,
    seconds: Annotated[float, typer.Option(help="Stop after this time.")] = 7200.0,
    processes: Annotated[int, typer.Option(help="Processes that share the work.")] = 1,
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("runs/mutants.md"),
) -> None:
    """Judge many mutants and report."""
    out.parent.mkdir(parents=True, exist_ok=True)
    work = partial(_part, seed, strategies, mutants, seconds, processes)
    with ProcessPoolExecutor(processes) as pool:
        tally = sum(pool.map(work, range(processes)), Tally())
    out.write_text(to_markdown(tally), encoding="utf-8")
    typer.echo(to_markdown(tally))
    raise typer.Exit(bool(tally.disagreements))


def _part(seed: int, strategies: int, mutants: int, seconds: float, parts: int, part: int) -> Tally:
    """One process's share; disagreements are told as they are met."""
    tally, told = Tally(), 0
    for tally in campaign(seed, strategies, mutants, seconds, part=part, parts=parts):
        for story in tally.disagreements[told:]:
            typer.echo(story)
        told = len(tally.disagreements)
        if tally.strategies % TOLD_EVERY == 0:
            typer.echo(
                f"{part}: {tally.strategies} strategies, {tally.mutants} mutants, {told} disagreements", err=True
            )
        sys.stdout.flush()
    return tally


if __name__ == "__main__":
    typer.run(main)
