"""Prompts: a stable prefix, the last candidate only, findings as data."""

import json
from typing import Any

from agent.prompts import full_messages, graph_language, patch_messages, request_text, system_text
from agent.proposers import Brief, Shown
from knowledge.catalogue import find_model
from strategy.ops import OPS
from strategy.request import Problem
from strategy.result import Finding

FINDING = Finding(
    code="CM001", severity="error", path="/blocks/0/nodes/2", message="an axis of one rank", hint="drop the node"
)


def test_everything_before_the_candidate_is_equal_in_a_repair(problem: Problem, answer: dict[str, Any]) -> None:
    sections = (Shown(ref="b.md#x", text="beta"), Shown(ref="a.md#x", text="alpha"))
    first = full_messages(Brief(problem=problem, sections=sections))
    brief = Brief(problem=problem, sections=sections[::-1], last=answer, findings=(FINDING,))
    repair = full_messages(brief)

    assert repair[0] == first[0]
    shared = repair[1][1].partition("<candidate>")[0]
    assert first[1][1].startswith(shared)
    assert patch_messages(brief)[1][1].startswith(shared)


def test_findings_point_into_the_answer_and_not_into_the_dag_document(problem: Problem, answer: dict[str, Any]) -> None:
    text = full_messages(Brief(problem=problem, last=answer, findings=(FINDING,)))[1][1]

    row = json.loads(text.partition("<findings>\n")[2].partition("\n</findings>")[0])
    assert row == {
        "code": "CM001",
        "path": "/graph/blocks/0/nodes/2",
        "message": "an axis of one rank",
        "hint": "drop the node",
    }


def test_the_system_text_names_every_op_where_graphs_are_written_and_fits_two_pages_else() -> None:
    text = system_text(graphs=True)

    assert [op for op in OPS if f"- {op} " not in text] == []
    assert len(text) < 11_500
    assert len(system_text()) < 6_500


def test_a_candidate_with_a_graph_is_mended_by_the_language_of_graphs(problem: Problem, answer: dict[str, Any]) -> None:
    with_graph, without = (
        full_messages(Brief(problem=problem, last={**answer, "graph": graph}, findings=(FINDING,)))
        for graph in ({"blocks": []}, None)
    )

    assert with_graph[0] == without[0]
    assert graph_language() in with_graph[1][1]
    assert graph_language() not in without[1][1]


def test_evidence_is_shown_only_when_there_is_some(problem: Problem) -> None:
    assert "<planner>" not in full_messages(Brief(problem=problem))[1][1]
    assert "1. TP8" in full_messages(Brief(problem=problem, evidence=("1. TP8",)))[1][1]


def test_layers_of_their_own_sizes_are_told_and_no_others(problem: Problem) -> None:
    def told(text: str) -> dict[str, Any]:
        model: dict[str, Any] = json.loads(text.split("\n")[1])["model"]
        return model

    even = told(request_text(problem))
    uneven = told(request_text(problem.model_copy(update={"model": find_model("nemotron-super-49b")})))

    assert not {"layer_shapes", "no_mixer_layers", "layer_runs"} & set(even)
    assert uneven["layer_shapes"][0] == {"range": [0, 1], "intermediate_size": 14336}
    assert uneven["layer_runs"][:2] == [[0, 6, "attention", "dense"], [6, 8, "none", "dense"]]
