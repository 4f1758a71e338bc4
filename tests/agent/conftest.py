"""A small real problem, and answers that a model might give to it."""

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.prompts import EXAMPLE
from agent.wire import NULLABLE
from knowledge.resolve import resolve
from strategy.build import build
from strategy.request import Problem, Request
from strategy.strategy import Strategy

sys.path.insert(0, str(Path(__file__).parent))  # so that tests here can import `agent_support`


@pytest.fixture(scope="session")
def problem() -> Problem:
    """Llama-3.1-70B on eight H100."""
    request = {
        "model": "llama-3.1-70b",
        "cluster": {"gpu": "h100-sxm", "gpus_per_host": 8, "hosts": 1},
        "workload": {"isl": 2048, "osl": 200},
    }
    return resolve(Request.model_validate(request)).problem


@pytest.fixture
def answer() -> dict[str, Any]:
    """A legal answer without a graph."""
    return copy.deepcopy(EXAMPLE)


@pytest.fixture
def graph_answer(problem: Problem) -> dict[str, Any]:
    """A legal answer that writes the graph out, in the wire's form."""
    found = copy.deepcopy(EXAMPLE)
    dag = build(problem.model, Strategy.model_validate(found["strategy"])).model_dump(mode="json")
    nodes = [node for block in dag["blocks"] for node in block["nodes"]]
    for node in nodes:
        for name in [n for n, value in node.items() if value is None and (node["op"], n) not in NULLABLE]:
            del node[name]
        if node["op"] == "ingress":
            del node["inputs"]
    found["graph"] = {part: dag[part] for part in ("blocks", "branches", "links")}
    return found
