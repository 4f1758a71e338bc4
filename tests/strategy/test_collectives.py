"""Collective times: the anchors themselves, the forms between and beyond them, and how groups lie on hosts."""

import numpy as np
import pytest

from knowledge.calibration import calibration
from knowledge.catalogue import find_gpu
from strategy.collectives import Links, Span, p2p_crosses, span
from strategy.hardware import Cluster
from strategy.strategy import AttentionMesh, ExpertMesh, Pool

MIB = 2**20


def links(gpu: str, *, gpus_per_host: int = 8, hosts: int = 2) -> Links:
    return Links(Cluster(gpu=find_gpu(gpu), gpus_per_host=gpus_per_host, hosts=hosts), calibration())


def inside(ranks: int) -> Span:
    return Span(ranks, 1, ranks)


@pytest.mark.parametrize(
    ("gpu", "op", "size", "us"),
    [
        ("h100-sxm", "all_gather", 64 * MIB, 208),
        ("h100-sxm", "all_to_all", 16 * MIB, 76),
        ("h100-sxm", "all_reduce", 512 * MIB, 2111),
        ("b200-sxm", "all_reduce", 512 * MIB, 1335),
        ("a100-80g-sxm", "all_reduce", 1 * MIB, 38.9),
        ("l40s", "all_reduce", 64 * MIB, 55412),
    ],
)
def test_recorded_points_come_back(gpu: str, op: str, size: int, us: float) -> None:
    assert links(gpu).time_us(op, inside(8), float(size)) == pytest.approx(us, rel=1e-6)  # type: ignore[arg-type]


def test_small_all_reduces_use_the_custom_kernels() -> None:
    assert links("h100-sxm").time_us("all_reduce", inside(8), 65_536.0) == pytest.approx(6.4)


@pytest.mark.parametrize("gpu", ["h100-sxm", "b200-sxm", "mi300x", "l40s", "gb200-nvl72", "tpu-v6e"])
@pytest.mark.parametrize("op", ["all_reduce", "all_gather", "reduce_scatter", "all_to_all"])
def test_time_never_falls_with_size_and_arrays_equal_scalars(gpu: str, op: str) -> None:
    sizes = np.geomspace(1e3, 1e9, 40)
    measured = np.asarray(links(gpu).time_us(op, inside(4), sizes))  # type: ignore[arg-type]

    # Recorded curves dip by a few percent where a protocol switches.
    assert np.all(np.diff(measured) > -0.35 * measured[:-1])
    assert measured[-1] > 20 * measured[0]
    assert measured[7] == pytest.approx(links(gpu).time_us(op, inside(4), float(sizes[7])))  # type: ignore[arg-type]


def test_a_full_mesh_gives_two_gpus_one_link() -> None:
    mesh = links("mi300x")
    size = 512.0 * MIB

    pair, all_of_them = (mesh.time_us("all_gather", inside(ranks), size) for ranks in (2, 8))

    # Half the data over one link of seven takes longer than seven eighths of it over all seven.
    assert pair > 3 * all_of_them


def test_crossing_hosts_costs_the_network() -> None:
    fabric, size = links("h100-sxm"), 64.0 * MIB

    near, far = fabric.time_us("all_reduce", inside(8), size), fabric.time_us("all_reduce", Span(16, 2, 8), size)

    wire_us = 2 * (1 / 2) * size / 8 / 50e3
    assert far > near + wire_us


def test_low_latency_dispatch_over_hosts_is_near_the_recorded_times() -> None:
    fabric, size = links("h100-sxm", hosts=8), 128.0 * 8 * (16 + 7168 + 224)

    for hosts, recorded_us in ((2, 102), (4, 143), (8, 167)):
        group = Span(8 * hosts, hosts, 8)
        estimated = fabric.time_us("dispatch", group, size, cross_fraction=(hosts - 1) / hosts)
        assert estimated == pytest.approx(recorded_us, rel=0.2)


def test_throughput_dispatch_on_one_host_is_near_the_recorded_time() -> None:
    size = 4096 * 5.29 * (7168 * (1 + 4 / 128))

    assert links("h100-sxm").throughput_dispatch_us(inside(8), size, 0.0) == pytest.approx(492, rel=0.2)


def test_groups_of_a_layout_span_the_hosts_that_they_touch() -> None:
    cluster = Cluster(gpu=find_gpu("h100-sxm"), gpus_per_host=8, hosts=2)
    layout = Pool(stages=((0, 61),), attention=AttentionMesh(dp_size=4, tp_size=4), experts=ExpertMesh(ep_size=16))

    assert span(layout, "tp", cluster) == Span(4, 1, 4)
    assert span(layout, "ep", cluster) == Span(16, 2, 8)
    assert span(layout, "dp", cluster) == Span(4, 2, 2)


def test_a_rack_is_one_domain_and_pcie_cards_meet_in_their_host() -> None:
    wide = Pool(stages=((0, 1),), attention=AttentionMesh(tp_size=16))

    rack = Cluster(gpu=find_gpu("gb200-nvl72"), gpus_per_host=4, hosts=18)
    cards = Cluster(gpu=find_gpu("l40s"), gpus_per_host=8, hosts=2)

    assert span(wide, "tp", rack).units == 1
    assert span(wide, "tp", cards) == Span(16, 2, 8)


def test_pipeline_layout_decides_whether_stages_are_on_one_host() -> None:
    cluster = Cluster(gpu=find_gpu("h100-sxm"), gpus_per_host=8, hosts=2)
    narrow = Pool(pp_size=2, stages=((0, 40), (40, 80)), attention=AttentionMesh(tp_size=4))
    wide = narrow.model_copy(update={"attention": AttentionMesh(tp_size=8)})

    assert not p2p_crosses(narrow, cluster)
    assert p2p_crosses(wide, cluster)
