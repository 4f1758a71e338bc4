"""The OpenAI-compatible proposer against a real HTTP server that behaves well, badly and worse."""

import asyncio
import json
from typing import Any

import pytest
from agent_support import ChatServer, Step, serving
from pydantic import SecretStr

from agent.openai import OpenAiProposer
from agent.proposers import Brief, Proposal, Shown
from agent.settings import LlmSettings
from strategy.request import Problem
from strategy.result import Finding

KEY = "sk-not-a-real-key"


def proposer(server: ChatServer, **changes: Any) -> OpenAiProposer:
    """A proposer that waits briefly and retries nothing unless told."""
    fields: dict[str, Any] = {"timeout_s": 5.0, "max_retries": 0, "api_key": SecretStr(KEY), **changes}
    return OpenAiProposer(LlmSettings(base_url=server.url, model="scripted", **fields))


def propose(server: ChatServer, brief: Brief, **changes: Any) -> Proposal:
    """One proposal over HTTP."""
    return asyncio.run(proposer(server, **changes).propose(brief))


@pytest.fixture
def brief(problem: Problem) -> Brief:
    """A first question about the problem."""
    return Brief(problem=problem, sections=(Shown(ref="a.md#b", title="B", text="about b"),))


def test_a_good_answer_is_a_candidate_with_its_usage(brief: Brief, answer: dict[str, Any]) -> None:
    with serving(Step(json.dumps({**answer, "citations": ["a.md#b"]}))) as server:
        proposal = propose(server, brief)

    assert proposal.outcome == "candidate"
    assert proposal.dag is not None
    assert proposal.citations == ("a.md#b",)
    assert (proposal.usage.input_tokens, proposal.usage.output_tokens, proposal.usage.calls) == (1000, 100, 1)
    asked = server.asked[0]
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert asked["max_completion_tokens"] == 8192
    assert "about b" in asked["messages"][1]["content"]
    assert not asked.get("stream")


def test_think_block_and_fence_around_an_answer_do_no_harm(brief: Brief, answer: dict[str, Any]) -> None:
    with serving(Step(f"<think>TP4 it is</think>\n```json\n{json.dumps(answer)}\n```")) as server:
        assert propose(server, brief).outcome == "candidate"


@pytest.mark.parametrize("finish_reason", ["length", "stop"])
def test_a_cut_answer_is_never_a_candidate(brief: Brief, answer: dict[str, Any], finish_reason: str) -> None:
    with serving(Step(json.dumps(answer)[:-40], finish_reason=finish_reason)) as server:
        proposal = propose(server, brief)

    assert proposal.outcome == ("truncated" if finish_reason == "length" else "unparsable")
    assert proposal.usage.output_tokens == 100
    assert [f.code for f in proposal.findings] == ["TRUNCATED" if finish_reason == "length" else "JSON"]


def test_a_refusal_is_told_from_a_bad_answer(brief: Brief) -> None:
    with serving(Step(None, refusal="I cannot help with that.")) as server:
        proposal = propose(server, brief)

    assert proposal.outcome == "refused"
    assert "cannot help" in proposal.text


def test_a_server_that_repeats_key_and_address_is_told_without_them(brief: Brief) -> None:
    with serving(Step(None, refusal=f"key {KEY} is bad")) as server:
        refused = propose(server, brief)
    with serving(Step(f"I was given {KEY}")) as server:
        said = asyncio.run(proposer(server).reply(brief))

    assert (refused.outcome, refused.text) == ("refused", "key *** is bad")
    assert said.text == "I was given ***"


def test_a_server_without_json_schema_is_asked_with_a_tool_and_then_only_so(
    brief: Brief, answer: dict[str, Any]
) -> None:
    refused = Step(status=400, body='{"error": {"message": "response_format json_schema is not supported"}}')
    script = [refused, Step(None, arguments=json.dumps(answer), finish_reason="tool_calls")]
    with serving(*script) as server:
        llm = proposer(server)
        first = asyncio.run(llm.propose(brief))
        second = asyncio.run(llm.propose(brief))

    assert (first.outcome, second.outcome) == ("candidate", "candidate")
    assert ["response_format" in asked for asked in server.asked] == [True, False, False]
    assert server.asked[1]["tools"][0]["function"]["name"] == "propose"


def test_a_server_that_knows_neither_gets_the_schema_in_the_prompt(brief: Brief, answer: dict[str, Any]) -> None:
    refused = Step(status=400, body='{"error": {"message": "unsupported"}}')
    with serving(refused, refused, refused, Step(json.dumps(answer))) as server:
        assert propose(server, brief).outcome == "candidate"

    assert server.asked[2]["response_format"] == {"type": "json_object"}
    assert "<schema>" in server.asked[2]["messages"][1]["content"]
    assert "response_format" not in server.asked[3]


@pytest.mark.parametrize(
    "step",
    [
        Step(status=500, body="boom"),
        Step(status=401, body=json.dumps({"error": {"message": f"bad key {KEY}"}})),
        Step(status=429, body='{"error": {"message": "slow down"}}'),
        Step(body="<html>gateway</html>"),
        Step(body="not json at all"),
        Step(body='{"choices": null}'),
        Step(body='{"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}'),
        Step(body="{}"),
        Step(body="[]"),
        Step(status=400, body='{"error": {"message": "too long", "code": "context_length_exceeded"}}'),
        Step(status=404, body='{"error": {"message": "model `scripted` does not exist"}}'),
    ],
    ids=["500", "401", "429", "html", "text", "null-choices", "no-choices", "empty", "array", "overflow", "no-model"],
)
def test_whatever_a_server_does_the_outcome_is_failed_and_says_why(brief: Brief, step: Step) -> None:
    with serving(step) as server:
        proposal = propose(server, brief)

    assert proposal.outcome == "failed"
    assert proposal.text
    assert KEY not in proposal.text
    assert len(server.asked) == 1


def test_a_500_is_retried_by_the_client_and_by_nobody_else(brief: Brief, answer: dict[str, Any]) -> None:
    with serving(Step(status=500, body="boom"), Step(json.dumps(answer))) as server:
        proposal = propose(server, brief, max_retries=1)

    assert proposal.outcome == "candidate"
    assert len(server.asked) == 2


def test_a_silent_server_fails_at_the_timeout(brief: Brief, answer: dict[str, Any]) -> None:
    with serving(Step(json.dumps(answer), delay_s=1.0)) as server:
        proposal = propose(server, brief, timeout_s=0.2)

    assert proposal.outcome == "failed"
    assert "timed out" in proposal.text.lower()


def test_nobody_listening_is_a_failure_like_any_other(brief: Brief) -> None:
    settings = LlmSettings(base_url="http://127.0.0.1:9/v1", model="m", max_retries=0)

    assert asyncio.run(OpenAiProposer(settings).propose(brief)).outcome == "failed"


@pytest.mark.parametrize("content", ["The best choice is TP4.", "", "{}", '{"why": 3}', "[" * 100_000, '{"a":' * 5_000])
def test_garbage_is_unparsable_with_findings_that_say_what_is_wanted(brief: Brief, content: str) -> None:
    with serving(Step(content)) as server:
        proposal = propose(server, brief)

    assert proposal.outcome == "unparsable"
    assert proposal.findings


def test_a_missing_usage_is_estimated_and_says_so(brief: Brief, answer: dict[str, Any]) -> None:
    with serving(Step(json.dumps(answer), usage=None)) as server:
        usage = propose(server, brief).usage

    assert usage.estimated
    assert usage.input_tokens > 500


def test_a_patch_changes_the_last_answer(brief: Brief, graph_answer: dict[str, Any]) -> None:
    bad = json.loads(json.dumps(graph_answer))
    bad["graph"]["blocks"][0]["nodes"][1]["split"] = "replicated"
    patch = {"patch": [{"op": "replace", "path": "/graph/blocks/0/nodes/1/split", "value_json": '"vocab"'}]}
    asked = brief.model_copy(update={"last": bad, "mode": "patch"})
    with serving(Step(json.dumps(patch))) as server:
        proposal = propose(server, asked)

    assert proposal.outcome == "candidate"
    assert proposal.document == graph_answer


@pytest.mark.parametrize(
    "patch",
    [
        {"patch": [{"op": "replace", "path": "/nowhere/at/all", "value_json": "1"}]},
        {"patch": [{"op": "replace", "path": "not a pointer", "value_json": "1"}]},
        {"patch": [{"op": "add", "path": "/why", "value_json": "{not json"}]},
        {"patch": [{"op": "remove", "path": "", "value_json": None}]},
        {"patch": 7},
        {"why": "no patch here"},
    ],
)
def test_a_patch_that_does_not_apply_keeps_the_findings_it_was_to_cure(
    brief: Brief, answer: dict[str, Any], patch: dict[str, Any]
) -> None:
    old = Finding(code="CM001", severity="error", path="/blocks/0", message="m", hint="h")
    asked = brief.model_copy(update={"last": answer, "mode": "patch", "findings": (old,)})
    with serving(Step(json.dumps(patch))) as server:
        proposal = propose(server, asked)

    assert proposal.outcome == "unparsable"
    assert [f.code for f in proposal.findings] == ["BAD_PATCH", "CM001"]
    assert proposal.document == answer


def test_an_escalated_brief_goes_to_the_stronger_model(brief: Brief, answer: dict[str, Any]) -> None:
    with serving(Step(json.dumps(answer))) as server:
        propose(server, brief.model_copy(update={"escalate": True}), strong_model="stronger", temperature=0.0)

    assert server.asked[0]["model"] == "stronger"
    assert server.asked[0]["temperature"] == 0.7


def test_old_servers_can_be_given_max_tokens(brief: Brief, answer: dict[str, Any]) -> None:
    with serving(Step(json.dumps(answer))) as server:
        propose(server, brief, max_tokens_field="max_tokens", max_tokens=512)

    assert server.asked[0]["max_tokens"] == 512
    assert "max_completion_tokens" not in server.asked[0]
