"""`python -m evals.mutate --strategies 500 --mutants 20000`: a large campaign, told as it runs. Exit 1 on a disagreement."""

from pathlib import Path
from typing import Annotated

import typer

from evals.mutate.campaign import Tally, campaign
from evals.mutate.report import to_markdown


def main(
    mutants: Annotated[int, typer.Option(help="Mutants in all.")] = 20_000,
    strategies: Annotated[int, typer.Option(help="Strategies that they are mutants of.")] = 500,
    seed: Annotated[int, typer.Option(help="Where chance starts.")] = 0,
    seconds: Annotated[float, typer.Option(help="Stop after this time.")] = 7200.0,
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("runs/mutants.md"),
) -> None:
    """Judge many mutants and report."""
    tally = Tally()
    out.parent.mkdir(parents=True, exist_ok=True)
    told = 0
    for tally in campaign(seed, strategies, mutants, seconds):
        for story in tally.disagreements[told:]:
            typer.echo(story)
        told = len(tally.disagreements)
        if tally.strategies % 25 == 0:
            out.write_text(to_markdown(tally), encoding="utf-8")
            typer.echo(f"{tally.strategies} strategies, {tally.mutants} mutants, {told} disagreements", err=True)
    out.write_text(to_markdown(tally), encoding="utf-8")
    typer.echo(to_markdown(tally))
    raise typer.Exit(bool(tally.disagreements))


if __name__ == "__main__":
    typer.run(main)
