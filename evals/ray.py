"""Spread samples over a Ray cluster instead of the processes of one machine. Ray is not among our dependencies: install it to use this."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from evals.log import Entry
from evals.run import Task, solve_task
from strategy.errors import InputError


def on_ray(tasks: Sequence[Task], _jobs: int) -> Iterator[tuple[Task, Entry]]:
    """Solve tasks on the cluster that Ray finds (or on one it starts here). Raises `InputError` when Ray is not installed."""
    ray = imported_ray()
    if not tasks:
        return
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    remote = ray.remote(num_cpus=1)(solve_task)
    waiting = {remote.remote(task): task for task in tasks}
    left = list(waiting)
    while left:
        done, left = ray.wait(left)
        for one in done:
            yield waiting[one], ray.get(one)


def imported_ray() -> Any:
    """The module, or the error that says how to get it."""
    try:
        return import_module("ray")
    except ImportError:
        raise InputError(
            "`--ray` needs Ray, which is not installed",
            hint="pip install ray, or leave --ray out: --jobs uses this machine's cores",
        ) from None
