"""Errors in words and in HTTP: the one place that knows which error is which status. No framework here, the CLI uses it too.

The shape is RFC 9457 problem details: `type`, `title`, `status`, `detail`, and `errors[]` with a JSON pointer each.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from strategy.errors import (
    ExecutionError,
    InputError,
    KnowledgeError,
    MeshwrightError,
    ProposalError,
    UnknownNameError,
    UnplannableModelError,
    UnreadableError,
    plainly,
)

REPORT_HINT = "this is a bug of Meshwright: please report it with the input that caused it"
MAX_ERRORS = 20
"""Places told of one input; the rest is counted."""


class MissingResourceError(InputError):
    """Nothing has this name or is at this address."""


class BodyError(InputError):
    """A request body that is too large or not of a type we read; `status` says which."""

    def __init__(self, message: str, *, status: HTTPStatus, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ConflictError(InputError):
    """The thing is not in a state in which this can be done to it."""


class ReusedKeyError(InputError):
    """An Idempotency-Key that came with another request before."""


class UnauthorizedError(InputError):
    """No API key, or none that is known."""


class ForbiddenError(InputError):
    """A key that may not do this."""


class LaterError(MeshwrightError):
    """Nothing is wrong with the request; it may be sent again in `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateError(LaterError):
    """More requests than this client may send."""


class QuotaError(LaterError):
    """More plans than this key may ask for in a day."""


class OverloadedError(LaterError):
    """More work waits than is taken on."""


class UnavailableError(LaterError):
    """The database does not answer, or cannot write."""


class DeadlineError(LaterError):
    """The work took longer than a request may take."""


class ShapeError(InputError):
    """A document whose fields do not fit; `places` lists each with its JSON pointer."""

    def __init__(self, message: str, places: Iterable["Place"]) -> None:
        self.places = tuple(places)
        super().__init__(message, pointer=self.places[0].pointer if self.places else "")


STATUS: dict[type[MeshwrightError], HTTPStatus] = {
    MeshwrightError: HTTPStatus.INTERNAL_SERVER_ERROR,
    InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnknownNameError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnplannableModelError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnreadableError: HTTPStatus.BAD_REQUEST,
    ShapeError: HTTPStatus.UNPROCESSABLE_ENTITY,
    BodyError: HTTPStatus.BAD_REQUEST,
    MissingResourceError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    ReusedKeyError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnauthorizedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    LaterError: HTTPStatus.SERVICE_UNAVAILABLE,
    RateError: HTTPStatus.TOO_MANY_REQUESTS,
    QuotaError: HTTPStatus.TOO_MANY_REQUESTS,
    OverloadedError: HTTPStatus.SERVICE_UNAVAILABLE,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineError: HTTPStatus.SERVICE_UNAVAILABLE,
    ProposalError: HTTPStatus.SERVICE_UNAVAILABLE,
    KnowledgeError: HTTPStatus.INTERNAL_SERVER_ERROR,
    ExecutionError: HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""Every public error type has its own line here; a test compares it with the tree."""


class Place(BaseModel):
    """One place of the input and what is wrong there."""

    pointer: str
    """JSON pointer into the input; empty for all of it."""
    detail: str
    hint: str = ""
    line: int | None = None
    column: int | None = None


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    errors: list[Place] = []
    nearest: list[str] = []

    def document(self) -> dict[str, Any]:
        """As JSON, empty members left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


def problem(error: Exception, *, instance: str = "") -> Problem:
    """Any exception as a problem. One that is not ours says only that it is a bug: no detail of the inside leaves the process."""
    if isinstance(error, ValidationError):
        error = shape_error(error, "the input")
    if not isinstance(error, MeshwrightError):
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return plain_problem(status, f"unexpected {type(error).__name__}; {REPORT_HINT}", instance=instance)
    status = error.status if isinstance(error, BodyError) else status_of(type(error))
    return Problem(
        type=f"urn:meshwright:problem:{_slug(type(error))}",
        title=status.phrase,
        status=status,
        detail=str(error),
        instance=instance,
        errors=_places(error),
        nearest=list(error.nearest) if isinstance(error, UnknownNameError) else [],
    )


def headers(error: Exception) -> dict[str, str]:
    """What the status calls for besides the body."""
    if isinstance(error, LaterError):
        return {"Retry-After": str(error.retry_after_s)}
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, UnauthorizedError) else {}


def status_of(kind: type[MeshwrightError]) -> HTTPStatus:
    """The status of an error type, or of its nearest ancestor when it is private to a module."""
    return next(STATUS[known] for known in kind.__mro__ if known in STATUS)


def plain_problem(status: int, detail: str = "", *, instance: str = "") -> Problem:
    """A problem that has nothing to say beyond its status."""
    phrase = HTTPStatus(status).phrase
    return Problem(type="about:blank", title=phrase, status=status, detail=detail or phrase, instance=instance)


def shape_error(error: ValidationError, what: str, data: object = None) -> ShapeError:
    """A pydantic error as places with pointers into `data`, the value that was validated."""
    found: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False, include_context=False):
        told = found.setdefault(pointer(_keys(detail, data)), [])
        told.append(words(detail))
    places = [Place(pointer=where, detail="; or: ".join(dict.fromkeys(told))) for where, told in found.items()]
    more = f" (and {len(places) - 1} more places)" if len(places) > 1 else ""
    where = f"`{places[0].pointer}`: " if places[0].pointer else ""
    return ShapeError(f"{what} does not fit: {where}{places[0].detail}{more}", places[:MAX_ERRORS])


def pointer(parts: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901) of keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def lines(error: Exception) -> list[str]:
    """An error as a person reads it in a terminal: what, where, what to do."""
    told = problem(error)
    found = [told.detail]
    for place in told.errors:
        text = f"{place.pointer}: {place.detail}" if place.detail != told.detail else ""
        if text and place.detail not in told.detail:
            found.append(text)
        if place.hint:
            found.append(f"hint: {place.hint}")
    return found


def tell(error: Exception) -> None:
    """An error in words on stderr."""
    first, *rest = lines(error)
    sys.stderr.write("\n".join([f"error: {first}", *(f"  {line}" for line in rest)]) + "\n")


def error_line(error: Exception, **facts: object) -> dict[str, Any]:
    """What a batch writes for an input it could not answer."""
    return {"error": problem(error).document(), **facts}


def words(detail: ErrorDetails) -> str:
    """One error of pydantic's: what was expected and what came."""
    if detail["type"] == "missing":
        return "this field is required"
    if detail["type"] == "extra_forbidden":
        return "this field is not known; remove it or check its spelling"
    value = repr(detail["input"])
    shown = value if len(value) <= 80 else value[:77] + "..."
    return f"{plainly(detail['msg'])}, got {shown}"


def _keys(detail: ErrorDetails, data: object) -> list[str | int]:
    """Where an error lies: its location without the names of union branches that pydantic puts among the keys."""
    kept: list[str | int] = []
    for index, part in enumerate(detail["loc"]):
        indexed = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        if indexed or (isinstance(data, Mapping) and part in data):
            kept.append(part)
            data = data[part]  # type: ignore[index]
        elif detail["type"] == "missing" and index == len(detail["loc"]) - 1:
            kept.append(part)
    return kept


def _places(error: MeshwrightError) -> list[Place]:
    if isinstance(error, ShapeError):
        return list(error.places)
    if isinstance(error, UnreadableError):
        return [Place(pointer="", detail=str(error), hint=error.hint, line=error.line, column=error.column)]
    if isinstance(error, InputError):
        return [Place(pointer=error.pointer, detail=str(error), hint=error.hint)] if error.pointer or error.hint else []
    return []


def _slug(kind: type[Exception]) -> str:
    words = re.findall(r"[A-Z][a-z]*", kind.__name__.removesuffix("Error"))
    return "-".join(words).lower()
