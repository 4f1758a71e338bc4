"""Small subjects for the examples of the rules: tiny models, canonical DAGs, and edits that break one thing.

Everything is inline, so that a rule's examples say what they say whatever the catalogue of models holds.
"""

from collections.abc import Callable
from typing import Any

from strategy.build import build
from strategy.dag import Dag
from strategy.hardware import Cluster, GpuSpec
from strategy.legality import even_stages
from strategy.model import Checkpoint, GqaAttention, MlaAttention, ModelSpec, Moe, Provenance
from strategy.request import Precision, Problem, Workload
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from validators.claims import Claims
from validators.registry import Example
from validators.subject import Subject

DENSE = ModelSpec(
    name="tiny-dense",
    hidden_size=256,
    num_layers=4,
    vocab_size=512,
    attention=GqaAttention(num_heads=8, num_kv_heads=4, head_dim=32),
    intermediate_size=512,
)
MOE = ModelSpec(
    name="tiny-moe",
    hidden_size=256,
    num_layers=4,
    vocab_size=512,
    attention=GqaAttention(num_heads=8, num_kv_heads=4, head_dim=32),
    intermediate_size=512,
    moe=Moe(num_experts=8, top_k=2, expert_intermediate_size=128, shared_intermediate_size=128),
    dense_layers=(0,),
)
MLA = MOE.model_copy(
    update={
        "name": "tiny-mla",
        "attention": MlaAttention(
            num_heads=8, q_lora_rank=64, kv_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32
        ),
    }
)
FP8_BLOCK = Checkpoint(weights="fp8", block=(128, 128))

GPU = GpuSpec(
    key="tiny-gpu",
    name="Tiny GPU",
    arch="sm90",
    memory_gb=80,
    memory_tb_per_s=3.35,
    bf16_tflops=989,
    fp8_tflops=1979,
    scale_up="nvlink",
    scale_up_gb_per_s=450,
    scale_up_domain=8,
    nic_gb_per_s=50,
    gpus_per_host=8,
    provenance=Provenance(source="inline", status="unverified"),
)


def pool(
    model: ModelSpec, *, tp: int = 1, pp: int = 1, dp: int = 1, cp: int = 1, ep: int = 1, moe_tp: int = 1, **fields: Any
) -> Pool:
    """A pool by its degrees; what the expert mesh leaves over is moe_dp, and `fields` replaces any field."""
    width = dp * cp * tp
    experts = ExpertMesh(dp_size=max(1, width // (ep * moe_tp)), ep_size=ep, tp_size=moe_tp)
    defaults = {
        "pp_size": pp,
        "stages": even_stages(model.num_layers, pp),
        "attention": AttentionMesh(dp_size=dp, cp_size=cp, tp_size=tp),
        "experts": None if model.moe is None else experts,
    }
    return Pool(**{**defaults, **fields})


def plan(model: ModelSpec, *pools: Pool, problem: Problem | None = None) -> Subject:
    """The canonical DAG of these pools, under judgement."""
    return Subject(build(model, Strategy(pools=pools)), model, problem)


def dense(*, tp: int = 4, pp: int = 2, problem: Problem | None = None, **fields: Any) -> Subject:
    """A dense model over tp x pp."""
    return plan(DENSE, pool(DENSE, tp=tp, pp=pp, **fields), problem=problem)


def moe(*, tp: int = 1, dp: int = 4, ep: int = 4, model: ModelSpec = MOE, **fields: Any) -> Subject:
    """An MoE model with DP attention over ep; `tp`, `pp`, `moe_tp`, ... as in `pool`."""
    return plan(model, pool(model, tp=tp, dp=dp, ep=ep, **fields))


def mla(*, tp: int = 2, dp: int = 2, ep: int = 4, **fields: Any) -> Subject:
    """MLA attention and MoE layers."""
    return moe(tp=tp, dp=dp, ep=ep, model=MLA, **fields)


def disaggregated(prefill_tp: int = 4, decode_tp: int = 2, model: ModelSpec = DENSE) -> Subject:
    """A dense model with a pool for each phase."""
    prefill = pool(model, tp=prefill_tp, name="prefill", phases=("prefill",))
    decode = pool(model, tp=decode_tp, name="decode", phases=("decode",))
    return plan(model, prefill, decode)


def problem(model: ModelSpec = DENSE, *, gpus_per_host: int = 8, hosts: int = 1, **fields: Any) -> Problem:
    """A request about `model` on hosts of one GPU kind."""
    defaults = {
        "model": model,
        "cluster": Cluster(gpu=GPU, gpus_per_host=gpus_per_host, hosts=hosts),
        "workload": Workload(isl=512, osl=64),
        "precision": Precision(weights="bf16", activations="bf16", kv="bf16"),
        "max_model_len": 1024,
    }
    return Problem(**{**defaults, **fields})


def about(subject: Subject, request: Problem) -> Subject:
    """The same DAG, as the answer to a request."""
    return Subject(subject.dag, subject.model, request)


def beside(subject: Subject, **claims: Any) -> Subject:
    """The same DAG with something written beside it: `layout`, `deployment`, `estimate`, `suppress`."""
    return Subject(subject.dag, subject.model, subject.problem, Claims.model_validate(claims))


def edit(subject: Subject, pointer: str, value: Any) -> Subject:
    """A copy with the value at a JSON pointer replaced (or appended, where the pointer ends in `/-`)."""
    document = subject.dag.model_dump(mode="json")
    *parents, last = pointer.strip("/").split("/")
    at: Any = document
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at[part]
    if last == "-":
        at.append(value)
    else:
        at[int(last) if isinstance(at, list) else last] = value
    return _read(subject, document)


def edit_node(subject: Subject, ref: str, **fields: Any) -> Subject:
    """A copy with fields of node `block.node` replaced."""

    def change(nodes: list[dict[str, Any]], index: int) -> None:
        nodes[index] = {**nodes[index], **fields}

    return _change(subject, ref, change)


def insert(subject: Subject, ref: str, **node: Any) -> Subject:
    """A copy with `node` put behind node `block.node`; who read that node reads the new one (it names its own inputs)."""

    def change(nodes: list[dict[str, Any]], index: int) -> None:
        _rename_inputs(nodes, nodes[index]["id"], node["id"])
        nodes.insert(index + 1, dict(node))

    return _change(subject, ref, change)


def drop(subject: Subject, ref: str) -> Subject:
    """A copy without node `block.node`; who read it reads its first input instead."""

    def change(nodes: list[dict[str, Any]], index: int) -> None:
        gone = nodes.pop(index)
        _rename_inputs(nodes, gone["id"], gone["inputs"][0] if gone["inputs"] else None)

    return _change(subject, ref, change)


def drop_link(subject: Subject, source: str, target: str, *, loop: bool = False) -> Subject:
    """A copy without the links from node `source` to node `target` (`branch.op`, since block names differ between models)."""
    document = subject.dag.model_dump(mode="json")

    def same(link: dict[str, Any]) -> bool:
        ends = [(text.split(".")[0], text.split(".")[2]) for text in (link["source"], link["target"])]
        return [".".join(end) for end in ends] == [source, target] and link["loop"] == loop

    document["links"] = [link for link in document["links"] if not same(link)]
    return _read(subject, document)


def example(name: str, make: Callable[[], Subject]) -> Example:
    """An example, shorter to write."""
    return Example(name, make)


def _change(subject: Subject, ref: str, change: Callable[[list[dict[str, Any]], int], None]) -> Subject:
    """Apply `change` to the nodes of a block and follow it with the block's output."""
    document = subject.dag.model_dump(mode="json")
    name, _, node_id = ref.partition(".")
    block = next(b for b in document["blocks"] if b["name"] == name)
    index = next(i for i, n in enumerate(block["nodes"]) if n["id"] == node_id)
    marker = {"id": "__output__", "op": "add", "inputs": [block["output"]]}
    block["nodes"].append(marker)
    change(block["nodes"], index)
    block["nodes"].remove(marker)
    block["output"] = marker["inputs"][0]
    return _read(subject, document)


def _rename_inputs(nodes: list[dict[str, Any]], old: str, new: str | None) -> None:
    for node in nodes:
        kept = [(text.rpartition(":"), text) for text in node["inputs"]]
        node["inputs"] = [
            text if source != old else f"{prefix}{colon}{new}"
            for (prefix, colon, source), text in kept
            if source != old or new is not None
        ]


def _read(subject: Subject, document: dict[str, Any]) -> Subject:
    return Subject(Dag.model_validate(document), subject.model, subject.problem)
