"""Mend a broken proposal the way the loop does, with the mechanical model in the place of a language model."""

from dataclasses import dataclass

from agent.loop import hard_to_mend, shown_findings
from agent.settings import LoopSettings
from agent.wire import decode
from evals.faulty.broken import Broken, Json
from evals.faulty.repairer import repaired
from strategy.result import Finding
from validators.validate import validate

REPAIRS = 3


@dataclass(frozen=True)
class Mended:
    """How it went: the errors before each repair and at the end."""

    broken: Broken
    errors: tuple[tuple[Finding, ...], ...]
    canonical: bool
    """It ended without a graph of its own, although it began with one."""

    @property
    def repairs(self) -> int | None:
        """Repairs that were needed; None when they did not suffice."""
        return None if self.errors[-1] else len(self.errors) - 1


def mend(broken: Broken, repairs: int = REPAIRS, *, way_out: bool = True) -> Mended:
    """Judge and repair, at most `repairs` times. Without the way out only the rules' own hints can help."""
    limit = LoopSettings().max_findings_shown
    answer, seen = broken.answer, [errors_of(broken, broken.answer)]
    for attempt in range(repairs):
        if not seen[-1]:
            break
        offered = way_out and hard_to_mend(seen[-1], attempt + 1) and answer["graph"] is not None
        answer = repaired(answer, shown_findings(seen[-1], limit=limit, way_out=offered))
        seen.append(errors_of(broken, answer))
    lost = broken.answer["graph"] is not None and answer["graph"] is None
    return Mended(broken, tuple(seen), lost)


def errors_of(broken: Broken, answer: Json) -> tuple[Finding, ...]:
    """What speaks against an answer, with the proof."""
    decoded = decode(answer, broken.model)
    if decoded.dag is None:
        return decoded.findings
    verdict = validate(decoded.dag, broken.model, broken.problem)
    return verdict.errors
