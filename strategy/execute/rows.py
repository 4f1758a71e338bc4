"""Rows of ranks put together, cut up and compared."""

from typing import TypeVar

import numpy as np

from strategy.execute.ranks import whole
from strategy.execute.recall import recalled
from strategy.execute.site import Site
from strategy.execute.values import MAX_ELEMENTS, NOBODY, Flags, Floats, Ints, RunError, Tensor
from strategy.mesh import Axis

Shard = TypeVar("Shard", Floats, Ints)


def check_growth(size: int) -> None:
    """Raise RunError when a gather would make a value of `size` numbers that no sound document has."""
    if size > MAX_ELEMENTS:
        raise RunError(f"gathers {size} numbers, more than the proof runs")


def join(site: Site, axis: Axis, shards: Shard) -> Shard:
    """Concatenate along rows, in group order: [ranks, n, ...] to [ranks, group * n, ...]."""
    members = site.ranks.members(axis)
    check_growth(shards.size * members.shape[1])
    joined = shards[members].reshape(len(members), members.shape[1] * shards.shape[1], *shards.shape[2:])
    return joined[site.ranks.group_of(axis)]


def join_rows(site: Site, axis: Axis, x: Tensor) -> Tensor:
    """all_gather along tokens. Features that are different heads on the joined ranks are no heads any more."""
    members = site.ranks.members(axis)
    alike = x.heads is not None and all(
        part is None or bool((part[members] == part[members][:, :1]).all()) for part in (x.heads.query, x.heads.kv)
    )
    rows = join(site, axis, x.rows)
    data = join(site, axis, x.data)
    kept = _without_padding(rows)
    if kept is not None:
        rows = np.take_along_axis(rows, kept, axis=1)
        data = np.take_along_axis(data, kept[..., None], axis=1)
    return Tensor(data, rows, x.source, x.heads if alike else None)


def _without_padding(rows: Ints) -> Ints | None:
    """[ranks, n]: where the rows are that are no padding; None when there is no padding, or not equally much of it."""
    real = rows != NOBODY
    counts = real.sum(axis=1)
    if counts.min() != counts.max() or counts[0] == rows.shape[1]:
        return None
    return np.asarray(real.nonzero()[1].reshape(len(rows), -1))


def same_tokens(site: Site, rows: Ints, axis: Axis) -> None:
    """Ranks that sum (or join features) must hold the same tokens."""
    if ranks := _first_that_differ(rows, site.ranks.members(axis)):
        raise RunError(f"sums rows of different tokens over `{axis}`", ranks=ranks)


@recalled
def _first_that_differ(rows: Ints, members: Ints) -> tuple[int, ...]:
    """The first group of `members` whose ranks do not hold the same rows."""
    grouped = rows[members]
    differ = (grouped != grouped[:, :1]).any(axis=(1, 2))
    return tuple(int(rank) for rank in members[differ][0]) if differ.any() else ()


@recalled
def padding_of(rows: Ints) -> Flags | None:
    """[ranks, n]: which rows are padding; None when none is."""
    padding = rows < 0
    return padding if padding.any() else None


def blank_padding(data: Floats, rows: Ints) -> Floats:
    """[ranks, n, ...] with zeros in padding rows."""
    padding = padding_of(rows)
    return data if padding is None else np.where(padding.reshape(*padding.shape, *[1] * (data.ndim - 2)), 0.0, data)


def slice_rows(site: Site, axis: Axis, x: Tensor) -> Tensor:
    """Each rank's equal share of the rows."""
    size, place = site.ranks.size(axis), site.ranks.place(axis)
    count = whole(x.rows.shape[1], size, "rows")
    taken = place[:, None] * count + np.arange(count)
    return Tensor(
        np.take_along_axis(x.data, taken[..., None], axis=1),
        np.take_along_axis(x.rows, taken, axis=1),
        x.source,
        x.heads,
    )
