"""The page as browsers see it: the real server in a process of its own, and the Chromium of the machine where there is one."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.routes.page import ASSETS
from api.settings import Settings
from knowledge.catalogue import find_model
from strategy.build import build
from strategy.dag import Dag
from strategy.export import document
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy

CHROMIUM = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def dense(stages: int = 2, tp_size: int = 2) -> Dag:
    model = find_model("llama-3.1-8b")
    each = model.num_layers // stages
    cuts = tuple((i * each, (i + 1) * each) for i in range(stages))
    pool = Pool(pp_size=stages, stages=cuts, attention=AttentionMesh(tp_size=tp_size))
    return build(model, Strategy(pools=(pool,)))


def sparse() -> Dag:
    """DeepSeek-V3 on 32 ranks: attention DP 16 x TP 2 over EP 32."""
    attention, experts = AttentionMesh(dp_size=16, tp_size=2), ExpertMesh(ep_size=32)
    pool = Pool(stages=((0, 61),), attention=attention, experts=experts)
    return build(find_model("deepseek-v3"), Strategy(pools=(pool,)))


@pytest.fixture(scope="session")
def dags() -> dict[str, Dag]:
    return {"dense": dense(), "pipeline": dense(stages=8, tp_size=1), "one GPU": dense(1, 1), "sparse": sparse()}


@pytest.fixture(scope="session")
def sparse_text(dags: dict[str, Dag]) -> str:
    """A document with the request that it answers."""
    request = {
        "model": "deepseek-v3",
        "cluster": {"gpu": "h200-sxm", "gpus_per_host": 8, "hosts": 4},
        "workload": {"isl": 4096, "osl": 1024, "concurrency": 320},
    }
    return json.dumps({"dag": document(dags["sparse"]), "request": request})


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    database = f"sqlite:{tmp_path_factory.mktemp('state')}/meshwright.sqlite3"
    settings = Settings(_env_file=None, database=database)
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="session")
def files() -> dict[str, str]:
    """Texts of the page by name."""
    return {name: asset.content.decode() for name, asset in ASSETS.items() if not name.endswith(".woff2")}


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that runs as users start it."""
    folder = tmp_path_factory.mktemp("served")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MESHWRIGHT_")}
    command = [sys.executable, "-m", "api.cli", "serve", "--port", "0"]
    log = Path(folder) / "log"
    with log.open("w") as out, subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=kept) as server:
        try:
            yield _address(server, log)
        finally:
            server.terminate()


def _address(server: "subprocess.Popen[bytes]", log: Path) -> str:
    while server.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found[0]
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for path in map(shutil.which, CHROMIUM) if path), None)
    if found is None:
        pytest.skip("no Chromium on this machine: install one (Debian: apt install chromium) to run the browser tests")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()
