"""Plan, judge, price and export."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from api import service
from api.body import document_body, json_body
from api.documents import dag_of, judge_document
from api.routes.work import off_loop
from strategy.dag import Dag
from strategy.request import Request as PlanRequest
from strategy.result import Estimate, Result
from validators.documents import read_document

router = APIRouter(prefix="/v1", tags=["strategies"])
JsonBody = Annotated[Any, Depends(json_body)]
TextBody = Annotated[str, Depends(document_body)]
MEDIA = {"json": "application/json", "yaml": "application/yaml", "mermaid": "text/plain"}


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


@router.post("/export/{to}", response_class=PlainTextResponse, openapi_extra=_accepts(service.DagBody, Dag, yaml=True))
async def export(request: Request, to: str, body: TextBody) -> PlainTextResponse:
    """Write a DAG in another format: json, yaml or mermaid."""
    name = service.existing_format(to)
    text = await off_loop(request, lambda: service.export(dag_of(read_document(body)), name))
    return PlainTextResponse(text, media_type=MEDIA[name])
