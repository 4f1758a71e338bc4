"""Traces and graphs: read again by something else than what wrote them."""

import json
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import networkx as nx
import numpy as np
import pytest

from knowledge.calibration import calibration
from knowledge.resolve import resolve
from strategy.build import build
from strategy.cost import estimate
from strategy.dag import Dag
from strategy.expand import expand
from strategy.export import FORMATS, Plan
from strategy.export.costs import node_costs
from strategy.export.graphs import arrows, template_graph
from strategy.export.timeline import schedule, trace
from strategy.mesh import groups
from strategy.request import Request
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy


def plan(model: str | dict[str, Any], *pools: Pool, priced: bool = True, hosts: int = 1) -> Plan:
    asked = {
        "model": model,
        "cluster": {"gpu": "h200-sxm", "gpus_per_host": 8, "hosts": hosts},
        "workload": {"isl": 1024, "osl": 64},
    }
    problem = resolve(Request.model_validate(asked)).problem
    dag = build(problem.model, Strategy(pools=pools))
    return Plan(dag, problem.model, problem, node_costs(dag, problem, calibration()) if priced else {})


TP4_PP2 = plan(
    "llama-3.1-8b", Pool(pp_size=2, microbatches=2, stages=((0, 15), (15, 32)), attention=AttentionMesh(tp_size=4))
)
MOE = plan("qwen3-30b-a3b", Pool(stages=((0, 48),), attention=AttentionMesh(dp_size=4), experts=ExpertMesh(ep_size=4)))
SPLIT = plan(
    "llama-3.1-8b",
    Pool(name="prefill", phases=("prefill",), stages=((0, 32),), attention=AttentionMesh(tp_size=2)),
    Pool(name="decode", phases=("decode",), stages=((0, 32),), attention=AttentionMesh(tp_size=4)),
)
FALCON = {
    "model_type": "falcon", "hidden_size": 8192, "new_decoder_architecture": True, "num_attention_heads": 128, "num_hidden_layers": 8,
    "num_kv_heads": 8, "vocab_size": 65024,
}  # fmt: skip
SIDE_BY_SIDE = plan(
    FALCON, Pool(pp_size=2, microbatches=2, stages=((0, 4), (4, 8)), attention=AttentionMesh(tp_size=4))
)
PLANS = pytest.mark.parametrize(
    "made", [TP4_PP2, MOE, SPLIT, SIDE_BY_SIDE], ids=["pipeline", "experts", "two pools", "attention beside FFN"]
)


# --- an independent reader of Chakra traces ---------------------------------------------------------------------------------------------


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        value, at = read_varint(data, at)
        if key & 7 == 2:
            yield key >> 3, data[at : at + value]
            at += value
        else:
            assert key & 7 == 0
            yield key >> 3, value


KINDS = {7: "int32", 9: "int64", 13: "uint64", 27: "bool", 29: "string"}


def read_node(data: bytes) -> dict[str, Any]:
    node: dict[str, Any] = {"attr": {}, "kinds": {}, "ctrl": [], "data": []}
    for number, value in fields(data):
        if number == 10:
            told = dict(fields(value))
            name, kind = told.pop(1).decode(), next(iter(told))
            node["attr"][name], node["kinds"][name] = told[kind], KINDS[kind]
        elif number in (4, 5):
            at, ids = 0, []
            while at < len(value):
                one, at = read_varint(value, at)
                ids.append(one)
            node["ctrl" if number == 4 else "data"] = ids
        else:
            name = {1: "id", 2: "name", 3: "type", 6: "start", 7: "micros"}[number]
            node[name] = value.decode() if isinstance(value, bytes) else value
    return node


def read_trace(data: bytes) -> list[dict[str, Any]]:
    messages, at = [], 0
    while at < len(data):
        size, at = read_varint(data, at)
        messages.append(data[at : at + size])
        at += size
    assert dict(fields(messages[0])) == {1: b"0.0.4"}
    return [read_node(message) for message in messages[1:]]


def chakra(made: Plan) -> tuple[dict[int, list[dict[str, Any]]], dict[str, list[int]]]:
    files = {artifact.name: artifact.data for artifact in FORMATS["chakra"].write(made)}
    named = json.loads(files.pop("comm_groups.json"))
    return {int(name.split(".")[1]): read_trace(data) for name, data in files.items()}, named


@PLANS
def test_every_rank_has_a_trace_whose_dependencies_come_earlier(made: Plan) -> None:
    traces, _ = chakra(made)

    assert sorted(traces) == list(range(made.strategy.world_size))
    for nodes in traces.values():
        assert [node.get("id", 0) for node in nodes] == list(range(len(nodes)))
        for node in nodes:
            before = node["ctrl"] + node["data"]
            assert all(one < node["id"] for one in before)
            assert len(before) == len(set(before))


@PLANS
def test_attributes_have_the_kinds_that_the_feeder_reads(made: Plan) -> None:
    wanted = {
        "is_cpu_op": "bool", "num_ops": "int64", "tensor_size": "uint64", "comm_type": "int64", "comm_size": "int64",
        "comm_src": "int32", "comm_dst": "int32", "comm_tag": "int32", "pg_name": "string",
    }  # fmt: skip
    needed = {
        4: {"num_ops", "tensor_size"},
        5: {"comm_size", "comm_src", "comm_dst", "comm_tag"},
        7: {"comm_type", "comm_size", "pg_name"},
    }
    needed[6] = needed[5]

    for nodes in chakra(made)[0].values():
        for node in nodes:
            assert set(node["attr"]) == {"is_cpu_op", *needed[node["type"]]}
            assert node["kinds"] == {name: wanted[name] for name in node["attr"]}


@PLANS
def test_ranks_of_a_group_call_the_same_collectives_in_the_same_order(made: Plan) -> None:
    traces, named = chakra(made)
    calls: dict[str, dict[int, list[tuple[Any, ...]]]] = defaultdict(dict)
    for rank, nodes in traces.items():
        for node in nodes:
            if node["type"] == 7:
                group = node["attr"]["pg_name"].decode()
                told = (node["name"], node["attr"]["comm_type"], node["attr"]["comm_size"])
                calls[group].setdefault(rank, []).append(told)

    assert set(calls) == set(named)
    for group, by_rank in calls.items():
        assert sorted(by_rank) == sorted(named[group])
        assert len({tuple(one) for one in by_rank.values()}) == 1
        assert all(size > 0 for one in by_rank.values() for _, _, size in one)


@PLANS
def test_every_message_is_sent_once_and_received_once(made: Plan) -> None:
    sent: Counter[tuple[int, ...]] = Counter()
    received: Counter[tuple[int, ...]] = Counter()
    for rank, nodes in chakra(made)[0].items():
        for node in nodes:
            message = tuple(node["attr"].get(name, -1) for name in ("comm_src", "comm_dst", "comm_tag", "comm_size"))
            if node["type"] == 5:
                assert message[0] == rank
                sent[message] += 1
            elif node["type"] == 6:
                assert message[1] == rank
                received[message] += 1

    assert sent == received
    assert set(sent.values()) <= {1}


@PLANS
def test_a_replay_of_all_ranks_finishes(made: Plan) -> None:
    traces, named = chakra(made)

    assert replay(traces, named) == {rank: len(nodes) for rank, nodes in traces.items()}


def replay(traces: dict[int, list[dict[str, Any]]], named: dict[str, list[int]]) -> dict[int, int]:
    """Each rank runs its nodes in order; collectives wait for their group and receives for their message."""
    done = dict.fromkeys(traces, 0)
    sent: set[tuple[int, ...]] = set()
    moved = True
    while moved:
        moved = False
        for rank, nodes in traces.items():
            while done[rank] < len(nodes):
                node = nodes[done[rank]]
                message = tuple(node["attr"].get(name, -1) for name in ("comm_src", "comm_dst", "comm_tag"))
                if node["type"] == 6 and message not in sent:
                    break
                if node["type"] == 7:
                    group = named[node["attr"]["pg_name"].decode()]
                    heads = [traces[peer][done[peer]] for peer in group if done[peer] < len(traces[peer])]
                    if len(heads) < len(group) or any(head["name"] != node["name"] for head in heads):
                        break
                    for peer in group:
                        done[peer] += 1
                    moved = True
                    continue
                if node["type"] == 5:
                    sent.add(message)
                done[rank] += 1
                moved = True
    return done


def test_groups_are_those_of_the_mesh() -> None:
    _, named = chakra(TP4_PP2)

    assert sorted(map(tuple, named.values())) == groups(TP4_PP2.strategy.pools[0], "tp")
    assert sorted(map(int, named)) == [1, 2]  # ASTRA-sim takes numbers above 0


def test_the_cache_of_every_layer_crosses_from_the_prefill_to_the_decode_ranks() -> None:
    traces, _ = chakra(SPLIT)

    crossing = [node for rank in (0, 1) for node in traces[rank] if node["type"] == 5 and ".kv" in node["name"]]
    assert len(crossing) == 32 * 4
    assert {node["attr"].get("comm_dst") for node in crossing} == {2, 3, 4, 5}
    # 1024 tokens of K and V in bf16: each of two ranks has 4 heads of 128 and sends two of them to each of two others.
    assert {node["attr"]["comm_size"] for node in crossing} == {1024 * 2 * 2 * 128 * 2}


def test_whole_microseconds_add_up_to_the_exact_time_of_a_rank() -> None:
    traces, _ = chakra(TP4_PP2)
    exact = trace(TP4_PP2)

    written = sum(node.get("micros", 0) for node in traces[0])
    here = (exact.expanded.rank == 0) & ~np.isin(
        exact.expanded.template, [k for k, t in enumerate(exact.expanded.templates) if t.node.op in ("send", "recv")]
    )
    assert written == pytest.approx(exact.micros[here].sum(), abs=1)


# --- the timeline -----------------------------------------------------------------------------------------------------------------------


@PLANS
def test_the_schedule_keeps_every_edge_and_one_node_at_a_time_on_a_rank(made: Plan) -> None:
    traced = trace(made)

    start, end = schedule(traced)

    assert (start[traced.target] >= end[traced.source] - 1e-6).all()
    for rank in range(made.strategy.world_size):
        mine = traced.expanded.rank == rank
        assert (start[mine][1:] >= end[mine][:-1] - 1e-6).all()


def test_the_timeline_of_one_stage_takes_the_time_of_the_estimate() -> None:
    traced = trace(MOE)
    assert MOE.problem is not None
    decode = np.array([t.phase == "decode" for t in traced.expanded.templates])[traced.expanded.template]

    start, end = schedule(traced)

    shares = estimate(MOE.dag, MOE.problem, calibration()).breakdown
    kernels = sum(share.ms for share in shares if share.phase == "decode" and share.kind != "other")
    assert (end[decode].max() - start[decode].min()) / 1e3 == pytest.approx(kernels, rel=0.05)


def test_perfetto_shows_a_process_for_each_rank_with_passes_ops_and_collectives() -> None:
    document = json.loads(FORMATS["perfetto"].write(TP4_PP2)[0].text)

    slices = [event for event in document["traceEvents"] if event["ph"] == "X"]
    names = [event["args"]["name"] for event in document["traceEvents"] if event["name"] == "process_name"]
    assert len(slices) == expand(TP4_PP2.dag).num_nodes + 8 * 2 * 2
    assert names[5] == "serve rank 5 (replica 0 pp 1 dp 0 cp 0 tp 1 ep 0)"
    assert {event["cat"] for event in slices} == {"pass", "compute", "communication", "control"}
    assert document["otherData"]["durations"] == "cost model"
    for passing in (event for event in slices if event["cat"] == "pass"):
        assert passing["dur"] > 0


def test_the_protobuf_timeline_holds_the_same_slices_one_after_another_on_each_track() -> None:
    shown = json.loads(FORMATS["perfetto"].write(TP4_PP2)[0].text)["traceEvents"]
    packets = [dict(fields(packet)) for _, packet in fields(FORMATS["pftrace"].write(TP4_PP2)[0].data)]

    tracks = [dict(fields(packet[60])) for packet in packets if 60 in packet]
    events = [(packet[8], dict(fields(packet[11]))) for packet in packets if 11 in packet]

    assert len(tracks) == len({track[1] for track in tracks}) >= 8 * 4
    assert {event[11] for _, event in events} <= {track[1] for track in tracks}
    assert sum(event[9] == 1 for _, event in events) == sum(one["ph"] == "X" for one in shown)
    for track in tracks:
        mine = [(when, event[9]) for when, event in events if event[11] == track[1]]
        assert [kind for _, kind in mine] == [1, 2] * (len(mine) // 2)
        assert mine == sorted(mine, key=lambda one: one[0])


def test_without_prices_the_timeline_says_so() -> None:
    document = json.loads(FORMATS["perfetto"].write(replace(TP4_PP2, costs={}))[0].text)

    assert "one microsecond" in document["otherData"]["durations"]


def test_a_large_timeline_shows_one_rank_of_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strategy.export.perfetto.MAX_EVENTS", 1000)

    document = json.loads(FORMATS["perfetto"].write(TP4_PP2)[0].text)

    assert {event["pid"] for event in document["traceEvents"]} == {0, 4}


# --- graphs -----------------------------------------------------------------------------------------------------------------------------


@PLANS
def test_graphml_is_read_back_with_every_node_and_edge(made: Plan) -> None:
    graph = nx.read_graphml(BytesIO(FORMATS["graphml"].write(made)[0].data), force_multigraph=True)

    assert set(graph.nodes) == set(template_graph(made.dag).nodes)
    assert graph.number_of_edges() == len(arrows(made.dag))
    first = f"prefill.{made.dag.branches.prefill.layers[0].blocks[0]}.qkv"
    assert graph.nodes[first]["op"] == "linear"
    assert graph.nodes[first]["layers"] == f"0-{made.model.num_layers - 1}"


@PLANS
def test_the_graph_without_carried_edges_has_no_cycle_and_one_start(made: Plan) -> None:
    graph = template_graph(made.dag)
    carried = [(s, t, k) for s, t, k, told in graph.edges(keys=True, data=True) if told["loop"] or told["next_layer"]]

    graph.remove_edges_from(carried)

    assert nx.is_directed_acyclic_graph(graph)
    assert [node for node, degree in graph.in_degree() if degree == 0] == ["prefill.embed.ingress"]


@PLANS
def test_dot_names_every_node_and_edge(made: Plan) -> None:
    text = FORMATS["dot"].write(made)[0].text

    assert text.count(" -> ") == len(arrows(made.dag))
    assert text.count("fillcolor=") == template_graph(made.dag).number_of_nodes()
    assert text.count("{") == text.count("}")


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_the_graph() -> None:
    drawn = subprocess.run(
        ["dot", "-Tsvg"], input=FORMATS["dot"].write(MOE)[0].text, capture_output=True, text=True, check=True
    )

    assert "<svg" in drawn.stdout


def test_npz_holds_the_columns_of_the_unrolled_dag() -> None:
    columns = np.load(BytesIO(FORMATS["npz"].write(TP4_PP2)[0].data))

    expanded = expand(TP4_PP2.dag)
    assert np.array_equal(columns["rank"], expanded.rank)
    assert np.array_equal(columns["source"], expanded.source)
    assert "prefill.attention.qkv" in columns["template_names"]


@pytest.mark.parametrize("to", ["json", "yaml"])
def test_documents_are_read_back_as_the_same_dag(to: str) -> None:
    from validators.documents import read_data

    assert Dag.model_validate(read_data(FORMATS[to].write(MOE)[0].text, strict_json=to == "json")) == MOE.dag
