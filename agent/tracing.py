"""A span and a log line for every step of the loop: what came of it and what it cost, never what was asked or answered."""

from typing import Any, Protocol

import structlog
from langgraph.runtime import Runtime
from opentelemetry import trace

from agent.loop import Run, State, Update

Facts = dict[str, str | int | float | bool]

tracer = trace.get_tracer("meshwright.loop")
log = structlog.get_logger()


class Step(Protocol):
    """A node of the graph."""

    async def __call__(self, state: State, runtime: Runtime[Run]) -> Update:
        """What changed."""
        ...


def traced(name: str, step: Step) -> Step:
    """The step inside a span `meshwright.<step>`; its facts are the span's attributes and, where logs are set up, one event."""

    async def run(state: State, runtime: Runtime[Run]) -> Update:
        with tracer.start_as_current_span(
            f"meshwright.{name}", record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                update = await step(state, runtime)
            except BaseException as error:  # its words may be the user's: the span gets its type
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise
            found = facts(update)
            span.set_attributes(found)
        if structlog.is_configured():
            log.debug("step_done", step=name, **{key.rpartition(".")[2]: value for key, value in found.items()})
        return update

    return run


def facts(update: Update) -> Facts:
    """What a step's update says in numbers and fixed words. Texts of users, models and pages stay out."""
    found: Facts = {}
    if "question" in update:
        found["meshwright.asked_back"] = bool(update["question"])
    if "sections" in update:
        found["meshwright.sections"] = len(update["sections"])
    if "mode" in update:
        found["meshwright.mode"] = update["mode"]
    if update.get("attempts"):
        found |= _attempt_facts(update["attempts"])
    if "accepted" in update:
        found["meshwright.accepted"] = update["accepted"]
    if "result" in update:
        found |= _result_facts(update["result"])
    return found


def _attempt_facts(attempts: list[dict[str, Any]]) -> Facts:
    last = attempts[-1]
    codes = sorted({row["code"] for row in last["findings"] if row["severity"] == "error"})
    return {
        "meshwright.attempt": len(attempts),
        "meshwright.proposer": last["proposer"],
        "meshwright.outcome": last["outcome"],
        "meshwright.findings": ",".join(codes),
        "gen_ai.usage.input_tokens": last["usage"]["input_tokens"],
        "gen_ai.usage.output_tokens": last["usage"]["output_tokens"],
    }


def _result_facts(result: dict[str, Any]) -> Facts:
    usage = result["usage"]
    return {
        "meshwright.status": result["status"],
        "meshwright.origin": str(result["origin"]),
        "meshwright.calls": usage["calls"],
        "gen_ai.usage.input_tokens": usage["input_tokens"],
        "gen_ai.usage.output_tokens": usage["output_tokens"],
    }
