"""The page in a real browser, as people use it. Skipped, with the reason, where there is no Chromium."""

import re
from collections.abc import Callable
from importlib import resources
from importlib.util import find_spec
from typing import Any

import pytest

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect
expect.set_options(timeout=60_000)

REQUEST = "Llama 3.1 8B on 1x4 L40S, 1k in, 200 out"
BROKEN = ("inputs: [qkv, 'sync:kv']", "inputs: [qkv]")
WAIT_MS = 60_000
Open = Callable[..., Any]


def planned(open_page: Open, text: str = REQUEST, **options: Any) -> Any:
    page = open_page(**options)
    page.get_by_label("What shall be served").fill(text)
    page.get_by_role("button", name="Plan", exact=True).click()
    expect(page.locator("#verdict .status")).to_be_visible(timeout=WAIT_MS)
    return page


def test_a_newcomer_types_watches_reads_why_and_copies_the_command(open_page: Open, url: str) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])

    page.get_by_label("What shall be served").fill(REQUEST)
    page.keyboard.press("Enter")

    progress = page.get_by_role("log", name="Progress")
    expect(progress).to_contain_text("Understood", timeout=WAIT_MS)
    expect(progress).to_contain_text("accepted", timeout=WAIT_MS)
    expect(page.locator("#verdict .status")).to_have_text("Valid")
    expect(page.locator("#verdict")).to_contain_text("TTFT")
    expect(page.locator("#verdict")).to_contain_text("virtual ranks")
    expect(page.get_by_role("region", name="Why not the others").locator("tbody tr")).not_to_have_count(0)
    expect(page.locator("#canvas")).to_have_attribute("aria-label", re.compile(r"\d+ nodes"))
    expect(page.get_by_role("tab", name="vLLM")).to_have_attribute("aria-selected", "true")
    page.locator("#deploy").get_by_role("button", name="Copy").first.click()
    expect(page.locator("#deploy").get_by_role("button", name="Copied")).to_be_visible()
    assert "vllm serve" in page.evaluate("navigator.clipboard.readText()")


def test_a_permalink_shows_the_same_plan_again(open_page: Open) -> None:
    first = planned(open_page)
    link = first.evaluate("location.hash")

    again = open_page(f"/{link}")

    title = first.locator("#verdict-title").text_content()
    expect(again.locator("#verdict-title")).to_have_text(title, timeout=WAIT_MS)
    expect(again.get_by_label("What shall be served")).to_have_value(REQUEST)


def test_what_does_not_fit_says_what_breaks_and_plans_what_would(open_page: Open) -> None:
    page = planned(open_page, "Llama 3.1 70B on 1x1 L40S, 1k in, 200 out")

    expect(page.locator("#verdict .status")).to_have_text("Infeasible")
    expect(page.locator("#verdict")).to_contain_text("memory")
    page.locator("#verdict .breaks button").first.click()
    expect(page.locator("#verdict .status")).to_have_text("Valid", timeout=WAIT_MS)


def test_a_vague_request_gets_one_question(open_page: Open) -> None:
    page = planned(open_page, "serve it fast")

    expect(page.locator("#verdict .status")).to_have_text("One question")
    expect(page.locator("#verdict .question")).to_contain_text("name the model")


def test_a_mistake_in_the_document_is_found_while_typing(open_page: Open) -> None:
    page = planned(open_page)
    page.get_by_role("button", name="Edit").click()
    expect(page.locator("#verdict-now")).to_have_text(re.compile("^Valid"), timeout=WAIT_MS)
    text = page.locator("#source").input_value()

    page.locator("#source").fill(text.replace(*BROKEN, 1))

    found = page.get_by_role("list", name="Findings in the document").locator("li.error").first
    expect(found).to_be_visible(timeout=WAIT_MS)
    line = text[: text.index(BROKEN[0])].count("\n") + 1
    expect(found).to_contain_text(re.compile(rf"line {line - 1}|line {line}"))
    expect(page.locator("#verdict-now")).to_have_text(re.compile("error"))
    page.locator("#source").fill(text)
    expect(page.locator("#verdict-now")).to_have_text(re.compile("^Valid"), timeout=WAIT_MS)


def test_text_that_is_no_document_is_told_with_its_line(open_page: Open) -> None:
    page = planned(open_page)
    page.get_by_role("button", name="Edit").click()
    expect(page.locator("#verdict-now")).to_have_text(re.compile("^Valid"), timeout=WAIT_MS)

    page.locator("#source").fill("version: 1\nblocks: [\n")

    expect(page.locator("#verdict-now")).to_have_text("Not readable")
    expect(page.get_by_role("list", name="Findings in the document")).to_contain_text("line")


def test_the_picture_is_walked_unfolded_and_searched_by_keyboard(open_page: Open) -> None:
    page = planned(open_page)
    canvas, told = page.locator("#canvas"), page.locator("#dag-says")

    canvas.focus()
    page.keyboard.press("ArrowDown")
    expect(told).to_have_text(re.compile("ingress"))
    page.keyboard.press("ArrowRight")
    expect(told).to_have_text(re.compile(r"layers 0 to \d+"))
    before = canvas.get_attribute("aria-label")
    page.keyboard.press("Enter")
    expect(canvas).not_to_have_attribute("aria-label", before)
    page.keyboard.press("/")
    page.keyboard.type("lm_head")
    expect(page.locator("#found")).to_have_text("2 found")
    page.keyboard.press("Enter")
    expect(told).to_have_text(re.compile("lm_head, linear"))
    expect(page.get_by_label("Selected node")).to_contain_text("lm_head")


def test_deploy_tabs_are_reached_by_arrow_keys_and_a_refusal_says_why(open_page: Open) -> None:
    page = planned(open_page)
    page.get_by_role("tab", name="vLLM").focus()

    page.keyboard.press("ArrowRight")

    expect(page.get_by_role("tab", name="SGLang")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#deploy [role=tabpanel]").first).to_contain_text("sglang")


def test_a_source_opens_to_its_text_and_leads_on(open_page: Open) -> None:
    page = planned(open_page)
    page.get_by_role("button", name="Sources").click()
    source = page.locator("#sources details").first

    source.locator("summary").click()

    expect(source.locator(".prose")).to_contain_text(re.compile(r"\w+ \w+ \w+ \w+"))
    expect(source.locator(".prose p").nth(1)).to_be_visible()


@pytest.mark.parametrize("width", [360, 390, 768, 1440])
def test_nothing_is_wider_than_the_screen(open_page: Open, width: int) -> None:
    page = planned(open_page, viewport={"width": width, "height": 800})

    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_follows_the_system_until_one_is_chosen(open_page: Open, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    other = {"light": "dark", "dark": "light"}[scheme]
    followed = page.evaluate(ground)

    while page.locator("#theme").inner_text() != f"Theme: {other}":
        page.locator("#theme").click()

    assert page.evaluate(ground) != followed
    page.reload()
    expect(page.locator("#theme")).to_have_text(f"Theme: {other}")


def test_hostile_text_stays_text(open_page: Open) -> None:
    page = planned(open_page, '<img src=x onerror="document.title=1"> on 8x <script>document.title=1</script> H100')

    assert page.title() == "Meshwright"
    assert page.locator("#result img, #result script").count() == 0


@pytest.mark.skipif(find_spec("axe_playwright_python") is None, reason="axe is not installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page: Open, scheme: str) -> None:
    page = planned(open_page, bypass_csp=True, color_scheme=scheme)
    expect(page.locator("#deploy pre").first).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("button", name="Edit").click()
    expect(page.locator("#verdict-now")).to_have_text(re.compile("^Valid"), timeout=WAIT_MS)
    page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text())

    found = page.evaluate("axe.run()")["violations"]

    told = {
        one["id"]: [node["target"] for node in one["nodes"]]
        for one in found
        if one["impact"] in {"serious", "critical"}
    }
    assert told == {}
