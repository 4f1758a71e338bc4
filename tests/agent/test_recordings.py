"""Exchanges with a model are recorded without secrets and replayed exactly; a prompt that changed says so."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from agent_support import TEXT, ChatServer, Step, serving
from pydantic import SecretStr

from agent import prompts
from agent.deps import default_deps
from agent.graph import run_sync
from agent.recordings import RecordedProposer, RecordingError, read_recording
from agent.settings import LlmSettings, LoopSettings
from strategy.result import Result

KEY = "sk-recorded-secret"


def settings(server: ChatServer) -> LlmSettings:
    return LlmSettings(base_url=server.url, model="scripted", api_key=SecretStr(KEY), max_retries=0, timeout_s=5.0)


def wrong_and_right(answer: dict[str, Any]) -> tuple[Step, ...]:
    """Prose, a wrong strategy, the right one."""
    wrong = copy.deepcopy(answer)
    wrong["strategy"]["pools"][0]["attention"]["tp_size"] = 3
    return Step("TP3 seems best."), Step(json.dumps(wrong)), Step(json.dumps(answer))


def recorded(path: Path, *script: Step, **loop: Any) -> Result:
    """A run against a scripted server, recorded."""
    with serving(*script) as server:
        return run_sync(TEXT, default_deps(settings(server), LoopSettings(**loop), record=path))


def told(result: Result) -> dict[str, Any]:
    """A result without its times."""
    document = result.model_dump(mode="json")
    for attempt in document["attempts"]:
        del attempt["ms"]
    return document


def test_a_replay_gives_the_same_result_without_a_server(tmp_path: Path, answer: dict[str, Any]) -> None:
    path = tmp_path / "runs" / "run.jsonl"
    first = recorded(path, *wrong_and_right(answer))

    again = run_sync(TEXT, default_deps(replay=path))

    assert (first.status, first.origin, len(first.attempts)) == ("valid", "llm", 3)
    assert told(again) == told(first)
    assert len(read_recording(path)) == 3


@pytest.mark.parametrize(
    "step", [Step(None, refusal="no"), Step(status=500, body="boom"), Step('{"why"', finish_reason="length")]
)
def test_refusals_failures_and_cuts_replay_as_well(tmp_path: Path, step: Step) -> None:
    path = tmp_path / "run.jsonl"
    first = recorded(path, step)

    assert first.origin == "planner_fallback"
    assert told(run_sync(TEXT, default_deps(replay=path))) == told(first)


def test_a_question_that_the_deadline_ended_replays_as_one(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    first = recorded(path, Step("late", delay_s=3.0), deadline_s=2.5)

    assert read_recording(path)[0].reply is None
    assert told(run_sync(TEXT, default_deps(replay=path, settings=LoopSettings(deadline_s=2.5)))) == told(first)


def test_neither_key_nor_address_is_written(tmp_path: Path, answer: dict[str, Any]) -> None:
    path = tmp_path / "run.jsonl"
    with serving(Step(status=401, body=json.dumps({"error": {"message": f"bad key {KEY}"}}))) as server:
        run_sync(TEXT, default_deps(settings(server), record=path))
        address = server.url.partition("//")[2].partition("/")[0]
    recorded(path, Step(json.dumps(answer)))

    text = path.read_text()
    assert len(text.splitlines()) == 2
    assert KEY not in text
    assert address not in text
    assert "127.0.0.1" not in text


def test_a_changed_prompt_says_which_part_changed(
    tmp_path: Path, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    recorded(path, Step(json.dumps(answer)))

    monkeypatch.setattr(prompts, "SYSTEM", prompts.SYSTEM + "Think twice.\n")

    with pytest.raises(RecordingError, match=r"differs in system;") as caught:
        run_sync(TEXT, default_deps(replay=path))
    assert "MESHWRIGHT_RECORD" in caught.value.hint


def test_another_request_is_told_from_the_recorded_one(tmp_path: Path, answer: dict[str, Any]) -> None:
    path = tmp_path / "run.jsonl"
    recorded(path, Step(json.dumps(answer)))

    with pytest.raises(RecordingError, match=r"differs in .*request"):
        run_sync("Llama 3.1 8B on 2 H100", default_deps(replay=path))


@pytest.mark.parametrize("text", ["", "not json\n", '{"format": 2}\n'])
def test_what_is_no_recording_is_an_input_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(text)

    with pytest.raises(RecordingError, match=r"run\.jsonl"):
        RecordedProposer(path)
    with pytest.raises(RecordingError, match="cannot read"):
        RecordedProposer(tmp_path / "none.jsonl")
