"""The OpenAI facade, through the client that people use."""

import re
from collections.abc import Iterator

import openai
import pytest
import yaml

from evals.service.processes import Process
from knowledge.resolve import resolve_model
from validators.documents import read_document
from validators.validate import validate

ASKED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Llama 3.1 8B on 2 L40S, 1k in, 100 out"},
]


@pytest.fixture(scope="module")
def client(api: Process) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{api.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def block(text: str) -> str:
    """The fenced DAG of an answer."""
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["meshwright", "meshwright-planner", "meshwright-llm"]
    assert client.models.retrieve("meshwright").owned_by == "meshwright"


def test_a_chat_gets_a_plan_whose_dag_can_be_cut_out_and_is_valid(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="meshwright", messages=ASKED, temperature=0.2, extra_body={"safe_prompt": True, "metadata": {"a": 1}}
    )

    text = answer.choices[0].message.content or ""
    dag = read_document(block(text)).dag
    assert dag is not None
    assert validate(dag, resolve_model(dag.model)).valid
    assert answer.choices[0].finish_reason == "stop"


def test_a_streamed_answer_says_the_same(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="meshwright", messages=ASKED).choices[0].message.content
    chunks = list(
        client.chat.completions.create(
            model="meshwright", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    )

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert len({chunk.id for chunk in chunks}) == 1


def test_content_may_come_in_parts_and_over_turns(client: openai.OpenAI) -> None:
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "Llama 3.1 8B"}]},
        {"role": "assistant", "content": "On which GPUs?"},
        {"role": "user", "content": [{"type": "text", "text": "on 2 L40S"}]},
    ]

    answer = client.chat.completions.create(model="meshwright", messages=turns)

    assert yaml.safe_load(block(answer.choices[0].message.content or ""))["model"] == "llama-3.1-8b"


def test_a_plan_is_refined_and_asked_about_over_turns(client: openai.OpenAI) -> None:
    said = list(ASKED)
    answers = []
    for text in ("what if I only have 1?", "why not TP2?", "export vllm"):
        answers.append(
            client.chat.completions.create(model="meshwright", messages=said).choices[0].message.content or ""
        )
        said += [{"role": "assistant", "content": answers[-1]}, {"role": "user", "content": text}]
    answers.append(client.chat.completions.create(model="meshwright", messages=said).choices[0].message.content or "")

    assert yaml.safe_load(block(answers[1]))["strategy"] != yaml.safe_load(block(answers[0]))["strategy"]
    assert "tp_size=2" in answers[2]
    assert re.search(r"\n\nSources:\n- [a-z-]+\.md#", answers[2])
    assert "vllm serve" in answers[3]


def test_what_is_missing_is_asked_for(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="meshwright", messages=[{"role": "user", "content": "Hello!"}])

    assert "for example: Llama 3.1 70B on 2x8 H100" in (answer.choices[0].message.content or "")


def test_errors_have_openais_shape(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-99", messages=ASKED)
    with pytest.raises(openai.BadRequestError) as empty:
        client.chat.completions.create(model="meshwright", messages=[])

    assert unknown.value.code == "model_not_found"
    assert empty.value.param == "messages"
    assert empty.value.type == "invalid_request_error"
