"""The judge: every rule in its stage, then the proof."""

import re

from strategy.dag import Dag
from strategy.model import ModelSpec
from strategy.request import Problem
from strategy.result import Finding, Proof, Report
from strategy.values import Frozen
from validators.claims import NO_CLAIMS, Claims, Suppression
from validators.registry import STAGES, catalogue, run
from validators.subject import Subject

MAX_FINDINGS = 200


class Verdict(Frozen):
    """What is wrong with a DAG, and whether it computes what one device computes."""

    findings: tuple[Finding, ...] = ()
    """By stage, place and code; the last one says so when there were more than `MAX_FINDINGS`."""
    suppressed: tuple[Finding, ...] = ()
    """Warnings that the document says its author accepts."""
    proof: Proof | None = None
    """None when an error finding made running it pointless, or when it was not asked for."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that reject the DAG."""
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def valid(self) -> bool:
        """No error finding, and the proof passed."""
        return not self.errors and self.proof is not None and self.proof.passed

    @property
    def report(self) -> Report:
        """The findings as a result carries them."""
        return Report(findings=self.findings)


def validate(
    dag: Dag,
    model: ModelSpec,
    problem: Problem | None = None,
    *,
    prove: bool = True,
    claims: Claims = NO_CLAIMS,
) -> Verdict:
    """Judge a DAG as an answer to `problem` (or in the abstract), with its proof unless `prove` is false.

    `claims` is what its document says beside it; warnings that it accepts are told apart.

    Deterministic, and never raises on a DAG that the format admits: what is wrong with it is a finding.
    """
    subject = Subject(dag, model, problem, claims)
    found = sorted(run(subject, left_out=() if prove else ("proof",)), key=_order)
    accepted = {one.code for one in claims.suppress}
    suppressed = [f for f in found if f.code in accepted and f.severity != "error"]
    kept = [f for f in found if f.code not in accepted or f.severity == "error"]
    notes = _about_suppressions(claims.suppress, kept, {f.code for f in suppressed})
    return Verdict(
        findings=_capped([*notes, *kept]), suppressed=tuple(suppressed[:MAX_FINDINGS]), proof=subject.proof_if_run
    )


def _about_suppressions(accepted: tuple[Suppression, ...], kept: list[Finding], used: set[str]) -> list[Finding]:
    """What is wrong with the suppressions themselves: of errors, of rules that do not exist, of nothing."""
    errors = {f.code for f in kept if f.severity == "error"}
    found = []
    for index, one in enumerate(accepted):
        if one.code in used and one.code not in errors:
            continue
        if one.code in errors:
            severity, what, hint = "warning", f"{one.code} is an error here, and errors are not suppressed", "repair it"
        elif one.code not in catalogue():
            severity, what, hint = "warning", f"there is no rule {one.code}", "name the code of a warning"
        else:
            severity, what, hint = "info", f"nothing here breaks {one.code}", "delete the suppression"
        path = f"/suppress/{index}"
        found.append(
            Finding.model_validate({"code": "DG000", "severity": severity, "path": path, "message": what, "hint": hint})
        )
    return found


def _order(finding: Finding) -> tuple[int, list[tuple[int, str]], str]:
    """Stage, then place (numbers in a pointer as numbers), then code."""
    parts = [(int(part), "") if part.isdigit() else (-1, part) for part in re.split("/", finding.path)]
    return STAGES.index(catalogue()[finding.code].stage), parts, finding.code


def _capped(findings: list[Finding]) -> tuple[Finding, ...]:
    """At most `MAX_FINDINGS`, errors first when some must go, and a note about the rest."""
    if len(findings) <= MAX_FINDINGS:
        return tuple(findings)
    errors = [f for f in findings if f.severity == "error"]
    others = [f for f in findings if f.severity != "error"]
    kept = set(map(id, [*errors, *others][:MAX_FINDINGS]))
    left = len(findings) - MAX_FINDINGS
    note = Finding(
        code="DG000",
        severity="info",
        path="",
        message=f"{left:,} more findings are not shown",
        hint="repair these first; many of the others may go with them",
    )
    return (*(f for f in findings if id(f) in kept), note)
