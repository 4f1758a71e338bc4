"""A chat endpoint that takes its time, never gives a usable answer, and notices who hangs up."""

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOK_EVERY_S = 0.02
ANSWER: dict[str, Any] = {
    "id": "slow",
    "object": "chat.completion",
    "created": 1,
    "model": "slow",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": None,
            "message": {"role": "assistant", "content": "Let me think."},
        }
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
}


@dataclass
class SlowModel:
    """The running endpoint, and what became of the calls."""

    url: str
    delay_s: float
    calls: int = 0
    answered: int = 0
    left_at: list[float] = field(default_factory=list)
    """When a caller hung up before its answer, by the monotonic clock."""

    @property
    def open(self) -> int:
        """Calls that wait now."""
        return self.calls - self.answered - len(self.left_at)


@contextmanager
def slow_model(delay_s: float) -> Iterator[SlowModel]:
    """Serve on 127.0.0.1 until the block ends."""
    model: SlowModel

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            model.calls += 1
            if _hangs_up(self.connection, model.delay_s):
                model.left_at.append(time.monotonic())
                self.close_connection = True
                return
            model.answered += 1
            payload = json.dumps(ANSWER).encode()
            try:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base's
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    model = SlowModel(f"http://127.0.0.1:{server.server_address[1]}/v1", delay_s)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": LOOK_EVERY_S}, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed is what we are here for."""


def _hangs_up(connection: socket.socket, within_s: float) -> bool:
    """Wait so long; True as soon as the other side closes."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        readable, _, _ = select.select([connection], [], [], LOOK_EVERY_S)
        if readable:
            try:
                return connection.recv(1, socket.MSG_PEEK) == b""
            except ConnectionError:
                return True
    return False
