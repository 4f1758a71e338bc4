"""Run suites: solve every sample in one of several processes, score every output, write each to the log as it is done."""

import asyncio
import json
import os
import platform
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from evals.log import Config, Entry, Log, SuiteLog, Writer, read, write
from evals.suite import Sample, Score, Scorer, Suite, suites
from evals.summary import write_summaries
from evals.version import commit, digest
from strategy.errors import InputError, MeshwrightError

LIVES = 3
"""Pools of processes that may die before a run gives up."""
Progress = Callable[[str, Entry], None]


class Task(NamedTuple):
    """One sample to solve, by names only, so that any process can find it again."""

    suite: str
    sample: str
    proposer: str
    seed: int


Solved = Iterable[tuple[Task, Entry]]
Spread = Callable[[Sequence[Task], int], Solved]
"""Solves tasks on so many workers, in any order."""


def configured(
    names: Sequence[str],
    *,
    proposer: str,
    seed: int = 0,
    samples: int | None = None,
    full: bool = False,
    jobs: int | None = None,
    everything: bool = False,
) -> Config:
    """What is to be run, with what it depends on."""
    return Config(
        suites=tuple(names),
        proposer=proposer,
        seed=seed,
        samples=samples,
        full=full,
        everything=everything,
        jobs=jobs or os.cpu_count() or 1,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        version=version("meshwright"),
        commit=commit(),
        code=digest(),
        python=platform.python_version(),
        cpus=os.cpu_count() or 1,
    )


def run(
    config: Config, path: Path, *, resume: bool = False, progress: Progress | None = None, spread: Spread | None = None
) -> Log:
    """Run what `config` says and keep the log at `path`; `resume` goes on with the log that is there.

    `spread` solves the tasks (default: processes of this machine). Raises `InputError` when the log there is of another configuration.
    """
    started = time.monotonic()
    writer = Writer(path)
    if resume:
        left = read(path)
        planned = _left_behind(left, config)
        write(replace(left, seconds=None), path)  # without the line that was cut off
    else:
        planned = [planned_suite(suites()[name], config) for name in config.suites]
        writer.start(config)
        for suite in planned:
            writer.suite(suite)
    before = _seconds_so_far(planned) if resume else 0.0
    for task, entry in _solved(_tasks(planned, config), config.jobs, spread or processes):
        writer.entry(task.suite, entry)
        if progress is not None:
            progress(task.suite, entry)
    write_summaries(read(path), writer)
    writer.end(before + time.monotonic() - started)
    return read(path)


def planned_suite(suite: Suite, config: Config) -> SuiteLog:
    """The samples that are to be run of a suite, or why none are."""
    left_out = f"run it by name: {suite.by_name}" if suite.by_name and config.everything else ""
    reason = left_out or suite.absent(config.proposer)
    chosen = () if reason else _chosen(suite, config)
    return SuiteLog(suite.name, suite.about, tuple(sample.id for sample in chosen), reason)


def _chosen(suite: Suite, config: Config) -> Sequence[Sample]:
    """Of all samples for `--full`, else of those that a usual run takes, as many as are asked for."""
    found = suite.all_samples(config.seed) if config.full else suite.usual_samples(config.seed)
    limit = None if config.full else suite.usual
    return chosen_samples(found, limit if config.samples is None else config.samples, config.seed)


def chosen_samples(samples: Sequence[Sample], limit: int | None, seed: int) -> Sequence[Sample]:
    """`limit` of the samples, by chance but the same for the same seed, in their own order."""
    if limit is None or limit >= len(samples):
        return samples
    picked = random.Random(seed).sample(range(len(samples)), limit)  # noqa: S311 (repeatable)
    return [samples[index] for index in sorted(picked)]


def _left_behind(log: Log, config: Config) -> list[SuiteLog]:
    same = ("suites", "proposer", "seed", "samples", "full", "code")
    other = [name for name in same if getattr(log.config, name) != getattr(config, name)]
    if other:
        raise InputError(
            f"the log was written with another {' and '.join(other)}", hint="start a run of its own: leave --resume out"
        )
    return [replace(s, entries=tuple(e for e in s.entries if not e.error)) for s in log.suites]


def _seconds_so_far(planned: Sequence[SuiteLog]) -> float:
    return sum(suite.seconds for suite in planned)


def _tasks(planned: Iterable[SuiteLog], config: Config) -> list[Task]:
    tasks = []
    for suite in planned:
        done = {entry.sample for entry in suite.entries}
        tasks += [Task(suite.name, name, config.proposer, config.seed) for name in suite.samples if name not in done]
    return tasks


def _solved(tasks: Sequence[Task], jobs: int, spread: Spread) -> Iterator[tuple[Task, Entry]]:
    """Those that may run beside each other, then those that may not."""
    known = suites()
    beside = [task for task in tasks if not known[task.suite].alone]
    alone = [task for task in tasks if known[task.suite].alone]
    yield from spread(beside, jobs)
    yield from processes(alone, 1)


def processes(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Entry]]:
    """Solve in processes of this machine; what a process that died had taken is given to new ones. Raises `MeshwrightError` when those die too."""
    left = dict.fromkeys(tasks)
    for _ in range(LIVES):
        try:
            for task, entry in _pooled(list(left), jobs):
                del left[task]
                yield task, entry
        except BrokenProcessPool:
            continue
        return
    raise MeshwrightError(
        f"worker processes died {LIVES} times, perhaps for want of memory; `--resume` goes on where the run stopped"
    )


def _pooled(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Entry]]:
    if not tasks:
        return
    workers = min(jobs, len(tasks))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        waiting: dict[Future[Entry], Task] = {pool.submit(solve_task, task): task for task in tasks}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """Let a worker not outlive a run that was killed: its queue would never tell it."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def solve_task(task: Task) -> Entry:
    """Find a sample by its names and solve it."""
    suite = suites()[task.suite]
    return solve_sample(suite, _samples_of(task.suite, task.seed)[task.sample], task.proposer)


@lru_cache(maxsize=32)
def _samples_of(suite: str, seed: int) -> dict[str, Sample]:
    return {sample.id: sample for sample in suites()[suite].all_samples(seed)}


def solve_sample(suite: Suite, sample: Sample, proposer: str) -> Entry:
    """Solve and score one sample. A solver that crashes is a failed sample, and the run goes on."""
    start, cpu = time.perf_counter(), _cpu_seconds()
    try:
        output = asyncio.run(_solve(suite, sample, proposer))
        error = ""
    except Exception as caught:  # noqa: BLE001 (whatever it is, it is this sample's failure)
        output, error = {}, f"{type(caught).__name__}: {caught}"
    ms, cpu_ms = (time.perf_counter() - start) * 1e3, (_cpu_seconds() - cpu) * 1e3
    scores = () if error else score(suite.scorers, sample, output)
    return Entry(sample.id, output, scores, ms, error, _as_json(sample.input), cpu_ms)


def _cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


async def _solve(suite: Suite, sample: Sample, proposer: str) -> dict[str, Any]:
    """The output as the log gives it back, so that scoring again sees the same."""
    found: dict[str, Any] = json.loads(json.dumps(await suite.solve(sample, proposer)))
    return found


def _as_json(value: Any) -> Any:
    """A sample's input for the log; text for what JSON does not know."""
    return json.loads(json.dumps(value, default=str))


def score(scorers: Sequence[Scorer], sample: Sample, output: dict[str, Any]) -> tuple[Score, ...]:
    """What the scorers say; a scorer that cannot read an output fails it."""
    said = (_said(scorer, sample, output) for scorer in scorers)
    return tuple(one for one in said if one is not None)


def _said(scorer: Scorer, sample: Sample, output: dict[str, Any]) -> Score | None:
    try:
        return scorer(sample, output)
    except Exception as caught:  # noqa: BLE001 (an output that cannot be scored is not right)
        name = getattr(scorer, "__name__", type(scorer).__name__)
        return Score(name, 0.0, f"the output could not be scored: {type(caught).__name__}: {caught}")


def score_again(log: Log) -> Log:
    """The same outputs under the scorers as they are now. Samples that no longer exist are left out; nothing is solved."""
    known = suites()
    return replace(log, suites=tuple(_scored(known[s.name], s, log.config.seed) for s in log.suites if s.name in known))


def _scored(suite: Suite, log: SuiteLog, seed: int) -> SuiteLog:
    if log.skipped:
        return log
    samples = _samples_of(suite.name, seed)
    kept = tuple(name for name in log.samples if name in samples)
    entries = (entry for entry in log.entries if entry.sample in samples)
    again = (
        entry if entry.error else replace(entry, scores=score(suite.scorers, samples[entry.sample], entry.output))
        for entry in entries
    )
    return replace(log, samples=kept, entries=tuple(again))
