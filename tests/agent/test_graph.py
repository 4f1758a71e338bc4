"""The loop, with the real planner, validator and knowledge, and a language model that does what a script says."""

import asyncio
import copy
import dataclasses
import json
import time
from typing import Any

import pytest
from agent_support import TEXT, Step, serving

from agent.deps import Deps, default_deps
from agent.events import Event
from agent.graph import build_graph, run, run_sync
from agent.loop import Run
from agent.openai import OpenAiProposer
from agent.proposers import Brief, Proposal
from agent.settings import LlmSettings, LoopSettings
from agent.wire import decode
from strategy.errors import InputError, ProposalError, UnknownNameError
from strategy.request import Problem, Request
from strategy.result import Finding, Result, Usage


class Scripted:
    """A model that answers from a list; the last answer repeats. Remembers what it was asked."""

    name = "llm"

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.briefs: list[Brief] = []

    async def propose(self, brief: Brief) -> Proposal:
        """The next answer: a document, a proposal, an exception, or seconds to wait."""
        self.briefs.append(brief)
        answer = self.answers[min(len(self.briefs), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            await asyncio.sleep(answer)
        if not isinstance(answer, dict):
            return answer if isinstance(answer, Proposal) else Proposal(outcome="failed", text="awake")
        decoded = decode(answer, brief.problem.model)
        return Proposal(
            outcome="candidate" if decoded.dag else "unparsable",
            strategy=decoded.strategy,
            dag=decoded.dag,
            document=answer,
            wrote_graph=answer["graph"] is not None,
            findings=decoded.findings,
            text=answer["why"],
            citations=tuple(answer["citations"]),
            usage=Usage(input_tokens=900, output_tokens=100, calls=1),
        )


def deps(*answers: Any, **settings: Any) -> tuple[Deps, Scripted]:
    """The real parts with a scripted model."""
    model = Scripted(*answers)
    return dataclasses.replace(default_deps(), model=model, settings=LoopSettings(**settings)), model


def illegal(answer: dict[str, Any], tp_size: int = 3) -> dict[str, Any]:
    """The answer with a tp_size that does not divide the heads."""
    changed = copy.deepcopy(answer)
    changed["strategy"]["pools"][0]["attention"]["tp_size"] = tp_size
    changed["strategy"]["pools"][0]["replicas"] = 1
    return changed


def broken_graph(graph_answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without the all_reduce after the FFN's row-parallel projection."""
    changed = copy.deepcopy(graph_answer)
    block = next(b for b in changed["graph"]["blocks"] if b["name"] == "ffn")
    (reduce,) = [n for n in block["nodes"] if n["op"] == "all_reduce"]
    block["nodes"].remove(reduce)
    for node in block["nodes"]:
        node["inputs"] = [reduce["inputs"][0] if i == reduce["id"] else i for i in node["inputs"]]
    return changed


def check_honest(result: Result) -> None:
    """What holds for every result: valid means proved and free of errors."""
    if result.status == "valid":
        assert result.proof is not None
        assert result.proof.passed
        assert result.report.errors == ()
        assert result.dag is not None
        assert result.estimate is not None


# --- the planner ------------------------------------------------------------------------------------------------------


def test_a_sentence_becomes_a_proved_and_priced_plan_with_citations() -> None:
    events: list[Event] = []

    result = run_sync(TEXT, on_event=events.append)

    assert (result.status, result.origin) == ("valid", "planner")
    check_honest(result)
    assert result.request is not None
    assert "objective throughput: the text names none" in result.assumptions
    assert result.citations
    assert "bottleneck" in result.explanation
    assert [e.type for e in events if e.type != "findings"] == ["understood", "retrieved", "attempt", "result"]
    json.dumps([e.data for e in events])


def test_the_same_request_twice_gives_the_same_result_but_for_times() -> None:
    first, second = run_sync(TEXT), run_sync(TEXT)

    assert first.model_dump(exclude={"attempts"}) == second.model_dump(exclude={"attempts"})


def test_text_without_a_model_ends_in_a_question() -> None:
    result = run_sync("eight H100, 4k in, 500 out")

    assert result.status == "needs_clarification"
    assert result.request is None
    assert "model" in (result.question or "")


def test_a_tp_size_that_no_split_allows_is_refused_with_the_legal_ones() -> None:
    result = run_sync("Llama 3.1 70B on 7 H100, TP must be 7")

    assert result.status == "rejected"
    assert result.report.errors
    assert result.infeasible is not None
    assert "1, 2, 4" in result.report.errors[0].message
    assert result.dag is None


def test_what_cannot_fit_is_infeasible_with_the_limit_and_a_checked_change() -> None:
    result = run_sync("Llama 3.1 70B in bf16 on one H100, 1k in, 100 out")

    assert result.status == "infeasible"
    assert result.infeasible is not None
    assert result.infeasible.limits[0].name == "memory"
    assert any(change.verified for change in result.infeasible.nearest)
    assert "memory" in result.explanation


def test_a_request_with_an_unknown_name_is_an_input_error() -> None:
    request = Request.model_validate(
        {"model": "lama-3.1-70b", "cluster": {"gpu": "h100"}, "workload": {"isl": 10, "osl": 10}}
    )

    with pytest.raises(UnknownNameError) as caught:
        run_sync(request)

    assert any("llama-3.1-70b" in name for name in caught.value.nearest)
    assert isinstance(caught.value, InputError)


# --- a language model -------------------------------------------------------------------------------------------------


def test_a_legal_answer_is_accepted_at_the_first_try(answer: dict[str, Any]) -> None:
    found, model = deps({**answer, "citations": ["no-such.md#section"]})

    result = run_sync(TEXT, found)

    assert (result.status, result.origin) == ("valid", "llm")
    check_honest(result)
    assert len(model.briefs) == 1
    assert result.usage.input_tokens == 900
    shown = {section.ref for section in model.briefs[0].sections}
    assert {c.ref for c in result.citations} <= shown


def test_the_planners_own_choice_stands_beside_a_models_as_a_yardstick(answer: dict[str, Any]) -> None:
    wide = copy.deepcopy(answer)
    wide["strategy"]["pools"][0]["attention"]["tp_size"] = 8
    wide["strategy"]["pools"][0]["replicas"] = 1
    found, _ = deps(wide)

    result = run_sync(TEXT, found)
    planned = run_sync(TEXT)

    assert result.origin == "llm"
    assert planned.strategy != result.strategy
    assert result.alternatives[0].strategy == planned.strategy
    assert "tokens/s/GPU" in result.alternatives[0].reason


def test_many_runs_at_once_share_their_parts_and_nothing_else() -> None:
    async def together() -> list[Result]:
        texts = [TEXT, "Llama-3.1-8B on one H100", "eight H100", "Qwen3-32B on 8 H200"] * 2
        return await asyncio.gather(*(run(text, default_deps()) for text in texts))

    results = asyncio.run(together())

    assert [r.status for r in results] == ["valid", "valid", "needs_clarification", "valid"] * 2
    assert [r.dag.model if r.dag else None for r in results] == ["llama-3.1-70b", "llama-3.1-8b", None, "qwen3-32b"] * 2


def test_an_illegal_strategy_comes_back_with_findings_and_is_repaired(answer: dict[str, Any]) -> None:
    found, model = deps(illegal(answer), answer)

    result = run_sync(TEXT, found)

    assert (result.status, result.origin) == ("valid", "llm")
    assert [a.outcome for a in result.attempts] == ["candidate", "candidate"]
    assert any(f.severity == "error" for f in result.attempts[0].findings)
    assert model.briefs[1].findings
    assert model.briefs[1].last == illegal(answer)
    assert result.usage.calls == 2


def test_a_missing_collective_in_a_written_graph_is_found_and_a_patch_is_asked_for(
    graph_answer: dict[str, Any],
) -> None:
    found, model = deps(broken_graph(graph_answer), graph_answer, patch_min_nodes=5, patch_max_findings=10)

    result = run_sync(TEXT, found)

    assert (result.status, result.origin) == ("valid", "llm")
    assert model.briefs[1].mode == "patch"
    assert all(f.severity == "error" for f in model.briefs[1].findings)


def test_a_graph_that_is_never_repaired_gives_way_to_the_canonical_graph_of_the_same_strategy(
    graph_answer: dict[str, Any],
) -> None:
    found, model = deps(broken_graph(graph_answer))

    result = run_sync(TEXT, found)

    assert (result.status, result.origin) == ("valid", "llm")
    check_honest(result)
    assert len(model.briefs) == 3
    assert any("canonical graph" in a for a in result.assumptions)
    assert result.strategy is not None
    assert result.strategy.pools[0].attention.tp_size == 4


def test_an_answer_that_is_never_corrected_falls_back_to_the_planner(answer: dict[str, Any]) -> None:
    found, model = deps(illegal(answer, 3), illegal(answer, 5), illegal(answer, 6), illegal(answer, 7), max_attempts=4)

    result = run_sync(TEXT, found)

    assert (result.status, result.origin) == ("valid", "planner_fallback")
    check_honest(result)
    assert len(model.briefs) == 4
    assert result.attempts[-1].proposer == "planner"
    assert "planner's" in result.explanation


def test_the_same_candidate_escalates_and_then_stops(answer: dict[str, Any]) -> None:
    found, model = deps(illegal(answer), max_attempts=10, same_candidate_limit=3)

    result = run_sync(TEXT, found)

    assert result.origin == "planner_fallback"
    assert [brief.escalate for brief in model.briefs] == [False, False, True]


@pytest.mark.parametrize(
    "answer",
    [
        Proposal(outcome="refused", text="no"),
        Proposal(outcome="failed", text="connection reset"),
        ProposalError("no such model"),
    ],
    ids=["refused", "failed", "raises"],
)
def test_refusal_and_failure_are_not_asked_again(answer: Any) -> None:
    found, model = deps(answer)

    result = run_sync(TEXT, found)

    assert (result.status, result.origin) == ("valid", "planner_fallback")
    assert len(model.briefs) == 1


def test_a_model_that_hangs_is_left_at_the_deadline() -> None:
    found, model = deps(30.0, deadline_s=4.0)

    result = run_sync(TEXT, found)

    assert (result.status, result.origin) == ("valid", "planner_fallback")
    assert len(model.briefs) == 1


def test_the_token_budget_ends_the_asking(answer: dict[str, Any]) -> None:
    found, model = deps(illegal(answer, 3), illegal(answer, 5), token_budget=1_000)

    run_sync(TEXT, found)

    assert len(model.briefs) == 1


def test_garbage_is_asked_again_with_what_was_wrong_and_the_last_candidate_is_kept(answer: dict[str, Any]) -> None:
    finding = Finding(code="JSON", severity="error", path="", message="not JSON", hint="JSON only")
    found, model = deps(Proposal(outcome="unparsable", text="hm", findings=(finding,)), answer)

    result = run_sync(TEXT, found)

    assert result.origin == "llm"
    assert [f.code for f in model.briefs[1].findings] == ["JSON"]


def test_a_model_is_held_to_the_constraints_of_the_request(answer: dict[str, Any]) -> None:
    wanted = copy.deepcopy(answer)
    wanted["strategy"]["pools"][0]["attention"]["tp_size"] = 8
    wanted["strategy"]["pools"][0]["replicas"] = 1
    found, model = deps(answer, wanted)

    result = run_sync(f"{TEXT}, TP must be 8", found)

    assert (result.status, result.origin) == ("valid", "llm")
    assert [f.code for f in model.briefs[1].findings] == ["REQ001"]


def test_a_model_is_held_to_the_latency_limits(answer: dict[str, Any]) -> None:
    slow = copy.deepcopy(answer)
    pool = slow["strategy"]["pools"][0]
    pool["attention"]["tp_size"], pool["replicas"], pool["pp_size"] = 1, 1, 8
    pool["stages"] = [[10 * i, 10 * i + 10] for i in range(8)]
    found, model = deps(slow)

    result = run_sync(f"{TEXT}, TPOT under 25 ms", found)

    assert result.origin == "planner_fallback"
    assert "REQ004" in {f.code for f in model.briefs[1].findings}


def test_an_infeasible_request_costs_no_tokens(answer: dict[str, Any]) -> None:
    found, model = deps(answer)

    result = run_sync("Llama 3.1 70B in bf16 on one H100, 1k in, 100 out", found)

    assert result.status == "infeasible"
    assert model.briefs == []


def test_evidence_is_given_only_when_the_setting_says_so(answer: dict[str, Any]) -> None:
    plain, model = deps(answer)
    run_sync(TEXT, plain)
    shown, told = dataclasses.replace(plain, show_evidence=True), model
    run_sync(TEXT, shown)

    assert told.briefs[0].evidence == ()
    assert told.briefs[1].evidence[0].startswith("1. ")


def test_when_model_and_planner_both_fail_the_answer_is_rejected_with_the_best_candidate(
    answer: dict[str, Any],
) -> None:
    class Broken:
        name = "planner"

        async def propose(self, brief: Brief) -> Proposal:
            return Proposal(outcome="failed", text="the planner broke")

    found, _ = deps(illegal(answer), max_attempts=1)
    found = dataclasses.replace(found, planner=Broken())

    result = run_sync(TEXT, found)

    assert (result.status, result.origin) == ("rejected", "planner_fallback")
    assert result.strategy is not None
    assert result.report.errors
    assert "1 attempts" in result.explanation


def test_cancelling_a_run_cancels_the_call_that_is_going_on() -> None:
    cancelled, asked = [], asyncio.Event()

    class Hanging:
        name = "llm"

        async def propose(self, brief: Brief) -> Proposal:
            asked.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise
            raise AssertionError

    async def leave_early() -> None:
        task = asyncio.create_task(run(TEXT, dataclasses.replace(default_deps(), model=Hanging())))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave_early())

    assert cancelled == [True]


def test_the_whole_way_over_http_with_a_model_that_corrects_itself_by_the_hints(answer: dict[str, Any]) -> None:
    script = [Step("I think TP3 is best."), Step(json.dumps(illegal(answer))), Step(json.dumps(answer))]
    with serving(*script) as server:
        llm = OpenAiProposer(LlmSettings(base_url=server.url, model="scripted", max_retries=0))
        result = run_sync(TEXT, dataclasses.replace(default_deps(), model=llm))

    assert (result.status, result.origin) == ("valid", "llm")
    assert [a.outcome for a in result.attempts] == ["unparsable", "candidate", "candidate"]
    sizes = [len(json.dumps(asked["messages"])) for asked in server.asked]
    assert max(sizes) < 1.5 * sizes[0]
    assert "<findings>" in server.asked[2]["messages"][1]["content"]


def test_the_state_of_a_run_is_json_only() -> None:
    async def states() -> list[dict[str, Any]]:
        context = Run(default_deps())
        found = []
        async for state in build_graph().astream(
            {"text": TEXT}, {"recursion_limit": 30}, context=context, stream_mode="values"
        ):
            found.append(state)
        return found

    for state in asyncio.run(states()):
        assert json.loads(json.dumps(state)) == state


def test_a_candidate_that_takes_too_long_to_judge_is_left_for_the_planners(answer: dict[str, Any]) -> None:
    answer["strategy"]["pools"][0]["attention"]["tp_size"] = 8
    answer["strategy"]["pools"][0]["replicas"] = 1
    found, model = deps(answer, deadline_s=3.0)
    slow = decode(answer, run_sync_problem(found).model).strategy

    def judge(dag: Any, *rest: Any) -> Any:
        time.sleep(3.0 if dag.strategy == slow else 0.0)
        return found.validate(dag, *rest)

    result = run_sync(TEXT, dataclasses.replace(found, validate=judge))

    assert (result.status, result.origin) == ("valid", "planner_fallback")
    assert [f.code for f in result.attempts[0].findings] == ["DEADLINE"]
    assert len(model.briefs) == 1


def run_sync_problem(found: Deps) -> Problem:
    """The problem that the text is about."""
    request, _, _ = found.understand(TEXT)
    assert request is not None
    return found.resolve(request)[0]


def test_a_run_resolves_its_request_once_and_its_result_is_what_its_state_holds():
    real = default_deps()
    asked: list[Request] = []

    def resolve(request: Request) -> tuple[Problem, tuple[str, ...]]:
        asked.append(request)
        return real.resolve(request)

    events: list[Event] = []
    request = Request.model_validate(
        {
            "model": "llama-3.1-8b",
            "cluster": {"gpu": "h100-sxm", "gpus_per_host": 1},
            "workload": {"isl": 256, "osl": 32},
        }
    )
    context = Run(dataclasses.replace(real, resolve=resolve), events.append)
    final = asyncio.run(build_graph().ainvoke({"request": request.model_dump(mode="json")}, context=context))

    assert len(asked) == 1
    kept = context.once("result", final["result"], lambda: None)
    assert kept == Result.model_validate(final["result"])


def test_what_was_read_of_a_part_is_read_again_when_the_part_is_replaced():
    context, first, second = Run(default_deps()), {"a": 1}, {"a": 1}

    told = [context.once("part", raw, lambda raw=raw: [raw]) for raw in (first, first, second)]

    assert told[0] is told[1]
    assert told[2] is not told[1]
    assert told[2][0] is second
