"""Names of models in running text: whole, shortened, and followed by what makes another model of them."""

import pytest

from agent.understand import understand
from agent.understand.assemble import catalogue_names
from agent.understand.names import Vocabulary


def read(text: str, names: Vocabulary | None = None) -> list[tuple[str, ...]]:
    """Keys of every mention, in order."""
    return [mention.keys for mention in (names or catalogue_names().models).mentions(text)]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("GLM 4.6", "glm-4.6"),
        ("glm46", "glm-4.6"),
        ("GLM-4.7-Flash", "glm-4.7-flash"),
        ("Kimi K2 0905", "kimi-k2-0905"),
        ("k2-thinking", "kimi-k2-thinking"),
        ("MiniMax M2.1", "minimax-m2.1"),
        ("R1 distill 70B", "deepseek-r1-distill-llama-70b"),
        ("R1-Distill-Qwen-32B", "deepseek-r1-distill-qwen-32b"),
        ("deepseek-r1:14b", "deepseek-r1-distill-qwen-14b"),
        ("DeepSeek-V2-Lite", "deepseek-v2-lite"),
        ("QwQ", "qwq-32b"),
        ("Qwen2.5 Coder 32B Instruct", "qwen2.5-coder-32b"),
        ("Qwen2 72B", "qwen2-72b"),
        ("Mistral Small", "mistral-small-3.2-24b"),
        ("Mistral Small 3.1", "mistral-small-3.1-24b"),
        ("Devstral", "devstral-small-24b"),
        ("Gemma 3 12B", "gemma-3-12b"),
        ("Phi-4", "phi-4"),
        ("Phi 3 mini", "phi-3-mini"),
        ("Command R+", "c4ai-command-r-plus"),
        ("Yi 34B", "yi-34b"),
        ("DBRX", "dbrx"),
        ("Seed OSS", "seed-oss-36b"),
        ("EXAONE 4 32B", "exaone-4.0-32b"),
        ("Nemotron 70B", "llama-3.1-nemotron-70b"),
        ("Hermes 3 70B", "hermes-3-70b"),
        ("Qwen3 Coder 30B", "qwen3-coder-30b-a3b"),
        ("Code Llama 34B", "codellama-34b"),
        ("Mistral Small 22B", "mistral-small-2409-22b"),
        ("GLM-4.5V", "glm-4.5v"),
        ("DeepSeek V3.1", "deepseek-v3.1"),
        ("DeepSeek-V3.1-Terminus", "deepseek-v3.1-terminus"),
        ("R1 0528", "deepseek-r1-0528"),
        ("Grok 1", "xai-grok-1"),
    ],
)
def test_a_name_as_people_type_it_is_read(text: str, key: str) -> None:
    assert read(f"Serve {text} on 8 x H100") == [(key,)]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Llama 70B", "llama-3.3-70b"),
        ("Llama 8B", "llama-3.1-8b"),
        ("Qwen 32B", "qwen3-32b"),
        ("Qwen 72B", "qwen2.5-72b"),
        ("Gemma 27B", "gemma-3-27b"),
        ("Mistral 7B", "mistral-7b"),
        ("DeepSeek R1", "deepseek-r1"),
        ("DeepSeek V3", "deepseek-v3"),
        ("Kimi K2", "kimi-k2"),
        ("Command A", "c4ai-command-a-03-2025"),
        ("command-a", "c4ai-command-a-03-2025"),
        ("Command R+ 08-2024", "c4ai-command-r-plus-08-2024"),
        ("Code Llama 13B", "codellama-13b"),
        ("DeepSeek Coder 33B", "deepseekcoder-33b"),
        ("Nous Hermes 2 Mixtral 8x7B DPO", "nousresearch-hermes-2-mixtral-8x7b"),
        ("Zephyr 7B", "hfh4-zephyr-7b-beta"),
        ("LLaVA 1.6 34B", "llava-1.6-34b"),
    ],
)
def test_models_made_of_another_one_do_not_take_its_short_name(text: str, key: str) -> None:
    assert read(f"Serve {text} on 8 x H100") == [(key,)]


@pytest.mark.parametrize(
    "text", ["DeepSeek R1 distilled into something", "R1 distill", "Qwen3-Omni-30B", "GLM-4.5-Mini"]
)
def test_a_name_that_goes_on_to_another_model_is_not_taken_for_the_shorter_one(text: str) -> None:
    assert all(len(keys) > 1 for keys in read(f"Serve {text} on 8 x H100"))


@pytest.mark.parametrize("word", ["seed 42", "step by step", "phi = 0.3", "Yi from ops", "the falcon team", "hermes"])
def test_an_everyday_word_is_no_model(word: str) -> None:
    assert read(f"{word}: Llama 3.1 8B on one H100") == [("llama-3.1-8b",)]
    assert all(len(keys) > 1 for keys in read(f"{word}: something on one H100"))


@pytest.mark.parametrize(
    "words",
    ["the command a user gives", "ring all-reduce", "flash attention", "dots in the log", "solar power", "nous avons", "I am at the foundation", "opt in"],
)  # fmt: skip
def test_words_that_models_are_named_after_name_none(words: str) -> None:
    assert read(f"{words}, on 8 x H100") == []


def test_a_size_alone_means_no_fine_tune_of_the_model_that_has_it() -> None:
    found = understand("405B on 8x H200")

    assert found.request is not None
    assert found.request.model == "llama-3.1-405b"


def test_a_family_is_asked_about_by_its_plain_models() -> None:
    assert read("DeepSeek") == [
        ("deepseek-r1", "deepseek-v2.5", "deepseek-v2", "deepseek-v3.1", "deepseek-v3.2", "deepseek-v3")
    ]


def test_a_size_makes_the_plain_name_win_whatever_its_version() -> None:
    names = Vocabulary({"owl-2-7b": (), "owl-1.5-coder-7b": (), "hoot-owl-7b": ()})

    assert read("owl 7b", names) == [("owl-2-7b",)]
    assert read("owl coder 7b", names) == [("owl-1.5-coder-7b",)]
    assert read("owl", names) == [("owl-2-7b",)]
