"""Planted faults: copies of the sources, each with one thing broken, must each be caught by the comparison with the sound copy.

Nothing of this tree is touched: each copy lies in a temporary folder and runs in processes of its own.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from evals.version import FOLDERS, ROOT
from strategy.errors import InputError


@dataclass(frozen=True)
class Fault:
    """One thing that somebody may break, and the suites that must notice."""

    name: str
    about: str
    file: str
    old: str
    """Pattern of the one place that is changed; it holds for any value there."""
    new: str
    suites: tuple[str, ...]
    samples: int = 1000
    """Samples of each suite at most."""


FAULTS = (
    Fault(
        name="rule",
        about="TP006 (an all_reduce is missing after attention) no longer speaks",
        file="validators/rules/tp006_unreduced_attention_output.py",
        old=r'return typed\(subject, "TP006"\)',
        new='return (hit for hit in typed(subject, "TP006") if False)',
        suites=("rulebook", "rules"),
    ),
    Fault(
        name="prompt",
        about="re-asks show findings without their hints",
        file="agent/prompts.py",
        old=r'"hint": f\.hint\}',
        new='"hint": ""}',
        suites=("prompts",),
    ),
    Fault(
        name="constant",
        about="experts read their weights at half the rate",
        file="knowledge/data/efficiencies.yaml",
        old=r"(\{op: expert, phase: decode, compute: [\d.]+, memory: )[\d.]+(, overhead_us: \d+, half_rows: \d+\})",
        new=r"\g<1>0.46\g<2>",
        suites=("published", "cost", "scenarios"),
        samples=30,
    ),
    Fault(
        name="planner",
        about="candidates are ordered by the lowest throughput",
        file="strategy/search/choose.py",
        old=r"return -_served\(problem, candidate\), ",
        new="return _served(problem, candidate), ",
        suites=("search",),
    ),
    Fault(
        name="understanding",
        about="a decimal comma is read as a thousands separator",
        file="agent/understand/scan.py",
        old=r'r"\\d\+,\\d\{1,2\}", words',
        new=r'r"\\d+,\\d{9}", words',
        suites=("understanding",),
    ),
    Fault(
        name="retrieval",
        about="the questions that a section answers count for nothing",
        file="knowledge/ranking.py",
        old=r"QUESTION_WEIGHT = [\d.]+",
        new="QUESTION_WEIGHT = 0.0",
        suites=("retrieval",),
    ),
    Fault(
        name="proof",
        about="what virtual ranks compute is compared with nothing",
        file="strategy/execute/observe.py",
        old=r"found = self\.check_logits\(routine, values\) or self\.check_tokens\(moment, out\)",
        new="found = None",
        suites=("rules",),
        samples=12,
    ),
    Fault(
        name="export",
        about="launch scripts for vLLM no longer state the type of the cache",
        file="strategy/export/vllm.py",
        old=r'yield "--kv-cache-dtype", .+',
        new="yield from ()",
        suites=("exports",),
    ),
)


@dataclass(frozen=True)
class Caught:
    """What the comparison says of a planted fault: the exit status of a strict run, and each thing that moved with its samples."""

    fault: Fault
    status: int
    moved: tuple[str, ...]

    @property
    def seen(self) -> bool:
        """Whether the run failed and the comparison names a suite and samples."""
        return self.status == 1 and bool(self.moved)


def plant(
    names: Annotated[list[str] | None, typer.Argument(help="Faults by name; all unless given.")] = None,
) -> None:
    """Break copies of the sources in several ways and see that the comparison catches each; exit 1 when one goes unseen."""
    unknown = [name for name in names or () if name not in {fault.name for fault in FAULTS}]
    if unknown:
        raise typer.BadParameter(f"no fault `{unknown[0]}`; there are: {', '.join(fault.name for fault in FAULTS)}")
    faults = [fault for fault in FAULTS if not names or fault.name in names]
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        found = [_told(caught(fault, Path(folder))) for fault in faults]
    raise typer.Exit(not all(one.seen for one in found))


def _told(one: Caught) -> Caught:
    """Say at once what came of a fault."""
    typer.echo(f"{'caught' if one.seen else 'NOT CAUGHT'}  {one.fault.name}: {one.fault.about}")
    for line in one.moved:
        typer.echo(f"    {line}")
    return one


def caught(fault: Fault, folder: Path) -> Caught:
    """Run the sound sources, accept that, and run the broken ones against it. Raises `InputError` when the fault no longer applies."""
    from evals.baseline import accept, accepted_suites
    from evals.compare import compare
    from evals.log import read

    sound, broken, accepted = (folder / f"{fault.name}-{kind}" for kind in ("sound", "broken", "accepted"))
    _copy(sound)
    _run(sound, fault, accepted)
    accept(read(_log(sound)), accepted)
    _copy(broken)
    break_file(broken, fault)
    status = _run(broken, fault, accepted)
    comparison = compare(read(_log(broken)), accepted_suites(accepted))
    moved = [f"{c.mark} {c.suite}/{c.scorer}: {_shown(c.worse)}" for c in (*comparison.regressions, *comparison.drifts)]
    moved += [f"new failure {suite}: {sample}" for suite, sample in comparison.new_failures[:3]]
    return Caught(fault, status, tuple(moved))


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _copy(tree: Path) -> None:
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))


def break_file(tree: Path, fault: Fault) -> None:
    """Plant a fault in a copy. Raises `InputError` when the place it names has changed."""
    path = tree / fault.file
    text = path.read_text(encoding="utf-8")
    broken, places = re.subn(fault.old, fault.new, text)
    if places != 1 or broken == text:
        raise InputError(
            f"the fault `{fault.name}` no longer applies to {fault.file}",
            hint="say in evals/plant.py what to break now",
        )
    path.write_text(broken, encoding="utf-8")


def _run(tree: Path, fault: Fault, baseline: Path) -> int:
    """`python -m evals run` in a copy: there, the copy's own folders come first on the path."""
    options = ["--samples", str(fault.samples), "--out", str(tree / "runs"), "--baseline", str(baseline), "--strict"]
    done = subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "-m", "evals", "run", *fault.suites, *options],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise InputError(f"the run in the copy ended with status {done.returncode}: {done.stderr[-500:]}")
    return done.returncode


def _log(tree: Path) -> Path:
    return next((tree / "runs").glob("*.jsonl"))
