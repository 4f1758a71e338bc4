"""Spread work over a Ray cluster. Ray is not among our dependencies: install it to use this."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, TypeVar

from strategy.errors import InputError, MeshwrightError

A = TypeVar("A")
B = TypeVar("B")


def fan_out(function: Callable[[A], B], items: Sequence[A]) -> Iterator[tuple[int, B]]:
    """`function` of every item, each with its index, as they are done: on the cluster that Ray finds, or on one it starts here.

    Raises `InputError` when Ray is not installed, `MeshwrightError` when it does not start, and what `function` raises.
    """
    ray = imported_ray()
    if not items:
        return
    _started(ray)
    remote = ray.remote(num_cpus=1)(function)
    waiting = {remote.remote(item): index for index, item in enumerate(items)}
    left = list(waiting)
    while left:
        done, left = ray.wait(left)
        for one in done:
            yield waiting.pop(one), ray.get(one)


def _started(ray: Any) -> None:
    if ray.is_initialized():
        return
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        told = str(error).partition("\n")[0]
        raise MeshwrightError(f"Ray did not start: {told}") from error


def in_order(found: Iterable[tuple[int, B]]) -> Iterator[B]:
    """Values by their index from 0 on, each as soon as those before it are there."""
    early: dict[int, B] = {}
    following = 0
    for index, value in found:
        early[index] = value
        while following in early:
            yield early.pop(following)
            following += 1


def imported_ray() -> Any:
    """The module, or the error that says how to get it."""
    try:
        return import_module("ray")
    except ImportError:
        raise InputError(
            "`--ray` needs Ray, which is not installed",
            hint="pip install ray, or leave --ray out: the work is then done on this machine",
        ) from None
