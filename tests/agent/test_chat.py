"""A conversation keeps its plan: it is refined, explained, inspected and exported, and nothing that is said decides more than that."""

import asyncio
import json
import re

import pytest

from agent.chat import MAX_TURNS, Reply, Thread, turn
from agent.deps import Deps, default_deps
from agent.topics import DEPLOYMENT_PAGES
from agent.understand.changes import understand_change
from knowledge.resolve import resolve_model
from knowledge.retrieval import Library
from strategy.mesh import coordinates
from strategy.request import Request

FIRST = "Llama 3.1 70B on 8 H100, 2k in, 200 out, TTFT under 2 s"


def talk(*messages: str, thread: Thread | None = None, deps: Deps | None = None) -> tuple[Thread, list[Reply]]:
    """A conversation whose thread goes through JSON between the turns."""
    thread, replies = thread or Thread(), []
    for message in messages:
        thread, reply = asyncio.run(turn(thread, message, deps or default_deps()))
        thread = Thread.model_validate(json.loads(thread.model_dump_json()))
        replies.append(reply)
    return thread, replies


@pytest.fixture(scope="module")
def planned() -> Thread:
    """A conversation that has a plan."""
    return talk(FIRST)[0]


@pytest.fixture(scope="module")
def split() -> Thread:
    """One whose plan is split in a way that no change of prices moves."""
    return talk(f"{FIRST}, TP must be 4, colocated")[0]


@pytest.fixture(scope="module")
def staged() -> Thread:
    """One with experts, two pools, and stages in the first."""
    thread, _ = talk("DeepSeek-V3 on 16 H200, 8k in, 1k out, TPOT < 50 ms")
    assert thread.result is not None
    assert thread.result.strategy is not None
    assert thread.result.strategy.disaggregated
    return thread


def request_after(planned: Thread, *messages: str) -> Request:
    """What is planned after more messages."""
    thread, replies = talk(*messages, thread=planned)
    assert [reply.kind for reply in replies] == ["plan"] * len(messages), [reply.text for reply in replies]
    assert thread.result is not None
    assert thread.result.request is not None
    return thread.result.request


def test_refinements_change_what_they_speak_of_and_keep_the_rest(planned: Thread) -> None:
    request = request_after(planned, "what if I only have 4?", "make it fp8", "TTFT matters more")

    assert (request.cluster.gpu, request.cluster.gpus_per_host, request.cluster.hosts) == ("h100-sxm", 4, 1)
    assert request.precision.weights == "fp8"
    assert request.objective == "latency"
    assert (request.workload.isl, request.workload.osl) == (2048, 200)
    assert request.slo.ttft_ms == 2000


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("what about two nodes?", {"cluster": {"gpu": "h100-sxm", "gpus_per_host": 8, "hosts": 2}}),
        ("on H200 instead", {"cluster": {"gpu": "h200-sxm", "gpus_per_host": 8}}),
        ("double the GPUs", {"cluster": {"gpu": "h100-sxm", "gpus_per_host": 8, "hosts": 2}}),
        ("use 16 of them", {"cluster": {"gpu": "h100-sxm", "gpus_per_host": 8, "hosts": 2}}),
        ("what if I had 2x8?", {"cluster": {"gpu": "h100-sxm", "gpus_per_host": 8, "hosts": 2}}),
        ("fp8 kv cache please", {"precision": {"kv": "fp8"}}),
        ("TPOT under 20ms", {"slo": {"ttft_ms": 2000.0, "tpot_ms": 20.0}}),
        ("with 32k prompts", {"workload": {"isl": 32768, "osl": 200}}),
        ("64 concurrent users", {"workload": {"isl": 2048, "osl": 200, "concurrency": 64}}),
        ("half the context", {"workload": {"isl": 1024, "osl": 200}}),
        ("use sglang", {"engine": "sglang"}),
        ("disaggregate it", {"serving": "disaggregated"}),
        ("make it cheapest", {"objective": "min_gpus"}),
        ("latency is what counts", {"objective": "latency"}),
        ("try TP8", {"constraints": {"fix": {"tp_size": 8}}}),
        ("no pipeline parallelism", {"constraints": {"forbid": ["pp"]}}),
        ("the 8B instead", {"model": "llama-3.1-8b"}),
        ("Qwen3-32B instead", {"model": "qwen3-32b"}),
    ],
)
def test_a_refinement_is_read_against_the_request_it_changes(
    planned: Thread, said: str, expected: dict[str, object]
) -> None:
    assert planned.result is not None
    assert planned.result.request is not None
    before = planned.result.request.model_dump(mode="json", exclude_defaults=True)

    changed = understand_change(said, planned.result.request).request

    assert changed is not None
    after = changed.model_dump(mode="json", exclude_defaults=True)
    assert {k: v for k, v in after.items() if v != before.get(k)} == expected


def test_constraints_add_up_and_are_released(planned: Thread) -> None:
    request = request_after(planned, "no pipeline parallelism", "try TP4", "allow pp again")

    assert request.constraints.forbid == ()
    assert request.constraints.fix.tp_size == 4


def test_a_limit_is_dropped(planned: Thread) -> None:
    assert request_after(planned, "drop the TTFT limit").slo.ttft_ms is None


def test_a_contradiction_and_an_unknown_gpu_are_asked_about(planned: Thread) -> None:
    thread, (reply, other) = talk("make it TP4 or TP8", "on 8 P100", thread=planned)

    assert (reply.kind, other.kind) == ("question", "question")
    assert "which one" in reply.text
    assert "not in the catalogue" in other.text
    assert thread.result == planned.result


def test_a_question_back_is_answered_in_pieces() -> None:
    thread, replies = talk("Llama 3.1 8B", "8 H100", "2k in, 100 out please")

    assert [reply.kind for reply in replies] == ["question", "plan", "plan"]
    assert thread.result is not None
    assert thread.result.request is not None
    assert (thread.result.request.model, thread.result.request.workload.isl) == ("llama-3.1-8b", 2048)


def test_why_not_is_answered_with_the_rule_that_forbids_it_and_its_section(planned: Thread) -> None:
    _, (reply,) = talk("why not TP3?", thread=planned)

    assert reply.kind == "why"
    assert "TP001" in reply.text
    assert "1, 2, 4, 8" in reply.text
    assert [c.ref for c in reply.citations] == ["tensor-parallelism.md#head-divisibility"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("why not 4 replicas?", ["replicas=4"]),
        ("why not disaggregated?", ["disaggregated", "instead of"]),
        ("why not fp8?", ["weights fp8", "tokens/s/GPU"]),
        ("but why is TTFT so high?", ["prefill:", "ms"]),
        ("why this plan?", ["bottleneck"]),
    ],
)
def test_why_is_answered_from_estimates_with_citations_that_exist(planned: Thread, said: str, words: list[str]) -> None:
    thread, (reply,) = talk(said, thread=planned)

    assert reply.kind == "why"
    assert [word for word in words if word not in reply.text] == []
    assert reply.citations
    assert {c.ref for c in reply.citations} <= set(Library().refs())
    assert thread.result == planned.result


@pytest.mark.parametrize(
    ("said", "other"), [("why disaggregated?", "colocated serving"), ("why colocated?", "colocated serving")]
)
def test_why_so_is_answered_by_the_other_way_to_serve(staged: Thread, said: str, other: str) -> None:
    _, (reply,) = talk(said, thread=staged)

    assert other in reply.text
    assert "tokens/s/GPU (" in reply.text


def test_why_a_long_ttft_tells_first_that_it_is_waiting(staged: Thread) -> None:
    _, (reply,) = talk("why is TTFT so high?", thread=staged)

    assert re.match(r"\d+% of TTFT \([\d,]+ of [\d,]+ ms\) is waiting", reply.text)
    assert "nothing limits TTFT" in reply.text
    assert reply.citations[0].ref == "slo.md#waiting-and-load"
    assert "e+0" not in reply.text


def test_sections_about_an_engine_are_cited_only_where_it_is_asked_for(staged: Thread) -> None:
    _, replies = talk("why not TP8?", "why not EP?", "why not PP?", "why not DP attention?", thread=staged)

    cited = {citation.ref.partition("#")[0] for reply in replies for citation in reply.citations}
    assert cited & DEPLOYMENT_PAGES == set()


def test_an_expert_is_found_in_the_stages_that_hold_its_layers(staged: Thread) -> None:
    _, (everywhere, one, dense) = talk(
        "which GPUs hold expert 17?",
        "which GPUs hold expert 17 of layer 40?",
        "which rank has expert 17 of layer 2?",
        thread=staged,
    )

    assert staged.result is not None
    assert staged.result.strategy is not None
    pool = staged.result.strategy.pools[0]
    assert pool.pp_size == 2
    model, held = resolve_model("deepseek-v3"), {}
    assert model.moe is not None
    assert pool.experts is not None
    for place in coordinates(pool):
        if place.ep == 17 // (model.moe.num_experts // pool.experts.ep_size):
            held.setdefault(place.pp, []).append(place.rank)
    first, second = (", ".join(map(str, held[stage])) for stage in (0, 1))
    (_, middle), (_, last) = pool.stages
    assert (
        f"ranks {first} of layers 0 to {middle - 1}, ranks {second} of layers {middle} to {last - 1}" in everywhere.text
    )
    assert f"expert 17 of layer 40 is on ep rank 0, that is ranks {second} (" in one.text
    assert dense.text.startswith("Layer 2 of `deepseek-v3` has no experts")


def test_why_not_stages_is_answered_by_a_plan_with_stages(split: Thread) -> None:
    _, (reply,) = talk("why not PP?", thread=split)

    assert reply.kind == "why"
    assert "pp_size=2" in reply.text
    assert "x PP2" in reply.text


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("show the decode DAG", ["decode: ", "all_reduce(", "axis=tp"]),
        ("which rank holds layer 40?", ["layer 40 is in stage 0", "ranks 0-"]),
        ("which rank holds layer 400?", ["No rank holds layer 400", "0 to 79"]),
        ("what is on rank 2", ["Rank 2:", "tp 2"]),
        ("which GPUs hold stage 0?", ["stage 0 (layers 0 to 79)", "ranks 0-"]),
        ("which GPUs hold stage 3?", ["no stage 3"]),
        ("memory", ["weights", "GB"]),
        ("what are the alternatives?", ["1. ", "lost:"]),
        ("show the proof", ["virtual ranks"]),
        ("is it proved?", ["virtual ranks"]),
        ("what did you assume?", ["- "]),
        ("where does the time go? show the breakdown", ["Bottleneck", "prefill:"]),
    ],
)
def test_the_plan_is_inspected_without_being_made_again(split: Thread, said: str, words: list[str]) -> None:
    thread, (reply,) = talk(said, thread=split)

    assert reply.kind == "inspect"
    assert [word for word in words if word not in reply.text] == []
    assert thread.result == split.result


def test_exports_come_as_files(planned: Thread) -> None:
    _, (vllm, mermaid, launch) = talk("export vllm", "give me the mermaid", "how do I serve it?", thread=planned)

    assert "vllm serve" in vllm.files[0].text
    assert mermaid.files[0].text.startswith("flowchart")
    assert launch.files[0].text == vllm.files[0].text


def test_what_cannot_fit_stays_in_the_thread_and_can_be_refined() -> None:
    thread, (first, second) = talk("Llama 3.1 70B in bf16 on one H100, 1k in, 100 out", "what if I had 4?")

    assert first.result is not None
    assert first.result.status == "infeasible"
    assert second.result is not None
    assert second.result.status == "valid"
    assert thread.result == second.result


def test_where_nothing_fits_another_choice_is_planned_and_looks_say_why_there_is_no_plan() -> None:
    _, (_, other, same, memory, export) = talk(
        "Llama 3.1 70B in bf16 on one H100, 1k in, 100 out",
        "why not Llama 3.1 8B?",
        "why not TP8?",
        "show the memory",
        "export vllm",
    )

    assert other.text.startswith("With llama-3.1-8b there is a plan: one GPU, TTFT ")
    assert same.kind == "why"
    assert "there is no plan" in same.text
    assert memory.text.startswith("There is no plan to look at: the request is infeasible.")
    assert "nothing to export" in export.text


def test_an_export_without_a_format_lists_them(planned: Thread) -> None:
    _, (bare, unknown) = talk("export", "export banana", thread=planned)

    assert "sglang" in bare.text
    assert unknown.text == bare.text


@pytest.mark.parametrize("said", ["", "hi", "thanks!", "the weather is nice", "\x00\x1b[2J", "?" * 5000])
def test_what_is_no_request_gets_help_and_changes_nothing(planned: Thread, said: str) -> None:
    thread, (reply,) = talk(said, thread=planned)

    assert reply.kind == "help"
    assert thread.result == planned.result


def test_a_thread_does_not_grow_for_ever(planned: Thread) -> None:
    thread, _ = talk(*["memory"] * MAX_TURNS, thread=planned)

    assert len(thread.turns) == MAX_TURNS


def test_before_there_is_a_plan_questions_about_one_get_help() -> None:
    _, (why, export) = talk("why not TP8?", "show the decode DAG")

    assert "no plan yet" in why.text
    assert export.kind == "question"


def test_undo_goes_back_to_the_request_before(planned: Thread) -> None:
    thread, replies = talk("make it fp8", "undo that", thread=planned)

    assert [reply.kind for reply in replies] == ["plan", "plan"]
    assert thread.result is not None
    assert planned.result is not None
    assert thread.result.request == planned.result.request
    assert "nothing to undo" in talk("undo that", thread=thread)[1][0].text


def test_a_question_about_another_choice_is_answered_and_keeps_the_plan(planned: Thread) -> None:
    thread, (reply,) = talk("would fp8 help?", thread=planned)

    assert reply.kind == "why"
    assert "weights fp8" in reply.text
    assert reply.citations
    assert thread.result == planned.result


def test_another_model_on_other_gpus_keeps_the_traffic(planned: Thread) -> None:
    request = request_after(planned, "then rather gpt-oss-120b on a single H100")

    assert (request.model, request.workload.isl, request.workload.osl) == ("gpt-oss-120b", 2048, 200)
