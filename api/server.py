"""The process behind `meshwright serve`."""

import socket

import structlog
import uvicorn

from api import telemetry
from api.app import create_app
from api.connection import IDLE_S, Connection, max_connections
from api.settings import Settings
from api.state.schema import open_state
from api.worker_process import settle

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """Says where it listens, which port 0 leaves open."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        settle()
        for server in self.servers:
            for bound in server.sockets:
                host, port, *_ = bound.getsockname()
                log.info("serving", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Followers of stored runs are told to go on elsewhere; then as the base does."""
        log.info("draining", drain_s=self.config.timeout_graceful_shutdown)
        self.config.app.state.ready = False  # type: ignore[union-attr]
        await super().shutdown(sockets)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Requests in flight have `drain_s` to end, then streams are cut and stored runs given back."""
    open_state(settings.database.get_secret_value()).close()
    telemetry.configure(settings)
    Connection.most = max_connections()
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level="debug" if settings.log_level == "debug" else "warning",
        access_log=False,
        server_header=False,
        http=Connection,
        ws="none",
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=settings.drain_s,
    )
    _Server(config).run()
