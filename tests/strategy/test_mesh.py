import pytest

from strategy.mesh import Axis, coordinates, groups, pipeline_pairs, replica_blocks
from strategy.strategy import AttentionMesh, ExpertMesh, Pool


def pool(*, t: int = 1, c: int = 1, p: int = 1, a: int = 1, x: int = 0, m: int = 1, r: int = 1, **fields: str) -> Pool:
    width = a * c * t
    experts = ExpertMesh(dp_size=width // (x * m), ep_size=x, tp_size=m) if x else None
    stages = tuple((i, i + 1) for i in range(p))
    return Pool.model_validate(
        {
            "replicas": r,
            "pp_size": p,
            "stages": stages,
            "attention": AttentionMesh(dp_size=a, cp_size=c, tp_size=t),
            "experts": experts,
            **fields,
        }
    )


PAIRS = {(0, 1), (2, 3), (4, 5), (6, 7)}
CP8 = {(0, 2), (1, 3), (4, 6), (5, 7)}
STRIDE4 = {(0, 4), (1, 5), (2, 6), (3, 7)}
QUADS = {(0, 1, 2, 3), (4, 5, 6, 7)}
INNER = {"dp_layout": "inner"}
EP_FASTEST = {"moe_layout": "ep_fastest"}

GOLDEN = [
    ("TP", pool(t=2), {"tp": {(0, 1)}}),
    ("SP cp", pool(c=2), {"cp": {(0, 1)}}),
    ("PP", pool(p=2), {"pp": {(0, 1)}}),
    ("EP", pool(a=2, x=2), {"ep": {(0, 1)}, "tp": {(0,), (1,)}}),
    ("TP x SP cp", pool(c=2, t=2), {"tp": {(0, 1), (2, 3)}, "cp": {(0, 2), (1, 3)}}),
    ("TP x PP", pool(t=2, p=2), {"tp": {(0, 1), (2, 3)}, "pp": {(0, 2), (1, 3)}}),
    ("TP x EP overlay", pool(t=2, x=2), {"tp": {(0, 1)}, "ep": {(0, 1)}}),
    ("TP x EP, vLLM", pool(a=2, t=2, x=4), {"tp": {(0, 1), (2, 3)}, "ep": {(0, 1, 2, 3)}}),
    (
        "TP x EP, SGLang",
        pool(a=2, t=2, x=2, m=2),
        {"tp": {(0, 1), (2, 3)}, "moe_tp": {(0, 1), (2, 3)}, "ep": {(0, 2), (1, 3)}},
    ),
    (
        "TP x EP, TensorRT-LLM",
        pool(a=2, t=2, x=2, m=2, **EP_FASTEST),
        {"moe_tp": {(0, 2), (1, 3)}, "ep": {(0, 1), (2, 3)}},
    ),
    ("SP x PP", pool(c=2, p=2), {"cp": {(0, 1), (2, 3)}, "pp": {(0, 2), (1, 3)}}),
    ("SP x EP", pool(c=2, x=2), {"cp": {(0, 1)}, "ep": {(0, 1)}}),
    ("PP x EP outer", pool(p=2, a=2, x=2), {"pp": {(0, 1), (2, 3)}, "ep": {(0, 2), (1, 3)}}),
    ("PP x EP inner", pool(p=2, a=2, x=2, **INNER), {"pp": {(0, 2), (1, 3)}, "ep": {(0, 1), (2, 3)}}),
    ("TP x SP x PP", pool(t=2, c=2, p=2), {"tp": PAIRS, "cp": CP8, "pp": STRIDE4}),
    ("TP x SP x EP", pool(t=2, c=2, x=4), {"tp": {(0, 1), (2, 3)}, "cp": {(0, 2), (1, 3)}, "ep": {(0, 1, 2, 3)}}),
    (
        "TP x PP x EP overlay",
        pool(t=2, p=2, x=2),
        {"tp": {(0, 1), (2, 3)}, "ep": {(0, 1), (2, 3)}, "pp": {(0, 2), (1, 3)}},
    ),
    (
        "TP x PP x EP outer",
        pool(t=2, p=2, a=2, x=4),
        {"tp": PAIRS, "pp": CP8, "dp": STRIDE4, "ep": {(0, 1, 4, 5), (2, 3, 6, 7)}},
    ),
    ("TP x PP x EP inner", pool(t=2, p=2, a=2, x=4, **INNER), {"tp": PAIRS, "pp": STRIDE4, "ep": QUADS}),
    ("SP x PP x EP", pool(c=2, p=2, x=2), {"cp": {(0, 1), (2, 3)}, "ep": {(0, 1), (2, 3)}, "pp": {(0, 2), (1, 3)}}),
    ("TP x SP x PP x EP", pool(t=2, c=2, p=2, x=4), {"tp": PAIRS, "cp": CP8, "pp": STRIDE4, "ep": QUADS}),
    ("SGLang tp8 ep4", pool(t=8, x=4, m=2), {"ep": {(0, 2, 4, 6), (1, 3, 5, 7)}, "moe_tp": PAIRS}),
    ("TensorRT-LLM moe_tp2 moe_ep4", pool(t=8, x=4, m=2, **EP_FASTEST), {"ep": QUADS, "moe_tp": STRIDE4}),
]


@pytest.mark.parametrize(("one", "expected"), [row[1:] for row in GOLDEN], ids=[row[0] for row in GOLDEN])
def test_groups_are_those_of_the_golden_table(one: Pool, expected: dict[str, set[tuple[int, ...]]]) -> None:
    found = {axis: set(pipeline_pairs(one) if axis == "pp" else groups(one, axis)) for axis in expected}  # type: ignore[arg-type]

    assert found == expected


@pytest.mark.parametrize(("one", "expected"), [row[1:] for row in GOLDEN], ids=[row[0] for row in GOLDEN])
def test_each_rank_is_in_one_group_of_each_axis(one: Pool, expected: object) -> None:
    axes: tuple[Axis, ...] = ("tp", "cp", "dp", "ep", "moe_tp", "moe_dp", "stage")
    for axis in axes:
        assert sorted(rank for group in groups(one, axis) for rank in group) == list(range(one.world_size))


def test_tp2_pp2_dp2_is_laid_out_as_in_the_rank_table() -> None:
    one = pool(t=2, p=2, r=2)

    places = [(c.rank, c.replica, c.pp, c.tp) for c in coordinates(one)]

    assert places == [
        (0, 0, 0, 0),
        (1, 0, 0, 1),
        (2, 0, 1, 0),
        (3, 0, 1, 1),
        (4, 1, 0, 0),
        (5, 1, 0, 1),
        (6, 1, 1, 0),
        (7, 1, 1, 1),
    ]
    assert groups(one, "tp") == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert pipeline_pairs(one) == [(0, 2), (1, 3), (4, 6), (5, 7)]
    assert replica_blocks(one) == [(0, 1, 2, 3), (4, 5, 6, 7)]
