"""The wire schema stays inside what strict structured output accepts, and decodes into the domain."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agent.wire import NODE_CLASSES, Answer, PatchAnswer, Wire, completed, decode, parse_json, strict_schema
from strategy.ops import OPS
from strategy.request import Problem

BANNED = {
    "oneOf", "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "default", "discriminator", "prefixItems",
    "patternProperties", "title",
}  # fmt: skip


def walk(node: Any, depth: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """Every schema object, with how many objects and arrays enclose it."""
    if isinstance(node, dict):
        yield node, depth
        for key, value in node.items():
            yield from walk(value, depth + (key in ("properties", "items")))
    elif isinstance(node, list):
        for value in node:
            yield from walk(value, depth)


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with every `$ref` written out, as depth limits count it; a recursive one would never end."""

    def expand(node: Any, inside: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [expand(v, inside) for v in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            assert name not in inside, f"{name} refers to itself"
            return expand(schema["$defs"][name], (*inside, name))
        return {k: expand(v, inside) for k, v in node.items() if k != "$defs"}

    found: dict[str, Any] = expand(schema, ())
    return found


@pytest.mark.parametrize("model", [Answer, PatchAnswer])
def test_the_schema_keeps_every_limit_of_strict_mode(model: type[Wire]) -> None:
    schema = strict_schema(model)
    objects = [node for node, _ in walk(schema) if node.get("type") == "object"]
    enums = [node["enum"] for node, _ in walk(schema) if "enum" in node and isinstance(node["enum"], list)]
    names = [name for node in objects for name in node["properties"]] + list(schema.get("$defs", {}))
    values = [str(value) for enum in enums for value in enum]

    assert schema["type"] == "object"
    assert "anyOf" not in schema
    assert all(node["additionalProperties"] is False for node in objects)
    assert all(sorted(node["required"]) == sorted(node["properties"]) for node in objects)
    assert BANNED.isdisjoint({key for node, _ in walk(schema) for key in node} - set(names))
    assert max(depth for _, depth in walk(inlined(schema))) <= 10
    assert len(names) <= 5_000
    assert len(values) <= 1_000
    assert len("".join(names + values)) <= 120_000


def test_the_schema_has_one_shape_for_each_op() -> None:
    assert {node.model_fields["op"].annotation.__args__[0] for node in NODE_CLASSES} == set(OPS)  # type: ignore[union-attr]


def test_a_strategy_alone_is_completed_by_the_canonical_graph(problem: Problem, answer: dict[str, Any]) -> None:
    decoded = decode(answer, problem.model)

    assert decoded.findings == ()
    assert decoded.dag is not None
    assert decoded.dag.num_nodes > 20


def test_a_written_graph_decodes_into_the_same_dag_as_the_canonical_one(
    problem: Problem, answer: dict[str, Any], graph_answer: dict[str, Any]
) -> None:
    assert decode(graph_answer, problem.model).dag == decode(answer, problem.model).dag


def test_shape_errors_point_into_the_answer_and_name_what_was_sent(
    problem: Problem, graph_answer: dict[str, Any]
) -> None:
    graph_answer["graph"]["blocks"][0]["nodes"][1]["split"] = "diagonal"
    graph_answer["strategy"]["pools"][0]["replicas"] = "two"

    findings = {f.path: f.message for f in decode(graph_answer, problem.model).findings}

    assert "diagonal" in findings["/graph/blocks/0/nodes/1/split"]
    assert "two" in findings["/strategy/pools/0/replicas"]


def test_an_unknown_op_is_answered_with_the_known_ones(problem: Problem, graph_answer: dict[str, Any]) -> None:
    graph_answer["graph"]["blocks"][0]["nodes"][1]["op"] = "allreduce"

    (finding,) = decode(graph_answer, problem.model).findings

    assert finding.path == "/graph/blocks/0/nodes/1"
    assert "'all_reduce'" in finding.message


def test_limits_of_the_domain_are_shape_findings_too(problem: Problem, answer: dict[str, Any]) -> None:
    answer["strategy"]["pools"][0]["attention"]["tp_size"] = 0

    (finding,) = decode(answer, problem.model).findings

    assert finding.path == "/strategy/pools/0/attention/tp_size"


@pytest.mark.parametrize(
    "reply",
    [
        '{"a": 1}',
        '```json\n{"a": 1}\n```',
        '```\n{"a": 1}\n```',
        '<think>8 heads, so {"tp": 4}</think>\n\n{"a": 1}',
        '<think>x</think>```json\n{"a": 1}```\n',
        'I weigh {tp: 8} first.\n</think>\n{"a": 1}',
        'Here is the plan:\n```json\n{"a": 1}\n```\nIt keeps TPOT low.',
        'Sure! {"a": 1} That is all.',
    ],
)
def test_thoughts_a_fence_and_words_around_the_object_are_stripped(reply: str) -> None:
    assert parse_json(reply) == {"a": 1}


@pytest.mark.parametrize(
    "reply",
    [
        "",
        '{"a": 1',
        "[1]",
        '{"a": NaN}',
        '<think>{"a": 1}',
        '{"a": 1}{"b": 2}',
        "null",
        "`" * 9,
        '{"a": 1, "a": 2}',
        '{"a": 1} and [2]',
    ],
)
def test_anything_else_than_one_json_object_is_refused(reply: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(reply)


def test_a_cut_answer_is_never_completed_with_defaults(problem: Problem, graph_answer: dict[str, Any]) -> None:
    text = json.dumps(graph_answer)

    for end in range(100, len(text), 97):
        with pytest.raises(ValueError, match=r".+"):
            parse_json(text[:end])
    for part in ("blocks", "branches", "links"):
        graph = {k: v for k, v in graph_answer["graph"].items() if k != part}
        assert decode(completed({**graph_answer, "graph": graph}, problem.model), problem.model).dag is None
    node = graph_answer["graph"]["blocks"][0]["nodes"][1]
    del node["split"]
    assert decode(completed(graph_answer, problem.model), problem.model).dag is None


def test_what_goes_without_saying_may_be_left_out(problem: Problem, answer: dict[str, Any]) -> None:
    short = {"strategy": {"pools": [{"replicas": 2, "attention": {"tp_size": 4}, "experts": None, "stages": None}]}}

    decoded = decode(completed(short, problem.model), problem.model)

    assert decoded.findings == ()
    assert decoded.strategy == decode(answer, problem.model).strategy


def test_degrees_never_go_without_saying(problem: Problem, answer: dict[str, Any]) -> None:
    del answer["strategy"]["pools"][0]["attention"]

    (finding,) = decode(completed(answer, problem.model), problem.model).findings

    assert finding.path == "/strategy/pools/0/attention"


@pytest.mark.parametrize(
    "odd",
    [
        None,
        7,
        [],
        {"strategy": 3},
        {"strategy": {"pools": [None, 3]}},
        {"strategy": {"pools": [{"pp_size": "x", "attention": []}]}},
    ],
)
def test_what_has_no_shape_is_left_to_the_shape_check(problem: Problem, odd: Any) -> None:
    document = odd if isinstance(odd, dict) else {"strategy": odd}

    assert decode(completed(document, problem.model), problem.model).findings
