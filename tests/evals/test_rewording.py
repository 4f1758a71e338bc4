"""Rewordings say the same, and a reading that changes with one is told."""

from agent.understand import understand
from evals.rewordings import REWORDINGS, sentences
from evals.suites.rewording import compared, samples

TEXT = (
    "Llama 3.1 70B on 8x H100. Prompts of 2000 tokens, answers of 300 tokens. 40 concurrent requests, TTFT under 1 s."
)


def test_an_abbreviation_ends_no_sentence() -> None:
    assert sentences("About 20 users, e.g. Lawyers. They wait.") == ["About 20 users, e.g. Lawyers.", "They wait."]


def test_no_rewording_changes_the_reading_of_a_plain_text() -> None:
    reworded = {way: rewrite(TEXT) for way, rewrite in REWORDINGS.items()}

    changed = [way for way, text in reworded.items() if text and understand(text).request != understand(TEXT).request]

    assert changed == []


def test_a_changed_reading_is_told() -> None:
    target = {
        "says": {
            "model": "llama-3.1-70b",
            "gpu": "h100-sxm",
            "gpus": 8,
            "isl": 2000,
            "osl": 300,
            "concurrency": 40,
            "ttft_ms": 1000,
        }
    }

    output = compared(understand(TEXT), understand(TEXT.replace("2000", "3000")), target)

    assert output["changed"] == ["isl: expected 2000, got 3000"]


def test_every_way_to_reword_is_sampled() -> None:
    assert {sample.input["way"] for sample in samples()} == set(REWORDINGS)
