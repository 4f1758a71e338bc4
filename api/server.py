"""The processes behind `meshwright serve` and `meshwright worker`."""

import asyncio
import gc
import signal
import socket

import structlog
import uvicorn

from api import telemetry
from api.app import create_app
from api.connection import IDLE_S, Connection, max_connections
from api.core import open_core
from api.metrics import Metrics
from api.settings import Settings
from api.state.schema import open_state

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """Says where it listens, which port 0 leaves open."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _settle()
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


def work(settings: Settings) -> None:
    """Carry out stored runs until SIGTERM or SIGINT; those in hand have `drain_s` to end."""
    telemetry.configure(settings)
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with open_core(settings, Metrics(), grace_s=settings.drain_s) as core:
        _settle()
        log.info("worker_started", worker=core.worker.name, slots=settings.run_slots)
        await told.wait()
        log.info("worker_draining", worker=core.worker.name)


def _settle() -> None:
    """What was loaded to serve stays for good: the collector shall not look through it in the middle of requests, 0.1 to 0.2 s each time."""
    gc.collect()
    gc.freeze()
