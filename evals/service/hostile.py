"""A corpus of requests that mean harm or carry none: bombs, depth, NaN, absurd degrees, names of files and places, broken HTTP."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import httpx

from evals.service.fuzz import LATER, SLOWEST_S, TRACES

JSON = "application/json"
YAML = "application/yaml"
REQUEST: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "cluster": {"gpu": "h100-sxm", "gpus_per_host": 8, "hosts": 1},
    "workload": {"isl": 1024, "osl": 128},
}
NAMES = (
    "../../../../etc/passwd",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "os.system",
    "__import__('os').system('id')",
    "${jndi:ldap://localhost/a}",
    "{{7*7}}",
    "'; drop table runs; --",
    "\u0000",
    "\u202egnp.exe",
    "A" * 100_000,
    "\ud83d\ude00" * 500,
    "%s%s%s%n",
    "config.json",
)
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join([f'*{chr(97 + level)}'] * 9)}]\n" for level in range(9)
)


@dataclass(frozen=True)
class Attack:
    """One request and what it may be answered with."""

    name: str
    path: str
    body: bytes
    media: str = JSON
    method: str = "POST"


def attacks() -> Iterator[Attack]:
    """The corpus."""
    places: tuple[tuple[str, ...], ...] = (
        ("model",),
        ("cluster", "gpu"),
        ("engine",),
        ("precision", "weights"),
        ("objective",),
    )
    for place in places:
        for number, name in enumerate(NAMES):
            yield Attack(f"name {number} at {'/'.join(place)}", "/v1/strategies", _with(place, name))
    for place, value in _absurd():
        yield Attack(f"{'/'.join(place)} = {str(value)[:30]}", "/v1/strategies", _with(place, value))
    for name, text in _texts():
        yield Attack(name, "/v1/strategies", json.dumps({"text": text}).encode())
    for path in ("/v1/strategies", "/v1/validate", "/v1/estimate", "/v1/export/json", "/v1/chat/completions"):
        for name, body in _bodies():
            yield Attack(f"{name} to {path}", path, body)
    for name, text in _documents():
        yield Attack(name, "/v1/validate", text.encode(), YAML)
    for name in NAMES[:9]:
        quoted = httpx.URL("http://x/").join(name.replace("\u0000", "%00")[:200]).raw_path.decode()
        for path in ("/v1/rules", "/v1/catalog/models", "/v1/runs", "/page"):
            yield Attack(f"{path} with {name[:20]!r}", path + quoted, b"", method="GET")


def attack(url: str, *, every: int = 1) -> list[str]:
    """Send the corpus, or every so many of it; what should not have happened."""
    faults = []
    with httpx.Client(timeout=SLOWEST_S * 2) as http:
        for one in islice(attacks(), 0, None, every):
            faults += _sent(http, url, one)
    for name, payload in _broken_http():
        faults += _raw(url, name, payload)
    return faults


def _sent(http: httpx.Client, url: str, one: Attack) -> list[str]:
    began = time.monotonic()
    try:
        answer = http.request(one.method, url + one.path, content=one.body, headers={"Content-Type": one.media})
    except httpx.HTTPError as error:
        return [f"{one.name}: {type(error).__name__} after {time.monotonic() - began:.1f} s"]
    faults = []
    if answer.status_code >= 500 and not (answer.status_code in LATER and "retry-after" in answer.headers):
        faults.append(f"{one.name}: {answer.status_code} {answer.text[:300]}")
    if TRACES.search(answer.text):
        faults.append(f"{one.name}: a traceback")
    if "root:" in answer.text or "ami-id" in answer.text:
        faults.append(f"{one.name}: something was read that nobody may ask for")
    if time.monotonic() - began > SLOWEST_S:
        faults.append(f"{one.name}: took {time.monotonic() - began:.1f} s")
    return faults


def _with(place: tuple[str, ...], value: object) -> bytes:
    body = json.loads(json.dumps(REQUEST))
    inner = body
    for key in place[:-1]:
        inner = inner.setdefault(key, {})
    inner[place[-1]] = value
    return json.dumps(body).encode()


def _absurd() -> Iterator[tuple[tuple[str, ...], object]]:
    values: tuple[object, ...] = (10**9, 65_536, 65_535, 0, -1, 10**30, 1e308, 1.5, True, None, "8", [], {}, [[[]]])
    for value in values:
        for place in (
            ("cluster", "hosts"),
            ("cluster", "gpus_per_host"),
            ("workload", "isl"),
            ("workload", "osl"),
            ("workload", "concurrency"),
            ("constraints", "fix", "tp_size"),
            ("constraints", "fix", "pp_size"),
            ("slo", "ttft_ms"),
        ):
            yield place, value
    for model in ({"num_layers": 10**9}, {"hidden_size": 10**18}, {"architectures": ["LlamaForCausalLM"]}, [1] * 1000):
        yield ("model",), model


def _texts() -> Iterator[tuple[str, str]]:
    yield "a long text", "Llama 3.1 8B on 8 H100 " * 20_000
    yield "digits without end", "Llama 3.1 8B on " + "9" * 50_000 + " H100"
    yield "a wall of brackets", "(" * 50_000
    yield "words that look like code", "; ".join(NAMES[:10])
    yield "spaces", "llama" + " " * 200_000 + "8 H100"
    yield "numbers and units", "4k in " * 10_000
    yield "commas", ",".join(["8x H100"] * 5_000)
    yield "dots", "3." * 60_000


def _bodies() -> Iterator[tuple[str, bytes]]:
    yield "depth of arrays", b"[" * 200_000
    yield "depth of objects", b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    yield "NaN", b'{"model": NaN, "cluster": Infinity}'
    yield "a long number", b'{"model": ' + b"9" * 100_000 + b"}"
    yield "many keys", json.dumps({f"k{i}": i for i in range(50_000)}).encode()
    yield "repeated keys", b'{"model": 1, "model": 2}'
    yield "lone surrogate", b'{"model": "\\ud800"}'
    yield "null bytes", b"\x00" * 1_000
    yield "not UTF-8", b"\xff\xfe\xfa"
    yield "a byte order mark", b"\xef\xbb\xbf{}"
    yield "prototype", b'{"__proto__": {"a": 1}, "constructor": 1}'
    yield "too large", b'{"text": "' + b"x" * 3_000_000 + b'"}'
    yield "a scalar", b"1"
    yield "a string", b'"Llama"'


def _documents() -> Iterator[tuple[str, str]]:
    yield "a bomb of aliases", BOMB
    yield "a tag that builds objects", "!!python/object/apply:os.system ['id']"
    yield "a merge key", "a: &a {x: 1}\nb: {<<: *a}"
    yield "flow depth", "[" * 100_000
    yield "block depth", "".join(f"{' ' * i}a:\n" for i in range(1_500))
    yield "many documents", "---\na: 1\n" * 10_000
    yield "a long line", "a: " + "x" * 1_500_000
    yield "many nodes", _many_nodes()
    yield "huge degrees", _huge()


def _many_nodes() -> str:
    nodes = ", ".join(f"{{id: n{i}, op: norm, inputs: [{'in' if i == 0 else f'n{i - 1}'}]}}" for i in range(20_000))
    return f"version: 1\nmodel: llama-3.1-8b\nblocks: [{{name: a, nodes: [{nodes}], output: n19999}}]\n"


def _huge() -> str:
    pool = {"name": "serve", "stages": [[0, 32]], "attention": {"tp_size": 65_536, "dp_size": 65_536}}
    return json.dumps(
        {"version": 1, "model": "llama-3.1-8b", "strategy": {"pools": [pool]}, "blocks": [], "branches": {}}
    )


def _broken_http() -> Iterator[tuple[str, bytes]]:
    head = b"POST /v1/strategies HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    yield "a length that lies", head + b"Content-Length: 99999999999999999999\r\n\r\n{}"
    yield "a negative length", head + b"Content-Length: -5\r\n\r\n{}"
    yield "a length in words", head + b"Content-Length: many\r\n\r\n{}"
    yield "two lengths", head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
    yield "chunks that lie", head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"
    yield "a long header", head + b"X: " + b"a" * 200_000 + b"\r\n\r\n"
    yield "no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01"
    yield "a path out of the tree", b"GET /page/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "a header with a line break", head + b"Idempotency-Key: a\rb\r\nContent-Length: 2\r\n\r\n{}"


def _raw(url: str, name: str, payload: bytes) -> list[str]:
    """Bytes as they are; an answer, or a closed connection, but never an error of ours."""
    host = urlsplit(url)
    with socket.create_connection((host.hostname or "", host.port or 80), timeout=5) as connection:
        connection.settimeout(2)
        connection.sendall(payload)
        try:
            answer = connection.recv(65_536)
        except (TimeoutError, ConnectionError):
            return []
    status = answer.split(b" ", 2)[1:2]
    return [f"{name}: {answer[:200]!r}"] if status and status[0].startswith(b"5") else []
