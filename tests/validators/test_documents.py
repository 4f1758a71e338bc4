import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from strategy.errors import InputError, UnreadableError
from strategy.result import Finding
from validators.documents import MAX_BYTES, MAX_FINDINGS, read_data, read_document
from validators.examples import dense, disaggregated, mla, moe

DOCUMENT = dense().dag.model_dump(mode="json", exclude_none=True)
NODE = "/blocks/1/nodes/1"


def edited(change: Callable[[dict[str, Any]], Any]) -> list[Finding]:
    document = json.loads(json.dumps(DOCUMENT))
    change(document)
    document = json.loads(json.dumps(document))  # no shared objects, which YAML would write as aliases
    found = read_document(json.dumps(document)).findings
    assert read_document(yaml.safe_dump(document)).findings == found
    return list(found)


def node(document: dict[str, Any]) -> dict[str, Any]:
    return document["blocks"][1]["nodes"][1]


def pool(document: dict[str, Any]) -> dict[str, Any]:
    return document["strategy"]["pools"][0]


@pytest.mark.parametrize("subject", [dense(), moe(), mla(), disaggregated()], ids=lambda s: s.model.name)
def test_a_dag_survives_both_formats(subject: Any) -> None:
    data = subject.dag.model_dump(mode="json", exclude_none=True)

    assert read_document(json.dumps(data), name="x.json").dag == subject.dag
    assert read_document(yaml.safe_dump(data, sort_keys=False)).dag == subject.dag


@pytest.mark.parametrize(
    ("change", "code", "path", "said"),
    [
        (lambda d: node(d).update(op="Gather2All"), "DG005", f"{NODE}/op", "all_reduce"),
        (lambda d: node(d).update(op="linaer"), "DG005", f"{NODE}/op", "did you mean `linear`?"),
        (lambda d: node(d).pop("op"), "DG000", f"{NODE}/op", "no `op`"),
        (lambda d: node(d).pop("weight"), "DG000", f"{NODE}/weight", "add `weight`"),
        (lambda d: node(d).update(wieght="qkv"), "DG000", f"{NODE}/wieght", "did you mean `weight`?"),
        (
            lambda d: node(d).update(implicit_allreduce=True),
            "CM005",
            f"{NODE}/implicit_allreduce",
            "hides communication",
        ),
        (lambda d: node(d).update(split="colum"), "DG000", f"{NODE}/split", "did you mean `column`?"),
        (lambda d: node(d).update(inputs=["control:norm"]), "DG006", f"{NODE}/inputs/0", "data, sync, pipeline"),
        (lambda d: node(d).update(inputs="norm"), "DG000", f"{NODE}/inputs", "write a list"),
        (lambda d: d["links"][0].update(kind="control"), "DG006", "/links/0/kind", "data, sync, pipeline"),
        (
            lambda d: pool(d)["attention"].update(tp_size=0),
            "DG014",
            "/strategy/pools/0/attention/tp_size",
            "at least 1",
        ),
        (lambda d: pool(d).update(pp_size=2.5), "DG014", "/strategy/pools/0/pp_size", "an integer"),
        (lambda d: pool(d).update(atention={}), "DG000", "/strategy/pools/0/atention", "did you mean `attention`?"),
        (lambda d: d["strategy"]["pools"].append(pool(d)), "DG001", "/strategy", "pool names must differ"),
        (lambda d: d["branches"].pop("decode"), "DG009", "/branches/decode", "add `decode`"),
        (lambda d: d.update(version=2), "DG000", "/version", "allowed are 1"),
        (lambda d: d.update(model=3), "DG000", "/model", "string"),
        (lambda d: d["blocks"].append(3), "DG000", "/blocks/6", "a mapping"),
    ],
)
def test_one_mistake_of_form_is_one_finding_with_its_code_place_and_repair(
    change: Callable[[dict[str, Any]], Any], code: str, path: str, said: str
) -> None:
    (finding,) = edited(change)

    assert (finding.code, finding.path) == (code, path)
    assert said in f"{finding.message} {finding.hint}"


def test_findings_are_capped() -> None:
    found = edited(lambda d: d["blocks"][1].update(nodes=[{"op": "no"}] * 1000))

    assert len(found) == MAX_FINDINGS


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3, 2),
        ("a: 1\nb: {c: 2\n", 3, 1),
        ('{\n "a": 1,\n "b" 2\n}', 3, 6),
        ('{"a": 1, "b": 2, "a": 3}', 1, 18),
        ("a: 1\nb: 2\na: 3\n", 3, 1),
        ("a: &x [1]\nb: *x\n", 1, 4),
        ("a: 1\nb: !!python/object/apply:os.system [x]\n", 2, 4),
        ("a: .nan\n", 1, 4),
        ('{"a": NaN}', 1, 7),
        ('{"a": -Infinity}', 1, 7),
        ("a: 1e999\n", 1, 4),
        ("a: " + "9" * 5000, 1, 4),
        ('{"a": ' + "9" * 5000 + "}", 1, 7),
        ("a: 1\nb: \x07\n", 2, 4),
        ("---\na: 1\n---\nb: 2\n", 3, 1),
        ("- 1\n", 1, 1),
        ("", 1, 1),
    ],
    ids=lambda value: str(value)[:24],
)
def test_malformed_text_is_refused_with_line_and_column(text: str, line: int, column: int) -> None:
    with pytest.raises(UnreadableError) as refused:
        read_document(text)

    assert (refused.value.line, refused.value.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    [
        "a" * (MAX_BYTES + 1),
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a":' * 100 + "1" + "}" * 100,
        "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "a: [" + "1," * 450_000 + "]",
        '{"a": [' + "1," * 450_000 + "1]}",
        "a: \ud800",
        "%YAML 9\n",
        "? {a: 1}\n: 2\n",
        "\x00",
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError):
        read_document(text)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{"a": 1,\n "b": "x\\ud800"}', 2, 9),
        ('{"\\u0000": 1}', 1, 3),
        ('{"a": ["\\udc00\\ud800"]}', 1, 9),
        ('a: "\\0"', 1, 5),
        ('a: "\\x00"', 1, 5),
    ],
)
def test_an_escape_that_stands_for_no_text_is_refused_where_it_stands(text: str, line: int, column: int) -> None:
    with pytest.raises(UnreadableError) as refused:
        read_data(text, strict_json=text.startswith("{"))

    assert (refused.value.line, refused.value.column) == (line, column)


@pytest.mark.parametrize(
    "text", ['{"a": "\\ud83d\\ude00"}', '{"a": "\\\\ud800 \\\\u0000"}', "a: \\0", '{"a": "\\u0041"}']
)
def test_other_escapes_are_read(text: str) -> None:
    read_data(text, strict_json=text.startswith("{"))


def test_words_that_older_yaml_reads_as_booleans_stay_names() -> None:
    text = yaml.safe_dump(DOCUMENT, sort_keys=False).replace("id: act\n", "id: on\n").replace("- act\n", "- on\n")

    document = read_document(text)

    assert document.dag is not None
    assert "on" in {n.id for n in document.dag.blocks[2].nodes}


def test_a_result_and_a_pair_of_request_and_dag_are_read_too() -> None:
    request = {"model": "tiny-dense", "cluster": {"gpu": "h100-sxm"}, "workload": {"isl": 512, "osl": 64}}

    result = read_document(json.dumps({"status": "valid", "dag": DOCUMENT, "request": None}))
    pair = read_document(yaml.safe_dump({"request": request, "dag": DOCUMENT}))

    assert result.dag == pair.dag == dense().dag
    assert result.request is None
    assert pair.request is not None
    assert pair.request.workload.isl == 512


def test_a_result_without_a_dag_says_so() -> None:
    with pytest.raises(InputError, match=r"holds no DAG.*infeasible"):
        read_document('{"status": "infeasible", "dag": null}')


@pytest.mark.parametrize("prefix", ["", "/dag"])
def test_positions_are_those_of_the_text(prefix: str) -> None:
    data = {"dag": DOCUMENT} if prefix else DOCUMENT
    for text in (yaml.safe_dump(data, sort_keys=False), json.dumps(data, indent=2)):
        document = read_document(text)

        line, column = document.position("/blocks/1/nodes/2/op")
        here = text.splitlines()[line - 1][column - 1 :].replace('"', "")

        assert here.startswith("op: kv_cache_update")
        assert document.position("/blocks/1/nodes/2/op/nowhere") == (line, column)


def test_a_repeated_key_in_json_that_reads_as_yaml_is_still_refused_for_json_files() -> None:
    with pytest.raises(UnreadableError):
        read_document("{version: 1}", name="plan.json")
