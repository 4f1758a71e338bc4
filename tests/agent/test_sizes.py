"""What an answer and a repair cost, and what of a prompt can be cached. Tokens are estimated as characters / 3.2 (compact JSON)."""

import copy
import json
from collections.abc import Callable
from typing import Any

import jsonpatch
import pytest

from agent.prompts import full_messages, patch_messages, system_text
from agent.proposers import Brief, Shown
from agent.wire import PatchAnswer, decode, encode
from knowledge.resolve import resolve
from strategy.build import build
from strategy.request import Problem, Request
from strategy.result import Finding
from strategy.strategy import Strategy

CHARACTERS_PER_TOKEN = 3.2
MOST_TOKENS_OF_AN_ANSWER = 3_500
MOST_OF_A_REPAIR = 0.15
WHY = "Weights of 671 GB bind: ep 16 spreads them, DP attention keeps one latent cache per request, both pools stay in a host."

DEEPSEEK_PLANS: dict[str, list[dict[str, Any]]] = {
    "colocated": [{"attention": {"dp_size": 16}, "experts": {"ep_size": 16}}],
    "two stages": [
        {
            "attention": {"dp_size": 4, "tp_size": 4},
            "experts": {"ep_size": 16},
            "pp_size": 2,
            "stages": [[0, 31], [31, 61]],
        }
    ],
    "disaggregated": [
        {
            "name": "prefill",
            "phases": ["prefill"],
            "attention": {"dp_size": 2, "tp_size": 8},
            "experts": {"ep_size": 16},
        },
        {"name": "decode", "phases": ["decode"], "attention": {"dp_size": 16}, "experts": {"ep_size": 16}},
    ],
}


def tokens(value: Any) -> float:
    """Tokens of a document, as a model would write it."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return len(text) / CHARACTERS_PER_TOKEN


def deepseek() -> Problem:
    """DeepSeek-V3 on 32 H200."""
    asked = {
        "model": "deepseek-v3",
        "cluster": {"gpu": "h200-sxm", "hosts": 4},
        "workload": {"isl": 4096, "osl": 512},
    }
    return resolve(Request.model_validate(asked)).problem


def whole_answer(pools: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer that writes the canonical graph of a plan out."""
    strategy = Strategy.model_validate({"pools": [{"stages": [[0, 61]], **pool} for pool in pools]})
    return {**encode(build(deepseek().model, strategy), WHY), "citations": ["moe.md#dispatch"] * 4}


@pytest.mark.parametrize("name", DEEPSEEK_PLANS)
def test_a_whole_deepseek_v3_answer_stays_below_its_bar(name: str) -> None:
    answer = whole_answer(DEEPSEEK_PLANS[name])

    assert decode(answer, deepseek().model).findings == ()
    assert 1_000 < tokens(answer) <= MOST_TOKENS_OF_AN_ANSWER
    assert tokens({**answer, "graph": None}) < 500


def nodes_of(answer: dict[str, Any], op: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(block, node) for every node of an op."""
    return [(b, n) for b in answer["graph"]["blocks"] for n in b["nodes"] if n["op"] == op]


def drop_collective(answer: dict[str, Any]) -> None:
    """Forget a collective."""
    block, node = nodes_of(answer, "all_to_all")[-1]
    block["nodes"].remove(node)
    for other in block["nodes"]:
        other["inputs"] = [node["inputs"][0] if text == node["id"] else text for text in other["inputs"]]


def wrong_axis(answer: dict[str, Any]) -> None:
    """Send tokens over the wrong ranks."""
    nodes_of(answer, "all_to_all")[0][1]["axis"] = "tp"


def wrong_split(answer: dict[str, Any]) -> None:
    """Split a matrix the wrong way."""
    nodes_of(answer, "linear")[0][1]["split"] = "row"


def lost_link(answer: dict[str, Any]) -> None:
    """Forget the loop of a cache."""
    answer["graph"]["links"].pop()


def wrong_degree(answer: dict[str, Any]) -> None:
    """A degree, and what follows from it, of two fields."""
    pool = answer["strategy"]["pools"][0]
    pool["experts"] = {"dp_size": 1, "ep_size": 12, "tp_size": 1}


MISTAKES: tuple[Callable[[dict[str, Any]], None], ...] = (
    drop_collective,
    wrong_axis,
    wrong_split,
    lost_link,
    wrong_degree,
)


@pytest.mark.parametrize("name", DEEPSEEK_PLANS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_repair_takes_a_small_part_of_a_whole_answer(name: str, mistake: Callable[[dict[str, Any]], None]) -> None:
    answer = whole_answer(DEEPSEEK_PLANS[name])
    broken = copy.deepcopy(answer)
    mistake(broken)

    operations = [
        {"op": o["op"], "path": o["path"], "value_json": json.dumps(o["value"]) if "value" in o else None}
        for o in jsonpatch.make_patch(broken, answer)
        if o["op"] != "move"
    ]
    patch = {"patch": operations}

    PatchAnswer.model_validate(patch)
    assert 0 < tokens(patch) <= MOST_OF_A_REPAIR * tokens(answer)


def shared_start(texts: list[str]) -> str:
    """What all texts begin with."""
    same = (len(set(characters)) == 1 for characters in zip(*texts, strict=False))
    return texts[0][: next((n for n, equal in enumerate(same) if not equal), min(map(len, texts)))]


def test_all_that_comes_before_the_candidate_is_shared_by_the_prompts_of_a_run() -> None:
    problem, answer = deepseek(), whole_answer(DEEPSEEK_PLANS["colocated"])
    shown = tuple(Shown(ref=f"page.md#{n}", title=f"Section {n}", text="word " * 200) for n in range(6))
    finding = Finding(code="CM001", severity="error", path="/blocks/0/nodes/2", message="m", hint="h")
    first = Brief(problem=problem, sections=shown)
    second = Brief(problem=problem, sections=shown[::-1], last=answer, findings=(finding,), tokens_left=5)
    third = second.model_copy(update={"escalate": True, "findings": (finding, finding)})

    prompts = [full_messages(first), full_messages(second), patch_messages(second), full_messages(third)]
    texts = ["\n".join(text for _, text in messages) for messages in prompts]
    shared = shared_start(texts)

    assert shared.startswith(system_text())
    assert "</request>" in shared
    assert len(shared) >= 0.95 * len(texts[0])


def test_the_system_text_is_the_same_for_every_problem(problem: Problem) -> None:
    assert full_messages(Brief(problem=problem))[0] == full_messages(Brief(problem=deepseek()))[0]
    assert tokens(system_text()) < 2_000
    assert tokens(system_text(graphs=True)) < 3_500
