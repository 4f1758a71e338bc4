"""`python -m evals fit --calibration FOLDER`: fit the cost model's factors on measured serving points and write them with their errors."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evals.cost_metrics import Errors
    from evals.cost_rows import Point

FOLDER = Annotated[
    Path, typer.Option("--calibration", help="Folder of the measured tables.", exists=True, file_okay=False)
]
DATA = Path(__file__).parent.parent / "knowledge" / "data" / "efficiencies.yaml"
PAGE = Path(__file__).parent / "COST.md"
MARK = "# --- fitted: everything below is written by `python -m evals fit` ---\n"


def fit_factors(calibration: FOLDER, out: Annotated[Path, typer.Option(help="File to write.")] = DATA) -> None:
    """Fit the factors and write them below the mark of `out`; print what was read, what was left out and the errors."""
    from evals.cost_fit import HELD_OUT, cross_validate, fit, predict, weights
    from evals.cost_metrics import errors
    from evals.cost_rows import read_points
    from evals.cost_table import tabulate
    from knowledge.calibration import calibration as shipped

    read = read_points(calibration)
    for reason, rows in sorted(read.left_out.items()):
        typer.echo(f"left out {rows:5d} rows: {reason}", err=True)
    table = tabulate(read.points, shipped())
    found = fit(table)
    used = weights(table) > 0
    seen = {"on the points fitted": errors(table, predict(found), used)}
    for kind in HELD_OUT:
        seen[f"whole {kind}s held out"] = errors(
            table, cross_validate(table, kind, lambda text: typer.echo(text, err=True)), used
        )
    figures = "; ".join(
        f"{name}: TPOT MAPE {e.tpot_mape:.1f} % (median {e.tpot_median:.1f} %), TTFT {e.ttft_mape:.1f} % ({e.ttft_median:.1f} %)"
        for name, e in seen.items()
    )
    summary = f"{used.sum()} measured serving points, {figures}"
    head = out.read_text(encoding="utf-8").partition(MARK)[0]
    lines = [f'fit: {{status: derived, source: "{summary}"}}', *_coverage(read.points, seen), "factors:"]
    lines += [f"- {_flow(factor.model_dump(exclude_defaults=True))}" for factor in found.factors()]
    out.write_text(head + MARK + "\n".join(lines) + "\n", encoding="utf-8")
    typer.echo(f"{len(found.factors())} factors written to {out.name}: {summary}")


def _coverage(points: "Sequence[Point]", seen: "Mapping[str, Errors]") -> Iterator[str]:
    """What was fitted, and the errors where it was held out."""
    yield f"fitted_models: [{', '.join(sorted({p.problem.model.name for p in points}))}]"
    yield f"fitted_gpus: [{', '.join(sorted({p.gpu for p in points}))}]"
    yield "errors:"
    for name, found in seen.items():
        held_out = name.removeprefix("whole ").removesuffix("s held out")
        if held_out != name:
            yield f"- {{held_out: {held_out}, tpot: {found.tpot_mape:.1f}, ttft: {found.ttft_mape:.1f}}}"


def _flow(fields: dict[str, object]) -> str:
    """A mapping on one line of YAML."""
    return "{" + ", ".join(_pairs(fields)) + "}"


def _pairs(fields: dict[str, object]) -> Iterator[str]:
    for name, value in fields.items():
        yield f"{name}: [{', '.join(value)}]" if isinstance(value, tuple) else f"{name}: {value}"


def report_cost(
    calibration: FOLDER,
    out: Annotated[Path, typer.Option(help="Page to write; plots go into `runs`.")] = PAGE,
    plots_to: Annotated[Path, typer.Option(help="Folder of the plots.")] = Path("runs"),
) -> None:
    """Errors of the cost model on measured serving points, cross-validated, as a page and plots."""
    from evals.cost_report import measure, page, plots
    from knowledge.calibration import calibration as shipped

    found = measure(calibration, shipped(), lambda text: typer.echo(text, err=True))
    out.write_text(page(found), encoding="utf-8")
    plots_to.mkdir(parents=True, exist_ok=True)
    for name, drawn in plots(found).items():
        (plots_to / name).write_text(drawn, encoding="utf-8")
    typer.echo(page(found))
