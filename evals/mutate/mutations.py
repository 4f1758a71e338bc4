"""Semantic mutations of DAG documents: one mistake each, as people and models make them.

A mutation names its place by block, node and field, not by position, so that the same mistake can be made in a smaller DAG.
"""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, get_args

from pydantic import ValidationError

from strategy.dag import Dag
from strategy.mesh import Axis
from strategy.model import ModelSpec
from strategy.ops import Dim, model_weights
from strategy.strategy import CpDecodeUse, EpLowering, SpKind

Document = dict[str, Any]
Json = dict[str, Any]


@dataclass(frozen=True)
class Mutation:
    """One mistake; `change` works in place and raises LookupError where a document has no such place."""

    kind: str
    where: str
    change: Callable[[Document], None]
    parts: tuple[str, ...] = ()
    """Kinds of the mistakes that it is made of, where it is several."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Its own kind, or those of its parts."""
        return self.parts or (self.kind,)

    def applied(self, document: Document) -> Dag | None:
        """The broken DAG, or None when the mistake cannot be made here or the format itself refuses it."""
        broken = pickle.loads(pickle.dumps(document))  # noqa: S301 (a fast copy of our own data)
        try:
            self.change(broken)
            return Dag.model_validate(broken) if broken != document else None
        except (LookupError, ValidationError, ValueError, TypeError):
            return None


Draw = Callable[[Random, Document, ModelSpec], Mutation]
KINDS: dict[str, Draw] = {}


def kind(draw: Draw) -> Draw:
    """Register a kind of mutation under the function's name."""
    KINDS[draw.__name__.strip("_").replace("_", "-")] = draw
    return draw


DOUBLE = 0.15
"""Share of mutants that carry two mistakes, of which one may make up for the other."""


def random_mutation(rng: Random, document: Document, model: ModelSpec) -> Mutation:
    """A mutation of a random kind that this document has a place for, or two of them at once."""
    first = _one(rng, document, model)
    return first if rng.random() >= DOUBLE else _both(first, _one(rng, document, model))


def _one(rng: Random, document: Document, model: ModelSpec) -> Mutation:
    while True:
        try:
            return KINDS[rng.choice(list(KINDS))](rng, document, model)
        except LookupError:
            continue


def _both(first: Mutation, second: Mutation) -> Mutation:
    def change(broken: Document) -> None:
        first.change(broken)
        second.change(broken)

    where = f"{first.kind} {first.where}, and {second.kind} {second.where}"
    return Mutation("two-mistakes", where, change, (first.kind, second.kind))


# --- places -----------------------------------------------------------------------------------------------------------


def _block(document: Document, name: str) -> Json:
    found = next((b for b in document["blocks"] if b["name"] == name), None)
    if found is None:
        raise LookupError(name)
    return found  # type: ignore[no-any-return]


def _node(document: Document, block: str, node: str) -> Json:
    found = next((n for n in _block(document, block)["nodes"] if n["id"] == node), None)
    if found is None:
        raise LookupError(node)
    return found  # type: ignore[no-any-return]


def _any_node(rng: Random, document: Document, *ops: str) -> tuple[str, Json]:
    """Name of a block and one of its nodes (of these ops, if any are named)."""
    places = [(b["name"], n) for b in document["blocks"] for n in b["nodes"] if not ops or n["op"] in ops]
    return rng.choice(places)


def _with_field(rng: Random, document: Document, field: str) -> tuple[str, Json]:
    places = [(b["name"], n) for b in document["blocks"] for n in b["nodes"] if n.get(field) is not None]
    return rng.choice(places)


def _rename(block: Json, old: str, new: str, *, but: str = "") -> None:
    """Who read `old` reads `new`, the block's output as well."""
    for node in block["nodes"]:
        if node["id"] != but:
            node["inputs"] = [_renamed(text, old, new) for text in node["inputs"]]
    if block["output"] == old:
        block["output"] = new


def _renamed(text: str, old: str, new: str) -> str:
    prefix, colon, source = text.rpartition(":")
    return f"{prefix}{colon}{new}" if source == old else text


def _source(text: str) -> str:
    return text.rpartition(":")[2]


_OPTIONAL = frozenset({"form", "partial", "tokens_per_sequence", "stage_offset", "role", "apply_router_weight"})
"""Fields that a node may lack and a mutation may add."""


def _set(kind_: str, block: str, node: str, field: str, value: Any) -> Mutation:
    def change(document: Document) -> None:
        at = _node(document, block, node)
        if at.get(field) is None and field not in _OPTIONAL:
            raise LookupError(field)
        at[field] = value

    return Mutation(kind_, f"{block}.{node}: {field} = {value}", change)


# --- nodes ------------------------------------------------------------------------------------------------------------


@kind
def _drop(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Leave a node out; who read it reads one of its inputs."""
    block, node = _any_node(rng, document)
    through = _source(rng.choice(node["inputs"]))
    name = node["id"]

    def change(broken: Document) -> None:
        at = _block(broken, block)
        if not any(_source(text) == through for text in _node(broken, block, name)["inputs"]):
            raise LookupError(through)
        at["nodes"].remove(_node(broken, block, name))
        _rename(at, name, through)

    return Mutation("drop", f"{block}.{name} (read {through} instead)", change)


@kind
def _duplicate(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Run a node twice, one after the other."""
    block, node = _any_node(rng, document)
    name = node["id"]

    def change(broken: Document) -> None:
        at, again = _block(broken, block), copy.deepcopy(_node(broken, block, name))
        prefix = again["inputs"][0].rpartition(":")
        again.update(id="again", inputs=[f"{prefix[0]}{prefix[1]}{name}", *again["inputs"][1:]])
        _rename(at, name, "again")
        at["nodes"].insert(at["nodes"].index(_node(broken, block, name)) + 1, again)

    if not node["inputs"]:
        raise LookupError(name)
    return Mutation("duplicate", f"{block}.{name}", change)


@kind
def _duplicate_beside(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Run a node a second time beside the first; one of its readers reads the copy."""
    block, node = _any_node(rng, document)
    name = node["id"]
    readers = [n["id"] for n in _block(document, block)["nodes"] if name in map(_source, n["inputs"])]
    reader = rng.choice(readers)

    def change(broken: Document) -> None:
        at, twin = _block(broken, block), copy.deepcopy(_node(broken, block, name))
        twin["id"] = "twin"
        reads = _node(broken, block, reader)
        reads["inputs"] = [_renamed(text, name, "twin") for text in reads["inputs"]]
        at["nodes"].insert(at["nodes"].index(_node(broken, block, name)) + 1, twin)

    return Mutation("duplicate-beside", f"{block}.{name} for {reader}", change)


@kind
def _reorder(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Exchange two nodes that follow each other."""
    block, second = _any_node(rng, document)
    name = second["id"]
    first = _source(rng.choice([text for text in second["inputs"] if _source(text) != "in"]))

    def change(broken: Document) -> None:
        at, before, after = _block(broken, block), _node(broken, block, first), _node(broken, block, name)
        if first not in map(_source, after["inputs"]) or not before["inputs"]:
            raise LookupError(first)
        entry = _source(before["inputs"][0])
        _rename(at, name, "__moved__")
        after["inputs"] = [_renamed(text, first, entry) for text in after["inputs"]]
        before["inputs"] = [_renamed(text, entry, name) for text in before["inputs"]]
        _rename(at, "__moved__", first)

    return Mutation("reorder", f"{block}: {first} and {name}", change)


@kind
def _insert(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Put a node of communication where none belongs."""
    block, node = _any_node(rng, document)
    name, axis = node["id"], rng.choice(get_args(Axis))
    made = rng.choice((
        {"op": "all_reduce", "axis": axis}, {"op": "broadcast", "axis": axis}, {"op": "chunk", "axis": axis, "dim": "tokens"},
        {"op": "all_gather", "axis": axis, "dim": rng.choice(get_args(Dim))}, {"op": "select_last"}, {"op": "activation"},
        {"op": "reduce_scatter", "axis": axis, "dim": "tokens"}, {"op": "norm", "weight": "ffn_norm"},
        {"op": "all_to_all", "axis": axis, "role": "dispatch"}, {"op": "step_sync", "axis": axis},
    ))  # fmt: skip

    def change(broken: Document) -> None:
        at = _block(broken, block)
        _node(broken, block, name)
        _rename(at, name, "extra")
        at["nodes"].append({"id": "extra", "inputs": [name], **made})

    return Mutation("insert", f"{block}: {made['op']} over {made.get('axis', '-')} behind {name}", change)


@kind
def _shuffle_lines(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """List the nodes of a block in another order: the same graph."""
    block, order = rng.choice(document["blocks"])["name"], rng.random()

    def change(broken: Document) -> None:
        Random(order).shuffle(_block(broken, block)["nodes"])  # noqa: S311 (repeatable)

    return Mutation("shuffle-lines", block, change)


# --- fields of nodes --------------------------------------------------------------------------------------------------


def _field(kind_: str, field: str, values: tuple[Any, ...]) -> Draw:
    def draw(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
        block, node = _with_field(rng, document, field)
        value = rng.choice([v for v in values if v != node[field]])
        return _set(kind_, block, node["id"], field, value)

    return draw


KINDS["wrong-axis"] = _field("wrong-axis", "axis", get_args(Axis))
KINDS["wrong-split"] = _field("wrong-split", "split", ("column", "row", "replicated", "vocab"))
KINDS["wrong-dim"] = _field("wrong-dim", "dim", get_args(Dim))
KINDS["wrong-role"] = _field(
    "wrong-role", "role", (None, "dispatch", "combine", "scatter_heads", "gather_heads", "kv", "q", "lse")
)
KINDS["wrong-form"] = _field("wrong-form", "form", (None, "expanded", "absorbed", "recurrent"))


@kind
def _router_weight(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Apply router weights nowhere, twice, or at the combine instead of the experts (which is right)."""
    places = [
        (b["name"], n)
        for b in document["blocks"]
        for n in b["nodes"]
        if n["op"] == "expert" or n.get("role") == "combine"
    ]
    block, node = rng.choice([(b, n) for b, n in places if n["op"] in ("expert", "all_to_all")])
    if node["op"] == "all_to_all":
        return _set("router-weight", block, node["id"], "apply_router_weight", True)
    combines = [n["id"] for n in _block(document, block)["nodes"] if n["op"] == "all_to_all" and n["role"] == "combine"]
    moved = rng.choice([None, *combines])

    def change(broken: Document) -> None:
        _node(broken, block, node["id"])["apply_router_weight"] = False
        if moved is not None:
            _node(broken, block, moved)["apply_router_weight"] = True

    return Mutation("router-weight", f"{block}: not in {node['id']}{f', but in {moved}' if moved else ''}", change)


@kind
def _wrong_weight(rng: Random, document: Document, model: ModelSpec) -> Mutation:
    """Name another weight of the model."""
    block, node = _with_field(rng, document, "weight")
    value = rng.choice([w for w in model_weights(model) if w != node["weight"]])
    return _set("wrong-weight", block, node["id"], "weight", value)


@kind
def _partial(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Call an attention partial, or a partial one whole."""
    block, node = _any_node(rng, document, "attention")
    return _set("partial", block, node["id"], "partial", None if node.get("partial") else True)


@kind
def _wrong_stage(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Send to a stage further on, or round the cp ranks instead of on."""
    block, node = _any_node(rng, document, "send")
    if rng.random() < 0.3:
        return _set("wrong-stage", block, node["id"], "axis", None if node.get("axis") else "cp")
    return _set("wrong-stage", block, node["id"], "stage_offset", rng.choice((2, 3)))


@kind
def _wrong_step(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Bring several tokens into one decode step."""
    block, node = _any_node(rng, document, "ingress")
    return _set("wrong-step", block, node["id"], "tokens_per_sequence", rng.choice((2, 8)))


_COLLECTIVES: tuple[Json, ...] = (
    {"op": "all_reduce"}, {"op": "broadcast"}, {"op": "chunk", "dim": "tokens"}, {"op": "reduce_scatter", "dim": "tokens", "role": None},
    {"op": "reduce_scatter", "dim": "hidden", "role": None}, {"op": "all_gather", "dim": "tokens", "role": None},
    {"op": "all_gather", "dim": "hidden", "role": None}, {"op": "all_to_all", "role": "dispatch"}, {"op": "all_to_all", "role": "combine"},
)  # fmt: skip


@kind
def _wrong_op(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Take another collective over the same axis."""
    block, node = _any_node(rng, document, "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "chunk")
    name, made = node["id"], rng.choice(_COLLECTIVES)

    def change(broken: Document) -> None:
        at = _node(broken, block, name)
        kept = {field: at[field] for field in ("id", "axis", "inputs")}
        at.clear()
        at.update(kept, **made)

    return Mutation("wrong-op", f"{block}.{name}: {made['op']} {made.get('dim') or made.get('role') or ''}", change)


@kind
def _wrong_axis_throughout(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Take one axis for another in a whole block."""
    block, node = _with_field(rng, document, "axis")
    old, new = node["axis"], rng.choice([axis for axis in get_args(Axis) if axis != node["axis"]])

    def change(broken: Document) -> None:
        for at in _block(broken, block)["nodes"]:
            if at.get("axis") == old:
                at["axis"] = new

    return Mutation("wrong-axis-throughout", f"{block}: {old} becomes {new}", change)


@kind
def _resplit(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Split both matrices of a pair otherwise, with or without the sum behind them."""
    block, second = _any_node(rng, document, "linear")
    firsts = [n["id"] for n in _block(document, block)["nodes"] if n["op"] == "linear" and n["id"] != second["id"]]
    first, splits = rng.choice(firsts), rng.choice((("replicated", "replicated"), ("row", "column"), ("column", "row")))
    without = rng.choice([None, *(n["id"] for n in _block(document, block)["nodes"] if n["op"] == "all_reduce")])

    def change(broken: Document) -> None:
        for name, split in zip((first, second["id"]), splits, strict=True):
            _node(broken, block, name)["split"] = split
        if without is not None:
            gone = _node(broken, block, without)
            _block(broken, block)["nodes"].remove(gone)
            _rename(_block(broken, block), without, _source(gone["inputs"][0]))

    told = f"{first} by {splits[0]}, {second['id']} by {splits[1]}"
    return Mutation("resplit", f"{block}: {told}{f', without {without}' if without else ''}", change)


# --- edges ------------------------------------------------------------------------------------------------------------


def _edge(rng: Random, document: Document) -> tuple[str, Json, int]:
    block, node = _any_node(rng, document)
    return block, node, rng.randrange(len(node["inputs"])) if node["inputs"] else _nothing(node)


def _nothing(node: Json) -> int:
    raise LookupError(node["id"])


def _inputs(
    kind_: str, block: str, node: str, text: str, change_: Callable[[list[str], int], None], told: str
) -> Mutation:
    """A change of one input, found by its text."""

    def change(broken: Document) -> None:
        inputs = _node(broken, block, node)["inputs"]
        if text not in inputs:
            raise LookupError(text)
        change_(inputs, inputs.index(text))

    return Mutation(kind_, f"{block}.{node}: {told}", change)


@kind
def _retarget_edge(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Read another value of the block."""
    block, node, index = _edge(rng, document)
    text = node["inputs"][index]
    prefix, colon, source = text.rpartition(":")
    other = rng.choice(
        [n for n in ["in", *(n["id"] for n in _block(document, block)["nodes"])] if n not in (source, node["id"])]
    )
    new = f"{prefix}{colon}{other}"

    def put(inputs: list[str], at: int) -> None:
        inputs[at] = new

    return _inputs("retarget-edge", block, node["id"], text, put, f"reads {new} instead of {text}")


@kind
def _cut_edge(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Leave an input out."""
    block, node, index = _edge(rng, document)
    text = node["inputs"][index]
    return _inputs("cut-edge", block, node["id"], text, _pop, f"does not read {text}")


def _pop(inputs: list[str], at: int) -> None:
    inputs.pop(at)


@kind
def _add_edge(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Read one more value."""
    block, node = _any_node(rng, document)
    name = node["id"]
    other = rng.choice(["in", *(n["id"] for n in _block(document, block)["nodes"] if n["id"] != name)])
    text = rng.choice(("", "", "sync:")) + other

    def change(broken: Document) -> None:
        if other != "in":
            _node(broken, block, other)
        _node(broken, block, name)["inputs"].append(text)

    return Mutation("add-edge", f"{block}.{name} also reads {text}", change)


@kind
def _edge_kind(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Make data an order, or an order data."""
    block, node, index = _edge(rng, document)
    text = node["inputs"][index]
    new = rng.choice([k + _source(text) for k in ("", "sync:", "pipeline:") if k + _source(text) != text])

    def put(inputs: list[str], at: int) -> None:
        inputs[at] = new

    return _inputs("edge-kind", block, node["id"], text, put, f"{text} becomes {new}")


@kind
def _swap_inputs(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Name the inputs in another order."""
    several = [(b["name"], n["id"]) for b in document["blocks"] for n in b["nodes"] if len(n["inputs"]) > 1]
    block, node = rng.choice(several)

    def change(broken: Document) -> None:
        _node(broken, block, node)["inputs"].reverse()

    return Mutation("swap-inputs", f"{block}.{node}", change)


@kind
def _block_output(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Let another value leave the block."""
    block = rng.choice(document["blocks"])
    name, other = block["name"], rng.choice([n["id"] for n in block["nodes"] if n["id"] != block["output"]])

    def change(broken: Document) -> None:
        _node(broken, name, other)
        _block(broken, name)["output"] = other

    return Mutation("block-output", f"{name} gives {other}", change)


# --- branches and links -----------------------------------------------------------------------------------------------


@kind
def _layer_range(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Stamp layers twice, or not at all, or layers that do not exist."""
    phase = rng.choice(("prefill", "decode"))
    index = rng.randrange(len(document["branches"][phase]["layers"]))
    end, by = rng.randrange(2), rng.choice((-1, 1))

    def change(broken: Document) -> None:
        at = broken["branches"][phase]["layers"][index]["range"] = list(
            broken["branches"][phase]["layers"][index]["range"]
        )
        at[end] += by

    return Mutation("layer-range", f"{phase} stamp {index}: {'start' if end == 0 else 'end'} {by:+d}", change)


@kind
def _layer_border(rng: Random, _document: Document, _model: ModelSpec) -> Mutation:
    """Let one kind of layer end, and the next begin, a layer too early or too late."""
    phases = rng.choice((("prefill",), ("decode",), ("prefill", "decode")))
    index, by = rng.randrange(3), rng.choice((-1, 1))

    def change(broken: Document) -> None:
        for phase in phases:
            stamps = broken["branches"][phase]["layers"]
            (start, end), (_, last) = stamps[index]["range"], stamps[index + 1]["range"]
            stamps[index]["range"], stamps[index + 1]["range"] = [start, end + by], [end + by, last]

    return Mutation("layer-border", f"{' and '.join(phases)} stamps {index} and {index + 1}: border {by:+d}", change)


@kind
def _layer_blocks(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Turn the blocks of a layer round, leave one out, repeat one, or take another block."""
    phase = rng.choice(("prefill", "decode"))
    index = rng.randrange(len(document["branches"][phase]["layers"]))
    how = rng.choice(("turned round", "one short", "one twice", "another"))
    other = rng.choice(document["blocks"])["name"]
    at_block = rng.randrange(2)

    def change(broken: Document) -> None:
        layer = broken["branches"][phase]["layers"][index]
        blocks = list(layer["blocks"])
        if how == "turned round":
            blocks.reverse()
        elif how == "one short":
            blocks.pop(at_block)
        elif how == "one twice":
            blocks.insert(at_block, blocks[at_block])
        else:
            _block(broken, other)
            blocks[at_block] = other
        layer["blocks"] = blocks

    told = f"{how} ({other})" if how == "another" else how
    return Mutation("layer-blocks", f"{phase} stamp {index}: {told}, block {at_block}", change)


@kind
def _branch_block(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Open, close or join stages with another block."""
    phase, part = rng.choice(("prefill", "decode")), rng.choice(("embed", "head", "boundary"))
    value = rng.choice([None if part == "boundary" else "embed", *(b["name"] for b in document["blocks"])])

    def change(broken: Document) -> None:
        if value is not None:
            _block(broken, value)
        broken["branches"][phase][part] = value

    return Mutation("branch-block", f"{phase}.{part} = {value}", change)


@kind
def _swap_stamps(rng: Random, _document: Document, _model: ModelSpec) -> Mutation:
    """Stamp the layers in another order."""
    phase = rng.choice(("prefill", "decode"))

    def change(broken: Document) -> None:
        broken["branches"][phase]["layers"] = list(reversed(broken["branches"][phase]["layers"]))

    return Mutation("swap-stamps", phase, change)


def _link(broken: Document, link: Json) -> Json:
    if link not in broken["links"]:
        raise LookupError(link["source"])
    return broken["links"][broken["links"].index(link)]  # type: ignore[no-any-return]


@kind
def _drop_link(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Forget the cache or the token between phases or steps."""
    link = dict(rng.choice(document["links"]))
    return Mutation("drop-link", _told(link), lambda broken: broken["links"].remove(_link(broken, link)))


def _told(link: Json) -> str:
    return f"{link['source']} -> {link['target']}{' (loop)' if link['loop'] else ''}"


@kind
def _wrong_kv_source(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Let a link start or end at another node."""
    link, side = dict(rng.choice(document["links"])), rng.choice(("source", "target"))
    block, node = _any_node(rng, document)
    phase = rng.choice(("prefill", "decode"))
    value = f"{phase}.{block}.{node['id']}"

    def change(broken: Document) -> None:
        _node(broken, block, node["id"])
        _link(broken, link)[side] = value

    return Mutation("wrong-kv-source", f"{_told(link)}: {side} = {value}", change)


@kind
def _link_kind(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Take a loop for a link inside the step, or data for order."""
    link = dict(rng.choice(document["links"]))
    field, value = rng.choice((("loop", not link["loop"]), ("kind", "data" if link["kind"] == "sync" else "sync")))
    return Mutation("link-kind", f"{_told(link)}: {field} = {value}", lambda b: _link(b, link).update({field: value}))


@kind
def _link_elsewhere(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Let a link start or end at the same node of another block, or in the other phase."""
    link, side = dict(rng.choice(document["links"])), rng.choice(("source", "target"))
    phase, block, node = link[side].split(".")
    others = [b["name"] for b in document["blocks"] if any(n["id"] == node for n in b["nodes"])]
    places = [f"{p}.{b}.{node}" for p in ("prefill", "decode") for b in others if (p, b) != (phase, block)]
    value = rng.choice(places)

    def change(broken: Document) -> None:
        _node(broken, value.split(".")[1], node)
        _link(broken, link)[side] = value

    return Mutation("link-elsewhere", f"{_told(link)}: {side} = {value}", change)


@kind
def _double_link(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Write a link twice, perhaps once as a loop."""
    link, loop = dict(rng.choice(document["links"])), rng.random() < 0.5

    def change(broken: Document) -> None:
        broken["links"].append({**_link(broken, link), "loop": link["loop"] != loop})

    return Mutation("double-link", f"{_told(link)}{' the other way' if loop else ''}", change)


@kind
def _extra_link(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Join two nodes that have nothing to say to each other."""
    ends = [
        f"{rng.choice(('prefill', 'decode'))}.{block}.{node['id']}"
        for block, node in (_any_node(rng, document), _any_node(rng, document))
    ]
    link = {"source": ends[0], "target": ends[1], "kind": rng.choice(("data", "sync")), "loop": rng.random() < 0.5}
    return Mutation("extra-link", _told(link), lambda broken: broken["links"].append(dict(link)))


# --- the strategy -----------------------------------------------------------------------------------------------------


@kind
def _pool_field(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Declare another strategy than the DAG was written for."""
    pool = rng.randrange(len(document["strategy"]["pools"]))
    field, values = rng.choice((
        ("ep_lowering", get_args(EpLowering)), ("sp_kind", get_args(SpKind)), ("dense_ffn", ("local", "gathered")),
        ("lm_head", ("local", "gathered")), ("moe_layout", ("moe_tp_fastest", "ep_fastest")), ("dp_layout", ("outer", "inner")),
        ("cp_decode_use", (None, *get_args(CpDecodeUse))), ("dcp_size", (1, 2, 4)), ("cp_order", ("zigzag", "contiguous")),
        ("replicas", (1, 2)), ("redundant_experts", (0, 1, 2, 4)), ("chunk_tokens", (None, 512)), ("microbatches", (1, 2)),
    ))  # fmt: skip
    value = rng.choice([v for v in values if v != document["strategy"]["pools"][pool][field]])

    def change(broken: Document) -> None:
        broken["strategy"]["pools"][pool][field] = value

    return Mutation("pool-field", f"pool {pool}: {field} = {value}", change)


@kind
def _degree(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Another degree on one mesh, or two degrees exchanged."""
    pool = rng.randrange(len(document["strategy"]["pools"]))
    mesh = rng.choice(("attention", "experts"))
    sizes = document["strategy"]["pools"][pool][mesh]
    if sizes is None:
        raise LookupError(mesh)
    first, second = rng.sample(list(sizes), 2)
    value = rng.choice((None, 1, 2, 4))

    def change(broken: Document) -> None:
        at = broken["strategy"]["pools"][pool][mesh]
        if value is None:
            at[first], at[second] = at[second], at[first]
        else:
            at[first] = value

    told = f"{first} and {second} exchanged" if value is None else f"{first} = {value}"
    return Mutation("degree", f"pool {pool}: {mesh} {told}", change)


@kind
def _phases(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Let the pools of a disaggregated plan serve each other's phase, or one pool both."""
    pools = document["strategy"]["pools"]
    pool, phases = rng.randrange(len(pools)), rng.choice((["prefill"], ["decode"], ["prefill", "decode"]))

    def change(broken: Document) -> None:
        broken["strategy"]["pools"][pool]["phases"] = phases
        if len(phases) == 1 and len(pools) > 1:
            broken["strategy"]["pools"][1 - pool]["phases"] = ["decode" if phases == ["prefill"] else "prefill"]

    return Mutation("phases", f"pool {pool} serves {' and '.join(phases)}", change)


@kind
def _stages(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Shift the border of a stage on one side only, or exchange two stages."""
    pool = rng.randrange(len(document["strategy"]["pools"]))
    index, end, by = rng.randrange(4), rng.randrange(2), rng.choice((-1, 1, 0))

    def change(broken: Document) -> None:
        stages = [list(stage) for stage in broken["strategy"]["pools"][pool]["stages"]]
        if by == 0:
            stages[index], stages[index - 1] = stages[index - 1], stages[index]
        else:
            stages[index][end] += by
        broken["strategy"]["pools"][pool]["stages"] = stages

    if index >= len(document["strategy"]["pools"][pool]["stages"]):
        raise LookupError(index)
    told = "exchanged" if by == 0 else f"{'start' if end == 0 else 'end'} {by:+d}"
    return Mutation("stages", f"pool {pool} stage {index}: {told}", change)


@kind
def _stage_border(rng: Random, document: Document, _model: ModelSpec) -> Mutation:
    """Move the border between two stages by a layer: another balance, the same function."""
    pool, index, by = rng.randrange(len(document["strategy"]["pools"])), rng.randrange(1, 4), rng.choice((-1, 1))

    def change(broken: Document) -> None:
        stages = [list(stage) for stage in broken["strategy"]["pools"][pool]["stages"]]
        stages[index - 1][1] += by
        stages[index][0] += by
        broken["strategy"]["pools"][pool]["stages"] = stages

    if index >= len(document["strategy"]["pools"][pool]["stages"]):
        raise LookupError(index)
    return Mutation("stage-border", f"pool {pool} stage {index}: begins {by:+d}", change)
