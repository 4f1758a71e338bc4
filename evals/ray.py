"""Spread samples over a Ray cluster instead of the processes of one machine."""

from collections.abc import Iterator, Sequence

from agent.fanout import fan_out
from evals.log import Entry
from evals.run import Task, solve_task


def on_ray(tasks: Sequence[Task], _jobs: int) -> Iterator[tuple[Task, Entry]]:
    """Solve tasks on a cluster. Raises `InputError` when Ray is not installed."""
    for index, entry in fan_out(solve_task, tasks):
        yield tasks[index], entry
