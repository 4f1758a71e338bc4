"""What a language model writes: the strategy and, when it wants to, the graph; or what a text asks for.

Wire models are not the domain models: every field is required, nothing has a default, unions are plain `anyOf` of shapes told
apart by `op`, and lists are flat, so the schema stays inside what strict structured output accepts (G10 to G12). Node shapes are made
from the domain's node classes, so there is no second list of ops.
"""

import copy
import difflib
import json
import math
import re
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from strategy.build import build
from strategy.dag import AnyNode, Dag, Node
from strategy.errors import InputError
from strategy.legality import even_stages
from strategy.model import Dtype, ModelSpec
from strategy.request import Engine, Forbidden, Objective
from strategy.result import Finding
from strategy.strategy import CpDecodeUse, EpLowering, Phase, SpKind, Strategy

NULLABLE = {
    ("attention", "form"),
    ("attention", "partial"),
    ("all_gather", "role"),
    ("reduce_scatter", "role"),
    ("send", "axis"),
}
"""Optional node fields that a model has to decide about; other optional fields are left out of the wire shapes."""


MAX_ANSWER_CHARACTERS = 100_000
"""Several times the largest graph that anybody writes by hand."""
MAX_DEPTH = 24
_FENCE = re.compile(r"```[A-Za-z0-9]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL)
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


class Wire(BaseModel):
    """Closed, and without defaults."""

    model_config = ConfigDict(extra="forbid")


class WireReading(Wire):
    """What a text asks for; null where it does not say."""

    model: str | None
    """Name of the model as the text gives it."""
    gpu: str | None
    """Name of the GPU as the text gives it."""
    hosts: int | None
    gpus_per_host: int | None
    isl: int | None
    """Prompt tokens."""
    osl: int | None
    """Answer tokens."""
    concurrency: int | None
    request_rate: float | None
    """Requests per second."""
    prefix_hit_ratio: float | None
    ttft_ms: float | None
    tpot_ms: float | None
    weights: Dtype | None
    activations: Dtype | None
    kv: Dtype | None
    objective: Objective | None
    serving: Literal["colocated", "disaggregated"] | None
    engine: Engine | None
    tp_size: int | None
    pp_size: int | None
    ep_size: int | None
    dp_size: int | None
    """Attention data parallelism."""
    replicas: int | None
    forbid: list[Forbidden]


class WireAttention(Wire):
    """Attention mesh; the product is the stage width W."""

    dp_size: int
    cp_size: int
    tp_size: int


class WireExperts(Wire):
    """Expert mesh over the same W ranks."""

    dp_size: int
    ep_size: int
    tp_size: int


class WirePool(Wire):
    """Identical replicas that serve the same phases."""

    name: str
    phases: list[Phase]
    replicas: int
    pp_size: int
    stages: list[list[int]] | None
    """Null: layers spread evenly."""
    attention: WireAttention
    experts: WireExperts | None
    sp_kind: SpKind
    dp_layout: Literal["outer", "inner"]
    ep_lowering: EpLowering
    dcp_size: int
    redundant_experts: int
    dense_ffn: Literal["local", "gathered"]
    lm_head: Literal["local", "gathered"]
    moe_layout: Literal["moe_tp_fastest", "ep_fastest"]
    cp_order: Literal["zigzag", "contiguous"]
    cp_decode_use: CpDecodeUse | None
    microbatches: int
    chunk_tokens: int | None


class WireStrategy(Wire):
    """One pool when colocated, two when disaggregated."""

    pools: list[WirePool]


def _wire_node(node: type[Node]) -> type[Wire]:
    """The wire shape of one op: its own required fields, with their types but without their limits."""
    op = get_args(node.model_fields["op"].annotation)[0]
    fields: dict[str, Any] = {"id": (str, ...), "op": (Literal[op], ...)}
    if op != "ingress":
        fields["inputs"] = (list[str], ...)
    for name, info in node.model_fields.items():
        if name not in Node.model_fields and (info.is_required() or (op, name) in NULLABLE):
            fields[name] = (info.annotation, ...)
    return create_model(f"Wire{node.__name__}", __base__=Wire, __doc__=node.__doc__, **fields)


NODE_CLASSES: tuple[type[Node], ...] = get_args(get_args(AnyNode)[0])
WIRE_NODES: tuple[type[Wire], ...] = tuple(_wire_node(node) for node in NODE_CLASSES)

_WIRE_BY_OP = {get_args(shape.model_fields["op"].annotation)[0]: shape for shape in WIRE_NODES}


class WireBlock(Wire):
    """A small graph; `in` is the residual stream, `output` the node that leaves."""

    name: str
    nodes: list[Annotated[Union[WIRE_NODES], Field(discriminator="op")]]  # type: ignore[valid-type]  # noqa: UP007
    output: str


class WireStamp(Wire):
    """Layers `range[0]` to `range[1] - 1`, each of which is these blocks in order."""

    range: list[int]
    blocks: list[str]


class WireBranch(Wire):
    """One phase."""

    embed: str
    layers: list[WireStamp]
    boundary: str | None
    head: str


class WireBranches(Wire):
    """Both phases."""

    prefill: WireBranch
    decode: WireBranch


class WireLink(Wire):
    """An edge across phases or steps, between `branch.block.node` names."""

    source: str
    target: str
    kind: Literal["data", "sync", "pipeline"]
    loop: bool


class WireGraph(Wire):
    """The DAG document without its strategy."""

    blocks: list[WireBlock]
    branches: WireBranches
    links: list[WireLink]


class Answer(Wire):
    """A proposal. `graph` null means: the canonical graph of the strategy."""

    why: str
    strategy: WireStrategy
    graph: WireGraph | None
    citations: list[str]


class PatchOperation(Wire):
    """One JSON Patch operation (RFC 6902) on the last answer; `value_json` is the new value as JSON text, null for remove."""

    op: Literal["add", "remove", "replace"]
    path: str
    value_json: str | None


class PatchAnswer(Wire):
    """Only the changes."""

    patch: list[PatchOperation]


@cache
def strict_schema(model: type[Wire]) -> dict[str, Any]:
    """JSON schema of a wire model inside the strict subset: no titles, no defaults, `enum` instead of `const`, plain `anyOf`."""
    schema = copy.deepcopy(model.model_json_schema())
    _tidy(schema)
    return schema


def _tidy(node: Any) -> None:
    """Walk a schema in place."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        node.pop("discriminator", None)
        if "oneOf" in node:
            node["anyOf"] = node.pop("oneOf")
        if "const" in node:
            node["enum"] = [node.pop("const")]
        if isinstance(node.get("description"), str):
            node["description"] = " ".join(node["description"].split())
        for value in node.values():
            _tidy(value)
    elif isinstance(node, list):
        for value in node:
            _tidy(value)


class Decoded(BaseModel):
    """What an answer means: a strategy and its DAG, or what is wrong with the shape of the answer."""

    strategy: Strategy | None = None
    dag: Dag | None = None
    findings: tuple[Finding, ...] = ()


def parse_json(text: str) -> dict[str, Any]:
    """The one JSON object of a reply, without thoughts, fence and words around it.

    Raises `ValueError` for anything else: none, several, or an object that is not whole. Strict on purpose: a reply that was cut must never come back with its lost parts filled in (G4).
    """
    if len(text) > MAX_ANSWER_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters; the limit is {MAX_ANSWER_CHARACTERS:,}")
    value = json.loads(_object_text(text), parse_constant=_refuse_constant, object_pairs_hook=_refuse_twins)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")  # noqa: TRY004  one kind of error for all bad text
    _refuse_odd(value)
    return value


def _object_text(text: str) -> str:
    """The part of a reply that should be its JSON: what follows the thoughts, from the first brace to the end of the reply's fence."""
    _, closed, said = ("", "", text) if text.lstrip().startswith("{") else text.rpartition("</think>")
    body = said
    if not closed and body.lstrip().startswith("<think>"):
        raise ValueError("the thoughts never end")
    fenced = _FENCE.findall(body)
    if len(fenced) == 1 and body.count("```") == 2:
        return str(fenced[0])
    body = body.strip()
    start, end = body.find("{"), body.rfind("}")
    plain = start >= 0 and not any(c in body[:start] + body[end + 1 :] for c in "[]{}")
    return body[start : end + 1] if plain and end > start else body


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different: with twins nobody knows which of them is meant."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name[:40]!r} stands twice in one object")
        found[name] = value
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_odd(value: Any, depth: int = 0) -> None:
    """Refuse what is JSON but cannot be sent back: nesting without end, half characters, numbers beyond any."""
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, str) and _HALF_CHARACTER.search(value):
        raise ValueError("a text in it holds half a character (a lone surrogate)")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number in it is too large")
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        _refuse_odd(part, depth + 1)


def completed(document: dict[str, Any], model: ModelSpec) -> dict[str, Any]:
    """The answer with everything that it left out and that has one usual value; what it says stays as it is.

    Servers without a strict format get answers that leave out what goes without saying. Degrees and parts of a graph never do.
    """
    strategy = document.get("strategy")
    if not isinstance(strategy, dict) or not isinstance(strategy.get("pools"), list):
        return document
    pools = [_completed_pool(pool, model, strategy["pools"]) for pool in strategy["pools"]]
    usual: dict[str, Any] = {"why": "", "graph": None, "citations": []}
    return {**usual, **document, "strategy": {**strategy, "pools": pools}}


def _completed_pool(pool: Any, model: ModelSpec, pools: list[Any]) -> Any:
    """One pool with the usual values of its missing fields; null stands for a usual value too where null means nothing."""
    if not isinstance(pool, dict):
        return pool
    given = {name: value for name, value in pool.items() if value is not None or name not in _USUAL}
    pp_size = given.get("pp_size", 1)
    usual: dict[str, Any] = {**_USUAL, "microbatches": pp_size, "cp_decode_use": None, "chunk_tokens": None}
    if len(pools) == 1:
        usual |= {"name": "serve", "phases": ["prefill", "decode"]}
    elif isinstance(given.get("phases"), list) and len(given["phases"]) == 1:
        usual |= {"name": given["phases"][0]}
    if type(pp_size) is int and 1 <= pp_size <= model.num_layers:
        usual |= {"stages": [list(layers) for layers in even_stages(model.num_layers, pp_size)]}
    meshes: dict[str, Any] = {
        name: {**_ONES[name], **given[name]} for name in _ONES if isinstance(given.get(name), dict)
    }
    if model.moe is None and meshes.get("experts") in (None, _ONES["experts"]):
        meshes |= {"experts": None}
    if model.moe is not None and {"attention", "experts"} <= meshes.keys():
        usual |= {"ep_lowering": _usual_lowering(meshes["attention"], meshes["experts"], model.moe.top_k)}
    return {**usual, **given, **meshes}


def _usual_lowering(attention: dict[str, Any], experts: dict[str, Any], top_k: int) -> str:
    """How tokens meet experts where the answer does not say: in place when every rank has them, else as the planner would choose."""
    if attention["dp_size"] == attention["cp_size"] == 1:
        return "replicated"
    wide = isinstance(experts["ep_size"], int) and experts["ep_size"] > top_k
    return "all_to_all" if wide else "all_gather"


_USUAL: dict[str, Any] = {
    "replicas": 1, "pp_size": 1, "stages": None, "sp_kind": "none", "dp_layout": "outer", "ep_lowering": "replicated", "dcp_size": 1,
    "redundant_experts": 0, "dense_ffn": "local", "lm_head": "local", "moe_layout": "moe_tp_fastest", "cp_order": "zigzag",
    "microbatches": 1,
}  # fmt: skip
"""Fields of a pool that an answer may leave out or set to null, and what that means (stages: layers spread evenly)."""
_ONES = {
    "attention": {"dp_size": 1, "cp_size": 1, "tp_size": 1},
    "experts": {"dp_size": 1, "ep_size": 1, "tp_size": 1},
}


def decode(document: dict[str, Any], model: ModelSpec) -> Decoded:
    """The domain values of an answer document. Every shape error becomes a finding with its pointer."""
    try:
        answer = Answer.model_validate(document)
    except ValidationError as error:
        return Decoded(findings=shape_findings(error))
    strategy_document = answer.strategy.model_dump()
    try:
        strategy = Strategy.model_validate(strategy_document)
    except ValidationError as error:
        return Decoded(findings=shape_findings(error, "/strategy"))
    try:
        if answer.graph is None:
            return Decoded(strategy=strategy, dag=build(model, strategy))
        graph = answer.graph.model_dump()
        return Decoded(strategy=strategy, dag=Dag.model_validate({"model": model.name, "strategy": strategy, **graph}))
    except ValidationError as error:
        return Decoded(strategy=strategy, findings=shape_findings(error, "/graph"))
    except InputError as error:
        finding = Finding(code="BUILD", severity="error", path="/strategy", message=str(error), hint=error.hint)
        return Decoded(strategy=strategy, findings=(finding,))
    except (ValueError, KeyError, IndexError, ZeroDivisionError) as error:
        message = f"no graph can be built for this strategy: {error}"
        finding = Finding(
            code="BUILD", severity="error", path="/strategy", message=message, hint="check degrees and stages"
        )
        return Decoded(strategy=strategy, findings=(finding,))


def encode(dag: Dag, why: str = "") -> dict[str, Any]:
    """The answer document that writes `dag` out: what a model would send for it. Fields that the wire does not have are left out."""
    document = dag.model_dump(mode="json")
    pools = [{name: pool[name] for name in WirePool.model_fields} for pool in document["strategy"]["pools"]]
    blocks = [{**block, "nodes": [_wire_fields(node) for node in block["nodes"]]} for block in document["blocks"]]
    graph = {"blocks": blocks, "branches": document["branches"], "links": document["links"]}
    return {"why": why, "strategy": {"pools": pools}, "graph": graph, "citations": []}


def _wire_fields(node: dict[str, Any]) -> dict[str, Any]:
    """The fields that the wire shape of a node's op has."""
    shape = _WIRE_BY_OP[node["op"]]
    return {name: value for name, value in node.items() if name in shape.model_fields}


def shape_findings(error: ValidationError, prefix: str = "", limit: int = 8) -> tuple[Finding, ...]:
    """Shape errors in the form of findings, the deepest places only: what encloses them fails because of them."""
    found: dict[str, Finding] = {}
    for item in error.errors(include_url=False):
        parts = _document_place(item["loc"])
        path = prefix + "".join("/" + p.replace("~", "~0").replace("/", "~1") for p in parts)
        value = json.dumps(item["input"], default=str)[:80]
        message = f"{item['msg']} (got {value})"
        found.setdefault(
            path, Finding(code="SHAPE", severity="error", path=path, message=message, hint=_shape_hint(item))
        )
    deepest = [one for path, one in found.items() if not any(other.startswith(f"{path}/") for other in found)]
    return tuple(deepest)[:limit]


def _shape_hint(item: ErrorDetails) -> str:
    """What to write instead, as far as the kind of an error tells."""
    context = item.get("ctx", {})
    match item["type"]:
        case "greater_than_equal" | "less_than_equal":
            return f"set it to {context.get('ge', context.get('le'))}"
        case "literal_error" | "union_tag_invalid":
            allowed = [
                name.strip("' ")
                for name in str(context.get("expected", context.get("expected_tags"))).replace(" or ", ", ").split(",")
            ]
            near = difflib.get_close_matches(str(context.get("tag", item["input"])), allowed, n=1)
            return f"did you mean `{near[0]}`?" if near else f"use one of {', '.join(allowed)}"
        case "missing":
            return "add this field; every field of the schema is required"
        case "extra_forbidden":
            return "delete it: the schema has no such field"
        case "int_type" | "int_parsing" | "int_from_float":
            return "write a whole number"
        case _:
            return "follow the schema"


def _document_place(loc: tuple[int | str, ...]) -> list[str]:
    """Where an error stands in the document: the tag that pydantic puts after a node's number is no part of it."""
    parts = [str(part) for part in loc]
    return [part for i, part in enumerate(parts) if not (i >= 2 and parts[i - 2] == "nodes" and parts[i - 1].isdigit())]


def answer_path(path: str) -> str:
    """A pointer into the DAG document as a pointer into the answer: `/blocks/0` is `/graph/blocks/0`."""
    return path if not path.startswith(("/blocks", "/branches", "/links")) else f"/graph{path}"
