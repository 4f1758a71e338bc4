"""Traces to an OpenTelemetry collector, when one is named. Spans carry routes, ids and outcomes, never what was asked."""

from api.settings import Settings
from api.version import version
from strategy.errors import InputError


def configure(settings: Settings) -> None:
    """Send spans to `otel_endpoint`. Raises `InputError` when the extra is not installed."""
    if not settings.otel_endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        hint = 'install the extra: `pip install "meshwright[otel]"`'
        raise InputError("MESHWRIGHT_OTEL_ENDPOINT is set, but no exporter is installed", hint=hint) from None
    from opentelemetry import trace

    provider = TracerProvider(resource=Resource.create({"service.name": "meshwright", "service.version": version()}))
    exporter = OTLPSpanExporter(endpoint=f"{settings.otel_endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
