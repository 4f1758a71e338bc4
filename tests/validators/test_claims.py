import json
from typing import Any

import pytest
import yaml

from strategy.strategy import Strategy
from validators.claims import Claims
from validators.documents import Document, read_document
from validators.examples import DENSE, dense, drop, moe, plan, pool
from validators.validate import Verdict, validate

DOCUMENT = dense(tp=2, pp=2).dag.model_dump(mode="json", exclude_none=True)


def read(**beside: Any) -> Document:
    return read_document(yaml.safe_dump({**json.loads(json.dumps(DOCUMENT)), **beside}))


def judge(document: Document) -> Verdict:
    assert document.dag is not None
    return validate(document.dag, DENSE, prove=False, claims=document.claims)


def warned() -> dict[str, Any]:
    """TP8 over four KV heads: TP003 warns."""
    return plan(DENSE, pool(DENSE, tp=8)).dag.model_dump(mode="json", exclude_none=True)


def test_a_warning_with_a_reason_is_suppressed() -> None:
    text = json.dumps({**warned(), "suppress": [{"code": "TP003", "reason": "latency first"}]})
    document = read_document(text, name="plan.json")
    assert document.dag is not None

    verdict = validate(document.dag, DENSE, prove=False, claims=document.claims)

    assert [finding.code for finding in verdict.findings] == []
    assert {finding.code for finding in verdict.suppressed} == {"TP003"}


def test_suppressions_may_stand_beside_a_dag_and_a_request() -> None:
    document = read_document(json.dumps({"dag": warned(), "suppress": [{"code": "TP003", "reason": "latency first"}]}))

    assert [one.code for one in document.claims.suppress] == ["TP003"]


@pytest.mark.parametrize(
    ("code", "said"), [("TP011", "nothing here breaks TP011"), ("ZZ999", "there is no rule ZZ999")]
)
def test_a_suppression_that_meets_nothing_is_told_at_its_line(code: str, said: str) -> None:
    document = read(suppress=[{"code": code, "reason": "why not"}])

    (finding,) = judge(document).findings

    assert (finding.code, finding.path, finding.message) == ("DG000", "/suppress/0", said)
    assert document.text.splitlines()[document.position(finding.path)[0] - 1].strip().startswith("- code")


def test_an_error_is_not_suppressed() -> None:
    broken = drop(dense(), "ffn.reduce")
    claims = Claims.model_validate({"suppress": [{"code": "TP007", "reason": "it looks fine"}]})

    verdict = validate(broken.dag, broken.model, prove=False, claims=claims)

    assert [f.code for f in verdict.errors] == ["TP007"]
    assert "errors are not suppressed" in verdict.findings[0].message


@pytest.mark.parametrize(
    "beside",
    [
        {"suppress": [{"code": "TP003"}]},
        {"suppress": [{"code": "TP003", "reason": ""}]},
        {"suppress": [{"code": "all", "reason": "quiet"}]},
        {"suppress": "TP003"},
        {"layout": {"group": {}}},
        {"layout": {"groups": {"tp": [[0, "one"]]}}},
        {"deployment": ["serve.yaml"]},
    ],
)
def test_what_stands_beside_a_dag_has_a_shape_as_well(beside: dict[str, Any]) -> None:
    document = read(**beside)

    assert document.dag is None
    assert {f.code for f in document.findings} == {"DG000"}
    assert document.findings[0].path.startswith(f"/{next(iter(beside))}")


def test_groups_as_the_strategy_implies_them_are_accepted_in_any_order() -> None:
    document = read(layout={"groups": {"tp": [[3, 2], [0, 1]], "pp": [[0, 2], [1, 3]], "replica": [[0, 1, 2, 3]]}})

    assert judge(document).findings == ()


@pytest.mark.parametrize(
    ("layout", "code"),
    [
        ({"groups": {"ring": [[0, 1]]}}, "CM002"),
        ({"groups": {"tp": [[0, 1], [0, 1]]}}, "TP012"),
        ({"groups": {"tp": [[0, 2], [1, 3]]}}, "CM008"),
        ({"groups": {"tp": [[0, 1], [2, 99]]}}, "DG008"),
        ({"groups": {"tp": [[], [0, 1]]}}, "TP012"),
        ({"ranks": [{"rank": 3, "pp": 1, "tp": 0}]}, "RL001"),
        ({"sends": [[0, 2]]}, "PP014"),
        ({"layers": [[0, 2], [0, 2], [2, 4], [2, 3]]}, "DP006"),
    ],
)
def test_ranks_that_are_written_wrong_give_one_finding(layout: dict[str, Any], code: str) -> None:
    assert [f.code for f in judge(read(layout=layout)).findings] == [code]


def test_written_ranks_of_two_pools_are_counted_on() -> None:
    from validators.examples import disaggregated

    base = disaggregated(prefill_tp=4, decode_tp=2)
    claims = Claims.model_validate({"layout": {"groups": {"tp": [[0, 1, 2, 3], [4, 5]]}}})

    assert validate(base.dag, base.model, prove=False, claims=claims).findings == ()


def test_a_deployment_that_is_not_one_says_nothing() -> None:
    base = moe()
    for deployment in ({}, {"applications": 3}, {"applications": [None, {"args": []}]}, {"llm_configs": [1]}):
        claims = Claims.model_validate({"deployment": deployment})
        assert validate(base.dag, base.model, prove=False, claims=claims).errors == ()


def test_a_strategy_of_many_ranks_with_groups_is_judged_in_bounded_memory() -> None:
    base = dense(tp=2, pp=2)
    large = base.dag.strategy.pools[0].model_copy(update={"replicas": 65_536})
    dag = base.dag.model_copy(update={"strategy": Strategy(pools=(large,))})
    claims = Claims.model_validate({"layout": {"groups": {"tp": [[0, 1]]}}})

    assert validate(dag, DENSE, prove=False, claims=claims).proof is None
