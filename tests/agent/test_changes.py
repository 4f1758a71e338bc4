"""A follow-up changes what it speaks of, by itself: values, factors, more and fewer, what is taken back; a question changes nothing."""

from functools import cache
from typing import Any

import pytest

from agent.understand import understand
from agent.understand.changes import asks_only, understand_change
from strategy.request import Request

FIRST = (
    "Llama 3.3 70B fp8 on 2 nodes of 8 H100, vllm, 4000 in, 500 out, 64 concurrent, TTFT 1 s, TPOT 40 ms, TP8, no EP"
)


@cache
def _first() -> Request:
    found = understand(FIRST).request
    assert found is not None
    return found


def _values(request: Request) -> dict[str, Any]:
    cluster = request.cluster
    return {
        "model": request.model, "gpu": cluster.gpu, "gpus": (cluster.gpus_per_host or 8) * cluster.hosts, "nic": cluster.nic_gb_per_s,
        **request.workload.model_dump(), **request.slo.model_dump(), **request.precision.model_dump(),
        "fix": request.constraints.fix.model_dump(exclude_none=True), "forbid": request.constraints.forbid,
        "engine": request.engine, "serving": request.serving, "objective": request.objective,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        ("what if I only have 4?", {"gpus": 4}),
        ("drop to one node", {"gpus": 8}),
        ("what if one node fails?", {"gpus": 8}),
        ("我只有4张卡怎么办？", {"gpus": 4}),
        ("add a third host", {"gpus": 24}),
        ("and one more host", {"gpus": 24}),
        ("one of the two nodes is gone", {"gpus": 8}),
        ("turns out only half of those GPUs are mine", {"gpus": 8}),
        ("double the users", {"concurrency": 128}),
        ("the users will be three times that", {"concurrency": 192}),
        ("traffic grows by 50 %", {"concurrency": 96}),
        ("what if the traffic doubles?", {"concurrency": 128}),
        ("use 20 fewer users", {"concurrency": 44}),
        ("Doppelt so viele Nutzer bitte.", {"concurrency": 128}),
        ("E se a carga cair pela metade?", {"concurrency": 32}),
        ("and prompts are twice as long", {"isl": 8000}),
        ("prompts are only a quarter of that", {"isl": 1000}),
        ("输入长度翻倍", {"isl": 8000}),
        ("and actually the answers are only 800 tokens", {"osl": 800}),
        ("prefix cache hit rate is more like 50 %", {"prefix_hit_ratio": 0.5}),
        ("drop both latency limits", {"ttft_ms": None, "tpot_ms": None}),
        ("Quita el límite de 40 ms.", {"tpot_ms": None}),
        ("let the planner choose the TP degree", {"fix": {}}),
        ("let go of the TP degree", {"fix": {}}),
        ("TPの固定は外してください", {"fix": {}}),
        ("EP is ok again", {"forbid": ()}),
        ("TP4 rather than 8", {"fix": {"tp_size": 4}}),
        ("make it bf16", {"weights": "bf16"}),
        ("and with SGLang?", {"engine": "sglang"}),
        ("split them", {"serving": "disaggregated"}),
        ("sorry, I meant 8B", {"model": "llama-3.1-8b"}),
        ("same on B200", {"gpu": "b200-sxm"}),
        ("only 200 Gbit/s per GPU, I checked", {"nic": 25.0}),
    ],
)
def test_a_change_changes_that_and_nothing_else(said: str, changes: dict[str, object]) -> None:
    changed = understand_change(said, _first())

    assert changed.question is None
    assert changed.request is not None
    before, after = _values(_first()), _values(changed.request)
    differing = {name: value for name, value in after.items() if value != before[name]}
    if "model" in changes or "gpu" in changes:
        differing = {name: value for name, value in differing.items() if name in changes}
    assert differing == changes


@pytest.mark.parametrize(
    "question",
    [
        "would bf16 help?",
        "is vllm or sglang faster?",
        "¿Qué ventaja tendría TP16?",
        "does an NVFP4 checkpoint exist?",
        "how many users at most?",
        "can we use TP4?",
    ],
)
def test_a_question_changes_nothing(question: str) -> None:
    assert asks_only(question)
    assert understand_change(question, _first()).request is None


def test_a_bare_number_speaks_of_what_was_changed_last() -> None:
    changed = understand_change("no wait, 120", _first(), None, ("concurrency",)).request

    assert changed is not None
    assert changed.workload.concurrency == 120
    assert understand_change("no wait, 120", _first()).request is None


def test_a_lost_gpu_leaves_hosts_unequal_and_is_asked_about() -> None:
    assert "how many hosts" in (understand_change("what happens if a GPU dies?", _first()).question or "")


def test_what_the_request_says_already_is_said() -> None:
    assert understand_change("make it fp8", _first()).same


def test_what_cannot_be_scaled_is_asked_about() -> None:
    idle = _first().model_copy(update={"workload": _first().workload.model_copy(update={"concurrency": None})})

    assert "gives no concurrency" in (understand_change("double the users", idle).question or "")
