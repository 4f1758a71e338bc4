"""Run a suite: solve every sample, score every output, keep everything in the log."""

import asyncio
import time
from collections.abc import Callable
from importlib.metadata import version

from evals.log import Entry, Log, RunHeader
from evals.suite import Sample, Suite

Progress = Callable[[Entry], None]


def run_suite(suite: Suite, *, proposer: str, progress: Progress | None = None) -> Log:
    """Every sample of `suite`, in order."""
    return asyncio.run(_run(suite, proposer, progress))


async def _run(suite: Suite, proposer: str, progress: Progress | None) -> Log:
    samples = list(suite.samples())
    entries = []
    for sample in samples:
        entry = await _solve(suite, sample, proposer)
        entries.append(entry)
        if progress is not None:
            progress(entry)
    header = RunHeader(suite.name, proposer, version("meshwright"), len(samples))
    return Log(header, tuple(entries))


async def _solve(suite: Suite, sample: Sample, proposer: str) -> Entry:
    start = time.perf_counter()
    try:
        output = await suite.solve(sample, proposer)
    except Exception as error:  # noqa: BLE001 (a sample that crashes is a failed sample, and the run goes on)
        return Entry(sample.id, {}, (), (time.perf_counter() - start) * 1e3, f"{type(error).__name__}: {error}")
    ms = (time.perf_counter() - start) * 1e3
    scores = [scorer(sample, output) for scorer in suite.scorers]
    return Entry(sample.id, output, tuple(score for score in scores if score is not None), ms)
