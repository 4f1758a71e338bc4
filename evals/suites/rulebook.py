"""Rulebook: every rule on the examples of its own record. What breaks it is named once and by its code; what keeps it is let pass."""

from collections.abc import Iterator, Sequence
from typing import Any

from evals.suite import Sample, Score, Suite
from validators.registry import Example, Rule, catalogue, run


def samples() -> Sequence[Sample]:
    """One for each example; the proof, which needs seconds, is judged by the suites of plans."""
    return [Sample(name, {"code": code, "kind": kind, "index": index}) for name, code, kind, index in _examples()]


def _examples() -> Iterator[tuple[str, str, str, int]]:
    for code, rule in catalogue().items():
        for kind in ("passes", "fails"):
            for index, example in enumerate(_of(rule, kind)):
                yield f"{code}-{kind}-{index}-{example.name.replace(' ', '-')}", code, kind, index


def _of(rule: Rule, kind: str) -> Sequence[Example]:
    found: Sequence[Example] = getattr(rule, kind)() if rule.stage != "proof" else ()
    return found


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Every rule on one example."""
    asked = sample.input
    example = _of(catalogue()[asked["code"]], asked["kind"])[asked["index"]]
    found = list(run(example.make(), [rule for rule in catalogue().values() if rule.stage != "proof"]))
    return {
        "summary": ", ".join(finding.code for finding in found) or "nothing found",
        "codes": [finding.code for finding in found],
        "errors": sorted({finding.code for finding in found if finding.severity == "error"}),
        "findings": [finding.model_dump(mode="json") for finding in found],
    }


def named(sample: Sample, output: dict[str, Any]) -> Score | None:
    """A failing example is found under the code of its rule."""
    code = sample.input["code"]
    if sample.input["kind"] != "fails":
        return None
    return Score("named", float(code in output["codes"]), f"{code} is not among {output['codes']}")


def named_once(sample: Sample, output: dict[str, Any]) -> Score | None:
    """One mistake is one error: no other rule speaks of it as well."""
    if sample.input["kind"] != "fails":
        return None
    others = [code for code in output["errors"] if code != sample.input["code"]]
    return Score("named_once", float(not others), f"also {', '.join(others)}")


def let_pass(sample: Sample, output: dict[str, Any]) -> Score | None:
    """A passing example does not break its rule."""
    if sample.input["kind"] != "passes":
        return None
    return Score("let_pass", float(sample.input["code"] not in output["codes"]), f"{sample.input['code']} speaks")


RULEBOOK = Suite(
    name="rulebook",
    about="every rule on its own examples",
    samples=samples,
    solve=solve,
    scorers=(named, named_once, let_pass),
)
