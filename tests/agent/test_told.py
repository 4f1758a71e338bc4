"""What a text tells of other people, other machines and other times is not planned; what it takes back does not count."""

import asyncio

import pytest
from agent_support import read_request

from agent.deps import default_deps
from agent.proposers import Brief
from agent.understand import understand

QWEN = "Qwen3-32B on 8 H100, 2k in, 500 out."


@pytest.mark.parametrize(
    "told",
    [
        "A colleague suggested TP4 x PP2.",
        "My colleague swears by SGLang with fp8.",
        "The competitor gets 15 ms TPOT with 200 users.",
        "The other team has 16 H200 and runs TP8 with 300 users.",
        "I read on reddit that TP8 is bad.",
        "According to the docs fp8 gives 2x.",
        "Our last run (commit 4f2c1aa, tp16, 22 Aug) gave TTFT 6.3 s and TPOT 71 ms, which is too slow.",
        'Boss wants "50k tok/s" on the slide, ignore that.',
        "On our old A100 box Llama 70B did 900 tok/s with TP8 and 38 ms between tokens.",
        'Cluster "Alder" (4x A100) stays with the speech team and is not part of this.',
        "Kollege meint TP8, egal.",
        "之前用 A800 测过,TP8,仅供参考。",
    ],
)
def test_what_is_told_of_others_binds_nothing_and_is_said_back(told: str) -> None:
    request, notes = read_request(f"{QWEN} {told}")
    plain, _ = read_request(QWEN)

    assert request == plain
    assert "ignored" in notes


@pytest.mark.parametrize(
    ("text", "model", "gpu"),
    [
        (
            "We use 4x A100 with Llama 2 70B today. We are moving to 8x H100 and Llama 3.3 70B.",
            "llama-3.3-70b",
            "h100-sxm",
        ),
        ("I wrote GLM-4.5; it's GLM-4.5-Air. One node, 8 H200.", "glm-4.5-air", "h200-sxm"),
        (
            "can we do deepseek r1 on ONE node of 8 b300? i've seen people use 2 nodes of h200",
            "deepseek-r1",
            "b300-sxm",
        ),
        ("The search team runs Qwen3-30B-A3B on 2 A100s. We have 8x H200 and GLM-4.5.", "glm-4.5", "h200-sxm"),
    ],
)
def test_of_several_names_the_one_that_is_ours_is_planned(text: str, model: str, gpu: str) -> None:
    request, _ = read_request(text)

    assert (request.model, request.cluster.gpu, request.cluster.gpus_per_host) == (model, gpu, 8)


@pytest.mark.parametrize("text", ["Qwen3-32B on 4 L40S or 2 H100, you choose", "Llama 3.1 70B and GLM-4.5 on 8 H100"])
def test_names_that_are_both_wanted_are_asked_about(text: str) -> None:
    assert "which one" in (understand(text).question or "")


@pytest.mark.parametrize(
    ("question", "field", "none"),
    [
        ("TP16 OK?", "fix", {}),
        ("Is vLLM a good choice?", "engine", None),
        ("Should we go fp8?", "weights", None),
        ("Would disaggregated help?", "serving", "auto"),
        ("FP8 KV ok?", "kv", None),
        ("no PP?", "forbid", ()),
        ("SGLang or vLLM, we haven't chosen.", "engine", None),
        ("I'd rather see TP4. Which one is better?", "fix", {}),
    ],
)
def test_a_question_fixes_nothing(question: str, field: str, none: object) -> None:
    request, _ = read_request(f"{QWEN} {question}")
    found = {
        "fix": request.constraints.fix.model_dump(exclude_none=True),
        "forbid": request.constraints.forbid,
        "engine": request.engine,
        "serving": request.serving,
        **request.precision.model_dump(),
    }

    assert found[field] == none


@pytest.mark.parametrize(
    ("wish", "engine", "fix"),
    [
        ("Can you do TP=8 please?", None, {"tp_size": 8}),
        ("What is the best layout with vLLM and TP4?", "vllm", {"tp_size": 4}),
        ("vLLM? no, SGLang", "sglang", {}),
        ("with SGLang, not vLLM", "sglang", {}),
        ("We left vLLM in June and run SGLang now.", "sglang", {}),
        ("EP=16 no thanks, TP=8 it is", None, {"tp_size": 8}),
        ("tp pinned to 8", None, {"tp_size": 8}),
        ("one replica per node, 2 nodes of 4", None, {"replicas": 2}),
        ("At least TP4.", None, {}),
    ],
)
def test_choices_that_are_made(wish: str, engine: str | None, fix: dict[str, int]) -> None:
    request, _ = read_request(f"{QWEN} {wish}")

    assert (request.engine, request.constraints.fix.model_dump(exclude_none=True)) == (engine, fix)


@pytest.mark.parametrize(
    ("load", "concurrency"),
    [
        ("conc 500, no wait, that's the daily users. concurrent is 45.", 45),
        ("concurrency: Paul said 200, Mei corrected to 260, agreed on 260", 260),
        ("30 chats at once today and 90 next year, plan for 90.", 90),
        ("900 agents, about 120 of them waiting at any given time", 120),
        ("12 chats; we don't have the people to run two pools", 12),
        ("chunk size 8192, concurrency up to 120, gpu memory utilization 0.9", 120),
    ],
)
def test_a_load_that_is_corrected(load: str, concurrency: int) -> None:
    assert read_request(f"{QWEN} {load}")[0].workload.concurrency == concurrency


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("8 L4OS", "l40s"),
        ("8x H1OO", "h100-sxm"),
        ("4 B2000", "b200-sxm"),
        ("mi30Ox x 8", "mi300x"),
    ],
)
def test_a_misspelt_gpu_is_asked_about_by_its_near_names(name: str, meant: str) -> None:
    question = understand(f"Qwen3-32B on {name}, 2k in, 500 out").question or ""

    assert f"`{meant}`" in question
    assert "did you mean" in question


def test_a_number_of_gpus_that_are_there_fixes_none() -> None:
    request, _ = read_request("Qwen3-32B, H100, but only 4 GPUs available, 4k in 500 out")

    assert (request.cluster.gpus_per_host, request.constraints.fix.gpus) == (4, None)


def test_the_precision_in_a_checkpoints_name_is_the_weights() -> None:
    assert read_request("Qwen3-235B-A22B-FP8 on 8 H200")[0].precision.weights == "fp8"


def test_two_limits_without_names_are_told_apart_by_size() -> None:
    slo = read_request(f"{QWEN} It has to do 3.5 s and 45 ms.")[0].slo

    assert (slo.ttft_ms, slo.tpot_ms) == (3500, 45)


def test_the_column_that_a_text_speaks_of_is_read() -> None:
    table = "| | old | new |\n|---|---|---|\n| model | Llama-3.1-70B | GLM-4.5 |\n| GPUs | 8x A100 80GB | 8x H200 |\n| prompt | 1500 | 3500 |\n| output | 300 | 700 |"
    request, _ = read_request(f'{table}\n\nWe need the layout for the "new" column.')

    assert (request.model, request.cluster.gpu, request.workload.isl, request.workload.osl) == (
        "glm-4.5",
        "h200-sxm",
        3500,
        700,
    )


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        ("Tokens at most 30 ms apart.", "tpot_ms", 30),
        ("The answer starts after 2000 ms at the latest.", "ttft_ms", 2000),
        ("Words start to show up within 2.5 seconds.", "ttft_ms", 2500),
        ("tokens/s per user should never drop under 40", "tpot_ms", 25),
        ("TPOT below 40 ms. Is 60 ms per token realistic?", "tpot_ms", 40),
        ("Currently it runs with 63 ms per token; TPOT below 40 ms.", "tpot_ms", 40),
    ],
)
def test_limits_in_other_words_and_beside_measures(said: str, field: str, value: float) -> None:
    assert getattr(read_request(f"{QWEN} {said}")[0].slo, field) == value


@pytest.mark.parametrize(
    "aside",
    [
        "The pilot had 10 users.", "Our team has 12 engineers.", "Someone said EP16 is a must.", "What do you think about TP2?", "Port 4080.",
        "We looked at TP16 before, too slow.", "I was told 416 ms TTFT is typical on A100.", "Meeting on 2 March at 14:30.",
    ],
)  # fmt: skip
def test_asides_change_nothing(aside: str) -> None:
    assert read_request(f"{QWEN} {aside}")[0] == read_request(QWEN)[0]


def test_what_is_read_by_those_who_send_is_the_answer() -> None:
    work = read_request("Qwen3-32B on 8 H100; agents send 45000 tokens and read 900")[0].workload

    assert (work.isl, work.osl) == (45000, 900)


def test_a_recurrence_refuses_context_parallelism_by_its_own_rule() -> None:
    request, _ = read_request("Qwen3-Next-80B-A3B on 8 H100 with context parallelism 2, 30k in 1k out")
    problem, _ = default_deps().resolve(request)
    proposal = asyncio.run(default_deps().planner.propose(Brief(problem=problem)))

    assert proposal.infeasible is not None
    assert [limit.name for limit in proposal.infeasible.limits] == ["AT012"]
    assert "pass a state from token to token" in proposal.infeasible.limits[0].message


@pytest.mark.parametrize(
    "aside",
    [
        "The GPUs cost 24k each.",
        "There are 36 products in our catalogue.",
        "In 2023 we used 16 A100s for this.",
        "Invoice no. 1190.",
    ],
)
def test_numbers_of_other_things_change_nothing(aside: str) -> None:
    text = "Qwen3-32B on 12 H200 (3 nodes), request rate 2/s, prompt_len=2000 output_len=500; PP must not be used."

    assert read_request(f"{text} {aside}")[0] == read_request(text)[0]
    assert read_request(text)[0].workload.osl == 500
