"""`python -m evals fit-reading`: fit the learned reader of numbers on the labelled texts and write its weights."""

from typing import Annotated

import typer

MEASURE = Annotated[
    bool,
    typer.Option(
        "--measure", help="Fit with each set held out as well, and print how much of it is read right (an hour)."
    ),
]


def fit_reading(*, measure: MEASURE = False) -> None:
    """Fit the learned reader's weights on the labelled texts and write them."""
    import numpy as np

    from agent.understand.learned import FILE, stored
    from evals.learning import SETS, fit, held_out, labelled

    texts = labelled()
    np.savez_compressed(FILE, **stored(fit(texts)))
    typer.echo(f"{FILE.name}: {FILE.stat().st_size:,} bytes from {len(texts)} texts of {len(SETS)} sets")
    if not measure:
        return
    for name, (right, count) in held_out(texts, lambda text: typer.echo(text, err=True)).items():
        typer.echo(f"{name:18} {right:5d} of {count:5d} right ({right / max(1, count):.1%}), each set held out")
