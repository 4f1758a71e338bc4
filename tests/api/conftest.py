"""One application and one folder of real documents for all tests; the CLI runs as the process that users start."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from knowledge.catalogue import find_model
from strategy.build import build
from strategy.dag import Dag
from strategy.export import to_json, to_yaml
from strategy.strategy import AttentionMesh, Pool, Strategy

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    database = f"sqlite:{tmp_path_factory.mktemp('state')}/meshwright.sqlite3"
    settings = Settings(_env_file=None, max_body_bytes=300_000, database=database)
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="session")
def dag() -> Dag:
    pool = Pool(pp_size=2, stages=((0, 16), (16, 32)), attention=AttentionMesh(tp_size=2))
    return build(find_model("llama-3.1-8b"), Strategy(pools=(pool,)))


@pytest.fixture
def files(tmp_path: Path, dag: Dag) -> Path:
    """A folder with a valid DAG in both notations, and one that lacks a collective."""
    (tmp_path / "dag.yaml").write_text(to_yaml(dag))
    (tmp_path / "dag.json").write_text(to_json(dag))
    broken = to_yaml(dag).replace("inputs: [in, reduce]", "inputs: [in, o]", 1)
    (tmp_path / "broken.yaml").write_text(broken)
    return tmp_path


@pytest.fixture
def meshwright(tmp_path: Path) -> Run:
    """Run the command as a user does: another process, another folder, no setting but those given."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MESHWRIGHT_")}
        command = [sys.executable, "-m", "api.cli", *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=kept | environment,
            timeout=120,
        )

    return run
