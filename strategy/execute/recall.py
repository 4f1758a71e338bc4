"""What follows from the labels of rows alone, worked out once: rows keep their array through a whole block, and from run to run."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
Found = TypeVar("Found")
MAX_KEPT = 1024
"""Answers of one function that are kept."""
MAX_BYTES = 32_000
"""Of an array that is kept: what is larger takes longer to use than to find."""


def recalled(function: Callable[P, Found]) -> Callable[P, Found]:
    """Remember what a pure function of arrays says about the very same arguments (by identity; they are kept, and read only from then on).

    Its arguments are positional. Arrays beyond `MAX_BYTES`, asked about or found, are not kept.
    """
    known: dict[tuple[int, ...], tuple[tuple[Any, ...], Found]] = {}

    @wraps(function)
    def recall(*args: P.args, **kwargs: P.kwargs) -> Found:
        key = tuple(map(id, args))
        if (kept := known.get(key)) is not None:
            return kept[1]
        found = function(*args, **kwargs)
        arrays = [part for part in (*args, *_parts(found)) if isinstance(part, np.ndarray)]
        if all(array.nbytes <= MAX_BYTES for array in arrays):
            if len(known) >= MAX_KEPT:
                known.clear()
            for array in arrays:
                array.flags.writeable = False
            known[key] = (args, found)
        return found

    return recall


def _parts(found: object) -> tuple[object, ...]:
    return found if isinstance(found, tuple) else (found,)
