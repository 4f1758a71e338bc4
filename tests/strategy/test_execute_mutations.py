"""Every small change of a sound document is rejected by the proof, unless it is known to change no number."""

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from strategy.build import build
from strategy.dag import Dag
from strategy.execute import prove
from strategy.mesh import Axis, groups
from strategy.model import GqaAttention, MlaAttention, ModelSpec, Moe
from strategy.ops import Dim, Role, model_weights
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy

SAMPLE = 80
"""Mutants tried per plan, drawn with a fixed seed."""
DENSE = ModelSpec(
    name="dense",
    hidden_size=4096,
    num_layers=32,
    vocab_size=128_256,
    attention=GqaAttention(num_heads=32, num_kv_heads=8, head_dim=128),
    intermediate_size=14_336,
)
MIXTURE = ModelSpec(
    name="mixture",
    hidden_size=5120,
    num_layers=20,
    vocab_size=102_400,
    attention=MlaAttention(
        num_heads=32, q_lora_rank=1536, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128
    ),
    intermediate_size=12_288,
    moe=Moe(num_experts=64, top_k=6, expert_intermediate_size=1536, shared_intermediate_size=3072),
    dense_layers=(0,),
)

FEW_HEADS = DENSE.model_copy(update={"attention": GqaAttention(num_heads=32, num_kv_heads=2, head_dim=128)})
LATENT = DENSE.model_copy(update={"attention": MIXTURE.attention})


def plan(model: ModelSpec, **fields: Any) -> tuple[ModelSpec, Strategy]:
    half = model.num_layers // 2
    stages = ((0, half), (half, model.num_layers)) if fields.get("pp_size") == 2 else ((0, model.num_layers),)
    return model, Strategy(pools=(Pool(stages=stages, **fields),))


PLANS = {
    "TP4 x PP2": plan(DENSE, attention=AttentionMesh(tp_size=4), pp_size=2),
    "megatron": plan(DENSE, attention=AttentionMesh(tp_size=4), sp_kind="megatron"),
    "all_to_all": plan(MIXTURE, attention=AttentionMesh(dp_size=2, tp_size=2), experts=ExpertMesh(ep_size=4)),
    "all_to_all, expert TP": plan(
        MIXTURE, attention=AttentionMesh(dp_size=4, tp_size=2), experts=ExpertMesh(ep_size=4, tp_size=2)
    ),
    "all_gather, dense FFN gathered": plan(
        MIXTURE,
        attention=AttentionMesh(dp_size=2, tp_size=2),
        experts=ExpertMesh(ep_size=2, tp_size=2),
        ep_lowering="all_gather",
        dense_ffn="gathered",
    ),
    "all-gathered K and V": plan(DENSE, attention=AttentionMesh(cp_size=2, tp_size=2), sp_kind="cp_allgather"),
    "a ring, the batch split in decode": plan(
        DENSE, attention=AttentionMesh(cp_size=3, tp_size=2), sp_kind="cp_ring", cp_decode_use="batch_shard"
    ),
    "a ring of latents": plan(LATENT, attention=AttentionMesh(cp_size=2, tp_size=2), sp_kind="cp_ring"),
    "Ulysses": plan(
        DENSE, attention=AttentionMesh(cp_size=2, tp_size=2), sp_kind="cp_ulysses", cp_decode_use="tp_slice"
    ),
    "cp shards with experts and chunks": plan(
        MIXTURE,
        attention=AttentionMesh(cp_size=2, tp_size=2),
        experts=ExpertMesh(ep_size=4),
        sp_kind="cp_allgather",
        cp_decode_use="batch_shard",
        chunk_tokens=512,
    ),
    "decode context parallelism": plan(FEW_HEADS, attention=AttentionMesh(tp_size=4), dcp_size=2, chunk_tokens=512),
    "decode context parallelism of latents": plan(LATENT, attention=AttentionMesh(tp_size=4), dcp_size=4),
    "replicated": plan(
        MIXTURE,
        attention=AttentionMesh(tp_size=4),
        experts=ExpertMesh(ep_size=2, tp_size=2),
        ep_lowering="replicated",
        pp_size=2,
    ),
}


@dataclass(frozen=True)
class Mutant:
    name: str
    document: dict[str, Any]
    neutral: bool = False
    """Known to change no number."""


def mutants(document: dict[str, Any], pool: Pool, weights: list[str]) -> Iterator[Mutant]:
    for b, block in enumerate(document["blocks"]):
        for n, node in enumerate(block["nodes"]):
            for name, change, neutral in changes(node, block, pool, weights):
                copied = copy.deepcopy(document)
                change(copied["blocks"][b], copied["blocks"][b]["nodes"][n])
                yield Mutant(f"{block['name']}.{node['id']}: {name}", copied, neutral or node["op"] == "step_sync")
    yield from link_mutants(document)
    yield from branch_mutants(document)


def changes(node: dict[str, Any], block: dict[str, Any], pool: Pool, weights: list[str]) -> Iterator[tuple]:
    for source in sorted({text.split(":")[-1] for text in node["inputs"]} - {"in"}):
        yield f"dropped for {source}", lambda b, x, s=source: drop(b, x, s), False
    if node["inputs"]:
        yield "doubled", double, node["op"] == "select_last"
    for axis in get_args(Axis):
        if node.get("axis") and axis != node["axis"]:
            yield f"axis {axis}", set_field("axis", axis), same_exchange(node, pool, axis)
    for split in ("column", "row", "replicated"):
        if node["op"] == "linear" and split != node["split"]:
            yield f"split {split}", set_field("split", split), False
    for weight in weights:
        if "weight" in node and weight != node["weight"]:
            yield f"weight {weight}", set_field("weight", weight), False
    for dim in get_args(Dim):
        if node["op"] in ("all_gather", "reduce_scatter") and dim != node["dim"]:
            yield f"dim {dim}", set_field("dim", dim), False
    yield from field_changes(node, block)
    yield from edge_changes(node, block, pool)


def field_changes(node: dict[str, Any], block: dict[str, Any]) -> Iterator[tuple]:
    roles = {"all_to_all": get_args(Role), "all_gather": (None, "dispatch", "combine", "kv", "q", "lse")}
    for role in roles.get(node["op"], ()):
        if role != node["role"]:
            yield (
                f"role {role}",
                set_field("role", role),
                node["op"] == "all_gather" and carries_all(node["role"], role),
            )
    if node["op"] == "attention":
        yield "partial changed", set_field("partial", None if node["partial"] else True), False
        for form in (None, "expanded", "absorbed"):
            if form != node["form"]:
                yield f"form {form}", set_field("form", form), False
    if node["op"] == "send":
        yield "send axis changed", set_field("axis", None if node["axis"] else "cp"), False
        yield "two stages ahead", set_field("stage_offset", 2), False
    if node["op"] == "expert":
        combined = any(found["op"] == "all_to_all" and found["role"] == "combine" for found in block["nodes"])
        yield "router weight", set_field("apply_router_weight", not node["apply_router_weight"]), combined


def carries_all(old: str | None, new: str | None) -> bool:
    """The gather still brings what is read of it: K and V or Q with the rest of the projection, or the same under another label."""
    return old != "lse" and new in (None, "dispatch", "combine")


def edge_changes(node: dict[str, Any], block: dict[str, Any], pool: Pool) -> Iterator[tuple]:
    routed = node.get("role") == "combine" and node["op"] == "all_to_all"
    for i, text in enumerate(node["inputs"]):
        prefix, _, source = text.rpartition(":")
        ordering = prefix == "sync" and (source == "sync" or node["op"] == "attention_merge")  # carries no number
        yield f"edge {text} cut", lambda b, x, i=i: x["inputs"].pop(i), ordering or (routed and source == "routing")
        yield f"edge {text} doubled", lambda b, x, t=text: x["inputs"].append(t), prefix == "sync"
        for other in ["in", *(found["id"] for found in block["nodes"])]:
            if other not in (source, node["id"]):
                new = f"{prefix}:{other}" if prefix else other
                yield f"edge {text} to {new}", set_input(i, new), ordering or same_latent(node, other, block, pool)


def same_latent(node: dict[str, Any], other: str, block: dict[str, Any], pool: Pool) -> bool:
    """kv_b reads the latent that the cache update is about to keep, where no chunk of the prompt came before."""
    kept = next((found["inputs"] for found in block["nodes"] if found["op"] == "kv_cache_update"), [])
    return node.get("weight") == "kv_b" and node["inputs"] == ["kv"] and [other] == kept and pool.chunk_tokens is None


def set_field(field: str, value: Any):
    return lambda b, x: x.update({field: value})


def set_input(index: int, text: str):
    def change(block: dict[str, Any], node: dict[str, Any]) -> None:
        node["inputs"][index] = text

    return change


def drop(block: dict[str, Any], node: dict[str, Any], source: str) -> None:
    block["nodes"].remove(node)
    rewire(block, node["id"], source)


def double(block: dict[str, Any], node: dict[str, Any]) -> None:
    rewire(block, node["id"], "again")
    prefix = "pipeline:" if node["op"] == "recv" else ""
    block["nodes"].append({**copy.deepcopy(node), "id": "again", "inputs": [prefix + node["id"], *node["inputs"][1:]]})


def rewire(block: dict[str, Any], old: str, new: str) -> None:
    for node in block["nodes"]:
        node["inputs"] = [t[: -len(old)] + new if t.split(":")[-1] == old else t for t in node["inputs"]]
    block["output"] = new if block["output"] == old else block["output"]


def same_exchange(node: dict[str, Any], pool: Pool, axis: Axis) -> bool:
    """The same ranks exchange; experts are found over `ep` only, whatever other axis has its groups."""
    if node["op"] == "all_to_all" and node["role"] in ("dispatch", "combine"):
        return False
    return groups(pool, node["axis"]) == groups(pool, axis)


def link_mutants(document: dict[str, Any]) -> Iterator[Mutant]:
    for i, link in enumerate(document["links"]):
        fields = [("loop", not link["loop"]), ("kind", "sync" if link["kind"] == "data" else "data")]
        for end in ("source", "target"):
            phase, block, node = link[end].split(".")
            nodes = next(found["nodes"] for found in document["blocks"] if found["name"] == block)
            fields += [(end, f"{phase}.{block}.{other['id']}") for other in nodes if other["id"] != node]
            fields.append((end, f"{'decode' if phase == 'prefill' else 'prefill'}.{block}.{node}"))
        for field, value in fields:
            copied = copy.deepcopy(document)
            copied["links"][i][field] = value
            yield Mutant(f"link {i}: {field} {value}", copied)
        copied = copy.deepcopy(document)
        del copied["links"][i]
        yield Mutant(f"link {i} cut", copied)


def branch_mutants(document: dict[str, Any]) -> Iterator[Mutant]:
    for phase in ("prefill", "decode"):
        for s in range(len(document["branches"][phase]["layers"])):
            for name, change in STAMP_CHANGES.items():
                copied = copy.deepcopy(document)
                change(copied["branches"][phase]["layers"][s])
                yield Mutant(f"{phase} layers {s}: {name}", copied)


def shift(index: int, by: int):
    def change(stamp: dict[str, Any]) -> None:
        stamp["range"][index] += by

    return change


STAMP_CHANGES = {
    "start later": shift(0, 1),
    "end earlier": shift(1, -1),
    "end later": shift(1, 1),
    "blocks reversed": lambda stamp: stamp["blocks"].reverse(),
    "last block dropped": lambda stamp: stamp["blocks"].pop(),
    "last block doubled": lambda stamp: stamp["blocks"].append(stamp["blocks"][-1]),
}


def readable(mutant: Mutant) -> Dag | None:
    try:
        return Dag.model_validate(mutant.document)
    except ValidationError:
        return None


@pytest.mark.parametrize(("model", "strategy"), PLANS.values(), ids=PLANS)
def test_every_mutant_that_changes_numbers_is_rejected(model, strategy):
    document = build(model, strategy).model_dump(mode="json")
    found = list(mutants(document, strategy.pools[0], sorted(model_weights(model))))
    drawn = random.Random(0).sample(found, min(len(found), SAMPLE))

    survivors = [m for m in drawn if (dag := readable(m)) is not None and prove(dag, model).passed]

    assert [mutant.name for mutant in survivors if not mutant.neutral] == []


@pytest.mark.parametrize(("model", "strategy"), PLANS.values(), ids=PLANS)
def test_mutants_said_to_be_neutral_pass(model, strategy):
    document = build(model, strategy).model_dump(mode="json")
    found = list(mutants(document, strategy.pools[0], sorted(model_weights(model))))
    same_axis = [m for m in found if m.neutral and "axis" in m.name]

    rejected = [m.name for m in same_axis if (dag := readable(m)) is not None and not prove(dag, model).passed]

    assert rejected == []
