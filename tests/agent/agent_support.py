"""A request in words, and an OpenAI-compatible chat endpoint on the loopback interface that answers from a script."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent.understand import understand
from strategy.request import Request

TEXT = "Llama 3.1 70B on 8 H100, 2k in, 200 out"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def read_request(text: str) -> tuple[Request, str]:
    """What a text is read as, and all that is assumed; it must not end in a question."""
    found = understand(text)
    assert found.question is None
    assert found.request is not None
    return found.request, " | ".join(found.assumptions)


@dataclass
class Step:
    """One scripted answer: a chat message, or a raw body with a status."""

    content: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    finish_reason: str = "stop"
    status: int = 200
    body: str | None = None
    delay_s: float = 0.0
    usage: dict[str, int] | None = field(default_factory=lambda: dict(USAGE))


@dataclass
class ChatServer:
    """The running server: its address, and every request body it was sent."""

    url: str
    script: list[Step]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def next_step(self) -> Step:
        """The script's next answer; the last one repeats."""
        return self.script[min(len(self.asked), len(self.script)) - 1]


def completion(step: Step) -> str:
    """A chat completion as the API writes it."""
    message: dict[str, Any] = {"role": "assistant", "content": step.content, "refusal": step.refusal}
    if step.arguments is not None:
        function = {"name": "propose", "arguments": step.arguments}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": step.finish_reason, "logprobs": None}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "scripted", "choices": [choice]}
    return json.dumps(body if step.usage is None else {**body, "usage": step.usage})


@contextmanager
def serving(*script: Step) -> Iterator[ChatServer]:
    """Serve a script on 127.0.0.1 until the block ends."""
    server: ChatServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            server.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            step = server.next_step()
            time.sleep(step.delay_s)
            payload = (step.body if step.body is not None else completion(step)).encode()
            try:
                self.send_response(step.status)
                self.send_header("content-type", "application/json" if payload[:1] in (b"{", b"[") else "text/html")
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = ChatServer(f"http://127.0.0.1:{http.server_address[1]}/v1", list(script))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
