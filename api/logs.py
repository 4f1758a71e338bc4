"""Logging, set up once by an entry point: structlog to stderr, so that stdout carries results and nothing else."""

import logging
import sys

import structlog

from api.settings import Settings


def configure(settings: Settings, *, level: str | None = None) -> None:
    """Events at or above the level go to stderr, as text or as JSON lines."""
    chosen = logging.getLevelNamesMapping()[(level or settings.log_level).upper()]
    renderer: structlog.typing.Processor
    if settings.log_json:
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if settings.log_json else structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(chosen),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
