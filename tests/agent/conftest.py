"""A small real problem, and answers that a model might give to it."""

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.prompts import EXAMPLE
from agent.wire import encode
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
    strategy = Strategy.model_validate(EXAMPLE["strategy"])
    return {**copy.deepcopy(EXAMPLE), "graph": encode(build(problem.model, strategy))["graph"]}
