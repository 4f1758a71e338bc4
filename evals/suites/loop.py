"""Loop: the real loop against models and servers that misbehave on purpose. What must hold does so for every one of them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from agent.deps import Deps
from agent.proposers import Brief
from evals.faulty.play import LOOP, Case, cases, play, playing_deps
from evals.faulty.server import serving
from evals.suite import Sample, Score, Suite


@cache
def _deps() -> Deps:
    return replace(playing_deps(), settings=LOOP)


@cache
def _cases() -> dict[str, Case]:
    return {case.name: case for case in cases(_deps())}


def samples() -> Sequence[Sample]:
    """Every behaviour, with what may come of it."""
    return [Sample(case.name, case.about, {"hope": case.hope}) for case in _cases().values()]


async def solve(sample: Sample, _proposer: str) -> dict[str, Any]:
    """Play one behaviour. The proposer is always the faulty model."""
    case = _cases()[sample.id]
    await _deps().planner.propose(Brief(problem=_deps().resolve(case.request)[0]))  # the search is measured elsewhere
    with serving({case.name: case.behave}) as server:
        played = await play(case, _deps(), server)
    result = played.result
    return {
        "summary": f"{result.status} by {result.origin} after {len(result.attempts)} attempts, {played.calls} HTTP requests",
        "broken": list(played.broken),
        "status": result.status,
        "origin": result.origin,
        "usage": result.usage.model_dump(),
    }


def holds(_sample: Sample, output: dict[str, Any]) -> Score:
    """Valid or honestly failed, in time, within the budget, nothing invalid marked valid, no secret told."""
    return Score("holds", float(not output["broken"]), "; ".join(output["broken"]))


LOOP_SUITE = Suite(
    name="loop", about="faulty models and servers", samples=samples, solve=solve, scorers=(holds,), alone=True
)  # fmt: skip
