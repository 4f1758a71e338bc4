"""`python -m evals run all`, then `report`, `score LOG`, `accept`: measure the loop, offline. `plant`, `fit` and `fit-reading` are for maintainers."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from evals.fit import fit_factors, report_cost
from evals.fit_reading import fit_reading
from evals.loopback import loopback
from evals.plant import plant
from strategy.errors import InputError, MeshwrightError

if TYPE_CHECKING:
    from evals.log import Entry, Log

RUNS = Path("runs")

Out = Annotated[Path, typer.Option(help="Folder of logs and reports.")]
LogFile = Annotated[Path | None, typer.Argument(help="A log; the newest of the folder unless given.")]
Baseline = Annotated[Path | None, typer.Option(help="Folder of accepted scores (default: evals/baseline).")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 on drift and on changed samples as well.")]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Measure the loop, offline.")


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(help="Suites to run, or `all`.")],
    proposer: Annotated[str, typer.Option(help="planner, llm or recorded:FILE")] = "planner",
    out: Out = RUNS,
    jobs: Annotated[int | None, typer.Option(help="Processes (default: one for each core).", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Where chance starts.")] = 0,
    samples: Annotated[
        int | None, typer.Option(help="Samples of each suite at most, chosen by the seed.", min=1)
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Every sample of every suite, however long it takes.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest log of the folder.")] = False,
    ray: Annotated[bool, typer.Option("--ray", help="Spread the samples over a Ray cluster.")] = False,
    strict: Strict = False,
    baseline: Baseline = None,
) -> None:
    """Run suites, write the log and the report; exit 1 when something got worse than the baseline."""
    from agent.fanout import imported_ray
    from evals import run as runner
    from evals.ray import on_ray

    try:
        if ray:
            imported_ray()
        every = "all" in names
        config = runner.configured(
            _known(names), proposer=proposer, seed=seed, samples=samples, full=full, jobs=jobs, everything=every
        )
        path = _newest(out) if resume else out / f"{re.sub('[^0-9T]', '', config.started[:19])}-{proposer[:8]}.jsonl"
        log = runner.run(config, path, resume=resume, progress=_told, spread=on_ray if ray else None)
    except MeshwrightError as error:
        _stop(error)
    _report(log, baseline, strict=strict)


def _told(suite: str, entry: "Entry") -> None:
    """A failure is told at once, what passes is a dot."""
    if entry.passed:
        sys.stderr.write(".")
    else:
        wrong = "; ".join(f"{s.scorer}: {s.detail}" for s in entry.scores if s.kind == "check" and s.value < 1)
        sys.stderr.write(f"\nFAIL {suite} {entry.sample}: {entry.error or wrong or 'no scorer spoke'}\n")
    sys.stderr.flush()


@app.command()
def report(log: LogFile = None, out: Out = RUNS, baseline: Baseline = None, strict: Strict = False) -> None:
    """Write the report of a run beside its log and show it in the terminal."""
    _report(_read(log or _found(out)), baseline, strict=strict)


@app.command()
def score(log: LogFile = None, out: Out = RUNS, baseline: Baseline = None, strict: Strict = False) -> None:
    """Score the outputs of a log again, with the scorers as they are now; nothing is solved and no model is asked."""
    from evals.log import write
    from evals.run import score_again

    old = _read(log or _found(out))
    assert old.path is not None
    again = score_again(old)
    write(again, old.path.with_suffix(".rescored.jsonl"))
    moved = sum(a.scores != b.scores for a, b in zip(_entries(old), _entries(again), strict=False))
    typer.echo(f"{moved} of {len(_entries(again))} samples are scored otherwise than in {old.path.name}")
    _report(_read(old.path.with_suffix(".rescored.jsonl")), baseline, strict=strict)


def _entries(log: "Log") -> list["Entry"]:
    return [entry for suite in log.suites for entry in suite.entries]


@app.command()
def accept(
    log: LogFile = None,
    out: Out = RUNS,
    baseline: Baseline = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run every suite first, and accept that.")] = False,
) -> None:
    """Make a finished run the baseline of its suites."""
    from evals.baseline import BASELINE
    from evals.baseline import accept as accepted

    if fresh:
        _run_all(out, baseline)
    chosen = _read(log or _found(out))
    if not chosen.complete or not chosen.config.usual:
        hint = "run it without --samples or --full, and to its end (--resume)"
        _stop(InputError("only a usual run that ended can be accepted", hint=hint))
    for path in accepted(chosen, baseline or BASELINE):
        typer.echo(f"accepted: {path.parent.name}/{path.name}")


def _run_all(out: Path, baseline: Path | None) -> None:
    """Every suite, whatever it says against the old baseline. What cannot be run ends the command."""
    try:
        run(["all"], out=out, baseline=baseline)
    except typer.Exit as ended:
        if ended.exit_code != 1:
            raise


def _report(log: "Log", baseline: Path | None, *, strict: bool) -> None:
    """The page, the terminal, and the exit status."""
    from evals.baseline import BASELINE, accepted_suites
    from evals.compare import compare
    from evals.page import to_html
    from evals.report import show

    accepted = accepted_suites(baseline or BASELINE)
    comparison = compare(log, accepted)
    assert log.path is not None
    page = log.path.with_suffix(".html")
    page.write_text(to_html(log, comparison, accepted), encoding="utf-8")
    show(log, comparison)
    typer.echo(f"report: {page}")
    if not (comparison.settled if strict else comparison.passed):
        raise typer.Exit(1)


def _known(names: list[str]) -> list[str]:
    """Suites by name, all of them for `all`. Raises `InputError` for a name that nobody knows."""
    from evals.suite import suites

    known = suites()
    unknown = [name for name in names if name not in known and name != "all"]
    if unknown:
        raise InputError(f"unknown suite `{unknown[0]}`", hint=f"there are: {', '.join(known)}")
    return list(known) if "all" in names else list(dict.fromkeys(names))


def _newest(folder: Path) -> Path:
    """The log that was begun last. Raises `InputError` when there is none."""
    logs = sorted(path for path in folder.glob("*.jsonl") if not path.name.endswith(".rescored.jsonl"))
    if not logs:
        raise InputError(f"no logs in `{folder}`", hint="python -m evals run all")
    return logs[-1]


def _found(folder: Path) -> Path:
    try:
        return _newest(folder)
    except InputError as error:
        _stop(error)


def _read(path: Path) -> "Log":
    from evals.log import read

    try:
        return read(path)
    except MeshwrightError as error:
        _stop(error)


def _stop(error: MeshwrightError) -> NoReturn:
    """Say what is wrong and what to do, and exit 2."""
    hint = getattr(error, "hint", "")
    typer.echo(f"error: {error}" + (f"\nhint: {hint}" if hint else ""), err=True)
    raise typer.Exit(2)


@app.command()
def peers(
    out: Annotated[Path | None, typer.Option(help="Page to write (default: PEERS.md or PEERS_LIVE.md here).")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the other planner's package for its prices again; it must be installed.")
    ] = False,
) -> None:
    """Another planner's cases: both plans at both prices and why they differ, as a page."""
    from evals.peers import ask_again, cases, compare, live_page, page

    try:
        text = live_page([(case, ask_again(case)) for case in cases()]) if live else page(list(map(compare, cases())))
    except MeshwrightError as error:
        _stop(error)
    (out or Path(__file__).parent / ("PEERS_LIVE.md" if live else "PEERS.md")).write_text(text, encoding="utf-8")
    typer.echo(text)


app.command("cost")(report_cost)
app.command("fit")(fit_factors)
app.command("fit-reading")(fit_reading)
app.command("loopback")(loopback)
app.command("plant")(plant)

if __name__ == "__main__":
    app()
