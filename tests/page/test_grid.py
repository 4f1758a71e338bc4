"""The domain grid: what is drawn where, for documents that are right and for such that are not."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy.dag import Dag, LayerStamp
from strategy.errors import InputError
from strategy.export.grid import MAX_CELLS, NODE_H, NODE_W, Box, Grid, domain_grid

NAMES = ("dense", "pipeline", "one GPU", "sparse")


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.w and other.x < one.x + one.w and one.y < other.y + other.h and other.y < one.y + one.h
    )


def contains(outer: Box, inner: Box) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.w <= outer.x + outer.w
        and inner.y + inner.h <= outer.y + outer.h
    )


def boxes(grid: Grid) -> list[Box]:
    return [Box(cell.x, cell.y, NODE_W, NODE_H) for cell in grid.cells]


def check(grid: Grid) -> None:
    """What holds of every grid."""
    assert not any(overlap(a.box, b.box) for a, b in combinations(grid.bands, 2))
    assert not any(overlap(a.box, b.box) for a, b in combinations(grid.columns, 2))
    for column in grid.columns:
        assert contains(grid.bands[column.band].box, column.box)
    by_column: dict[int, list[Box]] = {}
    for cell, box in zip(grid.cells, boxes(grid), strict=True):
        assert contains(grid.columns[cell.column].box, box)
        by_column.setdefault(cell.column, []).append(box)
    assert not any(overlap(a, b) for column in by_column.values() for a, b in combinations(column, 2))
    assert all(edge.source < len(grid.cells) and edge.target < len(grid.cells) for edge in grid.edges)
    assert len(set(grid.edges)) == len(grid.edges)
    whole = Box(0, 0, grid.width, grid.height)
    assert all(contains(whole, band.box) for band in grid.bands)


def keys(grid: Grid) -> list[str]:
    return [*{column.key for column in grid.columns}, *(band.key for band in grid.bands), "all"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps_and_everything_lies_in_its_column_and_band(dags: dict[str, Dag], name: str) -> None:
    check(domain_grid(dags[name]))


@given(data=st.data(), name=st.sampled_from(NAMES))
@settings(max_examples=30, deadline=None)
def test_that_holds_whatever_is_unfolded_and_collapsed(dags: dict[str, Dag], data: st.DataObject, name: str) -> None:
    dag = dags[name]
    known = sorted(keys(domain_grid(dag, collapse=())))
    unfold = data.draw(st.sets(st.sampled_from([key for key in known if key != "all"]), max_size=3))
    collapse = data.draw(st.sets(st.sampled_from([key for key in known if key.count("/") == 1]), max_size=4))

    check(domain_grid(dag, unfold=unfold, collapse=collapse))


@pytest.mark.parametrize("name", NAMES)
def test_an_unfolded_grid_shows_every_node_of_every_layer_once(dags: dict[str, Dag], name: str) -> None:
    dag = dags[name]
    grid = domain_grid(dag, unfold=["all"], collapse=())
    sizes = {block.name: len(block.nodes) for block in dag.blocks}
    expected = 0
    for phase in ("prefill", "decode"):
        branch, pool = dag.branch(phase), dag.strategy.pool_for(phase)
        expected += sizes[branch.embed] + sizes[branch.head]
        expected += sum(
            (stamp.range[1] - stamp.range[0]) * sum(sizes[b] for b in stamp.blocks) for stamp in branch.layers
        )
        expected += (pool.pp_size - 1) * sizes[branch.boundary] if branch.boundary else 0

    assert len(grid.cells) == expected
    for phase in ("prefill", "decode"):
        layers = [c.first for c in grid.columns if c.kind == "layers" and grid.bands[c.band].phase == phase]
        assert layers == list(range(len(layers)))


def test_a_folded_grid_shows_each_run_of_equal_layers_once(dags: dict[str, Dag]) -> None:
    grid = domain_grid(dags["sparse"])

    runs = [(grid.bands[c.band].phase, c.first, c.end) for c in grid.columns if c.kind == "layers"]
    assert runs == [("prefill", 0, 3), ("prefill", 3, 61), ("decode", 0, 3), ("decode", 3, 61)]
    assert len(grid.cells) < 120


def test_unfolding_one_run_leaves_the_others_folded(dags: dict[str, Dag]) -> None:
    grid = domain_grid(dags["sparse"], unfold=["prefill/0/0"])

    runs = [(c.first, c.end) for c in grid.columns if c.kind == "layers" and grid.bands[c.band].phase == "prefill"]
    assert runs == [(0, 1), (1, 2), (2, 3), (3, 61)]


@pytest.mark.parametrize("name", NAMES)
def test_equal_blocks_stand_on_equal_rows_in_a_band(dags: dict[str, Dag], name: str) -> None:
    grid = domain_grid(dags[name], unfold=["all"], collapse=())

    for band in range(len(grid.bands)):
        tops: dict[str, set[int]] = {}
        for group in grid.groups:
            if grid.columns[group.column].band == band:
                tops.setdefault(group.block, set()).add(group.box.y)
        assert all(len(found) == 1 for found in tops.values())


@pytest.mark.parametrize("name", NAMES)
def test_data_flows_downwards_inside_a_column(dags: dict[str, Dag], name: str) -> None:
    grid = domain_grid(dags[name])

    chains = [edge for edge in grid.edges if edge.route == "chain"]
    assert chains
    assert all(grid.cells[edge.source].y < grid.cells[edge.target].y for edge in chains)


def test_the_inner_stages_of_a_long_pipeline_start_collapsed(dags: dict[str, Dag]) -> None:
    started, opened = domain_grid(dags["pipeline"]), domain_grid(dags["pipeline"], collapse=())

    prefill = [band.collapsed for band in started.bands if band.phase == "prefill"]
    assert prefill == [False, True, True, True, True, True, True, False]
    assert not any(band.collapsed for band in opened.bands)
    assert len(started.cells) < len(opened.cells)


@pytest.mark.parametrize("collapse", [None, ()])
def test_every_stage_hands_over_to_the_next(dags: dict[str, Dag], collapse: tuple[str, ...] | None) -> None:
    grid = domain_grid(dags["pipeline"], collapse=collapse)
    band_of = [grid.columns[cell.column].band for cell in grid.cells]

    crossings = {(band_of[e.source], band_of[e.target]) for e in grid.edges if e.route == "stream"}
    assert {(i, i + 1) for i in range(7)} <= crossings


@pytest.mark.parametrize("unfold", [(), ("all",)])
def test_the_cache_of_a_layer_is_linked_to_the_attention_of_that_layer(
    dags: dict[str, Dag], unfold: tuple[str, ...]
) -> None:
    grid = domain_grid(dags["sparse"], unfold=unfold)
    column_of = [grid.columns[cell.column] for cell in grid.cells]

    handed = [e for e in grid.edges if e.route == "link" and e.kind == "sync" and not e.loop]
    assert len(handed) == (61 if unfold else 2)
    assert all(column_of[e.source].first == column_of[e.target].first for e in handed)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_document_has_the_same_grid(dags: dict[str, Dag], name: str) -> None:
    assert domain_grid(dags[name]) == domain_grid(dags[name].model_copy(deep=True))


def test_a_cycle_and_an_input_from_nowhere_are_drawn_as_far_as_they_go(dags: dict[str, Dag]) -> None:
    data = dags["dense"].model_dump()
    nodes = next(block for block in data["blocks"] if len(block["nodes"]) > 5)["nodes"]
    nodes[0]["inputs"] = ("in", nodes[3]["id"])
    nodes[2]["inputs"] = ("nobody",)
    broken = Dag.model_validate(data)

    check(domain_grid(broken))


def test_missing_blocks_and_layers_that_no_stage_claims_are_drawn_as_far_as_they_go(dags: dict[str, Dag]) -> None:
    branches = dags["dense"].branches
    stray = branches.decode.model_copy(
        update={
            "embed": "nobody",
            "layers": (*branches.decode.layers, LayerStamp(range=(32, 40), blocks=("attention",))),
        }
    )
    broken = dags["dense"].model_copy(update={"branches": branches.model_copy(update={"decode": stray})})

    grid = domain_grid(broken)

    check(grid)
    assert "decode/none" in {band.key for band in grid.bands}


def test_a_picture_of_too_many_nodes_is_refused_with_what_to_do(dags: dict[str, Dag]) -> None:
    layers = (LayerStamp(range=(0, 90_000_000), blocks=dags["dense"].branches.prefill.layers[0].blocks),)
    huge = dags["dense"].branches.prefill.model_copy(update={"layers": layers})
    dag = dags["dense"].model_copy(update={"branches": dags["dense"].branches.model_copy(update={"prefill": huge})})

    check(domain_grid(dag))
    with pytest.raises(InputError, match=f"more than {MAX_CELLS:,} nodes") as told:
        domain_grid(dag, unfold=["all"])
    assert "fold" in told.value.hint
