import re
from typing import Any

import pytest

from strategy.result import Finding
from validators.registry import BLOCKED_BY, STAGES, Example, Rule, catalogue
from validators.validate import validate

DECIDED_WHILE_READING = {"DG000", "DG005", "DG006", "CM005"}
"""Their failing examples are texts, in test_documents.py."""


def examples(kind: str, *, proof: bool | None = None) -> list[Any]:
    rules = [rule for rule in catalogue().values() if proof is None or (rule.stage == "proof") == proof]
    return [
        pytest.param(rule, example, id=f"{rule.code}: {example.name}")
        for rule in rules
        for example in getattr(rule, kind)()
    ]


def judge(rule: Rule, example: Example) -> tuple[Finding, ...]:
    subject = example.make()
    return validate(
        subject.dag, subject.model, subject.problem, prove=rule.stage == "proof", claims=subject.claims
    ).findings


@pytest.mark.parametrize(("rule", "example"), examples("passes"))
def test_passing_example_does_not_break_its_rule(rule: Rule, example: Example) -> None:
    assert rule.code not in {f.code for f in judge(rule, example)}


@pytest.mark.parametrize(("rule", "example"), examples("fails", proof=False))
def test_failing_example_breaks_only_its_rule(rule: Rule, example: Example) -> None:
    findings = judge(rule, example)

    assert rule.code in {f.code for f in findings}
    assert {f.code for f in findings if f.severity == "error"} <= {rule.code}


@pytest.mark.parametrize(("rule", "example"), examples("fails", proof=True))
def test_the_proof_alone_rejects_what_earlier_stages_reject_too(rule: Rule, example: Example) -> None:
    assert [f.code for f in rule.findings(example.make())] == [rule.code]


@pytest.mark.parametrize("code", list(catalogue()))
def test_record_is_complete(code: str) -> None:
    rule = catalogue()[code]

    assert re.fullmatch(r"[A-Z]{2}\d{3}", code)
    assert rule.check.__module__.rpartition(".")[2].startswith(code.lower() + "_")
    assert rule.summary.endswith(".")
    assert rule.sources
    assert re.fullmatch(r"[a-z-]+\.md#[a-z0-9-]+", rule.knowledge)
    assert code in DECIDED_WHILE_READING or (rule.passes() and rule.fails())


def test_requirements_name_rules_of_the_same_stage_or_an_earlier_one() -> None:
    rules = catalogue()

    for rule in rules.values():
        for code in rule.requires & rules.keys():
            assert STAGES.index(rules[code].stage) <= STAGES.index(rule.stage), f"{rule.code} requires {code}"


def test_a_stage_is_blocked_by_earlier_stages_only() -> None:
    for stage, blockers in BLOCKED_BY.items():
        assert all(STAGES.index(one) < STAGES.index(stage) for one in blockers)
