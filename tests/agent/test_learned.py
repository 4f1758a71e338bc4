"""The learned reader of numbers: what it makes of wordings that no pattern foresees, where it is heard, and that it is always said."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.understand import understand
from agent.understand.assemble import catalogue_names
from agent.understand.learned import FILE, Claim, Opinion, likeliest_size, opinion_of
from agent.understand.mentions import Page, page_of
from agent.understand.notes import Notes
from agent.understand.opinions import hear, meant, size_heard
from agent.understand.scan import Scan
from agent.understand.standing import Place


def page(text: str) -> Page:
    names = catalogue_names()
    return page_of(Scan(text).original, names.models, names.gpus)


def opinion(text: str) -> Opinion:
    return opinion_of(page(text))


def heard(text: str, **workload: float) -> tuple[dict[str, Any], list[str]]:
    """The workload after the learned reader was heard about a text of which the patterns found this much."""
    notes = Notes()
    for name, default in (("isl", 4096), ("osl", 512)):
        if name not in workload:
            workload[name] = default
            notes.assume(f"{name} {default}: the text gives no length", default=name)
    document: dict[str, Any] = {"workload": dict(workload), "slo": {}}
    hear(document, opinion(text), Scan(text), notes)
    return {**document["workload"], **document["slo"]}, notes.assumptions


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("Gemma 3 27B on 2 H100. Query plus snippets: 2600 tokens. Answer: 140 tokens.", "isl", 2600),
        ("avg_prompt_tokens = 900\navg_completion_tokens = 300\nin_flight = 32", "concurrency", 32),
        ("4 A100 GPU पर चलाना है। इनपुट 1400 टोकन, आउटपुट 260 टोकन", "osl", 260),
        ("طول المدخلات 1700 توكن وطول المخرجات 320 توكن", "isl", 1700),
        ("Llama 3.1 8B, 600 tokens in, 90 out, 240 requests an hour", "request_rate", 0.066667),
        ("every user must get 25 tokens a second, the first token in 400 ms", "tpot_ms", 40),
    ],
)
def test_words_around_a_number_tell_what_it_is(text: str, field: str, value: float) -> None:
    assert opinion(text).claims(field)[0].value == pytest.approx(value)


def test_what_is_filled_is_said() -> None:
    found, said = heard("Query plus snippets: 2600 tokens. Answer: 140 tokens. 32 requests in flight.")

    assert (found["isl"], found["osl"], found["concurrency"]) == (2600, 140, 32)
    assert [sum(f"read as {name}" in note and "learned" in note for note in said) for name in ("isl", "osl", "concurrency")] == [1, 1, 1]  # fmt: skip
    assert not any("gives no" in note for note in said)


def test_a_value_that_a_wrong_number_gave_is_overruled_and_said() -> None:
    found, said = heard("2000 tokens in, 300 tokens out, 64 concurrent requests", isl=300, osl=300)

    assert found["isl"] == 2000
    assert any("read as isl 2000, not 300" in note for note in said)


def test_values_that_stand_nowhere_in_the_text_are_kept() -> None:
    found, said = heard("1000 tokens of system prompt and 1500 of history in, 300 out, 8 at once", isl=2500, osl=300, concurrency=8)  # fmt: skip

    assert found["isl"] == 2500
    assert said == []


def test_a_load_that_is_known_keeps_the_other_form_out() -> None:
    found, _ = heard("2000 tokens in, 300 tokens out, 64 concurrent requests", isl=2000, osl=300, request_rate=7.0)

    assert "concurrency" not in found


def test_a_load_that_is_something_else_gives_way_to_the_other_form() -> None:
    found, said = heard("1x L4, batch 4, is the handbook's. 1450 tokens in, 48 tokens out, 35 requests per second", isl=1450, osl=48, concurrency=48.0)  # fmt: skip

    assert found.get("concurrency") is None
    assert found["request_rate"] == 35
    assert any("set aside" in note for note in said)


def test_the_learned_reader_is_part_of_the_reading() -> None:
    found = understand("Gemma 3 27B on one server with 2 H100. Query plus snippets: 2600 tokens. Answer: 140 tokens. 8 at once.")  # fmt: skip

    assert found.request is not None
    assert found.request.workload.isl == 2600


def test_numbers_that_contradict_each_other_make_no_sure_size() -> None:
    claims = {
        "gpus": [Claim(64, 0.9, (0, 2))],
        "hosts": [Claim(3, 0.9, (3, 4))],
        "per_host": [Claim(8, 0.9, (5, 6))],
    }
    size = likeliest_size(claims)

    assert size is not None
    assert size.chance < 0.2
    assert likeliest_size({**claims, "gpus": []}) == (size_ := likeliest_size({**claims, "gpus": []}))
    assert size_ is not None
    assert (size_.gpus, size_.hosts) == (24, 3)


def test_a_size_answers_only_a_question_about_one_kind_of_gpu() -> None:
    found, usual = opinion("Qwen3-32B on two servers of 8 H100 each, 2000 in, 300 out"), {"h100-sxm": 8, "l4": 8}
    asked = Notes()
    asked.ask("GPUs", "which one?")

    assert size_heard(["h100-sxm"], usual, found, Notes()) is None
    assert size_heard(["h100-sxm", "l4"], usual, found, asked) is None
    assert size_heard(["h100-sxm"], usual, found, asked) == {"gpu": "h100-sxm", "gpus_per_host": 8, "hosts": 2}
    assert not asked.questions
    assert any("learned" in note for note in asked.assumptions)


def test_names_told_in_one_breath_are_left_to_be_asked() -> None:
    text = "either 8 H100 or 8 MI300X, Qwen3-32B"
    places = [Place("h100-sxm", (9, 13)), Place("mi300x", (19, 25))]

    assert meant(text, places, "gpu", opinion(text), Notes()) is None


def test_no_sign_is_a_name() -> None:
    masked = page("Qwen3-32B beats Llama 3.1 70B on 8 H100 SXM").text

    assert not any(name in masked for name in ("Qwen", "Llama", "H100", "70B"))


def test_the_weights_are_small() -> None:
    assert FILE.stat().st_size < 300_000


@given(st.text(max_size=300))
@settings(max_examples=25, deadline=None)
def test_any_text_has_an_opinion(text: str) -> None:
    found = opinion(text)

    assert all(0 <= claim.chance <= 1 for field in ("isl", "hosts", "tpot_ms") for claim in found.claims(field))
    assert found.chances.shape[0] == len(found.page.mentions)


@given(st.lists(st.sampled_from(["8", "H100", "4k", "/", "out", "\n", "½", "٣", "1e9", "0", "%", "tok", "é", "\ud800", "1,000", "x"]), max_size=30))  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_any_row_of_numbers_and_words_has_an_opinion(words: list[str]) -> None:
    for joint in ("", " "):
        assert opinion(joint.join(words)).chances.min(initial=0.0) >= 0


def test_roles_of_a_number_add_up() -> None:
    chances = opinion("2000 in, 300 out, 5 rps, 2x8 H100, 40 ms TPOT").chances

    assert all(abs(sum(row) - 1) < 1e-9 for row in itertools.islice(chances, 20))


@pytest.mark.parametrize(
    "told",
    [
        "10k daily users",
        "the worst minute had 1,800 of them",
        "36,000 calls every hour",
        "our cluster was built around 2019",
    ],
)
def test_times_people_and_years_are_no_lengths_and_no_requests_in_flight(told: str) -> None:
    found = understand(f"Llama 3.1 70B on 8 H100, {told}")

    assert found.request is not None
    workload = found.request.workload
    assert (workload.isl, workload.osl, workload.concurrency) == (4096, 512, None)


def test_a_contradiction_is_asked_about_and_not_guessed_away() -> None:
    assert "2 values for GPUs" in (
        understand("Llama 3.1 8B on 16 H100. There are 8 H100, 1k in 200 out").question or ""
    )
