"""Expansion to ranks."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.catalogue import find_model
from strategy.build import build
from strategy.dag import Dag
from strategy.errors import InputError
from strategy.expand import EDGE_KINDS, expand
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy

DENSE = find_model("llama-3.1-8b")
MOE = find_model("deepseek-v3")


def plan(**fields: object) -> Dag:
    return build(DENSE, Strategy(pools=(Pool.model_validate({"stages": ((0, 32),), **fields}),)))


def test_every_layer_stands_on_the_ranks_of_its_stage() -> None:
    dag = plan(pp_size=2, stages=((0, 10), (10, 32)), attention=AttentionMesh(tp_size=2), replicas=2)

    nodes = expand(dag)

    late = (nodes.layer >= 10) & (nodes.layer >= 0)
    assert set(nodes.rank[late].tolist()) == {2, 3, 6, 7}
    assert set(nodes.rank[(nodes.layer >= 0) & ~late].tolist()) == {0, 1, 4, 5}


def test_pipeline_edges_join_equal_places_of_consecutive_stages() -> None:
    nodes = expand(plan(pp_size=2, stages=((0, 16), (16, 32)), attention=AttentionMesh(tp_size=2), replicas=2))

    pipeline = nodes.kind == EDGE_KINDS.index("pipeline")
    pairs = set(
        zip(nodes.rank[nodes.source[pipeline]].tolist(), nodes.rank[nodes.target[pipeline]].tolist(), strict=True)
    )
    assert pairs == {(0, 2), (1, 3), (4, 6), (5, 7)}


def test_handoff_and_loop_edges_exist_for_every_layer_and_rank() -> None:
    nodes = expand(plan(attention=AttentionMesh(tp_size=2)))

    names = [f"{t.phase}.{t.node.id}" for t in nodes.templates]
    source = np.array([names[i] for i in nodes.template])[nodes.source]
    target = np.array([names[i] for i in nodes.template])[nodes.target]
    handoff = (source == "prefill.kv") & (target == "decode.attend")
    assert handoff.sum() == 32 * 2
    assert ((source == "decode.kv") & (target == "decode.attend") & nodes.loop).sum() == 32 * 2
    assert (nodes.layer[nodes.source[handoff]] == nodes.layer[nodes.target[handoff]]).all()


def test_a_stage_takes_microbatches_in_order() -> None:
    nodes = expand(plan(pp_size=2, stages=((0, 16), (16, 32)), microbatches=2))

    later = nodes.microbatch[nodes.target] > nodes.microbatch[nodes.source]
    assert later.any()
    assert (nodes.stage[nodes.source[later]] == nodes.stage[nodes.target[later]]).all()


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2]), st.sampled_from([1, 2]),
    st.sampled_from(["outer", "inner"]),
)  # fmt: skip
def test_expansion_is_topological_and_counts_every_node_of_every_rank(
    dp: int, pp: int, replicas: int, micro: int, layout: str
) -> None:
    bounds = [61 * i // pp for i in range(pp + 1)]
    pool = Pool.model_validate(
        {
            "pp_size": pp, "stages": tuple(itertools.pairwise(bounds)), "attention": {"dp_size": dp, "tp_size": 2},
            "experts": ExpertMesh(ep_size=2 * dp), "replicas": replicas, "microbatches": micro, "dp_layout": layout,
        }
    )  # fmt: skip
    dag = build(MOE, Strategy(pools=(pool,)))

    nodes = expand(dag)

    assert nodes.is_topological()
    width, layers = 2 * dp * replicas * micro, {b.name: len(b.nodes) for b in dag.blocks}
    per_branch = [
        layers[branch.embed] + layers[branch.head] + (pp - 1) * 2
        + sum((s.range[1] - s.range[0]) * sum(layers[b] for b in s.blocks) for s in branch.layers)
        for branch in (dag.branches.prefill, dag.branches.decode)
    ]  # fmt: skip
    assert nodes.num_nodes == width * sum(per_branch)


def test_networkx_agrees_and_large_graphs_are_refused_there(tmp_path: Path) -> None:
    import networkx as nx

    nodes = expand(plan())
    graph = nodes.to_networkx()
    steps = nx.DiGraph([(a, b) for a, b, loop in graph.edges(data="loop") if not loop])

    assert nx.is_directed_acyclic_graph(steps)
    assert graph.number_of_nodes() == nodes.num_nodes
    with pytest.raises(InputError, match="exceed the limit"):
        nodes.to_networkx(limit=10)
    nodes.save(tmp_path / "dag.npz")
    assert (np.load(tmp_path / "dag.npz")["source"] == nodes.source).all()
