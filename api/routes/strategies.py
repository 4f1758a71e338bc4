"""Plan, judge, price and export."""

from base64 import b64encode
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from api import service
from api.body import document_body, json_body
from api.documents import dag_of, judge_document
from api.routes.work import off_loop
from strategy.dag import Dag
from strategy.request import Request as PlanRequest
from strategy.result import Estimate, Result
from validators.documents import read_document

if TYPE_CHECKING:
    from strategy.export.artifacts import Artifact

router = APIRouter(prefix="/v1", tags=["strategies"])
JsonBody = Annotated[Any, Depends(json_body)]
TextBody = Annotated[str, Depends(document_body)]


def _accepts(*kinds: Any, yaml: bool = False) -> dict[str, Any]:
    """The request body in OpenAPI terms; bodies are read by hand so that errors carry pointers."""
    schema: dict[str, Any] = {"anyOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]}
    media = ["application/json", *(["application/yaml"] if yaml else [])]
    return {"requestBody": {"required": True, "content": {name: {"schema": schema} for name in media}}}


@router.post("/strategies", response_model=Result, openapi_extra=_accepts(PlanRequest, service.TextRequest))
async def create_strategy(request: Request, body: JsonBody, proposer: service.Proposer | None = None) -> JSONResponse:
    """Plan a request. A plan that cannot exist is a 200 whose `status` and `infeasible` say why."""
    ask = service.read_ask(body)
    settings = request.app.state.settings
    return JSONResponse(await off_loop(request, lambda: service.document(service.plan(ask, settings, proposer))))


@router.post("/validate", response_model=service.Judgement, openapi_extra=_accepts(service.DagBody, Dag, yaml=True))
async def validate(request: Request, body: TextBody, prove: bool = True) -> service.Judgement:
    """Judge a DAG document, alone or beside the request it answers (`{dag, request}`, or a whole Result)."""
    return await off_loop(request, lambda: judge_document(read_document(body), prove=prove))


@router.post("/estimate", openapi_extra=_accepts(service.Point))
async def estimate(request: Request, body: JsonBody) -> Estimate:
    """Price a strategy or a DAG for a request."""
    return await off_loop(request, lambda: service.price(service.fit(service.Point, body, "the point")))


@router.post("/export/{to}", response_class=Response, openapi_extra=_accepts(service.DagBody, Dag, yaml=True))
async def export(request: Request, to: str, body: TextBody) -> Response:
    """Write a DAG in another format, with its request where the format needs one (`{dag, request}`, or a whole Result).

    One file comes as it is; several come as `{files: [{name, media_type, text}]}`, binary ones with `base64` in place of `text`.
    """
    name = service.existing_format(to)

    def write() -> Response:
        document = read_document(body)
        return _files(service.export(dag_of(document), name, document.request))

    return await off_loop(request, write)


def _files(artifacts: "tuple[Artifact, ...]") -> Response:
    if len(artifacts) == 1:
        return Response(artifacts[0].data, media_type=artifacts[0].media_type)
    return JSONResponse({"files": [_file(artifact) for artifact in artifacts]})


def _file(artifact: "Artifact") -> dict[str, str]:
    content = artifact.content
    told = {"base64": b64encode(content).decode()} if isinstance(content, bytes) else {"text": content}
    return {"name": artifact.name, "media_type": artifact.media_type, **told}
