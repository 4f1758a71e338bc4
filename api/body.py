"""Request bodies: JSON (or YAML where a document is meant) within limits, read before anything is built from them."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request

from api.errors import BodyError
from api.routes.work import sized
from validators.documents import read_data

MAX_SECONDS = 30
"""For a body to arrive."""
JSON_TYPES = frozenset({"application/json"})
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})


async def text_body(request: Request, *, types: frozenset[str]) -> str:
    """The body as text. Raises `BodyError` 415 for another type, 413 beyond the limit, 400 when it is not UTF-8."""
    _check_type(request, types)
    limit: int = request.app.state.settings.max_body_bytes
    if _stated_length(request) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(MAX_SECONDS):
            data = await _read(request, limit)
    except TimeoutError:
        raise BodyError(f"the body took more than {MAX_SECONDS} s", status=HTTPStatus.REQUEST_TIMEOUT) from None
    request.state.body_bytes = len(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BodyError(f"the body is not UTF-8 (byte {error.start})", status=HTTPStatus.BAD_REQUEST) from None


async def json_body(request: Request) -> Any:
    """Plain data of a JSON body. Raises `UnreadableError` with line and column."""
    text = await text_body(request, types=JSON_TYPES)
    return await sized(request, lambda: read_data(text, strict_json=True))


async def document_body(request: Request) -> str:
    """The text of a DAG document, JSON or YAML."""
    return await text_body(request, types=JSON_TYPES | YAML_TYPES)


JsonBody = Annotated[Any, Depends(json_body)]
TextBody = Annotated[str, Depends(document_body)]


async def _read(request: Request, limit: int) -> bytearray:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise _too_large(limit)
    return data


def _stated_length(request: Request) -> int:
    stated = request.headers.get("content-length", "")
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 19 else 0


def _check_type(request: Request, types: frozenset[str]) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in types:
        raise BodyError(
            f"the body is `{given[:80] or 'of no stated type'}`",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            hint=f"send {' or '.join(sorted(types))} in Content-Type",
        )
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise BodyError(
            f"the body is coded as `{coding[:40]}`",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            hint="send it as it is, without Content-Encoding",
        )


def _too_large(limit: int) -> BodyError:
    return BodyError(f"the body is larger than {limit:,} bytes", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
