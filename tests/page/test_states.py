"""What the page shows when something goes wrong or takes long: the answers of the server are made here, the page is the real one."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from strategy.result import Result

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect
expect.set_options(timeout=60_000)

STREAM = "**/v1/strategies/stream"
SSE = {"Content-Type": "text/event-stream"}
PROBLEM = {"Content-Type": "application/problem+json"}
Open = Callable[..., Any]


def events(*told: tuple[str, dict[str, Any]]) -> str:
    """Server-sent events as the server writes them."""
    return "".join(f"id: {i}\nevent: {kind}\ndata: {json.dumps(data)}\n\n" for i, (kind, data) in enumerate(told))


def answer(result: Result, *before: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"status": 200, "headers": SSE, "body": events(*before, ("result", result.model_dump(mode="json")))}


def ask(page: Any, text: str = "Llama 3.1 8B on 1x4 H100") -> None:
    page.get_by_label("What shall be served").fill(text)
    page.keyboard.press("Enter")


def test_attempts_and_their_findings_are_told_as_they_come(open_page: Open, planned_result: Result) -> None:
    page = open_page()
    finding = {
        "code": "CM001",
        "severity": "error",
        "path": "/blocks/1/nodes/6",
        "message": "a sum is missing",
        "hint": "",
    }
    told: list[tuple[str, dict[str, Any]]] = [
        ("understood", {"request": {"model": "llama-3.1-8b"}, "assumptions": ["one"]}),
        ("retrieved", {"refs": ["a", "b"]}),
        ("attempt", {"number": 1, "proposer": "llm", "outcome": "candidate", "accepted": False, "ms": 900}),
        ("findings", {"number": 1, "findings": [finding]}),
        ("attempt", {"number": 2, "proposer": "llm", "outcome": "candidate", "accepted": True, "ms": 400}),
    ]
    page.route(STREAM, lambda route: route.fulfill(**answer(planned_result, *told)))

    ask(page)

    log = page.get_by_role("log", name="Progress")
    expect(log).to_contain_text("Understood: llama-3.1-8b, 1 assumption")
    expect(log).to_contain_text("Attempt 1 by the language model: not accepted in 900 ms")
    expect(log).to_contain_text("Attempt 2 by the language model: accepted")
    expect(page.locator("#verdict .status")).to_have_text("Valid")


def test_a_plan_can_be_stopped(open_page: Open) -> None:
    page = open_page()
    page.route(STREAM, lambda route: None)
    ask(page)

    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_role("button", name="Plan", exact=True)).to_be_visible()
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#problem")).to_be_hidden()


def test_a_server_that_is_gone_is_told_and_asked_again(open_page: Open, planned_result: Result) -> None:
    page = open_page(forgiven="ERR_FAILED")
    page.route(STREAM, lambda route: route.abort())
    ask(page)
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")

    page.unroute(STREAM)
    page.route(STREAM, lambda route: route.fulfill(**answer(planned_result)))
    page.get_by_role("button", name="Try again").click()

    expect(page.locator("#verdict .status")).to_have_text("Valid")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_too_many_requests_says_when_to_come_again(open_page: Open, planned_result: Result) -> None:
    page = open_page()
    document = {"title": "Too many requests", "status": 429, "detail": "60 requests a minute are allowed"}
    refusal = {"status": 429, "headers": {**PROBLEM, "Retry-After": "1"}, "body": json.dumps(document)}
    answers = iter([refusal, answer(planned_result)])
    page.route(STREAM, lambda route: route.fulfill(**next(answers)))

    ask(page)

    expect(page.get_by_role("alert")).to_contain_text("60 requests a minute are allowed")
    again = page.get_by_role("button", name=re.compile("Try again"))
    expect(again).to_be_enabled()
    again.click()
    expect(page.locator("#verdict .status")).to_have_text("Valid")


def test_a_service_with_keys_asks_for_one(open_page: Open, planned_result: Result) -> None:
    page = open_page()
    seen = []

    def guarded(route: Any) -> None:
        seen.append(route.request.headers.get("authorization"))
        refusal = {"status": 401, "headers": PROBLEM, "body": json.dumps({"detail": "no key"})}
        route.fulfill(**(answer(planned_result) if seen[-1] else refusal))

    page.route(STREAM, guarded)
    ask(page)

    page.get_by_label("API key").fill("mw_secret")
    page.keyboard.press("Enter")

    expect(page.locator("#verdict .status")).to_have_text("Valid")
    assert seen == [None, "Bearer mw_secret"]


def test_a_request_that_is_refused_says_where_and_what_to_do(open_page: Open) -> None:
    page = open_page()
    document = {
        "title": "Invalid request",
        "detail": "one field is wrong",
        "hint": "use 8",
        "errors": [{"pointer": "/cluster/hosts", "detail": "must be positive"}],
    }
    page.route(STREAM, lambda route: route.fulfill(status=422, headers=PROBLEM, body=json.dumps(document)))

    ask(page)

    expect(page.get_by_role("alert")).to_contain_text("/cluster/hosts must be positive")
    expect(page.get_by_role("alert")).to_contain_text("use 8")


def test_a_rejection_says_why_and_shows_what_was_found(open_page: Open, planned_result: Result) -> None:
    page = open_page()
    finding = {
        "code": "CM001",
        "severity": "error",
        "path": "/blocks/1/nodes/6",
        "message": "a sum is missing",
        "hint": "add it",
    }
    rejected = planned_result.model_copy(
        update={
            "status": "rejected",
            "estimate": None,
            "alternatives": (),
            "explanation": "No proposal was accepted: time is up.",
        }
    )
    body = {**rejected.model_dump(mode="json"), "dag": None, "strategy": None, "report": {"findings": [finding]}}
    page.route(STREAM, lambda route: route.fulfill(status=200, headers=SSE, body=events(("result", body))))

    ask(page)

    expect(page.locator("#verdict .status")).to_have_text("Rejected")
    expect(page.locator("#verdict")).to_contain_text("No proposal was accepted: time is up.")
    expect(page.get_by_role("list", name="Findings")).to_contain_text("a sum is missing")
    expect(page.locator("#dag-section")).to_be_hidden()


def test_a_finding_leads_to_its_node(open_page: Open, planned_result: Result) -> None:
    page = open_page()
    body = planned_result.model_dump(mode="json")
    finding = {
        "code": "CM099",
        "severity": "warning",
        "path": "/blocks/1/nodes/4",
        "message": "about o",
        "hint": "look",
    }
    body["report"] = {"findings": [finding]}
    page.route(STREAM, lambda route: route.fulfill(status=200, headers=SSE, body=events(("result", body))))
    ask(page)

    page.get_by_role("button", name=re.compile("CM099")).click()

    inspector = page.get_by_label("Selected node")
    expect(inspector).to_contain_text(body["dag"]["blocks"][1]["nodes"][4]["id"])
    expect(inspector).to_contain_text("about o")


def test_a_link_to_a_run_that_is_gone_plans_its_request_again(open_page: Open, planned_result: Result) -> None:
    page = open_page()
    page.route(STREAM, lambda route: route.fulfill(**answer(planned_result)))

    page.goto(f"{page.url}#q=Llama+3.1+8B+on+1x4+H100&run=run_{'0' * 24}")

    expect(page.locator("#verdict .status")).to_have_text("Valid")


def test_back_goes_to_the_request_before(open_page: Open, planned_result: Result) -> None:
    page = open_page()
    page.route(STREAM, lambda route: route.fulfill(**answer(planned_result)))
    for text in ("first request", "second request"):
        ask(page, text)
        expect(page.locator("#verdict .status")).to_have_text("Valid")
        expect(page.locator("body")).to_have_attribute("data-state", "settled")

    page.go_back()

    expect(page.get_by_label("What shall be served")).to_have_value("first request")


def test_a_document_of_ones_own_is_checked_without_a_request(open_page: Open) -> None:
    page = open_page()

    page.get_by_role("button", name="Check a DAG").click()

    expect(page.locator("#verdict-now")).to_have_text(re.compile("^Valid, proof passed"))
    page.locator("#source").fill(
        page.locator("#source").input_value().replace("inputs: [in, reduce]", "inputs: [in, norm]", 1)
    )
    expect(page.get_by_role("list", name="Findings in the document").locator("li.error").first).to_be_visible()
    link = page.evaluate("location.href")
    again = open_page(f"/#{link.partition('#')[2]}")
    expect(again.locator("#source")).to_have_value(page.locator("#source").input_value())
