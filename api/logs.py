"""Logging, set up once by an entry point: structlog to stderr, so that stdout carries results and nothing else."""

import logging
import sys

import structlog

from api.settings import Settings


def configure(settings: Settings, *, level: str | None = None) -> None:
    """Events at or above the level go to stderr, as text or as JSON lines. Tracebacks show no local variables: a key may be among them."""
    chosen = logging.getLevelNamesMapping()[(level or settings.log_level).upper()]
    rendering: list[structlog.typing.Processor]
    if settings.log_json:
        as_data = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        rendering = [structlog.processors.ExceptionRenderer(as_data), structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback
        rendering = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *rendering,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(chosen),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
