"""Spans of the loop: one for each step, with token counts, and nothing of what was said."""

from collections.abc import Iterator

import pytest
from agent_support import TEXT, Step, serving
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from agent import tracing
from agent.deps import default_deps
from agent.graph import run_sync
from agent.settings import LlmSettings

KEY = "sk-tracing-0123456789"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Everything that the loop traces."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def test_every_step_of_a_run_is_a_span_with_what_it_cost_and_no_text(spans: InMemorySpanExporter) -> None:
    refusal = Step(refusal="I will not tell you about llamas.")
    with serving(refusal) as server:
        llm = LlmSettings(base_url=server.url, model="scripted", api_key=SecretStr(KEY))
        run_sync(f"{TEXT}, codename bluebird", default_deps(llm))

    done = {span.name.removeprefix("meshwright."): dict(span.attributes or {}) for span in spans.get_finished_spans()}
    assert list(done) == ["understand", "retrieve", "propose", "validate", "fall_back", "finish"]
    assert done["propose"]["meshwright.outcome"] == "refused"
    assert done["propose"]["gen_ai.usage.input_tokens"] == 1000
    assert done["finish"]["gen_ai.usage.output_tokens"] == 100
    assert done["finish"]["meshwright.origin"] == "planner_fallback"
    told = str([span.to_json() for span in spans.get_finished_spans()])
    assert [word for word in (KEY, "bluebird", "llamas", "H100", server.url) if word in told] == []


def test_a_step_that_fails_ends_its_span_with_the_error(spans: InMemorySpanExporter) -> None:
    from strategy.errors import InputError
    from strategy.request import Request

    unknown = {"model": "no-such-model", "cluster": {"gpu": "h100-sxm"}, "workload": {"isl": 1, "osl": 1}}
    with pytest.raises(InputError):
        run_sync(Request.model_validate(unknown))

    (span,) = spans.get_finished_spans()
    assert (span.name, span.status.description) == ("meshwright.understand", "UnknownNameError")
    assert "no-such-model" not in span.to_json()
