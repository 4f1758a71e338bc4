"""Real processes on loopback, shared by the tests that leave them as they were."""

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from evals.service.model import SlowModel, slow_model
from evals.service.postgres import postgres
from evals.service.processes import Process, running

sys.path.insert(0, str(Path(__file__).parent))  # so that tests here can import `service_support`
MODEL_DELAY_S = 30.0
"""Longer than any test waits: a call ends because its caller leaves."""


@pytest.fixture(scope="session")
def model() -> Iterator[SlowModel]:
    with slow_model(MODEL_DELAY_S) as made:
        yield made


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory, model: SlowModel) -> Iterator[Process]:
    """One process on SQLite; the planner answers unless a request asks for the model, which takes for ever."""
    folder = tmp_path_factory.mktemp("api")
    settings = {
        "MESHWRIGHT_DATABASE": f"sqlite:{folder}/meshwright.sqlite3",
        "MESHWRIGHT_LLM__BASE_URL": model.url,
        "MESHWRIGHT_LLM__MODEL": "slow",
        "MESHWRIGHT_LLM__API_KEY": "sk-never-shown",
        "MESHWRIGHT_LLM__MAX_RETRIES": "0",
    }
    process = Process("serve", settings, folder)
    with running(process):
        yield process


@pytest.fixture(scope="session")
def http(api: Process) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url
