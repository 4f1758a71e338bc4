"""What the steps of the graph do, and the small decisions between them. Knows no framework."""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, TypeVar

from agent.deps import Deps
from agent.events import Event, EventType, OnEvent
from agent.explain import evidence_lines, explain_infeasible, explain_rejected, explain_valid
from agent.proposers import Brief, Proposal, Proposer, Shown
from agent.topics import sections_for
from agent.wire import parse_json
from agent.wishes import unmet
from strategy.build import build
from strategy.dag import Dag
from strategy.errors import InputError, ProposalError
from strategy.request import Problem, Request
from strategy.result import (
    Alternative,
    Attempt,
    Citation,
    Estimate,
    Finding,
    Infeasible,
    Limit,
    Origin,
    Proof,
    Report,
    Result,
    Usage,
)
from strategy.strategy import describe

Value = TypeVar("Value")

_RULE_CODE = re.compile(r"[A-Z]{2,4}\d{3}")
MIN_PLANNER_S = 1.0
"""Even a run past its deadline gives the planner this long: it is why the caller gets an answer."""
READING_SHARE = 0.25
"""Share of the deadline that a model may take to read a text."""
LEAST_RESERVE_S = 1.5
MOST_RESERVED = 0.4
"""Share of the deadline that is kept from the model at most, to judge what stands in its place."""

UNJUDGED = Finding(
    code="DEADLINE",
    severity="error",
    path="",
    message="the deadline came before this candidate was judged",
    hint="allow more time (deadline_s), or write no graph",
)
PROOF_FAILED = "PF001"
WAY_OUT = Finding(
    code="GRAPH",
    severity="error",
    path="/graph",
    message="the graph you wrote may take more than a correction",
    hint="correct what is left, or set `graph` to null: the canonical graph of your strategy is right by construction",
)


class State(TypedDict, total=False):
    """One run, as JSON."""

    text: str
    request: dict[str, Any]
    assumptions: list[str]
    question: str
    read_usage: dict[str, Any]
    """Tokens that a language model took to read the text."""
    sections: list[dict[str, Any]]
    planned: dict[str, Any]
    """The planner's proposal, when a model proposes: yardstick, evidence and fallback."""
    planned_s: float
    """Seconds that planning and judging it took."""
    planned_verdict: dict[str, Any]
    """Findings and proof of it, so that it can take the model's place at once."""
    judged_s: float
    """Seconds that judging the last candidate took."""
    asks: str
    """Who proposes now: `planner`, `model`, or `planner_fallback`."""
    proposal: dict[str, Any]
    findings: list[dict[str, Any]]
    proof: dict[str, Any] | None
    estimate: dict[str, Any] | None
    accepted: bool
    best: dict[str, Any]
    """The rejected candidate with the fewest errors, and its findings."""
    attempts: list[dict[str, Any]]
    digests: list[str]
    mode: str
    escalate: bool
    rebuilt: bool
    """The canonical graph of the model's own strategy was tried."""
    reason: str
    """Why asking stopped."""
    result: dict[str, Any]


Update = State


@dataclass(frozen=True)
class Run:
    """The runtime context of one run: what it reaches, who listens, when it started."""

    deps: Deps
    on_event: OnEvent | None = None
    started: float = field(default_factory=time.monotonic)
    _read: dict[str, tuple[object, Any]] = field(default_factory=dict, repr=False, compare=False)
    """What was read last out of parts of the state, each with the part: parts are replaced, never changed in place."""

    def once(self, part: str, raw: object, read: Callable[[], Value]) -> Value:
        """`read()`, again only when `raw` is another object than at the last call for that part."""
        kept = self._read.get(part)
        if kept is None or kept[0] is not raw:
            kept = self._read[part] = (raw, read())
        value: Value = kept[1]
        return value

    def emit(self, kind: EventType, **data: Any) -> None:
        """Tell the listener, if there is one."""
        if self.on_event is not None:
            self.on_event(Event(kind, data))

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline."""
        return self.deps.settings.deadline_s - (time.monotonic() - self.started)


# --- understand, retrieve ---------------------------------------------------------------------------------------------


async def read_request(state: State, run: Run) -> Update:
    """The request, resolvable, with its assumptions. Unknown names in text become a question; in a request they raise `InputError`."""
    read_usage: dict[str, Any] = {}
    if "request" in state:
        request, assumptions = Request.model_validate(state["request"]), tuple[str, ...]()
        problem, decided = run.deps.resolve(request)
    else:
        found, question, assumptions = await asyncio.to_thread(run.deps.understand, state["text"])
        if run.deps.reader is not None:
            found, question, assumptions, read_usage = await _read_again(
                state["text"], (found, question, assumptions), run
            )
        if found is None:
            run.emit("understood", question=question, assumptions=list(assumptions))
            return {
                "question": question or "What shall be planned?",
                "assumptions": list(assumptions),
                "read_usage": read_usage,
            }
        request = found
        try:
            problem, decided = run.deps.resolve(request)
        except InputError as error:
            asked = f"{error}; {error.hint}" if error.hint else str(error)
            return {"question": asked, "assumptions": list(assumptions), "read_usage": read_usage}
    document = request.model_dump(mode="json", exclude_unset=True)
    run.once("problem", document, lambda: problem)
    noted = list(dict.fromkeys([*assumptions, *decided]))
    run.emit("understood", request=document, assumptions=noted)
    asks = "model" if run.deps.model else "planner"
    return {"request": document, "assumptions": noted, "asks": asks, "read_usage": read_usage}


Read = tuple[Request | None, str | None, tuple[str, ...]]


async def _read_again(
    text: str, before: Read, run: Run
) -> tuple[Request | None, str | None, tuple[str, ...], dict[str, Any]]:
    """An open text as a language model reads it too, checked against the text; as before when it says nothing that can be used."""
    from agent.understand.reading import is_open, reading_of, with_reading

    reader, limit = run.deps.reader, READING_SHARE * run.remaining_s
    assert reader is not None
    if not is_open(*before[1:]):
        return *before, {}
    try:
        async with asyncio.timeout(limit):
            reply = await reader.read(text, run.deps.settings.token_budget // 2)
    except TimeoutError:
        return *before, Usage(calls=1, estimated=True).model_dump()
    try:
        reading = (
            reading_of(parse_json(reply.text)) if not reply.failure and not reply.refusal and not reply.cut else None
        )
    except (ValueError, RecursionError):
        reading = None
    if reading is None:
        return *before, reply.usage.model_dump()
    found = await asyncio.to_thread(with_reading, text, reading)
    return found.request, found.question, found.assumptions, reply.usage.model_dump()


async def pick_sections(state: State, run: Run) -> Update:
    """Sections about this model's shape and the request's wishes; and the planner's answer when a model is to propose."""
    problem = problem_of(state, run)
    found = await asyncio.to_thread(sections_for, problem, run.deps.search_sections, run.deps.settings.sections_shown)
    run.emit("retrieved", refs=[section.ref for section in found])
    update: Update = {"sections": [section.model_dump() for section in found]}
    if run.deps.model is not None:
        started = time.monotonic()
        planned = await run.deps.planner.propose(Brief(problem=problem, sections=found))
        update |= {"planned": planned.model_dump(mode="json"), "planned_verdict": await _judged(planned, problem, run)}
        update["planned_s"] = time.monotonic() - started
    return update


async def _judged(planned: Proposal, problem: Problem, run: Run) -> dict[str, Any]:
    """The verdict on the planner's proposal, as JSON; empty when it proposes nothing."""
    if planned.dag is None:
        return {}
    verdict = await asyncio.to_thread(run.deps.validate, planned.dag, problem.model, problem)
    return {
        "findings": [finding.model_dump(mode="json") for finding in verdict.findings],
        "proof": verdict.proof.model_dump(mode="json") if verdict.proof else None,
        "valid": verdict.valid,
    }


def planned_infeasible(state: State) -> bool:
    """Whether the planner, asked first as a yardstick, showed that nothing fits."""
    planned = state.get("planned")
    return planned is not None and planned["infeasible"] is not None


# --- propose ----------------------------------------------------------------------------------------------------------


async def ask(state: State, run: Run) -> Update:
    """One proposal, within what is left of the deadline."""
    proposer = _proposer(state, run)
    started = time.monotonic()
    limit = model_time_s(state, run) if state["asks"] == "model" else max(run.remaining_s, MIN_PLANNER_S)
    try:
        async with asyncio.timeout(max(0.001, limit)):
            proposal = await proposer.propose(brief_of(state, run))
    except TimeoutError:
        proposal = Proposal(
            outcome="failed", text=f"no answer within the deadline of {run.deps.settings.deadline_s:g} s"
        )
    except ProposalError as error:
        proposal = Proposal(outcome="failed", text=str(error))
    document = proposal.model_dump(mode="json")
    run.once("proposal", document, lambda: proposal)
    return {"proposal": document, **_recorded(state, proposer.name, proposal, started)}


def model_time_s(state: State, run: Run) -> float:
    """Seconds that the model still has; the rest of the deadline is kept for judging the planner's answer in its place."""
    reserve = max(LEAST_RESERVE_S, state.get("planned_s", 0.0), 2 * state.get("judged_s", 0.0))
    return run.remaining_s - min(reserve, MOST_RESERVED * run.deps.settings.deadline_s)


def _proposer(state: State, run: Run) -> Proposer:
    model = run.deps.model
    return model if state["asks"] == "model" and model is not None else run.deps.planner


def brief_of(state: State, run: Run) -> Brief:
    """What the proposer is asked now: the last candidate only, never the whole history."""
    last = state.get("proposal") or {}
    findings = [Finding.model_validate(f) for f in state.get("findings", [])]
    return Brief(
        problem=problem_of(state, run),
        sections=sections_of(state),
        last=last.get("document"),
        findings=shown_findings(
            findings,
            limit=run.deps.settings.max_findings_shown,
            way_out=bool(last.get("wrote_graph")) and hard_to_mend(findings, len(state.get("attempts", []))),
        ),
        mode="patch" if state.get("mode") == "patch" else "full",
        escalate=state.get("escalate", False),
        evidence=_evidence(state, run),
        write_graph=run.deps.write_graph,
        layouts=proposal_of(state, run, "planned").layouts if "planned" in state else (),
        tokens_left=run.deps.settings.token_budget - tokens_of(state),
    )


def hard_to_mend(findings: Sequence[Finding], attempts: int) -> bool:
    """Whether a graph should rather be given up: a repair did not mend it, or only the proof says that it is wrong."""
    return attempts > 1 or any(f.code == PROOF_FAILED for f in findings)


def shown_findings(findings: Sequence[Finding], *, limit: int, way_out: bool) -> tuple[Finding, ...]:
    """What a re-ask shows: the errors, not too many; and the way out of a graph that one repair did not mend."""
    errors = tuple(f for f in findings if f.severity == "error")[:limit]
    return (*errors, WAY_OUT) if way_out and errors else errors


def _evidence(state: State, run: Run) -> tuple[str, ...]:
    planned = proposal_of(state, run, "planned") if run.deps.show_evidence and "planned" in state else None
    if planned is None or planned.strategy is None:
        return ()
    return evidence_lines(planned.strategy, planned.estimate, planned.alternatives)


def _recorded(state: State, proposer: str, proposal: Proposal, started: float) -> Update:
    """The attempt, and the fingerprint of its candidate."""
    digest = fingerprint(proposal)
    attempt = Attempt(
        proposer=proposer,
        outcome=proposal.outcome,
        digest=digest,
        usage=proposal.usage,
        ms=round((time.monotonic() - started) * 1000, 3),
    )
    return {
        "attempts": [*state.get("attempts", []), attempt.model_dump(mode="json")],
        "digests": [*state.get("digests", []), digest],
    }


def fingerprint(proposal: Proposal) -> str:
    """Equal for equal candidates, whatever words came with them; of the text for an answer that is none."""
    candidate = proposal.dag or proposal.strategy
    what = proposal.text if candidate is None else candidate.model_dump_json()
    return hashlib.sha256(what.encode()).hexdigest()[:16]


# --- validate ---------------------------------------------------------------------------------------------------------


async def judge(state: State, run: Run) -> Update:
    """Findings, proof and price of the proposal. Only a clean verdict is accepted."""
    proposal = proposal_of(state, run)
    if proposal.dag is None or proposal.strategy is None:
        return _noted(state, run, proposal, proposal.findings, None, None, accepted=False)
    known = state.get("planned_verdict")
    if state["asks"] == "planner_fallback" and known and proposal.estimate is not None:
        found = tuple(Finding.model_validate(row) for row in known["findings"])
        proof = Proof.model_validate(known["proof"]) if known["proof"] else None
        return _noted(state, run, proposal, found, proof, proposal.estimate, accepted=known["valid"])
    problem, started = problem_of(state, run), time.monotonic()
    limit = model_time_s(state, run) if state["asks"] == "model" else None
    try:
        async with asyncio.timeout(None if limit is None else max(0.001, limit)):
            verdict = await asyncio.to_thread(run.deps.validate, proposal.dag, problem.model, problem)
    except TimeoutError:
        return _noted(state, run, proposal, (UNJUDGED,), None, None, accepted=False)
    findings, estimate = verdict.findings, proposal.estimate
    if verdict.valid and estimate is None:
        estimate = await asyncio.to_thread(run.deps.estimate, proposal.dag, problem)
    if state["asks"] == "model":
        findings = (*findings, *unmet(problem, proposal.strategy, estimate))
    errors = any(finding.severity == "error" for finding in findings)
    noted = _noted(state, run, proposal, findings, verdict.proof, estimate, accepted=verdict.valid and not errors)
    return {**noted, "judged_s": time.monotonic() - started}


def _noted(
    state: State,
    run: Run,
    proposal: Proposal,
    findings: Sequence[Finding],
    proof: Proof | None,
    estimate: Estimate | None,
    *,
    accepted: bool,
) -> Update:
    """The verdict in the state, on the attempt, and as events."""
    rows = [finding.model_dump(mode="json") for finding in findings]
    attempts = [*state["attempts"][:-1], {**state["attempts"][-1], "findings": rows}]
    run.emit(
        "attempt",
        number=len(attempts),
        proposer=attempts[-1]["proposer"],
        outcome=proposal.outcome,
        accepted=accepted,
        ms=attempts[-1]["ms"],
    )
    if rows:
        run.emit("findings", number=len(attempts), findings=rows)
    update: Update = {
        "findings": rows,
        "proof": proof.model_dump(mode="json") if proof else None,
        "estimate": estimate.model_dump(mode="json") if estimate else None,
        "accepted": accepted,
        "attempts": attempts,
    }
    best = state.get("best")
    if not accepted and proposal.dag is not None and (best is None or _errors(rows) < _errors(best["findings"])):
        update["best"] = {"proposal": state["proposal"], "findings": rows, "proof": update["proof"]}
    return update


def _errors(rows: Sequence[dict[str, Any]]) -> int:
    return sum(row["severity"] == "error" for row in rows)


# --- repair, fall back ------------------------------------------------------------------------------------------------


def nothing_left(state: State) -> bool:
    """The planner has spoken: whatever it said is the end."""
    return state["asks"] != "model"


def stop_reason(state: State, run: Run) -> str:
    """Why the model is not asked again; empty when it is."""
    settings, outcome = run.deps.settings, state["proposal"]["outcome"]
    if outcome in ("refused", "failed"):
        return f"the model {'refused' if outcome == 'refused' else 'could not be asked'} ({state['proposal']['text']})"
    if len(state["attempts"]) >= settings.max_attempts:
        return f"{settings.max_attempts} attempts were not enough"
    if tokens_of(state) >= settings.token_budget:
        return f"the budget of {settings.token_budget:,} tokens is used up"
    if model_time_s(state, run) <= 0:
        return f"the deadline of {settings.deadline_s:g} s has passed"
    if state["digests"].count(state["digests"][-1]) >= settings.same_candidate_limit:
        return f"the model sent the same candidate {settings.same_candidate_limit} times"
    return ""


def plan_repair(state: State, run: Run) -> Update:
    """A patch for few findings on a large graph; a whole answer, and harder, when the same candidate came back."""
    settings, proposal = run.deps.settings, state["proposal"]
    repeated = state["digests"].count(state["digests"][-1]) > 1
    codes = {row["code"] for row in state["findings"]}
    nodes = (
        sum(len(block["nodes"]) for block in proposal["dag"]["blocks"])
        if proposal["dag"] and proposal["wrote_graph"]
        else 0
    )
    small = 0 < _errors(state["findings"]) <= settings.patch_max_findings and nodes >= settings.patch_min_nodes
    patch = small and not repeated and proposal["outcome"] == "candidate" and "BAD_PATCH" not in codes
    return {"mode": "patch" if patch else "full", "escalate": repeated}


async def next_best(state: State, run: Run) -> Update:
    """After the model: its own strategy with the canonical graph, once, if it wrote a graph; then the planner."""
    reason = stop_reason(state, run) or state.get("reason", "")
    proposal = proposal_of(state, run)
    in_time = model_time_s(state, run) > 0
    if in_time and proposal.wrote_graph and proposal.strategy is not None and not state.get("rebuilt"):
        canonical = await asyncio.to_thread(_canonical, proposal, problem_of(state, run))
        if canonical is not None:
            note = "the model's graph was rejected; the canonical graph of its strategy stands in its place"
            return {
                **_replaced(state, "llm", canonical),
                "rebuilt": True,
                "reason": reason,
                "assumptions": [*state["assumptions"], note],
            }
    planned = proposal_of(state, run, "planned")
    return {**_replaced(state, "planner", planned), "asks": "planner_fallback", "reason": reason}


def _canonical(proposal: Proposal, problem: Problem) -> Proposal | None:
    assert proposal.strategy is not None
    try:
        dag: Dag = build(problem.model, proposal.strategy)
    except (InputError, ValueError, KeyError, IndexError, ZeroDivisionError):
        return None
    return proposal.model_copy(
        update={"outcome": "candidate", "dag": dag, "wrote_graph": False, "usage": Usage(), "findings": ()}
    )


def _replaced(state: State, proposer: str, proposal: Proposal) -> Update:
    return {"proposal": proposal.model_dump(mode="json"), **_recorded(state, proposer, proposal, time.monotonic())}


# --- finish -----------------------------------------------------------------------------------------------------------


def conclude(state: State, run: Run) -> Update:
    """The result of the run, and its event."""
    result = _result(state, run)
    document = result.model_dump(mode="json")
    run.once("result", document, lambda: result)
    run.emit("result", status=result.status, origin=result.origin)
    return {"result": document}


def _result(state: State, run: Run) -> Result:
    """Clarification, valid, infeasible or rejected: the first that holds."""
    if state.get("question"):
        return Result(
            status="needs_clarification",
            request=None,
            assumptions=tuple(state["assumptions"]),
            question=state["question"],
            usage=usage_of(state),
        )
    if planned_infeasible(state) and "proposal" not in state:
        return _infeasible(state, run, proposal_of(state, run, "planned"))
    proposal = proposal_of(state, run)
    if state["accepted"]:
        return _valid(state, run, proposal)
    if proposal.infeasible is not None:
        return _infeasible(state, run, proposal)
    return _rejected(state)


def _common(state: State) -> dict[str, Any]:
    """Fields that every answer to an understood request has."""
    origin: Origin = {"planner": "planner", "model": "llm", "planner_fallback": "planner_fallback"}[state["asks"]]  # type: ignore[assignment]
    return {
        "origin": origin,
        "request": Request.model_validate(state["request"]),
        "assumptions": tuple(state["assumptions"]),
        "attempts": tuple(Attempt.model_validate(a) for a in state.get("attempts", [])),
        "usage": usage_of(state),
    }


def _valid(state: State, run: Run, proposal: Proposal) -> Result:
    assert proposal.strategy is not None
    common, problem = _common(state), problem_of(state, run)
    common["assumptions"] = tuple(dict.fromkeys([*common["assumptions"], *proposal.assumptions]))
    estimate = Estimate.model_validate(state["estimate"]) if state["estimate"] else None
    planned = proposal_of(state, run, "planned") if "planned" in state else proposal
    others = (*_yardstick(planned, estimate), *planned.alternatives)
    alternatives = tuple(a for a in others if a.strategy != proposal.strategy)
    why = proposal.text if state["asks"] == "model" else state.get("reason", "")
    gains = planned.gains if planned.strategy == proposal.strategy else ()
    text = explain_valid(
        problem, proposal.strategy, estimate, alternatives, origin=common["origin"], why=why, gains=gains
    )
    return Result(
        status="valid",
        strategy=proposal.strategy,
        dag=proposal.dag,
        report=_report(state),
        proof=Proof.model_validate(state["proof"]) if state["proof"] else None,
        estimate=estimate,
        alternatives=alternatives,
        gains=gains,
        explanation=text,
        citations=_citations(state, proposal),
        **common,
    )


def _yardstick(planned: Proposal, estimate: Estimate | None) -> tuple[Alternative, ...]:
    """The planner's best as an alternative to a model's strategy, with the difference in throughput."""
    if planned.strategy is None or planned.estimate is None or estimate is None:
        return ()
    gain = planned.estimate.tokens_per_s_per_gpu / max(estimate.tokens_per_s_per_gpu, 1e-9) - 1
    reason = f"the planner's choice, {abs(gain):.0%} {'more' if gain > 0 else 'fewer'} tokens/s/GPU; the model chose otherwise"
    summary = "; ".join(describe(pool) for pool in planned.strategy.pools)
    return (Alternative(strategy=planned.strategy, summary=summary, estimate=planned.estimate, reason=reason),)


def _infeasible(state: State, run: Run, proposal: Proposal) -> Result:
    """Nothing fits. When what stands in the way is a rule and not a limit, the request itself is refused."""
    assert proposal.infeasible is not None
    broken = [limit for limit in proposal.infeasible.limits if _RULE_CODE.fullmatch(limit.name)]
    return Result(
        status="rejected" if broken else "infeasible",
        report=Report(findings=tuple(_finding_of(limit, proposal.infeasible) for limit in broken)),
        infeasible=proposal.infeasible,
        alternatives=proposal.alternatives,
        explanation=explain_infeasible(problem_of(state, run), proposal.infeasible),
        citations=_citations(state, proposal),
        **{**_common(state), "origin": "planner"},
    )


def _finding_of(limit: Limit, infeasible: Infeasible) -> Finding:
    hint = infeasible.nearest[0].message if infeasible.nearest else "relax the constraint"
    return Finding(code=limit.name, severity="error", path="/constraints", message=limit.message, hint=hint)


def _rejected(state: State) -> Result:
    """The best candidate so far with its findings, and why asking stopped."""
    best = state.get("best")
    candidate = Proposal.model_validate(best["proposal"]) if best else Proposal.model_validate(state["proposal"])
    findings = tuple(Finding.model_validate(row) for row in (best["findings"] if best else state["findings"]))
    reason = state.get("reason") or ("the proposal breaks rules" if findings else "the proposal could not be proved")
    return Result(
        status="rejected",
        strategy=candidate.strategy,
        dag=candidate.dag,
        report=Report(findings=findings),
        proof=Proof.model_validate(best["proof"]) if best and best["proof"] else None,
        explanation=explain_rejected([f.code for f in findings if f.severity == "error"], reason),
        **_common(state),
    )


def _report(state: State) -> Report:
    return Report(findings=tuple(Finding.model_validate(row) for row in state["findings"]))


def _citations(state: State, proposal: Proposal) -> tuple[Citation, ...]:
    """A model's citations as far as they were shown; else what was read."""
    shown = {section.ref: section.title for section in sections_of(state)}
    named = [ref for ref in dict.fromkeys(proposal.citations) if ref in shown]
    return tuple(Citation(ref=ref, title=shown[ref]) for ref in named or shown)


# --- views of the state -----------------------------------------------------------------------------------------------


def problem_of(state: State, run: Run) -> Problem:
    """The request of this run, resolved."""
    asked = state["request"]
    return run.once("problem", asked, lambda: run.deps.resolve(Request.model_validate(asked))[0])


def proposal_of(state: State, run: Run, part: Literal["proposal", "planned"] = "proposal") -> Proposal:
    """The candidate before the judge, or the planner's own."""
    raw = state[part]
    return run.once(part, raw, lambda: Proposal.model_validate(raw))


def sections_of(state: State) -> tuple[Shown, ...]:
    """Sections that were retrieved."""
    return tuple(Shown.model_validate(section) for section in state.get("sections", []))


def usage_of(state: State) -> Usage:
    """Tokens over all attempts."""
    each = [Usage.model_validate(attempt["usage"]) for attempt in state.get("attempts", [])]
    each += [Usage.model_validate(state["read_usage"])] if state.get("read_usage") else []
    return Usage(
        input_tokens=sum(u.input_tokens for u in each),
        output_tokens=sum(u.output_tokens for u in each),
        calls=sum(u.calls for u in each),
        estimated=any(u.estimated for u in each),
    )


def tokens_of(state: State) -> int:
    """Tokens spent on the model so far, in and out."""
    usage = usage_of(state)
    return usage.input_tokens + usage.output_tokens
