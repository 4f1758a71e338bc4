"""What the page costs the browser: processor time of its main thread, so that whatever else the machine is doing, the bounds mean the same."""

import re
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest

from knowledge.catalogue import find_model
from strategy.build import build
from strategy.dag import Dag
from strategy.export import to_yaml
from strategy.strategy import AttentionMesh, Pool, Strategy

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect

Open = Callable[..., Any]
INTERACTIVE_MS, FRAME_MS, FRAMES = 1_500, 50, 40
ZOOM = """async frames => {
  const canvas = document.getElementById("canvas"), box = canvas.getBoundingClientRect();
  const frame = () => new Promise(done => requestAnimationFrame(done));
  canvas.focus();
  for (let i = 0; i < frames; i += 1) {
    const at = {clientX: box.x + box.width * (0.3 + 0.04 * (i % 10)), clientY: box.y + box.height / 2};
    canvas.dispatchEvent(new WheelEvent("wheel", {deltaY: i % 20 < 10 ? -120 : 120, bubbles: true, cancelable: true, ...at}));
    await frame();
  }
  return Number(canvas.getAttribute("aria-label").match(/(\\d+) nodes/)[1]);
}"""


def link(dag: Dag) -> str:
    """The permalink of a document."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(to_yaml(dag).encode()) + packer.flush()
    return f"/#dag={urlsafe_b64encode(packed).decode().rstrip('=')}"


def spent_ms(session: Any) -> float:
    """Processor time of the main thread so far, drawing included."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return 1_000 * float(metrics["TaskDuration"])


def metered(page: Any) -> Any:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    return session


def test_a_plan_for_32_gpus_is_drawn_and_usable_within_its_bound(
    open_page: Open, dags: dict[str, Dag], url: str
) -> None:
    page = open_page()
    session = metered(page)
    page.goto("about:blank")
    before = spent_ms(session)

    page.goto(f"{url}{link(dags['sparse'])}")
    expect(page.locator("#verdict-now")).to_have_text(re.compile("^Valid, proof passed"), timeout=60_000)

    assert spent_ms(session) - before < INTERACTIVE_MS


def test_zooming_three_thousand_nodes_stays_smooth(open_page: Open) -> None:
    model = find_model("llama-3.1-405b")
    pool = Pool(stages=((0, model.num_layers),), attention=AttentionMesh(tp_size=8))
    page = open_page(link(build(model, Strategy(pools=(pool,)))), viewport={"width": 1440, "height": 900})
    expect(page.locator("#canvas")).to_have_attribute("aria-label", re.compile(r"\d+ nodes"), timeout=60_000)
    before = page.locator("#canvas").get_attribute("aria-label")
    page.get_by_role("button", name="Unfold layers").click()
    expect(page.locator("#canvas")).not_to_have_attribute("aria-label", before, timeout=60_000)
    session = metered(page)

    start = spent_ms(session)
    nodes = page.evaluate(ZOOM, FRAMES)
    each = (spent_ms(session) - start) / FRAMES

    assert nodes >= 3_000
    assert each < FRAME_MS
