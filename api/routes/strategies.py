"""Plan, judge, price and export."""

import asyncio
from base64 import b64encode
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from api import errors, planning, service, views
from api.body import JsonBody, TextBody
from api.documents import dag_of, judge_document
from api.follow import stream
from api.planning import wants_async
from api.routes.runs import EVENT_STREAM, SSE_HEADERS, LastEventId
from api.routes.work import core_of, off_loop, sized
from api.state.runs import Run
from strategy.dag import Dag
from strategy.request import Request as PlanRequest
from strategy.result import Estimate, PeerEstimate, Result
from validators.documents import read_document

if TYPE_CHECKING:
    from strategy.export.artifacts import Artifact

router = APIRouter(prefix="/v1", tags=["strategies"])
PreferHeader = Annotated[str | None, Header(description="`respond-async`: answer 202 at once and go on with the run")]
KeyHeader = Annotated[
    str | None,
    Header(
        pattern="^[!-~]{1,255}$",
        description="Names this request; sent again with the same body it gets the same answer",
    ),
]


def _accepts(*kinds: Any, yaml: bool = False) -> dict[str, Any]:
    """The request body in OpenAPI terms; bodies are read by hand so that errors carry pointers."""
    schema: dict[str, Any] = {"anyOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]}
    media = ["application/json", *(["application/yaml"] if yaml else [])]
    return {"requestBody": {"required": True, "content": {name: {"schema": schema} for name in media}}}


@router.post(
    "/strategies",
    response_model=Result,
    responses={202: {"model": views.RunView, "description": "Stored, with `Prefer: respond-async`; follow `Location`"}},
    openapi_extra=_accepts(PlanRequest, service.TextRequest),
)
async def create_strategy(
    request: Request,
    body: JsonBody,
    proposer: service.Proposer | None = None,
    prefer: PreferHeader = None,
    idempotency_key: KeyHeader = None,
) -> JSONResponse:
    """Plan a request. A plan that cannot exist is a 200 whose `status` and `infeasible` say why.

    With `Prefer: respond-async` the run is stored, goes on by itself and survives the process. With an `Idempotency-Key` it is
    stored as well, and the same request with the same key gets the same answer. Otherwise a client that leaves ends it.
    """
    ask = await sized(request, lambda: service.read_ask(body))
    if wants_async(prefer):
        return await _accepted(request, ask, proposer, idempotency_key)
    if idempotency_key is not None:
        return await _replayable(request, ask, proposer, idempotency_key)
    result = await planning.answer(request, ask, proposer)
    return JSONResponse(await asyncio.to_thread(service.document, result))


async def _accepted(
    request: Request, ask: PlanRequest | str, proposer: service.Proposer | None, key: str | None
) -> JSONResponse:
    run, replayed = await planning.store(request, ask, proposer, key=key, attached=False)
    return JSONResponse(views.whole(run), status_code=202, headers=_headers(run, replayed, applied=True))


async def _replayable(
    request: Request, ask: PlanRequest | str, proposer: service.Proposer | None, key: str
) -> JSONResponse:
    run, replayed = await planning.store(request, ask, proposer, key=key, attached=False)
    run = await planning.ended(request, run)
    headers = _headers(run, replayed, applied=False)
    if run.result is None:
        told = run.problem or errors.plain_problem(409, "the run of this key was cancelled").document()
        return JSONResponse(told, status_code=told["status"], media_type="application/problem+json", headers=headers)
    return JSONResponse(run.result, headers=headers)


@router.post(
    "/strategies/stream",
    response_class=StreamingResponse,
    responses=EVENT_STREAM,
    openapi_extra=_accepts(PlanRequest, service.TextRequest),
)
async def stream_strategy(
    request: Request,
    body: JsonBody,
    proposer: service.Proposer | None = None,
    last_event_id: LastEventId = None,
    idempotency_key: KeyHeader = None,
) -> StreamingResponse:
    """Plan a request and tell how it goes. The last event carries the Result.

    A client that leaves ends the run. With an `Idempotency-Key` the run goes on: the same request with the same key, and
    `Last-Event-ID`, follows it again.
    """
    ask = await sized(request, lambda: service.read_ask(body))
    run, replayed = await planning.store(request, ask, proposer, key=idempotency_key, attached=True)
    told = stream(request, core_of(request), run, last_event_id or 0, cancel_when_left=run.attached)
    headers = {**SSE_HEADERS, **_headers(run, replayed, applied=False)}
    return StreamingResponse(told, media_type="text/event-stream", headers=headers)


def _headers(run: Run, replayed: bool, *, applied: bool) -> dict[str, str]:
    found = {"Location": f"/v1/runs/{run.id}"}
    if replayed:
        found["Idempotency-Replayed"] = "true"
    if applied:
        found["Preference-Applied"] = "respond-async"
    return found


@router.post("/validate", response_model=service.Judgement, openapi_extra=_accepts(service.DagBody, Dag, yaml=True))
async def validate(request: Request, body: TextBody, prove: bool = True) -> service.Judgement:
    """Judge a DAG document, alone or beside the request it answers (`{dag, request}`, or a whole Result)."""
    return await off_loop(request, lambda: judge_document(read_document(body), prove=prove))


@router.post("/estimate", openapi_extra=_accepts(service.Point))
async def estimate(request: Request, body: JsonBody) -> Estimate | PeerEstimate:
    """Price a strategy or a DAG for a request, by our cost model or by the one that `cost_backend` names, with ours beside it."""
    return await off_loop(request, lambda: service.price(service.fit(service.Point, body, "the point")))


@router.post(
    "/export/{to}",
    response_class=Response,
    responses={200: {"description": "The file, or the files", "content": {"*/*": {"schema": {}}}}},
    openapi_extra=_accepts(service.DagBody, Dag, yaml=True),
)
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
