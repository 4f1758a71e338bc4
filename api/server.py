"""The process behind `meshwright serve`."""

import uvicorn

from api.app import create_app
from api.settings import Settings


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are answered first."""
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        server_header=False,
        timeout_graceful_shutdown=30,
    )
