"""A chat endpoint on 127.0.0.1 that says whatever a behaviour tells it to, down to broken bytes.

The first part of the path names the behaviour: `http://127.0.0.1:PORT/slow-drip/v1`.
"""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 3000, "completion_tokens": 400, "total_tokens": 3400}
DRIP_BYTES = 7


@dataclass(frozen=True)
class Asked:
    """One request: how many came before it in this run, its path, its body."""

    turn: int
    path: str
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """All that the messages say."""
        return "\n".join(str(message["content"]) for message in self.body["messages"])


@dataclass(frozen=True)
class Say:
    """One answer: a chat message unless `body` is given, and how the bytes travel."""

    content: Any = None
    refusal: str | None = None
    arguments: str | None = None
    finish_reason: str = "stop"
    usage: Any = field(default_factory=lambda: dict(USAGE))
    status: int = 200
    body: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drip_s: float = 0.0
    """Seconds between a few bytes and the next."""
    cut_bytes: int | None = None
    """Bytes that are sent of the promised ones before the connection ends."""
    reset: bool = False
    """End the connection with a reset instead of a reply."""

    def payload(self) -> bytes:
        """The body."""
        return self.body if self.body is not None else completion(self).encode("utf-8", "surrogatepass")


Behave = Callable[[Asked], Say]


def completion(say: Say) -> str:
    """A chat completion as the API writes it."""
    message: dict[str, Any] = {"role": "assistant", "content": say.content, "refusal": say.refusal}
    if say.arguments is not None:
        function = {"name": "propose", "arguments": say.arguments}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": say.finish_reason, "logprobs": None}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "faulty", "choices": [choice]}
    return json.dumps(body if say.usage is None else {**body, "usage": say.usage})


@dataclass
class Server:
    """The running server: where it is, and every request of every run."""

    url: str
    asked: dict[str, list[Asked]] = field(default_factory=dict)

    def base_url(self, name: str) -> str:
        """Where a behaviour listens."""
        return f"{self.url}/{name}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviours: Mapping[str, Behave]
    record: Server
    stopping: threading.Event

    def do_POST(self) -> None:
        """Answer as the behaviour says. Whoever hangs up first, no thread dies noisily."""
        name = self.path.split("/")[1]
        raw = self.rfile.read(int(self.headers["content-length"]))
        before = self.record.asked.setdefault(name, [])
        asked = Asked(len(before), self.path, json.loads(raw))
        before.append(asked)
        with contextlib.suppress(OSError):
            self._say(self.behaviours[name](asked))

    do_GET = do_POST  # noqa: N815 (the base class calls it so)

    def _say(self, say: Say) -> None:
        self.stopping.wait(say.delay_s)
        self.close_connection = True
        if say.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        payload = say.payload()
        self.send_response(say.status)
        for key, value in {
            "content-type": say.content_type,
            "content-length": str(len(payload)),
            **say.headers,
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self._send(payload[: say.cut_bytes], say.drip_s)

    def _send(self, payload: bytes, drip_s: float) -> None:
        if not drip_s:
            self.wfile.write(payload)
            return
        for start in range(0, len(payload), DRIP_BYTES):
            if self.stopping.wait(drip_s):
                return
            self.wfile.write(payload[start : start + DRIP_BYTES])
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        """Say nothing."""


@contextmanager
def serving(behaviours: Mapping[str, Behave]) -> Iterator[Server]:
    """Serve behaviours until the block ends; whoever still sleeps is woken then."""
    record, stopping = Server(""), threading.Event()
    handler = type("Handler", (_Handler,), {"behaviours": behaviours, "record": record, "stopping": stopping})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    http.handle_error = lambda *_: None  # type: ignore[method-assign]
    record.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield record
    finally:
        stopping.set()
        http.shutdown()
        http.server_close()
        thread.join()
