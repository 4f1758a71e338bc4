"""The placement algebra: digits of two meshes, and the order of rows."""

from hypothesis import given
from hypothesis import strategies as st

from strategy.mesh import ATTENTION_AXES, EXPERT_AXES, stage_members
from strategy.placement import Placement, refine
from strategy.strategy import AttentionMesh, ExpertMesh, Pool

POWERS = st.sampled_from([1, 2, 4, 8])


@st.composite
def two_meshes(draw: st.DrawFn) -> Pool:
    """A stage whose width both meshes share."""
    dp, tp = draw(POWERS), draw(POWERS)
    width = dp * tp
    ep = draw(st.sampled_from([n for n in (1, 2, 4, 8, 16, 32, 64) if width % n == 0]))
    moe_tp = draw(st.sampled_from([n for n in (1, 2, 4, 8, 16, 32, 64) if (width // ep) % n == 0]))
    experts = ExpertMesh(dp_size=width // ep // moe_tp, ep_size=ep, tp_size=moe_tp)
    layout = draw(st.sampled_from(["moe_tp_fastest", "ep_fastest"]))
    return Pool.model_validate(
        {
            "stages": ((0, 4),),
            "attention": AttentionMesh(dp_size=dp, tp_size=tp),
            "experts": experts,
            "moe_layout": layout,
        }
    )


@given(two_meshes())
def test_digits_of_every_axis_give_exactly_its_groups(pool: Pool) -> None:
    digits = refine(pool)
    assert digits is not None

    for axis in (*ATTENTION_AXES, *EXPERT_AXES, "stage"):
        own = set(digits.of(axis))
        places: dict[tuple[int, ...], list[int]] = {}
        for w in range(pool.width):
            value, parts = w, []
            for size in reversed(digits.sizes):
                parts.insert(0, value % size)
                value //= size
            places.setdefault(tuple(p for d, p in enumerate(parts) if d not in own), []).append(w)
        assert sorted(places.values()) == sorted(sorted(row.tolist()) for row in stage_members(pool, axis))


def test_same_ranks_are_the_same_digits_whatever_the_mesh_calls_them() -> None:
    pool = Pool(stages=((0, 4),), attention=AttentionMesh(tp_size=8), experts=ExpertMesh(ep_size=4, tp_size=2))
    digits = refine(pool)
    assert digits is not None

    assert set(digits.of("tp")) == set(digits.of("ep")) | set(digits.of("moe_tp")) == set(digits.of("stage"))
    assert digits.named(digits.of("ep") + digits.of("moe_tp")) == "tp"


def test_meshes_that_cut_a_stage_at_strides_without_a_common_refinement_are_told_apart() -> None:
    pool = Pool(
        stages=((0, 4),), attention=AttentionMesh(dp_size=2, tp_size=3), experts=ExpertMesh(ep_size=3, tp_size=2)
    )

    assert refine(pool) is None


def test_slicing_and_gathering_the_same_axis_is_the_identity() -> None:
    whole = Placement(("T", "R", "R"))

    cut = whole.cut_rows((1, 2))
    assert cut is not None
    assert cut.gather_rows((1, 2)) == whole
    twice = whole.cut_rows((1,))
    assert twice is not None
    again = twice.cut_rows((2,))
    assert again is not None
    assert again.gather_rows((2,)) == twice


def test_gathering_in_another_order_than_slicing_gives_rows_that_cannot_be_sliced_back() -> None:
    """dp ranks hold their own rows; tp slices them. Gathered over dp first, a rank has every replica's first slice."""
    start = Placement(("T", "R"))
    sliced = start.cut_rows((1,))
    assert sliced is not None

    wrong = sliced.gather_rows((0,)).gather_rows((1,))
    assert wrong.rows == (1, 0)
    assert wrong.cut_rows((0,)) is None

    right = sliced.gather_rows((1,)).gather_rows((0,))
    assert right.rows == (0,)
    assert right.cut_rows((0,)) == start
