"""Other documents for the same function: what somebody else would have written for a strategy. Mutants are made of these as well.

A rewriting changes a document in place, or leaves it alone where it has no place for it.
"""

import copy
from collections.abc import Callable
from random import Random
from typing import Any

Document = dict[str, Any]
Json = dict[str, Any]
Rewriting = Callable[[Random, Document], None]

SHARE = 0.25
"""How often each rewriting is tried."""
READERS = ("attention_merge", "attention")


def rewritten(rng: Random, document: Document) -> tuple[str, ...]:
    """Rewrite in place, perhaps; the names of the rewritings that were tried."""
    tried = tuple(one for one in REWRITINGS if rng.random() < SHARE)
    for one in tried:
        one(rng, document)
    return tuple(one.__name__.replace("_", " ") for one in tried)


def stamps_cut(rng: Random, document: Document) -> None:
    """Layers of one kind in several stamps."""
    for branch in document["branches"].values():
        at = rng.randrange(len(branch["layers"]))
        start, end = branch["layers"][at]["range"]
        if end - start > 1:
            middle = rng.randrange(start + 1, end)
            parts = [{**branch["layers"][at], "range": part} for part in ([start, middle], [middle, end])]
            branch["layers"][at : at + 1] = parts


def blocks_of_their_own(rng: Random, document: Document) -> None:
    """One stamp of one phase with blocks of its own, and its own links."""
    phase = rng.choice(("prefill", "decode"))
    stamp = rng.choice(document["branches"][phase]["layers"])
    chosen = [name for name in stamp["blocks"] if rng.random() < 0.7]
    for name in chosen:
        _copied(document, stamp, name)
    _relinked(document)


def blocks_for_each_phase(_rng: Random, document: Document) -> None:
    """No layer block serves both phases."""
    named = {name for stamp in document["branches"]["prefill"]["layers"] for name in stamp["blocks"]}
    for stamp in document["branches"]["decode"]["layers"]:
        for name in [name for name in stamp["blocks"] if name in named]:
            _copied(document, stamp, name)
    _relinked(document)


def one_block_a_layer(rng: Random, document: Document) -> None:
    """Attention and FFN of one stamp in one block."""
    stamp = rng.choice(document["branches"][rng.choice(("prefill", "decode"))]["layers"])
    if len(stamp["blocks"]) != 2:
        return
    first, second = (_block(document, name) for name in stamp["blocks"])
    name = _free_name(document, "layer")
    nodes = [*_prefixed(first, "a_", "in"), *_prefixed(second, "f_", f"a_{first['output']}")]
    document["blocks"].append({"name": name, "nodes": nodes, "output": f"f_{second['output']}"})
    stamp["blocks"] = [name]
    _relinked(document)


def sums_in_two_steps(rng: Random, document: Document) -> None:
    """An all_reduce over tp as a reduce_scatter and an all_gather, but for the squares of a norm, one number a token."""
    for block in document["blocks"]:
        heads = {n["id"] for n in block["nodes"] if n["op"] == "attention"}
        sums = [n for n in block["nodes"] if n["op"] == "all_reduce" and n["axis"] == "tp"]
        for node in [n for n in sums if not heads & set(n["inputs"])]:
            if rng.random() < 0.5:
                dim = rng.choice(("tokens", "hidden"))
                whole = f"{node['id']}_whole"
                gather = {"id": whole, "op": "all_gather", "axis": "tp", "dim": dim, "inputs": [node["id"]]}
                _reread(block, node["id"], whole)
                node.update(op="reduce_scatter", dim=dim)
                block["nodes"].insert(block["nodes"].index(node) + 1, gather)


def shards_sent(_rng: Random, document: Document) -> None:
    """Each tp rank sends its part of the stream, and the receivers gather (vLLM). Streams in shards already have no whole to part."""
    if any(pool["sp_kind"] == "megatron" for pool in document["strategy"]["pools"]):
        return
    for block in document["blocks"]:
        sends = [n for n in block["nodes"] if n["op"] == "send" and n.get("axis") is None]
        if len(sends) == 1 and len(block["nodes"]) == 2:
            received = block["output"]
            block["nodes"].insert(0, {"id": "part", "op": "chunk", "axis": "tp", "dim": "tokens", "inputs": ["in"]})
            sends[0]["inputs"] = ["part"]
            block["nodes"].append(
                {"id": "whole", "op": "all_gather", "axis": "tp", "dim": "tokens", "inputs": [received]}
            )
            block["output"] = "whole"


def other_ids(rng: Random, document: Document) -> None:
    """Other node ids, lines and inputs in another order."""
    for block in document["blocks"]:
        new = {node["id"]: f"n{place}_{node['op']}" for place, node in enumerate(block["nodes"])}
        for node in block["nodes"]:
            parts = [text.rpartition(":") for text in node["inputs"]]
            node["inputs"] = [f"{kind}{colon}{new.get(source, source)}" for kind, colon, source in parts]
            node["id"] = new[node["id"]]
            rng.shuffle(node["inputs"])
        rng.shuffle(block["nodes"])
        block["output"] = new[block["output"]]
        for link in document["links"]:
            for end in ("source", "target"):
                phase, name, node_id = link[end].split(".")
                if name == block["name"]:
                    link[end] = f"{phase}.{name}.{new[node_id]}"


REWRITINGS: tuple[Callable[[Random, Document], None], ...] = (
    stamps_cut,
    blocks_of_their_own,
    blocks_for_each_phase,
    one_block_a_layer,
    sums_in_two_steps,
    shards_sent,
    other_ids,
)


def _block(document: Document, name: str) -> Json:
    return next(block for block in document["blocks"] if block["name"] == name)


def _free_name(document: Document, name: str) -> str:
    taken = {block["name"] for block in document["blocks"]}
    return next(free for number in range(len(taken) + 1) if (free := f"{name}_{number}") not in taken)


def _copied(document: Document, stamp: Json, name: str) -> None:
    """A copy of a block for one stamp."""
    new = _free_name(document, name)
    document["blocks"].append({**copy.deepcopy(_block(document, name)), "name": new})
    stamp["blocks"] = [new if one == name else one for one in stamp["blocks"]]


def _prefixed(block: Json, prefix: str, entry: str) -> list[Json]:
    def renamed(text: str) -> str:
        kind, colon, source = text.rpartition(":")
        return f"{kind}{colon}{entry if source == 'in' else prefix + source}"

    return [{**n, "id": prefix + n["id"], "inputs": [renamed(text) for text in n["inputs"]]} for n in block["nodes"]]


def _reread(block: Json, old: str, new: str) -> None:
    for node in block["nodes"]:
        parts = [text.rpartition(":") for text in node["inputs"]]
        node["inputs"] = [f"{kind}{colon}{new if source == old else source}" for kind, colon, source in parts]
    block["output"] = new if block["output"] == old else block["output"]


def _relinked(document: Document) -> None:
    """Blocks that nobody stamps go, and every cache is linked to what reads it in the layers that both have."""
    branches = document["branches"]
    used = {name for branch in branches.values() for stamp in branch["layers"] for name in stamp["blocks"]}
    used |= {branch[part] for branch in branches.values() for part in ("embed", "boundary", "head")}
    document["blocks"] = [block for block in document["blocks"] if block["name"] in used]
    chunked = any(link["loop"] and link["source"].startswith("prefill") for link in document["links"])
    tokens = [link for link in document["links"] if link["kind"] == "data"]
    pairs = [
        ("prefill", "decode", False),
        ("decode", "decode", True),
        *([("prefill", "prefill", True)] if chunked else []),
    ]
    found = {
        (f"{source}.{_end(document, a, ('kv_cache_update',))}", f"{target}.{_end(document, b, READERS)}", loop)
        for source, target, loop in pairs
        for a in _caching(document, branches[source]["layers"])
        for b in _caching(document, branches[target]["layers"])
        if max(a["range"][0], b["range"][0]) < min(a["range"][1], b["range"][1])
    }
    caches = [{"source": a, "target": b, "kind": "sync", "loop": loop} for a, b, loop in sorted(found)]
    document["links"] = [*caches, *tokens]


def _caching(document: Document, stamps: list[Json]) -> list[Json]:
    """Stamps of layers that keep a cache or a state."""
    blocks = {b["name"] for b in document["blocks"] if any(node["op"] == "kv_cache_update" for node in b["nodes"])}
    return [stamp for stamp in stamps if blocks & set(stamp["blocks"])]


def _end(document: Document, stamp: Json, ops: tuple[str, ...]) -> str:
    """Block and node of a stamp that writes or reads the cache: of the first op that it has."""
    nodes = [(name, node) for name in stamp["blocks"] for node in _block(document, name)["nodes"]]
    partial = any(node["op"] == "send" and node.get("axis") for _, node in nodes)
    wanted = next(op for op in ops if any(n["op"] == op for _, n in nodes) and (op != "attention_merge" or partial))
    return next(f"{name}.{node['id']}" for name, node in nodes if node["op"] == wanted)
