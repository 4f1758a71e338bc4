"""Reading strategy DAG documents: YAML or JSON text to a `Dag`, or findings that say where and why not.

Text that does not parse raises `UnreadableError` with line and column. Text that parses but is not a DAG document yields findings:

    DG001  two pools of one name              DG009  a phase is missing
    DG005  an op that does not exist          DG014  a degree that is not an integer in range
    DG006  an edge kind that does not exist   CM005  communication hidden in a compute node
    DG000  everything else: unknown, missing or mistyped keys

Only plain data is accepted: no anchors, aliases, tags, duplicate keys, NaN or infinities, and everything within the limits below, so
that reading a hostile text takes bounded time and memory. Scalars follow YAML's core schema: `on`, `no` and `12:30` are strings.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any, NoReturn, get_args

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from strategy.dag import AnyNode, Block, Branch, Branches, Dag, EdgeKind, LayerStamp, Link, Node
from strategy.errors import InputError, UnreadableError, plainly
from strategy.ops import OPS
from strategy.request import Request
from strategy.result import Finding
from strategy.strategy import AttentionMesh, DispatchModes, ExpertMesh, Pool, Strategy
from validators.characters import refuse_half_characters
from validators.claims import NO_CLAIMS, Claims

MAX_BYTES = 5_000_000
MAX_DEPTH = 64
MAX_VALUES = 400_000
MAX_DIGITS = 18
MAX_FINDINGS = 200

Position = tuple[int, int]
"""Line and column, both counted from 1."""


@dataclass(frozen=True)
class Document:
    """One text: the DAG in it, or what keeps it from being one. Pointers are relative to the DAG."""

    text: str
    name: str
    data: Any
    """The plain data of the DAG part."""
    dag: Dag | None
    request: Request | None = None
    """The request that came beside the DAG, if any."""
    findings: tuple[Finding, ...] = ()
    prefix: str = ""
    """Pointer of the DAG part in the text."""
    claims: Claims = NO_CLAIMS
    """What stands beside the DAG: accepted warnings, ranks written out, a deployment, an estimate."""

    def position(self, pointer: str) -> Position:
        """Line and column of the value at a JSON pointer, or of its nearest parent that exists."""
        beside = pointer.split("/", 2)[1:2] in [[key] for key in Claims.model_fields]
        full = pointer if beside else self.prefix + pointer
        while full not in self._positions and full:
            full = full.rpartition("/")[0]
        return self._positions.get(full, (1, 1))

    @cached_property
    def _positions(self) -> dict[str, Position]:
        """Every pointer of the text; made when a finding first asks."""
        return dict(pointer_positions(self.text))


def read_document(text: str, *, name: str = "") -> Document:
    """Read a DAG document, a result that holds one (`dag`), or a mapping with `dag` and `request`, as YAML or JSON.

    Raises `UnreadableError` when the text does not parse or exceeds a limit, `InputError` when it holds no DAG at all or its
    request is not one. A DAG that breaks the format comes back with `dag` None and findings.
    """
    if len(text) > MAX_BYTES:
        raise UnreadableError(f"the document has {len(text):,} characters; at most {MAX_BYTES:,} are read")
    data = read_data(text, strict_json=name.endswith(".json"))
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {_kind(data)}"
        raise UnreadableError(f"a strategy DAG document is a mapping, this text holds {found}", line=1, column=1)
    body, prefix = _dag_part(data)
    request = _request_part(data) if prefix else None
    claims, wrong = _claims_part(data)
    dag, findings = _validated(body)
    return Document(
        text=text,
        name=name,
        data=body,
        dag=None if wrong else dag,
        request=request,
        findings=(*wrong, *findings),
        prefix=prefix,
        claims=claims,
    )


def _claims_part(data: dict[str, Any]) -> tuple[Claims, tuple[Finding, ...]]:
    """What stands beside the DAG, or what is wrong with it."""
    given = {key: data[key] for key in Claims.model_fields if data.get(key) is not None}
    try:
        return Claims.model_validate(given), ()
    except ValidationError as error:
        details = error.errors(include_url=False)[:MAX_FINDINGS]
        return NO_CLAIMS, tuple(_beside(one) for one in details)


def _beside(details: ErrorDetails) -> Finding:
    """One error in what stands beside the DAG."""
    pointer = "".join(f"/{_escaped(str(part))}" for part in details["loc"])
    wanted = _wanted(details["type"], details.get("ctx", {}))
    if details["type"] == "extra_forbidden":
        return _error("DG000", pointer, f"unknown key `{_last(pointer)[:80]}`", "delete it")
    if details["type"] == "missing":
        return _error("DG000", pointer, f"`{_last(pointer)}` is missing", f"add `{_last(pointer)}`")
    return _error(
        "DG000", pointer, f"`{_last(pointer)}` is {_shown(details['input'])}, not {wanted}", f"write {wanted}"
    )


def _dag_part(data: dict[str, Any]) -> tuple[Any, str]:
    if "dag" not in data or "blocks" in data:
        return {key: value for key, value in data.items() if key not in Claims.model_fields}, ""
    if data["dag"] is None:
        raise InputError(f"this result holds no DAG (status `{data.get('status', 'unknown')}`)", pointer="/dag")
    return data["dag"], "/dag"


def _request_part(data: dict[str, Any]) -> Request | None:
    if data.get("request") is None:
        return None
    try:
        return Request.model_validate(data["request"])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        pointer = "/request" + "".join(f"/{part}" for part in first["loc"])
        raise InputError(f"`{pointer}`: {first['msg']}", pointer=pointer) from None


# --- text to plain data -----------------------------------------------------------------------------------------------


def read_data(text: str, *, strict_json: bool) -> Any:
    """Plain data of a JSON or YAML text, within the limits above. Raises `UnreadableError`."""
    data = _parsed(text, strict_json=strict_json)
    if "\\" in text:
        refuse_half_characters(text, data)
    return data


def _parsed(text: str, *, strict_json: bool) -> Any:
    if strict_json or text.lstrip()[:1] == "{":
        try:
            return _parse_json(text)
        except _NotJsonError as error:
            if strict_json or re.match(r'\s*\{\s*"', text):
                raise error.unreadable from None
    return _parse_yaml(text)


class _NotJsonError(Exception):
    def __init__(self, unreadable: UnreadableError) -> None:
        super().__init__(str(unreadable))
        self.unreadable = unreadable


def _parse_json(text: str) -> Any:
    try:
        data = json.loads(
            text,
            object_pairs_hook=_unique_pairs,
            parse_constant=_refuse_constant,
            parse_int=_bounded_int,
            parse_float=_finite_float,
        )
        _refuse_size(data)
    except json.JSONDecodeError as error:
        raise _NotJsonError(UnreadableError(f"not JSON: {error.msg}", line=error.lineno, column=error.colno)) from None
    except (RecursionError, _RefusedError) as error:
        # The reader of events refuses the same things and knows where they are.
        _parse_yaml(text)
        raise UnreadableError(str(error)) from None
    return data


def _refuse_size(data: Any) -> None:
    """Raise when data is deeper or larger than the limits."""
    level, count = [data], 0
    for _ in range(MAX_DEPTH + 1):
        count += len(level)
        if count > MAX_VALUES:
            raise _RefusedError(f"the document holds more than {MAX_VALUES:,} values")
        level = [v for x in level if isinstance(x, dict | list) for v in (x.values() if isinstance(x, dict) else x)]
        if not level:
            return
    raise _RefusedError(f"the document is nested more than {MAX_DEPTH} deep")


class _RefusedError(ValueError):
    """Plain data that we do not take."""


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _RefusedError(f"the key `{repeated[:80]}` occurs twice")
    return made


def _refuse_constant(text: str) -> NoReturn:
    raise _RefusedError(f"`{text}` is not a number that a document may hold")


def _bounded_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _RefusedError(f"an integer of {len(text)} digits; at most {MAX_DIGITS} are read")
    return int(text)


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _RefusedError(f"`{text[:40]}` is not a finite number")
    return value


_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z|NaN\Z|-?Infinity\Z")
"""YAML's words, and JavaScript's, which some JSON writers emit."""


def _scalar(text: str) -> Any:
    """A plain YAML scalar under the core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return _bounded_int(text)
    if _FLOAT.match(text):
        return _finite_float(text)
    if _NOT_FINITE.match(text):
        _refuse_constant(text)
    return text


@dataclass
class _Open:
    """A mapping or sequence being read."""

    made: dict[str, Any] | list[Any]
    key: str | None = None
    pointer: str = ""


def _parse_yaml(text: str) -> Any:
    """Plain data of a YAML text, from its events: anchors, tags and depth are refused before anything is built."""
    root: list[Any] = []
    for _pointer, _event, value in _walk(text):
        root[:] = [value]
    return root[0] if root else None


def pointer_positions(text: str) -> Iterator[tuple[str, Position]]:
    """(pointer, position) of every value; for the values of a mapping, the position of the key."""
    try:
        for pointer, mark, _ in _walk(text):
            yield pointer, (mark.line + 1, mark.column + 1)
    except UnreadableError:
        return  # JSON that YAML cannot read keeps the positions found so far


def _walk(text: str) -> Iterator[tuple[str, Any, Any]]:
    """Every value in document order as (pointer, mark, root value so far). Raises `UnreadableError`."""
    stack: list[_Open] = []
    root: Any = None
    count = 0
    for event in _events(text):
        mark = event.start_mark
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            continue
        if isinstance(event, yaml.DocumentStartEvent) and count:
            raise _at(mark, "one document is read, here a second begins")
        if not isinstance(event, yaml.NodeEvent):
            continue
        count += 1
        _refuse_event(event, count, len(stack))
        top = stack[-1] if stack else None
        if top is not None and isinstance(top.made, dict) and top.key is None:
            top.key = _key(event, top.made)
            yield f"{top.pointer}/{_escaped(top.key)}", mark, root
            continue
        value = _value(event)
        pointer = _attach(top, value)
        if top is None:
            root = value
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append(_Open(value, pointer=pointer))
        if top is None or isinstance(top.made, list):
            yield pointer, mark, root
    if root is not None:
        yield "", yaml.Mark("", 0, 0, 0, None, 0), root


def _attach(top: _Open | None, value: Any) -> str:
    """Put a value where it belongs and return its pointer."""
    if top is None:
        return ""
    if isinstance(top.made, list):
        top.made.append(value)
        return f"{top.pointer}/{len(top.made) - 1}"
    assert top.key is not None
    top.made[top.key] = value
    pointer = f"{top.pointer}/{_escaped(top.key)}"
    top.key = None
    return pointer


def _events(text: str) -> Iterator[Any]:
    """Events of the C parser, its errors as ours."""
    try:
        yield from yaml.parse(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(part for part in (error.context, error.problem) if part)
        if mark is None:
            raise UnreadableError(f"not YAML: {message}") from None
        raise _at(mark, f"not YAML: {message}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        raise UnreadableError(f"not YAML: {error.reason}", line=line, column=column) from None
    except UnicodeEncodeError as error:
        raise UnreadableError(f"not text: {error.reason} at character {error.start}") from None


def _refuse_event(event: Any, count: int, depth: int) -> None:
    mark = event.start_mark
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise _at(mark, "anchors and aliases are not read; write the value out")
    if depth > MAX_DEPTH:
        raise _at(mark, f"the document is nested more than {MAX_DEPTH} deep")
    if count > MAX_VALUES:
        raise _at(mark, f"the document holds more than {MAX_VALUES:,} values")
    if event.tag is not None and event.tag != "!":
        raise _at(mark, f"tags are not read, got `{event.tag[:80]}`")


def _key(event: Any, made: dict[str, Any]) -> str:
    if not isinstance(event, yaml.ScalarEvent):
        raise _at(event.start_mark, "keys are plain strings")
    if event.value in made:
        raise _at(event.start_mark, f"the key `{event.value[:80]}` occurs twice")
    return str(event.value)


def _value(event: Any) -> Any:
    if isinstance(event, yaml.MappingStartEvent):
        return {}
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    if event.style:  # quoted or block scalars are strings
        return event.value
    try:
        return _scalar(event.value)
    except _RefusedError as error:
        raise _at(event.start_mark, str(error)) from None


def _at(mark: Any, message: str) -> UnreadableError:
    return UnreadableError(message, line=mark.line + 1, column=mark.column + 1)


def _escaped(key: str) -> str:
    """A key as a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _kind(value: object) -> str:
    names = {list: "sequence", str: "string", bool: "boolean", int: "number", float: "number", dict: "mapping"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


# --- plain data to a Dag ----------------------------------------------------------------------------------------------


def _validated(body: Any) -> tuple[Dag | None, tuple[Finding, ...]]:
    try:
        return Dag.model_validate(body), ()
    except ValidationError as error:
        details = error.errors(include_url=False)
        # A list that lost its broken items is then also too short: only the innermost errors are mistakes.
        parents = {one["loc"][:depth] for one in details for depth in range(len(one["loc"]))}
        found: dict[str, Finding] = {}
        for one in details[: 10 * MAX_FINDINGS]:
            if one["loc"] not in parents:
                finding = _finding(one, body)
                found.setdefault(finding.path, finding)
        return None, tuple(found.values())[:MAX_FINDINGS]


_NODE_MODELS: dict[str, type[Node]] = {
    get_args(model.model_fields["op"].annotation)[0]: model for model in get_args(get_args(AnyNode)[0])
}
_OBJECTS: tuple[tuple[re.Pattern[str], type[Any]], ...] = (
    (re.compile(r""), Dag),
    (re.compile(r"/strategy"), Strategy),
    (re.compile(r"/strategy/pools/\d+"), Pool),
    (re.compile(r"/strategy/pools/\d+/attention"), AttentionMesh),
    (re.compile(r"/strategy/pools/\d+/experts"), ExpertMesh),
    (re.compile(r"/strategy/pools/\d+/dispatch_mode"), DispatchModes),
    (re.compile(r"/blocks/\d+"), Block),
    (re.compile(r"/branches"), Branches),
    (re.compile(r"/branches/(prefill|decode)"), Branch),
    (re.compile(r"/branches/(prefill|decode)/layers/\d+"), LayerStamp),
    (re.compile(r"/links/\d+"), Link),
)
_HIDDEN = re.compile(
    r"implicit|all_?reduce|all_?gather|all_?to_?all|reduce_?scatter|collective|sync|comm|broadcast", re.IGNORECASE
)


def _finding(details: ErrorDetails, body: Any) -> Finding:
    """One schema error as a finding, with the code of the rule that it breaks."""
    pointer, value = _pointer(details["loc"], body)
    kind, context = details["type"], details.get("ctx", {})
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_op(pointer, value)
    if kind == "extra_forbidden":
        return _unknown_key(pointer, body)
    if kind == "missing":
        return _missing(pointer)
    if re.fullmatch(r"/blocks/\d+/nodes/\d+/inputs/\d+", pointer) and isinstance(value, str) and ":" in value:
        return _unknown_edge_kind(pointer, value.partition(":")[0])
    if kind == "literal_error" and re.fullmatch(r"/links/\d+/kind", pointer):
        return _unknown_edge_kind(pointer, value)
    if kind == "literal_error":
        return _not_allowed(pointer, value, str(context.get("expected", "")))
    if kind == "value_error":
        code = "DG001" if "pool names" in details["msg"] else "DG000"
        return _error(code, pointer, plainly(details["msg"]), f"change `{_last(pointer)}`")
    code = "DG014" if pointer.startswith("/strategy") and isinstance(value, int | float) else "DG000"
    wanted = _wanted(kind, context)
    return _error(code, pointer, f"`{_last(pointer)}` is {_shown(value)}, not {wanted}", f"write {wanted}")


_KINDS = {
    "tuple_type": "a list", "list_type": "a list", "dict_type": "a mapping", "model_type": "a mapping",
    "model_attributes_type": "a mapping", "string_type": "a string", "int_type": "an integer", "int_from_float": "an integer",
    "int_parsing": "an integer", "float_type": "a number", "bool_type": "true or false", "bool_parsing": "true or false",
}  # fmt: skip
_BOUNDS = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}


def _wanted(kind: str, context: dict[str, Any]) -> str:
    """What the schema wants, in words."""
    if kind in _KINDS:
        return _KINDS[kind]
    bounds = [f"{word} {context[key]}" for key, word in _BOUNDS.items() if key in context]
    if bounds:
        return f"a value {' and '.join(bounds)}"
    if kind == "string_pattern_mismatch":
        return f"a text that matches {context.get('pattern', '')}"
    sizes = [
        f"{word} {context[key]}"
        for key, word in (("min_length", "at least"), ("max_length", "at most"))
        if key in context
    ]
    return (
        f"of {' and '.join(sizes)} items or characters"
        if sizes
        else f"what the format wants ({kind.replace('_', ' ')})"
    )


def _unknown_op(pointer: str, value: Any) -> Finding:
    if not isinstance(value, dict):
        return _error("DG000", pointer, f"a node is a mapping, got {_shown(value)}", "write `{id, op, inputs, ...}`")
    if "op" not in value:
        return _error("DG000", f"{pointer}/op", "the node has no `op`", f"give one of {', '.join(OPS)}")
    op = value["op"]
    hint = _nearest(str(op), OPS) or f"use one of {', '.join(OPS)}"
    return _error("DG005", f"{pointer}/op", f"there is no op {_shown(op)}", hint)


def _unknown_edge_kind(pointer: str, value: Any) -> Finding:
    kinds = get_args(EdgeKind)
    hint = "write `x` for a data edge, `sync:x` for order or state, `pipeline:x` from a send to its recv"
    return _error("DG006", pointer, f"there is no edge kind {_shown(value)}; kinds are {', '.join(kinds)}", hint)


def _unknown_key(pointer: str, body: Any) -> Finding:
    parent, _, key = pointer.rpartition("/")
    allowed = _allowed_keys(parent, body)
    if re.fullmatch(r"/blocks/\d+/nodes/\d+", parent) and _HIDDEN.search(key):
        message = f"`{key}` hides communication in a node"
        return _error(
            "CM005", pointer, message, "delete it and write the collective as a node of its own, with its axis"
        )
    hint = _nearest(key, allowed) or f"delete it; allowed are {', '.join(allowed)}"
    return _error("DG000", pointer, f"unknown key `{key[:80]}`", hint)


def _missing(pointer: str) -> Finding:
    key = _last(pointer)
    code = "DG009" if pointer in ("/branches/prefill", "/branches/decode") else "DG000"
    return _error(code, pointer, f"`{key}` is missing", f"add `{key}`")


def _not_allowed(pointer: str, value: Any, expected: str) -> Finding:
    choices = re.findall(r"'([^']*)'", expected)
    hint = _nearest(str(value), choices) or f"use {expected.replace(chr(39), chr(96))}"
    return _error(
        "DG000", pointer, f"`{_last(pointer)}` is {_shown(value)}, allowed are {', '.join(choices) or expected}", hint
    )


def _allowed_keys(parent: str, body: Any) -> list[str]:
    """Keys that the object at a pointer may have."""
    model: type[Any] | None = next((m for pattern, m in _OBJECTS if pattern.fullmatch(parent)), None)
    if re.fullmatch(r"/blocks/\d+/nodes/\d+", parent):
        _, _, block, _, node = parent.split("/")
        model = _NODE_MODELS.get(body["blocks"][int(block)]["nodes"][int(node)].get("op"))
    return [] if model is None else list(model.model_fields)


def _pointer(location: tuple[int | str, ...], body: Any) -> tuple[str, Any]:
    """JSON pointer of an error's place, and the value there. Union tags in the location name no place and are left out."""
    parts: list[int | str] = list(location)
    if parts[:1] == ["blocks"] and parts[2:3] == ["nodes"] and len(parts) > 4:
        del parts[4]
    if parts[:1] == ["model"]:
        parts = ["model"]
    value: Any = body
    for part in parts:
        known = isinstance(part, int) and isinstance(value, list) and part < len(value)
        value = value[part] if known or (isinstance(value, dict) and part in value) else None
    return "".join(f"/{_escaped(str(part))}" for part in parts), value


def _last(pointer: str) -> str:
    return pointer.rpartition("/")[2] or "document"


def _shown(value: object) -> str:
    """A value as a message shows it: short, on one line."""
    if isinstance(value, dict | list):
        return f"a {_kind(value)}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f"`{text if len(text) <= 80 else text[:77] + '...'}`"


def _nearest(name: str, choices: Any) -> str:
    found = get_close_matches(name[:80], list(choices), n=1, cutoff=0.6)
    return f"did you mean `{found[0]}`?" if found else ""


def _error(code: str, path: str, message: str, hint: str) -> Finding:
    return Finding(code=code, severity="error", path=path, message=message, hint=hint)
