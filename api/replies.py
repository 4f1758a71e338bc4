"""Errors as responses: problem details, in OpenAI's shape on its paths."""

from starlette.responses import JSONResponse

from api import facade
from api.errors import Problem

PROBLEM = "application/problem+json"


def respond(problem: Problem, path: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A problem as a response to a request for `path`."""
    if path.startswith(facade.PATHS):
        return JSONResponse(facade.error(problem), status_code=facade.status(problem), headers=headers)
    return JSONResponse(problem.document(), status_code=problem.status, media_type=PROBLEM, headers=headers)
