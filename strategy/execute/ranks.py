"""The virtual ranks of one pipeline stage, all executed replicas together, and their groups on each axis."""

from functools import cached_property, lru_cache

import numpy as np

from strategy.execute.values import Ints, RunError
from strategy.mesh import Axis, axis_size, stage_members, stage_ranks
from strategy.strategy import Pool


class Ranks:
    """Places of a scaled pool. A rank here is `replica * W + w`; every stage of the pool has the same ones."""

    def __init__(self, pool: Pool, real: Pool, first_rank: int = 0) -> None:
        self.pool = pool
        self.real = real
        self.count = pool.replicas * pool.width
        self.everyone: Ints = np.arange(self.count)
        self._global = stage_ranks(pool, first_rank=first_rank)
        self._members: dict[Axis, Ints] = {}
        self._places: dict[Axis, Ints] = {}
        self._groups: dict[Axis, Ints] = {}

    def size(self, axis: Axis) -> int:
        """Ranks in one group of `axis`."""
        return axis_size(self.pool, axis)

    def real_size(self, axis: Axis) -> int:
        """Ranks in one group of `axis` before scaling down."""
        return axis_size(self.real, axis)

    def members(self, axis: Axis) -> Ints:
        """[groups, members]: ranks of each group in the order of their coordinate."""
        if axis not in self._members:
            one = stage_members(self.pool, axis)
            starts = np.arange(self.pool.replicas)[:, None, None] * self.pool.width
            self._members[axis] = (one[None] + starts).reshape(-1, one.shape[1])
        return self._members[axis]

    def place(self, axis: Axis) -> Ints:
        """[ranks]: each rank's coordinate on `axis`."""
        if axis not in self._places:
            members = self.members(axis)
            place = np.empty(self.count, dtype=np.int64)
            place[members] = np.arange(members.shape[1])
            self._places[axis] = place
        return self._places[axis]

    def group_of(self, axis: Axis) -> Ints:
        """[ranks]: the number of each rank's group on `axis`."""
        if axis not in self._groups:
            members = self.members(axis)
            group = np.empty(self.count, dtype=np.int64)
            group[members] = np.arange(len(members))[:, None]
            self._groups[axis] = group
        return self._groups[axis]

    @cached_property
    def attention_replica(self) -> Ints:
        """[ranks]: number of the attention replica, counted over independent replicas."""
        return (self.everyone // self.pool.width) * self.pool.attention.dp_size + self.place("dp")

    def named(self, stage: int, ranks: Ints) -> tuple[int, ...]:
        """Global ranks (of the scaled mesh) of ranks of a stage."""
        replica, w = np.divmod(np.asarray(ranks), self.pool.width)
        return tuple(sorted(int(rank) for rank in self._global[replica, stage, w]))


def whole(total: int, parts: int, what: str) -> int:
    """The share of each part. Raises RunError when that is not a whole number."""
    if total % parts:
        raise RunError(f"{total} {what} do not split over {parts} ranks")
    return total // parts


@lru_cache(maxsize=4096)
def blocks_of(total: int, parts: int) -> Ints:
    """[parts, total / parts]: indices of equal contiguous blocks."""
    return np.arange(total).reshape(parts, total // parts)
