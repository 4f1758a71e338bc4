"""Legal DAGs that the builder would not write: other ids, other cuts into blocks, other collectives for the same sums. All are accepted and proved."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from evals.mutate.strategies import MODELS
from strategy.build import build
from strategy.dag import Dag
from strategy.legality import even_stages
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from validators.validate import validate

Json = dict[str, Any]
MODEL = {model.name: model for model in MODELS}
TP2 = {"tp": 2}
DP4 = {"dp": 4, "ep": 4}
DP2_TP2 = {"dp": 2, "tp": 2, "ep": 4}
GATHERED = {**DP4, "ep_lowering": "all_gather"}
MEGATRON = {"tp": 2, "sp_kind": "megatron"}


class Document:
    """A document to edit by hand."""

    def __init__(
        self, model: str, *, dp: int = 1, cp: int = 1, tp: int = 1, ep: int = 1, pp: int = 1, **fields: Any
    ) -> None:
        self.model = MODEL[model]
        experts = None if self.model.moe is None else ExpertMesh(dp_size=dp * cp * tp // ep, ep_size=ep)
        pool = Pool(
            name="serve", phases=("prefill", "decode"), pp_size=pp, stages=even_stages(self.model.num_layers, pp),
            attention=AttentionMesh(dp_size=dp, cp_size=cp, tp_size=tp), experts=experts, **fields,
        )  # fmt: skip
        self.data: Json = json.loads(build(self.model, Strategy(pools=(pool,))).model_dump_json(exclude_none=True))

    def block(self, name: str) -> Json:
        return next(b for b in self.data["blocks"] if b["name"] == name)

    def blocks(self, prefix: str) -> list[Json]:
        return [b for b in self.data["blocks"] if b["name"].startswith(prefix)]

    def node(self, block: str, node: str) -> Json:
        return next(n for n in self.block(block)["nodes"] if n["id"] == node)

    def replace(self, block: str, node: str, **fields: Any) -> None:
        """Another op (or the same with other fields) in a node's place; ids and inputs stay unless they are given."""
        old = self.node(block, node)
        made = {"id": old["id"], "inputs": old["inputs"], **fields}
        old.clear()
        old.update(made)

    def behind(self, block: str, node: str, **made: Any) -> None:
        """A node behind another one; who read that reads this."""
        at = self.block(block)
        _rename(at, node, made["id"])
        at["nodes"].append({"inputs": [node], **made})

    def before(self, block: str, node: str, **made: Any) -> None:
        """A node before another one, on its first input."""
        reader = self.node(block, node)
        self.block(block)["nodes"].append({"inputs": [reader["inputs"][0]], **made})
        reader["inputs"][0] = made["id"]

    def drop(self, block: str, node: str) -> None:
        at, gone = self.block(block), self.node(block, node)
        at["nodes"].remove(gone)
        _rename(at, node, gone["inputs"][0])

    def verdict(self) -> tuple[list[str], bool]:
        """Codes of the errors, and whether the proof passed."""
        found = validate(Dag.model_validate(self.data), self.model)
        return [f"{f.code}: {f.message}" for f in found.errors], found.proof is not None and found.proof.passed


def _rename(block: Json, old: str, new: str) -> None:
    for node in block["nodes"]:
        node["inputs"] = [
            f"{text.rpartition(old)[0]}{new}" if text.rpartition(":")[2] == old else text for text in node["inputs"]
        ]
    block["output"] = new if block["output"] == old else block["output"]


def one_block_per_layer(d: Document) -> None:
    """Attention and FFN in one block."""
    for branch in d.data["branches"].values():
        for stamp in branch["layers"]:
            first, second = (d.block(name) for name in stamp["blocks"])
            name = f"{first['name']}_{second['name']}"
            nodes = [*_prefixed(first, "a_", "in"), *_prefixed(second, "f_", f"a_{first['output']}")]
            if not d.blocks(name):
                d.data["blocks"].append({"name": name, "nodes": nodes, "output": f"f_{second['output']}"})
            stamp["blocks"] = [name]
    d.data["links"] = [new for link in d.data["links"] for new in _links_of_layers(d, link)]


def _prefixed(block: Json, prefix: str, entry: str) -> list[Json]:
    def renamed(text: str) -> str:
        kind, colon, source = text.rpartition(":")
        return f"{kind}{colon}{entry if source == 'in' else prefix + source}"

    return [{**n, "id": prefix + n["id"], "inputs": [renamed(text) for text in n["inputs"]]} for n in block["nodes"]]


def _links_of_layers(d: Document, link: Json) -> list[Json]:
    (source_phase, source, kv), (target_phase, target, attend) = (link[end].split(".") for end in ("source", "target"))
    if kv != "kv":
        return [link]
    stamps = zip(d.data["branches"][source_phase]["layers"], d.data["branches"][target_phase]["layers"], strict=True)
    return [
        {**link, "source": f"{source_phase}.{a['blocks'][0]}.a_{kv}", "target": f"{target_phase}.{b['blocks'][0]}.a_{attend}"}
        for a, b in stamps
        if source in a["blocks"][0] and target in b["blocks"][0]
    ]  # fmt: skip


def other_ids_backwards(d: Document) -> None:
    """Other node ids, nodes and inputs listed from the end."""
    for block in d.data["blocks"]:
        new = {n["id"]: f"N{i}_" for i, n in enumerate(block["nodes"])}
        for node in block["nodes"]:
            parts = [text.rpartition(":") for text in reversed(node["inputs"])]
            node["inputs"] = [f"{kind}{colon}{new.get(source, source)}" for kind, colon, source in parts]
            node["id"] = new[node["id"]]
        block["nodes"].reverse()
        block["output"] = new[block["output"]]
        for link in d.data["links"]:
            for end in ("source", "target"):
                phase, name, node_id = link[end].split(".")
                if name == block["name"]:
                    link[end] = f"{phase}.{name}.{new[node_id]}"


def scatter_and_gather(d: Document, dim: str) -> None:
    for name in ("attention", "ffn"):
        d.replace(name, "reduce", op="reduce_scatter", axis="tp", dim=dim)
        d.behind(name, "reduce", id="whole", op="all_gather", axis="tp", dim=dim)


def send_shards(d: Document) -> None:
    """vLLM's way: each tp rank sends its part, the receivers gather."""
    d.before("boundary", "send", id="part", op="chunk", axis="tp", dim="tokens")
    d.behind("boundary", "recv", id="whole", op="all_gather", axis="tp", dim="tokens")


def last_before_norm(d: Document) -> None:
    d.node("head_prefill", "last")["inputs"] = ["in"]
    d.node("head_prefill", "norm")["inputs"] = ["last"]
    d.node("head_prefill", "lm_head")["inputs"] = ["norm"]


def whole_head(d: Document) -> None:
    for name in ("head_prefill", "head_decode"):
        d.node(name, "lm_head")["split"] = "replicated"
        d.drop(name, "gather")


def whole_embedding(d: Document) -> None:
    d.node("embed", "embedding")["split"] = "replicated"
    d.drop("embed", "reduce")


def tokens_told(d: Document) -> None:
    for name in ("head_prefill", "head_decode"):
        d.behind(name, "sample", id="tell", op="broadcast", axis="stage")


def stamps_off_the_stages(d: Document) -> None:
    for branch in d.data["branches"].values():
        branch["layers"] = [{"range": [i, i + 1], "blocks": branch["layers"][0]["blocks"]} for i in range(4)]


def two_attention_blocks_in_decode(d: Document) -> None:
    d.data["blocks"].append({**json.loads(json.dumps(d.block("attention"))), "name": "late"})
    d.data["branches"]["decode"]["layers"] = [
        {"range": [0, 3], "blocks": ["attention", "ffn"]},
        {"range": [3, 4], "blocks": ["late", "ffn"]},
    ]
    for source, loop in (("prefill.attention.kv", False), ("decode.late.kv", True)):
        d.data["links"].append({"source": source, "target": "decode.late.attend", "kind": "sync", "loop": loop})


def shared_experts_over_tp(d: Document) -> None:
    """Shared experts on all tokens, split and summed by themselves."""
    for name in (b["name"] for b in d.blocks("moe")):
        d.node(name, "shared_gate_up").update(split="column", inputs=["norm"])
        d.node(name, "shared_down")["split"] = "row"
        d.node(name, "regather")["inputs"] = ["combine"]
        d.node(name, "merge")["inputs"] = ["regather", "shared_down"]
        d.node(name, "add")["inputs"] = ["in", "merge"]
        d.behind(name, "shared_down", id="shared_sum", op="all_reduce", axis="tp")


def residual_in_two_steps(d: Document) -> None:
    for name in (b["name"] for b in d.blocks("moe")):
        routed, shared = d.node(name, "merge")["inputs"]
        d.node(name, "merge")["inputs"] = ["in", routed]
        d.node(name, "add")["inputs"] = ["merge", shared]


def gather_then_route(d: Document) -> None:
    """SGLang's way without all_to_all: every rank sees all tokens, and routes them all."""
    d.replace("moe", "dispatch", op="all_gather", axis="stage", dim="tokens", inputs=["norm"])
    d.node("moe", "routing")["inputs"] = ["dispatch"]
    d.node("moe", "experts")["inputs"] = ["dispatch", "routing"]


def gather_both_apart(d: Document) -> None:
    d.node("moe", "dispatch")["inputs"] = ["norm"]
    d.block("moe")["nodes"].append(
        {"id": "routes", "op": "all_gather", "axis": "ep", "dim": "tokens", "inputs": ["routing"]}
    )
    d.node("moe", "experts")["inputs"] = ["dispatch", "routes"]


def sum_then_cut(d: Document) -> None:
    d.replace("moe", "combine", op="all_reduce", axis="ep")
    d.behind("moe", "combine", id="own", op="chunk", axis="dp", dim="tokens")


def scattered_attention(d: Document) -> None:
    """SGLang's scattered mode: attention is reduce-scattered, the MoE block works on shards, one gather closes the layer."""
    d.replace("attention", "reduce", op="reduce_scatter", axis="tp", dim="tokens")
    d.before("attention", "add", id="part", op="chunk", axis="tp", dim="tokens")
    d.node("moe", "routing")["inputs"] = ["norm"]
    d.node("moe", "dispatch")["inputs"] = ["norm", "routing"]
    closed = d.node("moe", "regather")["inputs"][0]
    d.block("moe")["nodes"] = [n for n in d.block("moe")["nodes"] if n["id"] not in ("chunk", "regather")]
    d.node("moe", "add")["inputs"] = ["in", closed]
    d.behind("moe", "add", id="whole", op="all_gather", axis="tp", dim="tokens")


def dense_ffn_not_split(d: Document) -> None:
    """SGLang's moe_dense_tp_size=1: the dense FFN whole on every rank, each on its share of the tokens."""
    d.before("ffn", "gate_up", id="part", op="chunk", axis="tp", dim="tokens")
    for name in ("gate_up", "down"):
        d.node("ffn", name)["split"] = "replicated"
    d.replace("ffn", "reduce", op="all_gather", axis="tp", dim="tokens")


def aligned_at_the_experts(d: Document) -> None:
    d.block("embed")["nodes"] = [n for n in d.block("embed")["nodes"] if n["id"] != "sync"]
    d.node("embed", "embedding")["inputs"] = ["ingress"]
    d.block("moe")["nodes"].append({"id": "sync", "op": "step_sync", "axis": "dp", "inputs": ["in"]})
    d.node("moe", "dispatch")["inputs"].append("sync:sync")


def absorbed_in_prefill(d: Document) -> None:
    _one_mla_block(d, "mla_decode")


def expanded_in_decode(d: Document) -> None:
    _one_mla_block(d, "mla_prefill")


def _one_mla_block(d: Document, kept: str) -> None:
    for branch in d.data["branches"].values():
        for stamp in branch["layers"]:
            stamp["blocks"] = [kept if name.startswith("mla") else name for name in stamp["blocks"]]
    for link in d.data["links"]:
        for end in ("source", "target"):
            phase, name, node = link[end].split(".")
            link[end] = f"{phase}.{kept if name.startswith('mla') else name}.{node}"
    d.data["blocks"] = [b for b in d.data["blocks"] if b["name"] == kept or not b["name"].startswith("mla")]


def gather_before_norm(d: Document) -> None:
    d.node("attention_prefill", "spread")["inputs"] = ["in"]
    d.node("attention_prefill", "norm")["inputs"] = ["spread"]
    d.node("attention_prefill", "qkv")["inputs"] = ["norm"]


def first_layer_reads_the_whole(d: Document) -> None:
    """Megatron: the embedding is all-reduced, and the first layer cuts its part."""
    d.replace("embed_prefill", "reduce", op="all_reduce", axis="tp")
    d.data["blocks"].append({**json.loads(json.dumps(d.block("attention_prefill"))), "name": "first"})
    d.drop("first", "spread")
    d.before("first", "add", id="part", op="chunk", axis="tp", dim="tokens")
    blocks = d.data["branches"]["prefill"]["layers"][0]["blocks"]
    d.data["branches"]["prefill"]["layers"] = [
        {"range": [0, 1], "blocks": ["first", blocks[1]]},
        {"range": [1, 4], "blocks": blocks},
    ]
    link = next(one for one in d.data["links"] if one["source"] == "prefill.attention_prefill.kv")
    d.data["links"].append({**link, "source": "prefill.first.kv"})


def whole_between_layers(d: Document) -> None:
    """Token shards inside a layer only: no boundary of layers is where the canonical DAG has it."""
    d.replace("embed_prefill", "reduce", op="all_reduce", axis="tp")
    d.drop("attention_prefill", "spread")
    d.before("attention_prefill", "add", id="part", op="chunk", axis="tp", dim="tokens")
    d.behind("ffn_prefill", "add", id="whole", op="all_gather", axis="tp", dim="tokens")
    d.drop("head_prefill", "spread")


def last_token_broadcast(d: Document) -> None:
    """The cp rank that holds the ends of the prompts tells the others."""
    d.replace("head_prefill", "last_gather", op="broadcast", axis="cp")


def weighted_by_combine(d: Document) -> None:
    """Low-latency kernels weight what comes back."""
    d.node("moe", "experts")["apply_router_weight"] = False
    d.node("moe", "combine")["apply_router_weight"] = True


def gather_over_dp_sum_over_stage(d: Document) -> None:
    d.drop("ffn", "chunk")
    d.node("ffn", "gather")["axis"] = "dp"
    d.replace("ffn", "scatter", op="all_reduce", axis="stage")
    d.behind("ffn", "scatter", id="own", op="chunk", axis="dp", dim="tokens")
    d.drop("ffn", "regather")


CASES: list[tuple[str, dict[str, Any], Callable[[Document], None]]] = [
    ("tiny-gqa", {**TP2, "pp": 2}, one_block_per_layer),
    ("tiny-mla-moe", {"dp": 2, "ep": 2}, one_block_per_layer),
    ("tiny-mla-moe", DP2_TP2, other_ids_backwards),
    ("tiny-mqa", {"tp": 4, "dcp_size": 2}, other_ids_backwards),
    ("tiny-gqa", {"cp": 2, "tp": 2, "pp": 2, "sp_kind": "cp_ring", "cp_decode_use": "batch_shard"}, other_ids_backwards),
    ("tiny-gqa", {"cp": 2, "sp_kind": "cp_ulysses", "cp_decode_use": "tp_slice"}, other_ids_backwards),
    ("tiny-gqa", TP2, lambda d: scatter_and_gather(d, "tokens")),
    ("tiny-gqa", TP2, lambda d: scatter_and_gather(d, "hidden")),
    ("tiny-gqa", {**TP2, "pp": 2}, send_shards),
    ("tiny-gqa", {"cp": 2, "tp": 2, "pp": 2, "sp_kind": "cp_allgather", "cp_decode_use": "replicate"}, send_shards),
    ("tiny-gqa", TP2, last_before_norm),
    ("tiny-gqa", {"cp": 2, "sp_kind": "cp_ring", "cp_decode_use": "replicate"}, last_token_broadcast),
    (
        "tiny-gqa",
        {"cp": 3, "tp": 2, "sp_kind": "cp_allgather", "cp_decode_use": "batch_shard", "cp_order": "contiguous"},
        last_token_broadcast,
    ),
    ("tiny-gqa-moe", DP4, weighted_by_combine),
    ("tiny-gqa", TP2, whole_head),
    ("tiny-gqa", TP2, whole_embedding),
    ("tiny-gqa", TP2, tokens_told),
    ("tiny-gqa", {**TP2, "pp": 2}, stamps_off_the_stages),
    ("tiny-gqa", {**TP2, "pp": 2}, two_attention_blocks_in_decode),
    ("tiny-mqa-moe", DP2_TP2, shared_experts_over_tp),
    ("tiny-mqa-moe", DP4, residual_in_two_steps),
    ("tiny-gqa-moe", GATHERED, gather_then_route),
    ("tiny-gqa-moe", GATHERED, gather_both_apart),
    ("tiny-gqa-moe", GATHERED, sum_then_cut),
    ("tiny-gqa-moe", {**DP2_TP2, "ep_lowering": "all_gather"}, scattered_attention),
    ("tiny-mqa-moe", DP2_TP2, dense_ffn_not_split),
    ("tiny-gqa-moe", DP4, aligned_at_the_experts),
    ("tiny-mla-dense", TP2, absorbed_in_prefill),
    ("tiny-mla-dense", TP2, expanded_in_decode),
    ("tiny-gqa", MEGATRON, gather_before_norm),
    ("tiny-gqa", MEGATRON, first_layer_reads_the_whole),
    ("tiny-gqa", MEGATRON, whole_between_layers),
    ("tiny-gqa", {"dp": 2, "tp": 2, "dense_ffn": "gathered", "lm_head": "gathered"}, gather_over_dp_sum_over_stage),
]  # fmt: skip


@pytest.mark.parametrize(("model", "degrees", "edit"), CASES, ids=lambda part: getattr(part, "__name__", None))
def test_a_legal_document_of_another_shape_is_accepted_and_proved(
    model: str, degrees: dict[str, Any], edit: Callable[[Document], None]
) -> None:
    document = Document(model, **degrees)
    edit(document)
    assert document.verdict() == ([], True)


def test_a_dense_ffn_that_every_tp_rank_repeats_is_wasteful_not_wrong() -> None:
    document = Document("tiny-gqa", tp=2)
    for name in ("gate_up", "down"):
        document.node("ffn", name)["split"] = "replicated"
    document.drop("ffn", "reduce")
    found = validate(Dag.model_validate(document.data), document.model)
    assert found.valid
    assert [(f.code, f.severity) for f in found.findings] == [("TP015", "warning")]
