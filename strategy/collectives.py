"""Time of a collective: measured anchors inside a scale-up domain, an alpha-beta form where nothing was measured, two levels across.

Sizes are the full logical tensor S of the collective; for all_to_all, dispatch and combine, the bytes that one rank sends.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from strategy.calibration import Anchor, Calibration, CollectiveOp
from strategy.hardware import Cluster
from strategy.mesh import Axis, stage_members, stage_ranks
from strategy.strategy import AttentionMesh, ExpertMesh, Pool

Sizes = float | NDArray[np.float64]
US_PER_S = 1e6


@dataclass(frozen=True)
class Span:
    """How a group lies on the machine: `units` scale-up units (domains, or PCIe hosts) with up to `ranks_per_unit` members in each."""

    ranks: int
    units: int
    ranks_per_unit: int


def unit_size(cluster: Cluster) -> int:
    """GPUs that reach each other without the network: a scale-up domain, or a host whose GPUs only share PCIe."""
    return max(cluster.domain, cluster.gpus_per_host)


def span(pool: Pool, axis: Axis, cluster: Cluster, first_rank: int = 0) -> Span:
    """The widest group of `axis`: ranks fill units in order, so the layout decides who is near whom."""
    experts = pool.experts or ExpertMesh.model_construct(dp_size=pool.width)
    return _span(
        (pool.attention.dp_size, pool.attention.cp_size, pool.attention.tp_size),
        (experts.dp_size, experts.ep_size, experts.tp_size),
        (pool.pp_size, pool.replicas, pool.dcp_size, pool.dp_layout, pool.moe_layout),
        axis,
        unit_size(cluster),
        first_rank,
    )


@lru_cache(maxsize=100_000)
def _span(
    attention: tuple[int, int, int],
    experts: tuple[int, int, int],
    layout: tuple[int, int, int, Literal["outer", "inner"], Literal["moe_tp_fastest", "ep_fastest"]],
    axis: Axis,
    unit: int,
    first_rank: int,
) -> Span:
    pp, replicas, dcp, dp_layout, moe_layout = layout
    pool = Pool(
        stages=((0, 1),) * pp, pp_size=pp, replicas=min(replicas, 8), dp_layout=dp_layout, moe_layout=moe_layout, dcp_size=dcp,
        attention=AttentionMesh(dp_size=attention[0], cp_size=attention[1], tp_size=attention[2]),
        experts=ExpertMesh(dp_size=experts[0], ep_size=experts[1], tp_size=experts[2]),
    )  # fmt: skip
    hosts = stage_ranks(pool, first_rank=first_rank) // unit
    rows = np.sort(hosts[..., stage_members(pool, axis)].reshape(-1, _group_size(pool, axis)), axis=1)
    return _widest(np.unique(rows, axis=0))


def _group_size(pool: Pool, axis: Axis) -> int:
    return cast(int, stage_members(pool, axis).shape[1])


def _widest(rows: NDArray[np.int64]) -> Span:
    """The group that touches most units; among those, the one with most members in one of them."""
    found = []
    for row in rows:
        _, counts = np.unique(row, return_counts=True)
        found.append((len(counts), int(counts.max())))
    units, per_unit = max(found)
    return Span(rows.shape[1], units, per_unit)


def p2p_crosses(pool: Pool, cluster: Cluster, first_rank: int = 0) -> bool:
    """Whether some hand-over between consecutive stages leaves its scale-up unit."""
    unit = unit_size(cluster)
    if pool.pp_size == 1 or first_rank // unit == (first_rank + pool.world_size - 1) // unit:
        return False
    table = stage_ranks(pool, first_rank=first_rank) // unit
    return bool((table[:, :-1] != table[:, 1:]).any())


@dataclass(frozen=True)
class Links:
    """Times of collectives on one cluster under one calibration. All results are in microseconds."""

    cluster: Cluster
    calibration: Calibration

    @cached_property
    def link_bytes_per_us(self) -> float:
        """Rate at which a GPU sends to its neighbours, after efficiency."""
        gpu, constants = self.cluster.gpu, self.calibration.alpha_beta
        efficiency = constants.pcie_efficiency if gpu.scale_up == "pcie" else constants.link_efficiency
        return gpu.scale_up_gb_per_s * 1e9 / US_PER_S * efficiency

    @cached_property
    def network_bytes_per_us(self) -> float:
        """Rate of one GPU's share of the network, after efficiency."""
        return self.cluster.gpu.nic_gb_per_s * 1e9 / US_PER_S * self.calibration.alpha_beta.network_efficiency

    def time_us(self, op: CollectiveOp, group: Span, size: Sizes, *, cross_fraction: float | None = None) -> Sizes:
        """Time of `op` over `group`. `cross_fraction` is the part of an all_to_all's bytes that leaves the unit (default: uniform)."""
        if group.ranks == 1:
            return 0.0 * size
        if group.units == 1:
            return self.inside_us(op, group.ranks, size)
        if op in ("all_to_all", "dispatch", "combine"):
            return self._exchange_us(op, group, size, cross_fraction)
        return self._two_level_us(op, group, size)

    def send_us(self, size: Sizes, *, crosses: bool) -> Sizes:
        """Time of one hand-over between stages."""
        rate = self.network_bytes_per_us if crosses else self.link_bytes_per_us / self._mesh_links
        return self.calibration.alpha_beta.p2p_us + size / rate

    @cached_property
    def _mesh_links(self) -> int:
        return self.cluster.gpu.scale_up_links or 1

    def inside_us(self, op: CollectiveOp, ranks: int, size: Sizes) -> Sizes:
        """Time inside one scale-up unit: the faster of the kernels that were measured, else latency and rate."""
        moved = (
            size / self._speed
        )  # a link of another rate than that of its GPU moves as much as that one moves of less
        measured = [self._from_anchors(found, ranks, moved) for found in self._anchors(op)]
        if not measured:
            return self._alpha_beta_us(op, ranks, size)
        return reduce(np.minimum, measured)

    @cached_property
    def _speed(self) -> float:
        """The link's rate over the one that its GPU is known with: 1 unless a request replaced it."""
        gpu = self.cluster.gpu
        return gpu.scale_up_gb_per_s / self.calibration.link_rates.get(gpu.key, gpu.scale_up_gb_per_s)

    def _anchors(self, op: CollectiveOp) -> list[list[Anchor]]:
        """Anchor curves of `op` by kernel, from the first fabric that has them; each list is in order of group size."""
        if op not in self._anchor_cache:
            kernels = ("low_latency",) if op in ("dispatch", "combine") else ("nccl", "custom")
            found = [self._curves(op, kernel) for kernel in kernels]
            self._anchor_cache[op] = [curves for curves in found if curves]
        return self._anchor_cache[op]

    @cached_property
    def _anchor_cache(self) -> dict[str, list[list[Anchor]]]:
        return {}

    def _curves(self, op: str, kernel: str) -> list[Anchor]:
        """Per group size, the curve of the best fabric that has one."""
        best: dict[int, Anchor] = {}
        for fabric in self.calibration.fabrics_of(self.cluster.gpu):
            for anchor in self.calibration.anchors:
                if (anchor.fabric, anchor.op, anchor.kernel) == (fabric, op, kernel):
                    best.setdefault(anchor.ranks, anchor)
        return [best[ranks] for ranks in sorted(best)]

    def _from_anchors(self, curves: list[Anchor], ranks: int, size: Sizes) -> Sizes:
        """Log-log interpolation in size; between recorded group sizes linear in ranks, beyond them by the ring's wire time."""
        below = [a for a in curves if a.ranks <= ranks]
        above = [a for a in curves if a.ranks >= ranks]
        if below and above and below[-1].ranks != above[0].ranks:
            low, high = below[-1], above[0]
            weight = (ranks - low.ranks) / (high.ranks - low.ranks)
            return (1 - weight) * interpolate_us(low, size) + weight * interpolate_us(high, size)
        nearest = below[-1] if below else above[0]
        return self._scaled(nearest, ranks, size)

    def _scaled(self, anchor: Anchor, ranks: int, size: Sizes) -> Sizes:
        """A curve recorded for another group size: the wire part scales as (g-1)/g, the latency part with the hops."""
        recorded = anchor.ranks
        factor = ((ranks - 1) / ranks) / ((recorded - 1) / recorded)
        extra_hops = max(0, ranks - recorded) * self.calibration.alpha_beta.hop_us
        return interpolate_us(anchor, size) * factor + extra_hops

    def _alpha_beta_us(self, op: CollectiveOp, ranks: int, size: Sizes) -> Sizes:
        constants = self.calibration.alpha_beta
        latency = constants.base_us + constants.hop_us * (ranks - 1)
        wire = (ranks - 1) / ranks * size / self._group_rate(ranks)
        if op == "all_reduce":
            return latency + 2 * wire
        return latency + wire

    def _group_rate(self, ranks: int) -> float:
        """Bytes per microsecond that one rank moves in a group: all of a switch's rate, one link per peer on a full mesh."""
        links = self.cluster.gpu.scale_up_links
        if links:
            return self.link_bytes_per_us * min(1.0, (ranks - 1) / links)
        if self.cluster.gpu.scale_up == "pcie":
            # Cards behind one root share it: measured L40S rates fall as 20, 5, 1.4 GB/s for 2, 4, 8 cards.
            return self.link_bytes_per_us * float((2 / ranks) ** 1.9)
        return self.link_bytes_per_us

    def _network_us(self, hops: int) -> float:
        constants = self.calibration.alpha_beta
        return constants.network_base_us + constants.network_hop_us * max(0, hops - 1)

    def _two_level_us(self, op: CollectiveOp, group: Span, size: Sizes) -> Sizes:
        """Inside each unit, then across units with every GPU's own network share, then inside again."""
        units, inner = group.units, max(1, group.ranks_per_unit)
        crossing = (units - 1) / units * size / inner / self.network_bytes_per_us
        if op == "all_reduce":
            steps: tuple[CollectiveOp, ...] = ("reduce_scatter", "all_gather")
            local = sum(self.time_us(step, Span(inner, 1, inner), size) for step in steps)
            return local + 2 * crossing + self._network_us(2 * (units - 1))
        return self.time_us(op, Span(inner, 1, inner), size) + crossing + self._network_us(units - 1)

    def _exchange_us(self, op: CollectiveOp, group: Span, size: Sizes, cross_fraction: float | None) -> Sizes:
        """Near and far messages travel at once; the slower of the two decides."""
        inner = group.ranks_per_unit
        fraction = (group.ranks - inner) / max(1, group.ranks - 1) if cross_fraction is None else cross_fraction
        near = self.time_us(op, Span(inner, 1, inner), size) if inner > 1 else 0.0 * size
        far = self._network_us(1) + fraction * size / self.network_bytes_per_us
        return cast(Sizes, np.maximum(near, far))

    def throughput_dispatch_us(self, group: Span, size: Sizes, cross_fraction: float) -> Sizes:
        """Time of a high-throughput all_to_all dispatch or combine (deduplicated copies; one fixed cost, then the slower link)."""
        if group.ranks == 1:
            return 0.0 * size
        near = size / (self._group_rate(min(group.ranks, group.ranks_per_unit)) if group.ranks_per_unit > 1 else np.inf)
        far = size * cross_fraction / self.network_bytes_per_us if group.units > 1 else 0.0 * size
        return cast(Sizes, self.calibration.alpha_beta.throughput_dispatch_us + np.maximum(near, far))


def interpolate_us(anchor: Anchor, size: Sizes) -> Sizes:
    """Time at `size` bytes on an anchor's curve: log-log between its points, flat below, linear in bytes above."""
    sizes, times = anchor.logs
    clipped = np.maximum(size, 1.0)
    inside = np.exp(np.interp(np.log(clipped), sizes, times))
    return cast(Sizes, inside * np.maximum(1.0, clipped / anchor.bytes[-1]))
