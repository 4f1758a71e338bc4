"""A language model as a second reader: asked only about what is open, believed only as far as text and catalogue allow."""

import json
from pathlib import Path
from typing import Any

import pytest
from agent_support import TEXT, Step, serving
from pydantic import SecretStr

from agent.deps import default_deps
from agent.graph import run_sync
from agent.recordings import read_recording
from agent.settings import LlmSettings
from agent.understand import understand
from agent.understand.reading import reading_of, with_reading
from agent.wire import WireReading
from strategy.result import Result


def reading(**said: Any) -> WireReading:
    """A reading that says only this."""
    found = reading_of(said)
    assert found is not None
    return found


def asked(text: str, answer: dict[str, Any], *then: Step, record: Path | None = None) -> tuple[Result, int]:
    """A run with a server that reads as it is told, and how often it was asked."""
    with serving(Step(json.dumps(answer)), *then) as server:
        llm = LlmSettings(
            base_url=server.url, model="scripted", api_key=SecretStr("sk-reading"), max_retries=0, timeout_s=5
        )
        return run_sync(text, default_deps(llm, record=record)), len(server.asked)


def test_a_text_that_the_patterns_read_whole_is_not_sent_anywhere() -> None:
    with serving(Step(refusal="no")) as server:
        llm = LlmSettings(
            base_url=server.url, model="scripted", api_key=SecretStr("sk-reading"), max_retries=0, timeout_s=5
        )
        result = run_sync(TEXT, default_deps(llm))

    assert (result.usage.calls, result.attempts[0].outcome) == (1, "refused")


def test_a_language_model_is_believed_before_what_is_learned_from_labelled_texts() -> None:
    text = "Llama 3.1 70B on 8 H100, 3000 odd pieces come and 250 go"
    alone = understand(text)
    found = with_reading(text, reading(isl=250, osl=3000))

    assert any("learned from labelled texts" in one for one in alone.assumptions)
    assert found.request is not None
    assert (found.request.workload.isl, found.request.workload.osl) == (250, 3000)
    assert not any("learned from labelled texts" in one for one in found.assumptions)


def test_values_of_the_model_fill_what_the_patterns_left_open_and_are_assumptions() -> None:
    found = with_reading("Llama 3.1 70B on 8 H100, 3000 odd pieces come and 250 go", reading(isl=3000, osl=250))

    assert found.request is not None
    assert (found.request.workload.isl, found.request.workload.osl) == (3000, 250)
    assert "isl 3000: as the language model reads the text" in found.assumptions
    assert not any("the text gives no prompt length" in note for note in found.assumptions)


@pytest.mark.parametrize("name", ["lfm2-8b-a1b", "Jamba 1.5 Large"])
def test_a_model_that_cannot_be_planned_is_not_taken_for_its_neighbour(name: str) -> None:
    found = with_reading(f"{name} on 8 H100, 1000 in, 200 out", reading(model=name))

    assert found.question is not None
    assert "cannot be planned" in found.question


def test_a_number_that_the_text_does_not_have_is_refused() -> None:
    found = with_reading("Llama 3.1 70B on 8 H100", reading(isl=9999, tp_size=3, concurrency=77))

    assert found.request is not None
    assert (found.request.workload.isl, found.request.workload.concurrency) == (4096, None)
    assert found.request.constraints.fix.tp_size is None
    assert "ignored: the language model's isl 9999 (the text has no such number)" in found.assumptions


def test_what_the_patterns_read_is_not_overruled() -> None:
    found = with_reading(
        "Llama 3.1 8B on 2 H100, TTFT under 1 s, 16 users", reading(model="Llama 3.1 70B", ttft_ms=16.0, isl=16)
    )

    assert found.request is not None
    assert found.request.model == "llama-3.1-8b"
    assert found.request.slo.ttft_ms == 1000


def test_an_unknown_model_stays_a_question() -> None:
    found = with_reading("FooBar 900B on 8 H100", reading(model="FooBar 900B", gpu="H100", hosts=1, gpus_per_host=8))

    assert found.request is None
    assert found.question is not None


def test_a_cluster_needs_its_numbers_in_the_text() -> None:
    text = "DeepSeek-R1 on our H200 park"

    assert with_reading(text, reading(gpu="H200", hosts=4, gpus_per_host=8)).request is None
    assert with_reading(f"{text}: 4 of 8", reading(gpu="H200", hosts=4, gpus_per_host=8)).request is not None


@pytest.mark.parametrize(
    "odd", ["", "no", "[]", '{"isl": "many"}', '{"status": "valid"}', '{"objective": "free beer"}']
)
def test_a_reply_that_is_no_reading_changes_nothing(odd: str) -> None:
    with serving(Step(odd)) as server:
        llm = LlmSettings(
            base_url=server.url, model="scripted", api_key=SecretStr("sk-reading"), max_retries=0, timeout_s=5
        )
        result = run_sync("something on 8 H100", default_deps(llm))

    assert result.status == "needs_clarification"
    assert result.usage.calls == 1


def test_a_reading_is_recorded_and_replayed(tmp_path: Path) -> None:
    path, text = tmp_path / "run.jsonl", "Llama 3.1 8B on 1 H100, 3000 odd pieces each, no fuss"

    first, _ = asked(text, {"isl": 3000}, Step(refusal="no"), record=path)
    again = run_sync(text, default_deps(replay=path))

    assert first.request is not None
    assert first.request.workload.isl == 3000
    assert again.request == first.request
    assert again.usage == first.usage
    assert all(name.startswith("reading") for name in read_recording(path)[0].parts)
    assert "sk-reading" not in path.read_text(encoding="utf-8")
