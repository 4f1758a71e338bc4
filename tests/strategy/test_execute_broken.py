"""The proof alone rejects broken documents, and says where."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from strategy.build import build
from strategy.dag import Dag
from strategy.execute import prove
from strategy.model import GqaAttention, ModelSpec
from strategy.result import Proof
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from validators.examples_moe import DEEPSEEK_V3

DOCUMENTS = Path(__file__).parent / "documents"
LLAMA = yaml.safe_load((DOCUMENTS / "llama-3.1-70b-tp4-pp2.yaml").read_text())
DEEPSEEK = yaml.safe_load((DOCUMENTS / "deepseek-v3-dp16-ep16.yaml").read_text())
MODELS = {
    "llama-3.1-70b": ModelSpec(
        name="llama-3.1-70b",
        hidden_size=8192,
        num_layers=80,
        vocab_size=128_256,
        attention=GqaAttention(num_heads=64, num_kv_heads=8, head_dim=128),
        intermediate_size=28_672,
    ),
    "deepseek-v3": DEEPSEEK_V3,
}


class Edit:
    """A document to break: nodes by `block.node`."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = copy.deepcopy(document)

    def block(self, name: str) -> dict[str, Any]:
        return next(block for block in self.document["blocks"] if block["name"] == name)

    def node(self, reference: str) -> dict[str, Any]:
        block, node = reference.split(".")
        return next(found for found in self.block(block)["nodes"] if found["id"] == node)

    def set(self, reference: str, **fields: Any) -> "Edit":
        self.node(reference).update(fields)
        return self

    def drop(self, reference: str) -> "Edit":
        """Remove a node; its readers read its first input."""
        block, node = reference.split(".")
        gone = self.node(reference)
        self.block(block)["nodes"].remove(gone)
        return self.rewire(block, node, gone["inputs"][0])

    def double(self, reference: str) -> "Edit":
        """A second node of the kind behind the first."""
        block, node = reference.split(".")
        self.rewire(block, node, "again")
        twin = {**self.node(reference), "id": "again", "inputs": [node]}
        self.block(block)["nodes"].append(twin)
        return self

    def rewire(self, block: str, old: str, new: str) -> "Edit":
        for found in self.block(block)["nodes"]:
            inputs = found.get("inputs", [])
            found["inputs"] = [i[: -len(old)] + new if i.split(":")[-1] == old else i for i in inputs]
        if self.block(block)["output"] == old:
            self.block(block)["output"] = new
        return self

    def output(self, block: str, node: str) -> "Edit":
        self.block(block)["output"] = node
        return self

    def unlink(self, index: int) -> "Edit":
        del self.document["links"][index]
        return self

    def link(self, index: int, **fields: Any) -> "Edit":
        self.document["links"][index].update(fields)
        return self

    def layers(self, phase: str, layers: list[dict[str, Any]]) -> "Edit":
        self.document["branches"][phase]["layers"] = layers
        return self

    def pool(self, **fields: Any) -> "Edit":
        self.document["strategy"]["pools"][0].update(fields)
        return self

    def prove(self) -> Proof:
        dag = Dag.model_validate(self.document)
        return prove(dag, MODELS[self.document["model"]])


def llama() -> Edit:
    return Edit(LLAMA)


def deepseek() -> Edit:
    return Edit(DEEPSEEK)


def stamp(start: int, end: int, *blocks: str) -> dict[str, Any]:
    return {"range": [start, end], "blocks": list(blocks or ("attention", "ffn"))}


HEAD_SWAP = [stamp(0, 80, "ffn", "attention")]
BROKEN = {
    "no all_reduce after attention_out": (llama().drop("attention.reduce"), "prefill.attention.add", 0),
    "no all_reduce after down": (llama().drop("ffn.reduce"), "prefill.ffn.add", 0),
    "no all_reduce after the embedding": (llama().drop("embed.reduce"), "prefill.embed.embedding", None),
    "all_reduce twice after attention_out": (llama().double("attention.reduce"), "prefill.attention.again", 0),
    "all_reduce twice after down": (llama().double("ffn.reduce"), "prefill.ffn.again", 0),
    "all_reduce twice after the embedding": (llama().double("embed.reduce"), "prefill.embed.again", None),
    "all_reduce on an axis of one rank": (llama().set("attention.reduce", axis="dp"), "prefill.attention.reduce", 0),
    "no gather of logits": (llama().drop("head_prefill.gather"), "prefill.head_prefill.sample", None),
    "no gather of decode logits": (llama().drop("head_decode.gather"), "decode.head_decode.sample", None),
    "logits gathered along tokens": (
        llama().set("head_prefill.gather", dim="tokens"),
        "prefill.head_prefill.sample",
        None,
    ),
    "attention_out split by columns": (llama().set("attention.o", split="column"), "prefill.attention.o", 0),
    "down not split": (llama().set("ffn.down", split="replicated"), "prefill.ffn.down", 0),
    "qkv not split": (llama().set("attention.qkv", split="replicated"), "prefill.attention.o", 0),
    "embedding not split but summed": (
        llama().set("embed.embedding", split="replicated"),
        "prefill.embed.reduce",
        None,
    ),
    "the other norm's weight": (llama().set("ffn.norm", weight="attention_norm"), "prefill.ffn.norm", 0),
    "another linear's weight": (llama().set("attention.o", weight="down"), "prefill.attention.o", 0),
    "a weight nobody has": (llama().set("attention.o", weight="wo"), "prefill.attention.o", 0),
    "the residual read twice": (llama().set("ffn.add", inputs=["in", "in"]), "prefill.ffn.add", 0),
    "no residual": (llama().set("ffn.add", inputs=["reduce", "reduce"]), "prefill.ffn.add", 0),
    "no norm": (llama().drop("attention.norm"), "prefill.attention.qkv", 0),
    "no activation": (llama().drop("ffn.act"), "prefill.ffn.down", 0),
    "attention without its KV update": (llama().set("attention.attend", inputs=["qkv"]), "prefill.attention.attend", 0),
    "attention without queries": (llama().set("attention.attend", inputs=["sync:kv"]), "prefill.attention.attend", 0),
    "cache read by a data edge": (llama().set("attention.attend", inputs=["qkv", "kv"]), "prefill.attention.attend", 0),
    "the cache written twice": (llama().double("attention.kv"), "prefill.attention.again", 0),
    "blocks in the wrong order": (llama().layers("prefill", HEAD_SWAP), "prefill.ffn.norm", 0),
    "an attention block twice": (
        llama().layers("decode", [stamp(0, 80, "attention", "attention", "ffn")]),
        "decode.attention.kv",
        0,
    ),
    "no FFN": (llama().layers("decode", [stamp(0, 80, "attention")]), "decode.attention.add", 0),
    "layers 0-15 and 17-79": (llama().layers("prefill", [stamp(0, 16), stamp(17, 80)]), "prefill.attention", 16),
    "a layer twice": (llama().layers("decode", [stamp(0, 16), stamp(15, 80)]), "decode.attention", 15),
    "the last layer missing": (llama().layers("decode", [stamp(0, 79)]), "decode", 79),
    "a layer too many": (llama().layers("prefill", [stamp(0, 81)]), "prefill.attention", 0),
    "layers in the wrong order": (llama().layers("prefill", [stamp(40, 80), stamp(0, 40)]), "prefill.attention", 0),
    "a stage leaves a layer out": (llama().pool(stages=[[0, 40], [41, 80]]), "strategy", 41),
    "two stages hold a layer": (llama().pool(stages=[[0, 41], [40, 80]]), "strategy", 40),
    "more stages than pp_size": (llama().pool(pp_size=1), "strategy", None),
    "no boundary": (llama(), "prefill.boundary", None),
    "a send to the stage after the next": (llama().set("boundary.send", stage_offset=2), "prefill.boundary.recv", None),
    "a send without its recv": (
        llama().drop("boundary.recv").rewire("boundary", "pipeline:send", "send"),
        "prefill.boundary.send",
        None,
    ),
    "a recv over a data edge": (llama().set("boundary.recv", inputs=["send"]), "prefill.boundary.recv", None),
    "a decode node with two tokens": (
        llama().set("embed.ingress", tokens_per_sequence=2),
        "decode.embed.ingress",
        None,
    ),
    "every position sampled": (llama().drop("head_prefill.last"), "decode.embed.ingress", None),
    "no KV handoff": (llama().unlink(0), "decode.attention.attend", 0),
    "no first token": (llama().unlink(1), "decode.embed.ingress", None),
    "no KV of earlier steps": (llama().unlink(2), "decode.attention.attend", 0),
    "no token of the last step": (llama().unlink(3), "decode.embed.ingress", None),
    "KV handoff to another node": (llama().link(0, target="decode.attention.kv"), "decode.attention.attend", 0),
    "decode feeds prefill": (
        llama().link(0, source="decode.attention.kv", target="prefill.attention.attend"),
        "decode.attention.kv",
        None,
    ),
    "a token loop inside a step": (llama().link(3, loop=False), "decode.embed.ingress", None),
    "a link to nowhere": (llama().link(0, source="prefill.attention.cache"), "prefill.attention.cache", None),
    "a cycle": (llama().set("attention.norm", inputs=["add"]), "attention.norm", None),
    "an input that does not exist": (llama().set("ffn.down", inputs=["swiglu"]), "ffn.down", None),
    "a head that samples nothing": (llama().output("head_decode", "gather"), "decode.head_decode.gather", None),
    "experts without dispatch": (deepseek().set("moe.experts", inputs=["norm"]), "prefill.moe.experts", 3),
    "experts without combine": (deepseek().drop("moe.combine"), "prefill.moe.merge", 3),
    "dispatch to the wrong axis": (deepseek().set("moe.dispatch", axis="tp"), "prefill.moe.dispatch", 3),
    "combine over the wrong axis": (deepseek().set("moe.combine", axis="moe_tp"), "prefill.moe.combine", 3),
    "dispatch and combine swapped": (
        deepseek().set("moe.dispatch", role="combine").set("moe.combine", role="dispatch"),
        "prefill.moe.dispatch",
        3,
    ),
    "router weights never applied": (
        deepseek().set("moe.experts", apply_router_weight=False).set("moe.combine", inputs=["experts"]),
        "prefill.moe.add",
        3,
    ),
    "shared experts left out": (deepseek().set("moe.add", inputs=["in", "combine"]), "prefill.moe.add", 3),
    "shared experts twice": (
        deepseek().set("moe.merge", inputs=["combine", "shared_down", "shared_down"]),
        "prefill.moe.add",
        3,
    ),
    "shared experts behind dispatch": (
        deepseek().set("moe.shared_gate_up", inputs=["dispatch"]),
        "prefill.moe.shared_gate_up",
        3,
    ),
    "routing on the residual stream": (deepseek().set("moe.routing", inputs=["in"]), "prefill.moe.add", 3),
    "an MoE block in a dense layer": (
        deepseek().layers("prefill", [stamp(0, 61, "mla_prefill", "moe")]),
        "prefill.moe.routing",
        0,
    ),
    "a dense block in an MoE layer": (
        deepseek().layers("decode", [stamp(0, 4, "mla_decode", "ffn"), stamp(4, 61, "mla_decode", "moe")]),
        "decode.ffn.gate_up",
        3,
    ),
    "the expanded form in decode": (
        deepseek().set("mla_decode.attend", form="expanded"),
        "decode.mla_decode.attend",
        0,
    ),
    "a latent that skips its norm": (deepseek().drop("mla_prefill.kv_norm"), "prefill.mla_prefill.kv", 0),
    "queries from the wrong latent": (
        deepseek().set("mla_prefill.q_b", inputs=["kv_norm"]),
        "prefill.mla_prefill.q_b",
        0,
    ),
    "the wrong half of kv_b": (deepseek().set("mla_decode.w_uk", weight="w_uv"), "decode.mla_decode.w_uk", 0),
    "prefill's attention in decode": (
        deepseek().layers("decode", [stamp(0, 3, "mla_prefill", "ffn"), stamp(3, 61, "mla_prefill", "moe")]),
        "decode.mla_decode.attend",
        None,
    ),
}
BROKEN["no boundary"][0].document["branches"]["prefill"]["boundary"] = None


@pytest.mark.parametrize(("edit", "node", "layer"), BROKEN.values(), ids=BROKEN)
def test_a_broken_document_is_rejected_where_it_breaks(edit, node, layer):
    proof = edit.prove()

    assert not proof.passed
    assert proof.departure is not None
    assert (proof.departure.node, proof.departure.layer) == (node, layer)
    assert proof.departure.detail
    assert proof.max_abs_error > 1e-6


def moe_plan(**fields: Any) -> tuple[ModelSpec, Strategy]:
    model = MODELS["deepseek-v3"]
    return model, Strategy(pools=(Pool(stages=((0, 61),), **fields),))


def edited(model: ModelSpec, strategy: Strategy) -> Edit:
    edit = Edit(build(model, strategy).model_dump(mode="json"))
    edit.document["model"] = model.name
    return edit


CHUNKED = moe_plan(attention=AttentionMesh(dp_size=2, tp_size=4), experts=ExpertMesh(ep_size=4, tp_size=2))
GATHERED = moe_plan(
    attention=AttentionMesh(dp_size=2, tp_size=2),
    experts=ExpertMesh(ep_size=4),
    ep_lowering="all_gather",
    dense_ffn="gathered",
    lm_head="gathered",
)
REPLICATED = moe_plan(attention=AttentionMesh(tp_size=4), experts=ExpertMesh(ep_size=4), ep_lowering="replicated")
BROKEN_MOE = {
    "no gather over expert TP": (CHUNKED, lambda e: e.drop("moe.expert_gather")),
    "no reduce over expert TP": (CHUNKED, lambda e: e.drop("moe.expert_reduce")),
    "expert TP on the wrong axis": (CHUNKED, lambda e: e.set("moe.expert_gather", axis="ep")),
    "tokens not chunked": (CHUNKED, lambda e: e.drop("moe.chunk")),
    "chunks not gathered": (CHUNKED, lambda e: e.drop("moe.regather")),
    "chunked twice": (CHUNKED, lambda e: e.double("moe.chunk")),
    "dense FFN not gathered": (GATHERED, lambda e: e.drop("ffn.gather")),
    "dense FFN not scattered": (GATHERED, lambda e: e.drop("ffn.scatter")),
    "dense FFN summed over tp only": (GATHERED, lambda e: e.set("ffn.scatter", axis="tp")),
    "dense FFN local where weights are gathered": (GATHERED, lambda e: e.pool(dense_ffn="local")),
    "head gathered where weights are local": (GATHERED, lambda e: e.pool(lm_head="local")),
    "no dispatch gather": (GATHERED, lambda e: e.set("moe.experts", inputs=["chunk", "routing"])),
    "no combine scatter": (GATHERED, lambda e: e.drop("moe.combine")),
    "combine over half of the ranks": (GATHERED, lambda e: e.set("moe.combine", axis="dp")),
    "router weights left to nobody": (GATHERED, lambda e: e.set("moe.experts", apply_router_weight=False)),
    "local experts not summed": (REPLICATED, lambda e: e.drop("moe.reduce")),
    "local experts summed twice": (REPLICATED, lambda e: e.double("moe.reduce")),
    "shared experts replicated inside the sum": (
        REPLICATED,
        lambda e: e.set("moe.shared_gate_up", split="replicated").set("moe.shared_down", split="replicated"),
    ),
}


@pytest.mark.parametrize(("plan", "damage"), BROKEN_MOE.values(), ids=BROKEN_MOE)
def test_a_broken_moe_lowering_is_rejected(plan, damage):
    edit = edited(*plan)
    assert edit.prove().passed

    damage(edit)
    proof = edit.prove()

    assert not proof.passed
    assert proof.departure is not None
    assert proof.departure.detail


def test_a_departure_names_the_ranks_that_hold_the_wrong_value():
    proof = llama().set("boundary.send", stage_offset=2).prove()

    assert proof.departure is not None
    assert proof.departure.ranks == (4, 5, 6, 7)


@pytest.mark.parametrize("tp_size", [3, 7])
def test_heads_that_do_not_split_are_named_with_their_number(tp_size):
    model = MODELS["llama-3.1-70b"]
    strategy = Strategy(pools=(Pool(stages=((0, 80),), attention=AttentionMesh(tp_size=tp_size)),))

    proof = prove(build(model, strategy), model)

    assert proof.departure is not None
    assert proof.departure.detail == f"64 attention heads of `qkv` do not split over {tp_size} ranks"


def test_meshes_of_two_widths_are_rejected():
    proof = deepseek().pool(experts={"ep_size": 8, "tp_size": 1}).prove()

    assert proof.departure is not None
    assert "expert mesh has 8 ranks" in proof.departure.detail


def test_a_gather_that_multiplies_tokens_without_end_is_stopped():
    edit = llama()
    chain = [
        {"id": f"more{i}", "op": "all_gather", "axis": "tp", "dim": "tokens", "inputs": [f"more{i - 1}" if i else "in"]}
        for i in range(30)
    ]
    edit.block("ffn")["nodes"] += chain

    proof = edit.prove()

    assert proof.departure is not None
    assert "more than the proof runs" in proof.departure.detail


def test_thousands_of_layers_in_thousands_of_blocks_are_refused():
    edit = llama()
    names = []
    for index in range(200):
        more = [{"id": f"more{i}", "op": "add", "inputs": ["in", "in"]} for i in range(index % 35)]
        twin = {**edit.block("ffn"), "name": f"ffn{index}", "nodes": [*edit.block("ffn")["nodes"], *more]}
        edit.document["blocks"].append(twin)
        names.append(twin["name"])
    many = [stamp(i, i + 1, *names[i % 140 : i % 140 + 60]) for i in range(80)]
    edit.layers("prefill", many)
    edit.layers("decode", many)
    edit.document["links"] = []

    proof = edit.prove()

    assert proof.departure is not None
    assert "would execute" in proof.departure.detail
