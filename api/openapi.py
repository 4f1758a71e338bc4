"""The OpenAPI document, made true: bodies that routes read by hand, errors in the form in which they come, examples that work."""

import json
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from api import facade
from api.errors import Problem
from api.facade import ChatRequest
from api.replies import PROBLEM
from api.service import DagBody, Point, TextRequest
from strategy.dag import Dag
from strategy.request import Request

REF = "#/components/schemas/{model}"
BODIES = (Request, TextRequest, Point, DagBody, Dag, ChatRequest)
REQUEST = {
    "model": "llama-3.1-8b",
    "cluster": {"gpu": "l40s", "gpus_per_host": 2, "hosts": 1},
    "workload": {"isl": 1024, "osl": 128, "concurrency": 8},
}
TEXT = {"text": "Llama 3.1 8B on 2 L40S, 1024 tokens in, 128 out"}
STRATEGY = {"pools": [{"name": "serve", "stages": [[0, 32]], "attention": {"tp_size": 2}}]}
OPENAI_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {name: {"type": ["string", "null"]} for name in ("message", "type", "param", "code")},
        }
    },
}


def describe(app: FastAPI) -> None:
    """Complete what FastAPI says about an application."""
    made = app.openapi

    @cache
    def openapi() -> dict[str, Any]:
        document = made()
        schemas = document["components"]["schemas"]
        _, definitions = models_json_schema([(kind, "validation") for kind in BODIES], ref_template=REF)
        for name, schema in definitions["$defs"].items():
            schemas.setdefault(name, schema)
        schemas["OpenAiError"] = OPENAI_ERROR
        for path, operation in _operations(document):
            _tell_errors(path, operation)
            _show_examples(path, operation)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    app.router.routes.insert(0, Route("/openapi.json", _written_once(openapi), include_in_schema=False))


def _written_once(openapi: Callable[[], dict[str, Any]]) -> Callable[[HttpRequest], Awaitable[Response]]:
    """The document as bytes: it is large, and whoever asks for it again and again shall not keep the process busy."""

    @cache
    def text() -> bytes:
        return json.dumps(openapi(), separators=(",", ":")).encode()

    async def answer(_request: HttpRequest) -> Response:
        return Response(text(), media_type="application/json")

    return answer


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            yield path, operation


def _tell_errors(path: str, operation: dict[str, Any]) -> None:
    """Every error is a problem, or OpenAI's shape on its paths."""
    ours = not path.startswith(facade.PATHS)
    name, media = (Problem.__name__, PROBLEM) if ours else ("OpenAiError", "application/json")
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = {
        "description": "What is wrong and where (RFC 9457)" if ours else "What is wrong, in OpenAI's shape",
        "content": {media: {"schema": {"$ref": REF.format(model=name)}}},
    }


def _show_examples(path: str, operation: dict[str, Any]) -> None:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        body["examples"] = {name: {"value": value} for name, value in _examples(path).items()}


def _examples(path: str) -> dict[str, Any]:
    """Bodies that this path answers with 200."""
    if path.startswith("/v1/strategies"):
        return {"request": REQUEST, "text": TEXT}
    if path == "/v1/estimate":
        return {"strategy": {"request": REQUEST, "strategy": STRATEGY, "concurrency": 8}}
    if path.startswith("/v1/chat/"):
        return {"question": {"model": "meshwright", "messages": [{"role": "user", "content": TEXT["text"]}]}}
    return {"dag": {"dag": _dag(), "request": REQUEST}}


def _dag() -> dict[str, Any]:
    from knowledge.catalogue import find_model
    from strategy.build import build
    from strategy.export import document
    from strategy.strategy import Strategy

    found: dict[str, Any] = document(build(find_model("llama-3.1-8b"), Strategy.model_validate(STRATEGY)))
    return found
