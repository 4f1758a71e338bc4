"""`python -m evals.realtool [TOOL...]`: export plans of the whole catalogue and hand the files to the real tools."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from evals.realtool.environments import ROOT, UnavailableError
from evals.realtool.files import Corpus, export_all, unserved
from evals.realtool.judges import JUDGES, Judge, Paths, Said, Verdict
from evals.realtool.kept import Kept
from evals.realtool.plans import outside, planned
from evals.realtool.table import table

app = typer.Typer(add_completion=False)


@app.command()
def main(
    tools: Annotated[list[str] | None, typer.Argument(help="Tools to ask; all unless named.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Models to plan for; the catalogue unless given.")] = None,
    plans: Annotated[int | None, typer.Option(min=1, help="A sample of so many plans; all unless given.")] = None,
    seed: Annotated[int, typer.Option(help="Where chance starts.")] = 0,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            help="A config.json, or a folder of them: plans for these models on made-up hosts, not for the catalogue.",
        ),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Ask only about files that the tool has not accepted before.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="File for the table; stdout unless given.")] = None,
    folder: Annotated[Path, typer.Option(help="Where environments are made.")] = ROOT / ".realtool",
    astra_sim: Annotated[
        str | None, typer.Option(envvar="MESHWRIGHT_ASTRA_SIM", help="Analytical ASTRA-sim binary.")
    ] = None,
    chakra_python: Annotated[
        str | None, typer.Option(envvar="MESHWRIGHT_CHAKRA_PYTHON", help="Python with MLCommons' chakra.")
    ] = None,
    llmd_schema: Annotated[
        str | None,
        typer.Option(envvar="MESHWRIGHT_LLMD_SCHEMA", help="values.schema.json of llm-d's modelservice chart."),
    ] = None,
    mermaid: Annotated[str | None, typer.Option(envvar="MESHWRIGHT_MERMAID", help="mermaid.min.js")] = None,
) -> None:
    """Exit 1 when a file differs from its plan or a tool refuses one; tools that cannot be had here are told as such."""
    asked = _asked(tools or [])
    given = _configs(config or [])
    made = outside(given, seed, most=plans) if given else planned(seed, names=tuple(model or ()), most=plans)
    corpus = export_all(made)
    _tell(f"{len(corpus.plans)} plans, {sum(1 for one in corpus.exports if one.files)} deployments")
    paths = Paths(folder.resolve(), astra_sim, chakra_python, llmd_schema, mermaid)
    kept = Kept(paths.folder / "said", corpus)
    for judge in asked:
        open_ones = kept.unasked(judge) if new else corpus
        if open_ones.has(judge.target):
            kept.after(judge, _judged(judge, open_ones, paths))
        said = {judge.name: kept.latest(judge) for judge in JUDGES}
        if out is not None:
            out.write_text(table(corpus, said, seed), encoding="utf-8")
    if out is None:
        sys.stdout.write(table(corpus, said, seed))
    raise typer.Exit(0 if _clean(corpus, {judge.name: said[judge.name][1] for judge in asked}) else 1)


def _configs(places: list[Path]) -> dict[str, dict[str, Any]]:
    files = [file for place in places for file in (sorted(place.glob("*.json")) if place.is_dir() else [place])]
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def _asked(names: list[str]) -> list[Judge]:
    known = {judge.name: judge for judge in JUDGES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise typer.BadParameter(f"unknown tools {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(JUDGES)


def _judged(judge: Judge, corpus: Corpus, paths: Paths) -> Said:
    start = time.perf_counter()
    try:
        said: list[Verdict] = list(judge.judge(corpus, paths))
    except UnavailableError as error:
        _tell(f"{judge.name}: not available: {error}")
        return f"not available: {error}"
    good = sum(one.accepted for one in said)
    _tell(f"{judge.name}: {good} of {len(said)} accepted in {time.perf_counter() - start:.0f} s")
    for one in said:
        if not one.accepted:
            _tell(f"  {one.plan}: {one.detail[:400]}")
    return said


def _clean(corpus: Corpus, said: dict[str, Said]) -> bool:
    refused = [one for ones in said.values() if not isinstance(ones, str) for one in ones if not one.accepted]
    return not refused and not unserved(corpus) and not any(one.differs for one in corpus.exports)


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    app()
