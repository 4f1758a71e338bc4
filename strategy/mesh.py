"""Where every rank sits: coordinates and communication groups of a pool.

Layouts (RL001, RL006), with `dp` the attention replica, R = replicas, A = attention dp_size, P = pp_size, C = cp_size, T = tp_size:

    outer   rank = (((replica*A + dp)*P + pp)*C + cp)*T + tp
    inner   rank = (((replica*P + pp)*A + dp)*C + cp)*T + tp

Inside a stage the ranks are w = (dp*C + cp)*T + tp, and the expert mesh reads the same w as
`(moe_dp*X + ep)*M + moe_tp` (moe_tp_fastest) or `(moe_dp*M + moe_tp)*X + ep` (ep_fastest). A dcp group is a block of dcp_size
consecutive tp ranks, which hold the same KV heads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np

from strategy.strategy import ExpertMesh, Pool

Axis = Literal["tp", "cp", "dp", "dcp", "ep", "moe_tp", "moe_dp", "stage"]
AXES: tuple[Axis, ...] = get_args(Axis)
ATTENTION_AXES: tuple[Axis, ...] = ("dp", "cp", "tp")
EXPERT_AXES: tuple[Axis, ...] = ("moe_dp", "ep", "moe_tp")

Group = tuple[int, ...]


@dataclass(frozen=True)
class Coordinate:
    """One rank's place on both meshes."""

    rank: int
    replica: int
    pp: int
    dp: int
    cp: int
    tp: int
    moe_dp: int
    ep: int
    moe_tp: int


def axis_size(pool: Pool, axis: Axis) -> int:
    """Ranks in one group of `axis`; of a dense model every rank is an expert copy (moe_dp)."""
    if axis in ATTENTION_AXES:
        return _ATTENTION_SIZES[axis](pool)
    if axis in EXPERT_AXES:
        if pool.experts is None:
            return pool.width if axis == "moe_dp" else 1
        return _EXPERT_SIZES[axis](pool.experts)
    return pool.width if axis == "stage" else pool.dcp_size


def axis_sizes(pool: Pool) -> dict[Axis, int]:
    """Ranks in one group of every axis, in the order of `AXES`."""
    attention, width = pool.attention, pool.width
    experts = pool.experts
    ep, moe_tp, moe_dp = (1, 1, width) if experts is None else (experts.ep_size, experts.tp_size, experts.dp_size)
    return {
        "tp": attention.tp_size, "cp": attention.cp_size, "dp": attention.dp_size, "dcp": pool.dcp_size,
        "ep": ep, "moe_tp": moe_tp, "moe_dp": moe_dp, "stage": width,
    }  # fmt: skip


_ATTENTION_SIZES: dict[Axis, Callable[[Pool], int]] = {
    "dp": lambda pool: pool.attention.dp_size,
    "cp": lambda pool: pool.attention.cp_size,
    "tp": lambda pool: pool.attention.tp_size,
}
_EXPERT_SIZES: dict[Axis, Callable[[ExpertMesh], int]] = {
    "moe_dp": lambda experts: experts.dp_size,
    "ep": lambda experts: experts.ep_size,
    "moe_tp": lambda experts: experts.tp_size,
}


def stage_members(pool: Pool, axis: Axis) -> np.ndarray:
    """Positions w inside a stage, as an array [groups, members] for `axis`. Needs both meshes to have width W."""
    w = np.arange(pool.width)
    if axis == "stage":
        return w[None, :]
    if axis == "dcp":
        return w.reshape(-1, pool.dcp_size)
    if axis in ATTENTION_AXES:
        cube = w.reshape(pool.attention.dp_size, pool.attention.cp_size, pool.attention.tp_size)
        moved = np.moveaxis(cube, ATTENTION_AXES.index(axis), -1)
    else:
        moved = np.moveaxis(_expert_cube(pool, w), EXPERT_AXES.index(axis), -1)
    return cast(np.ndarray, moved.reshape(-1, moved.shape[-1]))


def _expert_cube(pool: Pool, w: np.ndarray) -> np.ndarray:
    """Stage positions as [moe_dp, ep, moe_tp] whatever the rank order."""
    experts = pool.experts or ExpertMesh.model_construct(dp_size=pool.width)
    z, x, m = experts.dp_size, experts.ep_size, experts.tp_size
    if pool.moe_layout == "moe_tp_fastest":
        return w.reshape(z, x, m)
    return np.swapaxes(w.reshape(z, m, x), 1, 2)


def stage_ranks(pool: Pool, *, first_rank: int = 0) -> np.ndarray:
    """Global ranks as an array [replicas, pp, W]: row (r, s) lists the ranks of one stage in mesh order."""
    a, inner = pool.attention.dp_size, pool.attention.cp_size * pool.attention.tp_size
    ranks = np.arange(pool.world_size) + first_rank
    if pool.dp_layout == "outer":
        cube = ranks.reshape(pool.replicas, a, pool.pp_size, inner).swapaxes(1, 2)
    else:
        cube = ranks.reshape(pool.replicas, pool.pp_size, a, inner)
    return cast(np.ndarray, cube.reshape(pool.replicas, pool.pp_size, pool.width))


def groups(pool: Pool, axis: Axis, *, first_rank: int = 0) -> list[Group]:
    """Every communication group of `axis`, as sorted tuples of global ranks in order of their first rank."""
    members = stage_members(pool, axis)
    table = stage_ranks(pool, first_rank=first_rank)
    found = [tuple(sorted(int(r) for r in stage[row])) for stage in table.reshape(-1, pool.width) for row in members]
    return sorted(found)


def pipeline_pairs(pool: Pool, *, first_rank: int = 0) -> list[tuple[int, int]]:
    """Every (sender, receiver) between consecutive stages: equal places of stage s and s + 1 (PP014)."""
    table = stage_ranks(pool, first_rank=first_rank)
    pairs = zip(table[:, :-1].ravel(), table[:, 1:].ravel(), strict=True)
    return sorted((int(a), int(b)) for a, b in pairs)


def replica_blocks(pool: Pool, *, first_rank: int = 0) -> list[Group]:
    """Ranks of every independent replica."""
    table = stage_ranks(pool, first_rank=first_rank)
    return [tuple(sorted(int(r) for r in replica.ravel())) for replica in table]


def coordinates(pool: Pool, *, first_rank: int = 0) -> list[Coordinate]:
    """The place of every rank, in rank order."""
    w = np.arange(pool.width)
    attention = np.unravel_index(w, (pool.attention.dp_size, pool.attention.cp_size, pool.attention.tp_size))
    cube = _expert_cube(pool, w)
    expert = [np.empty(pool.width, int) for _ in range(3)]
    for index in np.ndindex(*cube.shape):
        for axis in range(3):
            expert[axis][cube[index]] = index[axis]
    found = []
    for (replica, pp, place), rank in np.ndenumerate(stage_ranks(pool, first_rank=first_rank)):
        places = [int(column[place]) for column in (*attention, *expert)]
        found.append(Coordinate(int(rank), int(replica), int(pp), *places))
    return sorted(found, key=lambda c: c.rank)
