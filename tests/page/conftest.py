"""The page as browsers see it: the real server in a process of its own, and the Chromium of the machine where there is one."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.routes.page import ASSETS
from api.settings import Settings
from knowledge.catalogue import find_model
from strategy.build import build
from strategy.dag import Dag
from strategy.export import document
from strategy.request import Request
from strategy.result import Alternative, Citation, Estimate, MemoryGb, Proof, Result
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

WAIT_MS = 60_000
REFUSED = "status of 4"
"""A refused request is told by the page; that the browser logs it as well is no complaint."""

DRAWN = "document.fonts.ready.then(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))))"


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
def planned_result() -> Result:
    """An answer that is always the same, for what the page makes of it: a real DAG with made-up numbers."""
    dag, memory = dense(), MemoryGb(weights=4.1, kv=21, activations=2.2, other=1.5, total=28.8, capacity=80)
    shares: list[tuple[str, str, str, float]] = [
        ("prefill", "attention.qkv", "compute", 12),
        ("prefill", "attention.reduce", "communication", 9),
        ("prefill", "ffn.gate_up", "compute", 31),
    ]
    shares += [
        ("decode", "attention.attend", "memory", 4),
        ("decode", "ffn.gate_up", "memory", 5),
        ("decode", "ffn.reduce", "communication", 1.5),
    ]
    breakdown = [{"phase": phase, "op": op, "kind": kind, "ms": ms} for phase, op, kind, ms in shares]
    estimate = Estimate.model_validate(
        {
            "ttft_ms": 420, "tpot_ms": 12.5, "tokens_per_s_per_gpu": 812, "requests_per_s": 6.5, "gpus": 4, "concurrency": 96, "memory_gb": memory,
            "max_concurrency": 410, "bottleneck": "decode: reading weights (56%)", "breakdown": breakdown, "notes": ["one constant is not measured"],
        }
    )  # fmt: skip
    others = [("2 replicas of TP2", 500, 10.5, 740), ("TP4", 380, 9.1, 610), ("4 replicas of one GPU", 1300, 22, 830)]
    return Result(
        status="valid",
        request=Request.model_validate(
            {
                "model": "llama-3.1-8b",
                "cluster": {"gpu": "h100-sxm", "gpus_per_host": 4},
                "workload": {"isl": 2048, "osl": 256},
                "slo": {"ttft_ms": 1000, "tpot_ms": 25},
            }
        ),
        assumptions=("`H100` read as h100-sxm", "KV cache in bf16."),
        strategy=dag.strategy,
        dag=dag,
        proof=Proof(passed=True, max_abs_error=1e-14, ranks=4, sequences=4, steps=2),
        estimate=estimate,
        alternatives=tuple(
            Alternative(
                strategy=dag.strategy,
                summary=name,
                estimate=estimate.model_copy(update={"ttft_ms": ttft, "tpot_ms": tpot, "tokens_per_s_per_gpu": rate}),
                reason=f"{rate} tokens/s/GPU instead of 812",
            )
            for name, ttft, tpot, rate in others
        ),
        explanation="Made up.",
        citations=(Citation(ref="terms.md#words", title="Words"),),
    )


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


@pytest.fixture
def open_page(browser: Any, url: str) -> Iterator[Callable[..., Any]]:
    """A page of its own; whatever the browser complains about, unless it is forgiven, fails the test."""
    complaints: list[str] = []
    contexts = []

    def opened(path: str = "/", *, bypass_csp: bool = False, forgiven: str = REFUSED, **options: Any) -> Any:
        def heard(said: Any) -> None:
            if said.type in {"error", "warning"} and forgiven not in said.text:
                complaints.append(said.text)

        context = browser.new_context(bypass_csp=bypass_csp, **options)
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith((url, "blob:")) else complaints.append(asked.url))
        page.goto(f"{url}{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def plan_shown(planned_result: Result) -> Callable[[Any], Any]:
    """A page that shows `planned_result`, to the last file and letter. Memory is made up as well, so that no constant changes the picture."""
    assert planned_result.estimate is not None
    memory = planned_result.estimate.memory_gb.model_dump(mode="json")

    def with_memory(route: Any) -> None:
        picture = route.fetch().json()
        for pool in picture["pools"]:
            pool["memory_gb"] = [memory, {**memory, "weights": 5.3, "total": 30.0}]
        route.fulfill(json=picture)

    def shown(page: Any) -> Any:
        body = f"event: result\ndata: {planned_result.model_dump_json()}\n\n"
        stream = {"headers": {"Content-Type": "text/event-stream"}, "body": body}
        page.route("**/v1/strategies/stream", lambda route: route.fulfill(**stream))
        page.route("**/v1/layout?*", with_memory)
        page.get_by_label("What shall be served").fill("Llama 3.1 8B on 1x4 H100, 2k in, 256 out")
        page.keyboard.press("Enter")
        page.locator("#deploy pre").first.wait_for()
        page.locator("body[data-state=settled]").wait_for()
        page.evaluate(DRAWN)
        return page

    return shown


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
