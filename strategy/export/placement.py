"""Which GPUs of which hosts every replica gets.

A replica that fits a host lies in one host; a larger one has whole hosts of its own and the same number of ranks on each (RL009).
Pools come in order, and a host that still has room takes the next replica.
"""

from typing import NamedTuple

from strategy.errors import InputError
from strategy.strategy import Pool, Strategy


class Share(NamedTuple):
    """What one host runs of one replica."""

    host: int
    gpus: tuple[int, ...]
    """Local indices."""


class Placed(NamedTuple):
    """One replica of a pool; its rank 0 is on the first share."""

    pool: Pool
    replica: int
    slot: int
    """Position among the replicas of its (first) host, from which ports are counted."""
    shares: tuple[Share, ...]

    @property
    def hosts(self) -> tuple[int, ...]:
        """Hosts that this replica uses."""
        return tuple(share.host for share in self.shares)


def hosts_of_replica(pool: Pool, gpus_per_host: int) -> int:
    """Hosts that one replica spans."""
    return -(-pool.ranks_per_replica // gpus_per_host)


def place(strategy: Strategy, gpus_per_host: int, hosts: int | None = None) -> tuple[Placed, ...]:
    """Every replica with its GPUs. Raises `InputError` when one cannot be spread evenly, or when `hosts` do not hold them all."""
    placed: list[Placed] = []
    host, used, slot = 0, 0, 0
    for number, pool in enumerate(strategy.pools):
        count = hosts_of_replica(pool, gpus_per_host)
        local = _ranks_per_host(pool, count, f"/strategy/pools/{number}")
        for replica in range(pool.replicas):
            if used + local > gpus_per_host or (count > 1 and used):
                host, used, slot = host + 1, 0, 0
            gpus = tuple(range(used, used + local))
            shares = tuple(Share(host + k, gpus) for k in range(count))
            placed.append(Placed(pool, replica, slot, shares))
            host, used, slot = (host + count, 0, 0) if count > 1 else (host, used + local, slot + 1)
    _check_hosts(placed, hosts, gpus_per_host)
    return tuple(placed)


def _ranks_per_host(pool: Pool, hosts: int, pointer: str) -> int:
    ranks = pool.ranks_per_replica
    if ranks % hosts:
        raise InputError(
            f"a replica of {ranks} ranks cannot put the same number on each of {hosts} hosts (RL009)",
            pointer=pointer,
            hint=f"choose degrees whose product is a multiple of {hosts}",
        )
    return ranks // hosts


def _check_hosts(placed: list[Placed], hosts: int | None, gpus_per_host: int) -> None:
    needed = 1 + max(share.host for one in placed for share in one.shares)
    if hosts is not None and needed > hosts:
        raise InputError(
            f"the replicas need {needed} hosts of {gpus_per_host} GPUs when none is cut by a host's edge, and the request has {hosts}",
            pointer="/strategy/pools",
            hint="use fewer replicas, or replicas that fill hosts evenly",
        )
