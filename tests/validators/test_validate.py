from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strategy.dag import Block, Branch, Branches, Dag, LayerStamp, Link
from strategy.execute import prove
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from validators.examples import DENSE, MLA, MOE, dense, disaggregated, drop, edit, edit_node, insert, mla, moe
from validators.subject import Subject
from validators.validate import MAX_FINDINGS, validate

CANONICAL = {
    "dense, tp 4 x pp 2": dense,
    "dense, megatron": lambda: dense(sp_kind="megatron"),
    "experts, all_to_all": moe,
    "experts, all_gather": lambda: moe(tp=2, dp=2, ep=4, ep_lowering="all_gather"),
    "experts, replicated": lambda: moe(tp=4, dp=1, ep=4, ep_lowering="replicated"),
    "experts with expert tp, two stages": lambda: moe(tp=2, dp=2, ep=2, moe_tp=2, pp=2),
    "experts, gathered ffn and head": lambda: moe(tp=2, dp=2, ep=4, dense_ffn="gathered", lm_head="gathered"),
    "MLA": mla,
    "disaggregated": disaggregated,
}


def errors(subject: Subject) -> list[tuple[str, str]]:
    return [(f.code, f.path) for f in validate(subject.dag, subject.model, subject.problem, prove=False).errors]


@pytest.mark.parametrize("make", CANONICAL.values(), ids=CANONICAL)
def test_canonical_dags_are_valid(make: Any) -> None:
    subject = make()

    verdict = validate(subject.dag, subject.model)

    assert verdict.errors == ()
    assert verdict.valid


def test_without_a_proof_nothing_is_called_valid() -> None:
    verdict = validate(dense().dag, DENSE, prove=False)

    assert verdict.proof is None
    assert not verdict.valid


def attention_without_cache() -> Subject:
    return edit_node(drop(dense(), "attention.kv"), "attention.attend", inputs=["qkv"])


def layers_0_15_and_17_31() -> Subject:
    base = dense(tp=1, pp=2)
    model = DENSE.model_copy(update={"num_layers": 32})
    cut = edit(base, "/strategy/pools/0/stages", [[0, 16], [17, 32]])
    cut = edit(edit(cut, "/branches/prefill/layers/0/range", [0, 32]), "/branches/decode/layers/0/range", [0, 32])
    return Subject(cut.dag, model)


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (lambda: drop(dense(), "attention.reduce"), "TP006"),
        (lambda: drop(dense(), "ffn.reduce"), "TP007"),
        (lambda: drop(dense(), "embed.reduce"), "TP008"),
        (lambda: drop(dense(), "head_decode.gather"), "TP009"),
        (lambda: insert(dense(), "ffn.reduce", id="again", op="all_reduce", axis="tp", inputs=["reduce"]), "CM006"),
        (lambda: edit_node(moe(tp=2, dp=2), "attention.reduce", axis="dp"), "DP004"),
        (lambda: edit_node(moe(tp=2, dp=2), "attention.reduce", axis="ep"), "DP004"),
        (lambda: drop(moe(), "moe.combine"), "EP003"),
        (attention_without_cache, "PH008"),
        (lambda: edit_node(dense(), "attention.attend", inputs=["qkv"]), "PH009"),
        (layers_0_15_and_17_31, "PP002"),
        (lambda: edit_node(dense(tp=1, pp=4), "boundary.send", stage_offset=2), "PP006"),
        (lambda: edit_node(dense(), "embed.ingress", tokens_per_sequence=2), "PH004"),
    ],
)
def test_one_mistake_gives_one_code(broken: Any, code: str) -> None:
    assert {found for found, _ in errors(broken())} == {code}


@pytest.mark.parametrize("make", [dense, lambda: moe(tp=2, dp=2, ep=4), mla], ids=["dense", "experts", "MLA"])
def test_rules_and_proof_agree_on_every_node_left_out(make: Any) -> None:
    subject = make()
    numeric = [p for p in subject.places if p.node.op not in ("ingress", "step_sync", "send", "recv")]

    for place in numeric:
        broken = drop(subject, f"{place.block.name}.{place.node.id}")
        rejected = bool(errors(broken))
        assert rejected != prove(broken.dag, broken.model).passed, place.path


def test_two_mistakes_in_different_blocks_are_both_told() -> None:
    broken = drop(drop(dense(), "attention.reduce"), "ffn.reduce")

    assert {code for code, _ in errors(broken)} == {"TP006", "TP007"}


def test_findings_are_ordered_by_stage_and_place_and_the_same_each_time() -> None:
    subject = edit_node(dense(tp=1, pp=3), "embed.ingress", tokens_per_sequence=2)

    first, second = (validate(subject.dag, subject.model, prove=False) for _ in range(2))

    assert first == second
    assert [f.code for f in first.findings] == ["PP012", "PH004"]


def test_findings_are_capped_with_a_note() -> None:
    nodes = [{"id": f"n{i}", "op": "norm", "weight": "ffn_norm", "inputs": ["nothing"]} for i in range(1000)]
    subject = edit(edit(dense(), "/blocks/2/nodes", nodes), "/blocks/2/output", "n0")

    findings = validate(subject.dag, subject.model).findings

    assert len(findings) == MAX_FINDINGS + 1
    assert "more findings" in findings[-1].message


ids = st.sampled_from(["in", "a", "b", "c", "kv", "send"])
inputs = st.lists(st.builds("{}{}".format, st.sampled_from(["", "", "sync:", "pipeline:"]), ids), max_size=3).map(tuple)
axes = st.sampled_from(["tp", "cp", "dp", "ep", "moe_tp", "moe_dp", "stage"])
weights = st.sampled_from(
    ["qkv", "attention_out", "gate_up", "down", "lm_head", "final_norm", "ffn_norm", "kv_b", "q_b", "nothing"]
)
degrees = st.sampled_from([1, 2, 4, 65_536])
layers = st.sampled_from([0, 1, 2, 4, 5, 100_000_000])
ranges = st.tuples(layers, layers)
blocks = st.sampled_from(["embed", "attention", "ffn", "head", "nowhere"])


def node_of(op: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"op": st.just(op), "id": ids, "inputs": inputs, **fields})


nodes = st.one_of(
    *(node_of(op) for op in ("activation", "add", "kv_cache_update", "routing", "recv", "select_last", "sample")),
    node_of("ingress", tokens_per_sequence=st.sampled_from([None, 1, 2])),
    node_of("embedding", split=st.sampled_from(["vocab", "replicated"])),
    node_of("linear", weight=weights, split=st.sampled_from(["column", "row", "replicated"])),
    node_of("norm", weight=weights),
    node_of("attention", form=st.sampled_from([None, "expanded", "absorbed"])),
    node_of("expert", apply_router_weight=st.booleans()),
    *(node_of(op, axis=axes) for op in ("all_reduce", "broadcast", "step_sync")),
    node_of("chunk", axis=axes, dim=st.just("tokens")),
    *(
        node_of(
            op,
            axis=axes,
            dim=st.sampled_from(["tokens", "heads", "hidden", "vocab"]),
            role=st.sampled_from([None, "dispatch", "combine"]),
        )
        for op in ("all_gather", "reduce_scatter")
    ),
    node_of("all_to_all", axis=axes, role=st.sampled_from(["dispatch", "combine", "scatter_heads", "gather_heads"])),
    node_of("send", stage_offset=st.sampled_from([None, 1, 2])),
)
block = st.builds(Block, name=blocks, nodes=st.lists(nodes, min_size=1, max_size=6).map(tuple), output=ids)
branch = st.builds(
    Branch,
    embed=blocks,
    layers=st.lists(
        st.builds(LayerStamp, range=ranges, blocks=st.lists(blocks, min_size=1, max_size=3).map(tuple)),
        min_size=1,
        max_size=3,
    ).map(tuple),
    boundary=st.none() | blocks,
    head=blocks,
)
reference = st.builds("{}.{}.{}".format, st.sampled_from(["prefill", "decode", "x"]), blocks, ids) | st.just("nonsense")
pools = st.builds(
    Pool,
    name=st.sampled_from(["serve", "decode"]),
    phases=st.lists(st.sampled_from(["prefill", "decode"]), max_size=2).map(tuple),
    replicas=degrees,
    pp_size=degrees,
    stages=st.lists(ranges, max_size=4).map(tuple),
    attention=st.builds(AttentionMesh, dp_size=degrees, cp_size=degrees, tp_size=degrees),
    experts=st.none() | st.builds(ExpertMesh, dp_size=degrees, ep_size=degrees, tp_size=degrees),
    sp_kind=st.sampled_from(["none", "megatron", "cp_ring", "cp_ulysses"]),
    ep_lowering=st.sampled_from(["all_to_all", "all_gather", "replicated"]),
    dcp_size=degrees,
    redundant_experts=st.sampled_from([0, 3]),
)
dags = st.builds(
    Dag,
    model=st.just("tiny"),
    strategy=st.lists(pools, min_size=1, max_size=2, unique_by=lambda p: p.name).map(
        lambda p: Strategy(pools=tuple(p))
    ),
    blocks=st.lists(block, min_size=1, max_size=5).map(tuple),
    branches=st.builds(Branches, prefill=branch, decode=branch),
    links=st.lists(
        st.builds(
            Link,
            source=reference,
            target=reference,
            kind=st.sampled_from(["data", "sync", "pipeline"]),
            loop=st.booleans(),
        ),
        max_size=4,
    ).map(tuple),
)
fuzz = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@fuzz
@given(dag=dags, model=st.sampled_from([DENSE, MOE, MLA]))
def test_any_document_gets_a_verdict(dag: Dag, model: Any) -> None:
    assert validate(dag, model, prove=False).errors


@fuzz
@given(data=st.data(), make=st.sampled_from(list(CANONICAL.values())))
def test_any_canonical_dag_with_other_nodes_or_degrees_gets_a_verdict(data: st.DataObject, make: Any) -> None:
    subject = make()
    place = data.draw(st.sampled_from(subject.places))
    other = data.draw(nodes)
    kind = data.draw(st.sampled_from(["node", "pool", "strip"]))
    if kind == "node":
        subject = edit(
            subject, place.path, {**other, "id": place.node.id, "inputs": other["inputs"] or place.node.inputs}
        )
    elif kind == "pool":
        subject = edit(
            subject,
            "/strategy/pools/0/attention",
            {axis: data.draw(degrees) for axis in ("dp_size", "cp_size", "tp_size")},
        )
    else:
        subject = edit(subject, f"{place.path}/inputs", [])

    verdict = validate(subject.dag, subject.model, prove=False)

    assert verdict == validate(subject.dag, subject.model, prove=False)


@pytest.mark.parametrize("shape", ["chain", "cycle", "fan"])
def test_five_thousand_nodes_get_a_verdict(shape: str) -> None:
    count = 4_900
    before = {
        "chain": lambda i: [f"n{i - 1}"] if i else ["in"],
        "cycle": lambda i: [f"n{(i - 1) % count}"],
        "fan": lambda i: ["in"],
    }[shape]
    made = [{"id": f"n{i}", "op": "all_reduce", "axis": "tp", "inputs": before(i)} for i in range(count)]
    subject = edit(edit(dense(), "/blocks/2/nodes", made), "/blocks/2/output", f"n{count - 1}")

    assert validate(subject.dag, subject.model, prove=False).errors
