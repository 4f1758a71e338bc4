"""Wishes in other words: what is let go, what is not decided, what is said twice, what is taken back."""

from typing import Any

import pytest
from agent_support import read_request

LLAMA = "Llama 3.1 70B on 2x8 H100, 2k in, 500 out, 12 rps."


def _constraints(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    request, _ = read_request(f"{LLAMA} {text}")
    return request.constraints.fix.model_dump(exclude_none=True), request.constraints.forbid


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("DP attention was unstable for us so pls leave it out.", "dp_attention"),
        ("Pipeline parallelism gave us trouble, skip it please.", "pp"),
        ("We had bad luck with EP last year. Please don't use it.", "ep"),
        ("Expert parallelism hung on our fabric; stay away from it.", "ep"),
        ("DP-Attention war bei uns instabil, bitte weglassen.", "dp_attention"),
    ],
)
def test_a_kind_that_is_let_go_later_is_forbidden(text: str, kind: str) -> None:
    assert _constraints(text) == ({}, (kind,))


@pytest.mark.parametrize(
    "text",
    [
        "TP8 was unstable so leave it out.",
        "We have TP in mind, and a spare node, leave it out.",
        "No cross-node TP please.",
        "Across nodes we don't want TP.",
        "TP must not leave the node.",
        "跨机不想用TP,其他怎么切都可以。",
        "ノード間のTPは使わない。",
        "Kein TP über Knotengrenzen hinweg.",
        "My gut says 4 copies",
        "I suspect 4 replicas do it.",
        "I'd have gone for TP4, but you tell me.",
        "Is TP8 stupid here, should we rather run several replicas?",
        "Am I crazy to run TP8 here?",
        "You can use all 16 GPUs.",
        "No need to use all 16 GPUs.",
    ],
)
def test_what_is_no_wish_binds_nothing(text: str) -> None:
    assert _constraints(text) == ({}, ())


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("Le TP doit être de 8.", {"tp_size": 8}),
        ("Il faut que le TP soit de 8.", {"tp_size": 8}),
        ("El TP tiene que ser de 8.", {"tp_size": 8}),
        ("Use all 16 GPUs, they're reserved and paid for anyway.", {"gpus": 16}),
        ("All 16 GPUs must be used.", {"gpus": 16}),
        ("Please use all 16 of them.", {"gpus": 16}),
    ],
)
def test_what_is_wanted_is_fixed(text: str, fixed: dict[str, int]) -> None:
    assert _constraints(text) == (fixed, ())


@pytest.mark.parametrize(
    ("text", "open_field"),
    [
        ("Engine is open, they lean to SGLang but have not decided.", "engine"),
        ("We tend towards SGLang but nothing is decided yet.", "engine"),
        ("We are leaning to TensorRT-LLM; not settled yet.", "engine"),
        ("We have not decided between P/D and colocated.", "serving"),
        ("Whether to disaggregate is still open.", "serving"),
        ("Engine tbd, probably vLLM.", "engine"),
        ("We haven't picked an engine; vLLM is the favourite.", "engine"),
    ],
)
def test_what_is_not_decided_stays_open_and_is_said_back(text: str, open_field: str) -> None:
    request, notes = read_request(f"{LLAMA} {text}")

    assert getattr(request, open_field) in (None, "auto")
    assert "not decided: the plan chooses" in notes or "asked about" in notes


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("Code completion, so latency latency latency.", "latency"),
        ("We want the lowest end-to-end latency. 40 rps", "latency"),
        ("Latency end to end as low as possible", "latency"),
        ("How many GPUs does it take?", "min_gpus"),
        ("How many prefill vs decode GPUs do we want?", "throughput"),
        ("Tell me how many sequences fit.", "throughput"),
        ("Wie viele Sequenzen passen rein?", "throughput"),
        ("Combien de séquences tiennent en mémoire ?", "throughput"),
        ("Wie viele GPUs brauchen wir?", "min_gpus"),
        ("It's all about latency.", "latency"),
        ("Every ms counts.", "latency"),
        ("How many users can this serve?", "throughput"),
    ],
)
def test_an_objective_is_said_or_assumed(text: str, objective: str) -> None:
    request, notes = read_request(f"{LLAMA} {text}")

    assert request.objective == objective
    assert objective == "latency" or "objective" in notes


@pytest.mark.parametrize(
    "said",
    [
        "4x H100... sorry, 8x",
        "4x H100, no wait, 8x",
        "4 H100 SXM. Sorry, 8, the whole node",
        "4x H100 (scratch that, 8x)",
    ],
)
def test_a_corrected_count_keeps_what_it_counts(said: str) -> None:
    request, _ = read_request(f"Qwen3-32B on {said}. 1500 in, 300 out")

    assert (request.cluster.gpu, request.cluster.gpus_per_host) == ("h100-sxm", 8)


@pytest.mark.parametrize(
    "lengths",
    [
        "1k/8k, no wait thats the public benchmark, our real traffic is more like 3000 in / 2000 out",
        "1k/8k (but that's just the benchmark), we see 3000/2000",
        "3000 in / 2000 out, not the 1k/8k of the benchmarks",
        "prompt ok. 3 tys. tokenów, odpowiedź 2 tys. tokenów",
    ],
)
def test_lengths_of_others_are_no_lengths(lengths: str) -> None:
    request, _ = read_request(f"Qwen3-32B on 8 H100. {lengths}. 40 concurrent.")

    assert (request.workload.isl, request.workload.osl) == (3000, 2000)


@pytest.mark.parametrize(
    ("words", "ratio"),
    [
        ("dont la moitié vient du cache de préfixe", 0.5),
        ("die Hälfte davon kommt aus dem Prefix-Cache", 0.5),
        ("two thirds of the prompt come from cache", 0.667),
        ("three quarters of the prompt tokens hit the cache", 0.75),
    ],
)
def test_a_share_in_words_is_the_cached_part(words: str, ratio: float) -> None:
    request, _ = read_request(f"Qwen3-32B on 8 H100. 1500 tokens in, {words}, 40 tokens out, 8 rps")

    assert request.workload.prefix_hit_ratio == ratio
