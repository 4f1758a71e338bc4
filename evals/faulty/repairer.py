"""A mechanical model: it corrects exactly what findings say, reading only code, path, message and hint. It knows no parallelism.

What it can mend shows that the hints are enough; what it cannot shows a hint to improve.
"""

import copy
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from agent.wire import answer_path
from strategy.result import Finding

Json = dict[str, Any]
Change = Callable[[Json, str, "re.Match[str]"], bool]
"""Works on the answer in place; False when the hint does not fit it."""

_PATTERNS: list[tuple[re.Pattern[str], Change]] = []
_NAME = r"`([\w.]+)`"
DEGREES = ("dp_size", "cp_size", "tp_size", "ep_size")


def repaired(answer: Json, findings: Sequence[Finding]) -> Json:
    """The answer after every finding's hint was followed, as far as it can be followed; each place is changed once."""
    changed, done = copy.deepcopy(answer), set[str]()
    ordered = sorted(
        findings, key=lambda f: _numbers(f.path), reverse=True
    )  # from the end: earlier places keep their numbers
    for finding in ordered:
        key = f"{finding.hint}" if "`" in finding.hint or "{" in finding.hint else f"{finding.path} {finding.hint}"
        if key not in done and follow(changed, finding):
            done.add(key)
    return changed


def follow(answer: Json, finding: Finding) -> bool:
    """Do what one hint says: the first of its forms that fits."""
    path = answer_path(finding.path)
    for pattern, change in _PATTERNS:
        match = pattern.search(finding.hint)
        if match is not None:
            before = copy.deepcopy(answer)
            try:
                if change(answer, path, match) and answer != before:
                    return True
            except (LookupError, ValueError, TypeError, StopIteration):
                pass
            answer.clear()
            answer.update(before)
    return False


def _hint(pattern: str) -> Callable[[Change], Change]:
    def register(change: Change) -> Change:
        _PATTERNS.append((re.compile(pattern), change))
        return change

    return register


def _numbers(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.split("/")]


# --- places ---------------------------------------------------------------------------------------------------------------


def _at(answer: Any, path: str) -> tuple[Any, Any]:
    """The container and the key that a pointer names. Raises LookupError when there is no such place."""
    *parents, last = path.strip("/").split("/")
    at = answer
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at[part]
    return at, int(last) if isinstance(at, list) else last


def _pool(answer: Json, path: str) -> Json:
    match = re.match(r"/strategy/pools/(\d+)", path)
    return answer["strategy"]["pools"][int(match[1]) if match else 0]  # type: ignore[no-any-return]


def _block(answer: Json, path: str, name: str = "") -> Json:
    """The block that a path lies in, else the first that has a node of this name."""
    blocks = answer["graph"]["blocks"]
    match = re.match(r"/graph/blocks/(\d+)", path)
    if match is not None and (not name or any(n["id"] == name for n in blocks[int(match[1])]["nodes"])):
        return blocks[int(match[1])]  # type: ignore[no-any-return]
    return next(b for b in blocks if any(n["id"] == name for n in b["nodes"]))


def _node(block: Json, name: str) -> Json:
    found = next((n for n in block["nodes"] if n["id"] == name), None)
    if found is None:
        raise LookupError(name)
    return found  # type: ignore[no-any-return]


def _source(text: str) -> str:
    return text.rpartition(":")[2]


def _readers_read(block: Json, old: str, new: str, *, but: str = "") -> None:
    """Who read `old` reads `new`."""
    for node in block["nodes"]:
        if node["id"] != but and "inputs" in node:
            node["inputs"] = [
                text[: len(text) - len(old)] + new if _source(text) == old else text for text in node["inputs"]
            ]
    if block["output"] == old:
        block["output"] = new


def _fresh(block: Json, name: str) -> str:
    taken = {node["id"] for node in block["nodes"]} | {"in"}
    return next(n for n in (name, *(f"{name}_{i}" for i in range(2, 99))) if n not in taken)


def _value(text: str) -> Any:
    text = text.strip().strip("`")
    return {"true": True, "false": False, "null": None}.get(text, int(text) if re.fullmatch(r"\d+", text) else text)


def _nearest(choices: str, now: Any) -> Any:
    """Of the values that a hint lists, the largest that is not above what stands there."""
    values = [_value(v) for v in re.split(r",\s*|\s+or\s+", choices.replace(", ...", "")) if v.strip()]
    numbers = [v for v in values if isinstance(v, int)]
    if not numbers or not isinstance(now, int):
        return values[0]
    below = [v for v in numbers if v <= now and v != now]
    return max(below) if below else min(numbers)


def _set_field(answer: Json, path: str, name: str, choose: Callable[[Any], Any]) -> bool:
    """Set the field that a hint names: relative to the pool of the path, to the node of the path, or the path itself."""
    last = path.rpartition("/")[2]
    parts = name.split(".")
    holders: list[tuple[Any, str]] = []
    if path.startswith("/strategy"):
        at: Any = _pool(answer, path)
        for part in parts[:-1]:
            at = at.setdefault(part, {}) if isinstance(at, dict) else at
        holders.append((at, parts[-1]))
    if last == parts[-1]:
        at, key = _at(answer, path)
        holders.insert(0, (at, key))
    elif path.startswith("/graph/blocks"):
        at, key = _at(answer, path)
        holders.append((at[key], parts[-1]))
    for at, key in holders:
        if isinstance(at, dict) and key in at:
            at[key] = choose(at[key])
            return True
    return False


# --- hints that give values -----------------------------------------------------------------------------------------------


@_hint(r"for instance: (set pool `.*\})")
def _whole_pools(answer: Json, _path: str, match: "re.Match[str]") -> bool:
    for name, fields in re.findall(r"set pool `([\w-]+)` to (\{.*?\})(?=; set pool|$)", match[1]):
        pool = next(one for one in answer["strategy"]["pools"] if one["name"] == name)
        pool.update(json.loads(fields))
    return True


@_hint(r"such as ep_size (\d+) with expert tp_size (\d+)")
def _nested_experts(answer: Json, path: str, match: "re.Match[str]") -> bool:
    pool, ep, tp = _pool(answer, path), int(match[1]), int(match[2])
    pool["experts"] = {"dp_size": math.prod(pool["attention"].values()) // ep // tp, "ep_size": ep, "tp_size": tp}
    return True


@_hint(r"set phases of (`.*\])")
def _phases(answer: Json, _path: str, match: "re.Match[str]") -> bool:
    for name, phases in re.findall(r"`([\w-]+)` to \[([\w, ]+)\]", match[1]):
        pool = next(one for one in answer["strategy"]["pools"] if one["name"] == name)
        pool["phases"] = phases.split(", ")
    return True


@_hint(r"set split of `(\w+)` to (\w+)")
def _split(answer: Json, path: str, match: "re.Match[str]") -> bool:
    _node(_block(answer, path, match[1]), match[1])["split"] = match[2]
    return True


@_hint(r"set (?:experts|`experts`) (?:to|:) \{([^}]*)\}")
def _experts(answer: Json, path: str, match: "re.Match[str]") -> bool:
    _pool(answer, path)["experts"] = {k.strip(): int(v) for k, v in (pair.split(":") for pair in match[1].split(","))}
    return True


@_hint(r"set ([\w.]+)(?: to one of|: one of) ([\w, .]+?)(?:, or |, and |$|;)")
def _one_of(answer: Json, path: str, match: "re.Match[str]") -> bool:
    return _set_field(answer, path, match[1], lambda now: _nearest(match[2], now))


@_hint(r"set (?:`)?([\w.]+)(?:`)?(?: of the expert node)?(?: to|:) `?([\w.]+)`?")
def _to(answer: Json, path: str, match: "re.Match[str]") -> bool:
    if match[1] == "apply_router_weight":
        block = _block(answer, path)
        next(n for n in block["nodes"] if n["op"] == "expert")["apply_router_weight"] = _value(match[2])
        return True
    return _set_field(answer, path, match[1], lambda _now: _value(match[2]))


@_hint(r"set it to (\w+)")
def _it_to(answer: Json, path: str, match: "re.Match[str]") -> bool:
    at, key = _at(answer, path)
    at[key] = _value(match[1])
    return True


@_hint(
    r"split (?:it|them) over one of ([\d, ]+) ranks|use a tp_size that divides \d+ \(([\d, ]+)\)|for decode: ([\d, ]+), or"
)
def _degree_at_path(answer: Json, path: str, match: "re.Match[str]") -> bool:
    at, key = _at(answer, path)
    at[key] = _nearest(next(g for g in match.groups() if g), at[key])
    return True


@_hint(r"such as (\[\[\d+, \d+\](?:, \[\d+, \d+\])*\])")
def _stages(answer: Json, path: str, match: "re.Match[str]") -> bool:
    _pool(answer, path)["stages"] = [[int(a), int(b)] for a, b in re.findall(r"(\d+), (\d+)", match[1])]
    return True


@_hint(r"the last: \[(\d+), (\d+)\]")
def _range(answer: Json, path: str, match: "re.Match[str]") -> bool:
    at, key = _at(answer, path)
    at[key] = [int(match[1]), int(match[2])]
    return True


@_hint(r"order the ranges by layer")
def _ordered(answer: Json, path: str, _match: "re.Match[str]") -> bool:
    _pool(answer, path)["stages"].sort()
    return True


@_hint(
    r"experts\.dp_size x ep_size x tp_size equal to (\d+)|dp_size x ep_size x tp_size = (\d+)|tp_size x ep_size equal to (\d+)"
)
def _expert_mesh(answer: Json, path: str, match: "re.Match[str]") -> bool:
    """Keep ep_size as far as it divides the width, and give the rest to dp_size."""
    width = int(next(g for g in match.groups() if g))
    pool = _pool(answer, path)
    old = pool["experts"] or {"ep_size": width, "tp_size": 1}
    ep = math.gcd(old["ep_size"], width)
    tp = math.gcd(old["tp_size"], width // ep)
    pool["experts"] = {"dp_size": width // ep // tp, "ep_size": ep, "tp_size": tp}
    return True


@_hint(r"use one of ([\w, ]+)$")
def _use_one_of(answer: Json, path: str, match: "re.Match[str]") -> bool:
    if path.endswith("/weight"):
        at, key = _at(answer, path)
    else:
        holder, index = _at(answer, path)
        at, key = holder[index], "weight"
    at[key] = match[1].split(", ")[0]
    return True


# --- hints that change nodes -----------------------------------------------------------------------------------------------


@_hint(
    r"insert (\w+) over ([\w, ]+?)(?: with dim (\w+))?(?: with role (\w+))?,? (before|after) `(\w+)`(?: on its input `([\w:]+)`)?"
)
def _insert(answer: Json, path: str, match: "re.Match[str]") -> bool:
    op, axis, dim, role, where, anchor, source = match.groups()
    block = _block(answer, path, anchor)
    at = _node(block, anchor)
    new: Json = {"id": _fresh(block, f"{op}_{anchor}"), "op": op, "axis": axis}
    if dim:
        new["dim"] = dim
    if op in ("all_gather", "reduce_scatter", "all_to_all"):
        new["role"] = role
    index = block["nodes"].index(at)
    if where == "after":
        _readers_read(block, anchor, new["id"])
        block["nodes"].insert(index + 1, {**new, "inputs": [anchor]})
        return True
    read = source or next(text for text in at["inputs"] if ":" not in text)
    at["inputs"] = [new["id"] if text == read else text for text in at["inputs"]]
    block["nodes"].insert(index, {**new, "inputs": [read]})
    return True


@_hint(r"(?:delete|remove) `(\w+)`")
def _delete_node(answer: Json, path: str, match: "re.Match[str]") -> bool:
    block = _block(answer, path, match[1])
    node = _node(block, match[1])
    through = next((text for text in node.get("inputs", []) if ":" not in text), None)
    block["nodes"].remove(node)
    if through is not None:
        _readers_read(block, match[1], through)
    return True


@_hint(r"(?:delete it|take one of these inputs away|, or delete it)")
def _delete_at_path(answer: Json, path: str, _match: "re.Match[str]") -> bool:
    at, key = _at(answer, path)
    if isinstance(at[key], dict) and "op" in at[key]:
        block = _block(answer, path)
        block["nodes"].remove(at[key])
        return True
    if isinstance(at, list):
        del at[key]
        return True
    return False


@_hint(r"use axis (\w+) in `(\w+)`|give it axis (\w+)")
def _axis(answer: Json, path: str, match: "re.Match[str]") -> bool:
    if match[2]:
        _node(_block(answer, path, match[2]), match[2])["axis"] = match[1]
    else:
        at, key = _at(answer, path)
        at[key]["axis"] = match[3]
    return True


@_hint(r"give both collectives the axes (\w+)$")
def _both_axes(answer: Json, path: str, match: "re.Match[str]") -> bool:
    at, key = _at(answer, path)
    at[key] = match[1]
    return True


@_hint(
    r"let `(\w+)` (?:also )?read `([\w:]+)`(?: instead of `([\w:]+)`)?|connect `(\w+)` to `([\w:]+)`(?: instead of `([\w:]+)`)?"
)
def _read(answer: Json, path: str, match: "re.Match[str]") -> bool:
    groups = list(match.groups())
    name, new, old = groups[:3] if groups[0] else groups[3:]
    node = _node(_block(answer, path, name), name)
    if old is None:
        node["inputs"].append(new)
    else:
        node["inputs"] = list(dict.fromkeys(new if text == old else text for text in node["inputs"]))
    return True


@_hint(r"write `([\w:]+)`|did you mean `([\w.]+)`")
def _write(answer: Json, path: str, match: "re.Match[str]") -> bool:
    at, key = _at(answer, path)
    at[key] = match[1] or match[2]
    return True


@_hint(r"leave `(\w+)` out")
def _leave_out(answer: Json, path: str, match: "re.Match[str]") -> bool:
    at, _ = _at(answer, path)
    return at.pop(match[1], None) is not None


@_hint(r"add (\{source: [^}]*\})")
def _add_link(answer: Json, _path: str, match: "re.Match[str]") -> bool:
    link = {k.strip(): _value(v) for k, v in (pair.split(":") for pair in match[1].strip("{}").split(","))}
    answer["graph"]["links"].append({"loop": False, **link})
    return True


@_hint(r"add (\{id: (\w+), op: [^}]*\}) to block `(\w+)` and read (sync:\w+) in its (\w+)")
def _add_node(answer: Json, _path: str, match: "re.Match[str]") -> bool:
    block = next(b for b in answer["graph"]["blocks"] if b["name"] == match[3])
    node = json.loads(re.sub(r"(\w+)", r'"\1"', match[1]))
    if any(n["id"] == node["id"] for n in block["nodes"]):
        raise ValueError(node["id"])
    reader = next(n for n in block["nodes"] if n["op"] == match[5])
    block["nodes"].insert(block["nodes"].index(reader), node)
    reader["inputs"].append(match[4])
    return True


# --- the way out -----------------------------------------------------------------------------------------------------------


@_hint(r"set `graph` to null")
def _canonical(answer: Json, _path: str, _match: "re.Match[str]") -> bool:
    answer["graph"] = None
    return True
