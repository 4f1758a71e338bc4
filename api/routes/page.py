"""The page at `/`, its assets, and the picture of a DAG that it draws."""

from hashlib import sha256
from pathlib import Path
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from api import service
from api.body import document_body
from api.bundle import joined
from api.errors import MissingResourceError
from api.picture import Picture, View, picture
from api.reference import reference
from api.routes.work import off_loop
from strategy.dag import Dag
from strategy.export.formats import FORMATS
from strategy.values import MAX_TOKENS
from validators.documents import read_document

router = APIRouter()
FOLDER = Path(__file__).parents[1] / "page"
ENTRY = "main.js"
MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".yaml": "application/yaml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing but our own files runs or loads, and no string becomes markup or code."""
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}
_SCHEMAS = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (service.DagBody, Dag)]
_BODY = {"content": {name: {"schema": {"anyOf": _SCHEMAS}} for name in ("application/json", "application/yaml")}}


class Asset(NamedTuple):
    """A file of the page."""

    content: bytes
    media_type: str
    tag: str
    """Of its content, so that a browser asks once and is told `304` until the file changes."""


def assets() -> dict[str, Asset]:
    """Every file of the page by name, its scripts as one; nothing else on disk can be asked for."""
    found = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in MEDIA}
    scripts = {name.removesuffix(".js"): found.pop(name).decode() for name in list(found) if name.endswith(".js")}
    found[ENTRY] = joined(scripts, ENTRY.removesuffix(".js")).encode()
    return {
        name: Asset(content, MEDIA[f".{name.rpartition('.')[2]}"], f'"{sha256(content).hexdigest()[:24]}"')
        for name, content in found.items()
    }


ASSETS = assets()


@router.get("/", include_in_schema=False)
async def page(request: Request) -> Response:
    """The page."""
    return _answer(request, ASSETS["index.html"])


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """The REST API to read."""
    held = request.app.state
    if not hasattr(held, "reference"):
        content = reference(request.app.openapi()).encode()
        held.reference = Asset(content, MEDIA[".html"], f'"{sha256(content).hexdigest()[:24]}"')
    return _answer(request, held.reference)


@router.get("/page/{name}", include_in_schema=False)
async def asset(request: Request, name: str) -> Response:
    """A script, a style sheet or an icon of the page."""
    if name not in ASSETS:
        raise MissingResourceError(f"the page has no file `{name[:80]}`")
    return _answer(request, ASSETS[name])


@router.get("/favicon.ico", include_in_schema=False)
async def icon(request: Request) -> Response:
    """What browsers ask for by themselves."""
    return _answer(request, ASSETS["icon.svg"])


@router.get("/v1/exports", tags=["catalog"])
async def list_exports() -> list[dict[str, str]]:
    """Every format of `POST /v1/export/{to}`."""
    return [{"name": one.name, "summary": one.summary} for one in FORMATS.values()]


def _answer(request: Request, found: Asset) -> Response:
    headers = {**HEADERS, "ETag": found.tag, "Content-Security-Policy": POLICY}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


@router.post("/v1/layout", tags=["page"], openapi_extra={"requestBody": {"required": True, **_BODY}})
async def layout(
    request: Request,
    body: Annotated[str, Depends(document_body)],
    unfold: Annotated[list[str] | None, Query(max_length=1_000)] = None,
    collapse: Annotated[list[str] | None, Query(max_length=1_000)] = None,
    concurrency: Annotated[int | None, Query(ge=1, le=MAX_TOKENS)] = None,
    positions: bool = True,
) -> Picture:
    """Grid positions, node facts and GPU groups of a DAG document, for drawing.

    `unfold` names runs of layers by column key (`prefill/0/3`), all runs of a band (`prefill/0`), or `all`. `collapse` names bands that
    are drawn as one row; `collapse=none` opens them all.
    """
    view = View(tuple(unfold or ()), None if collapse is None else tuple(collapse), concurrency, positions)
    return await off_loop(request, lambda: picture(read_document(body), view))
