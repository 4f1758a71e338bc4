"""The knowledge base, so that what an answer cites can be read."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api import service
from api.routes.work import core_of

router = APIRouter(prefix="/v1/knowledge", tags=["catalog"])


@router.get("")
def show_section(
    request: Request, ref: Annotated[str, Query(min_length=1, max_length=500)]
) -> service.KnowledgeSection:
    """A section by its reference, `file.md#anchor` (the `#` written as `%23`)."""
    return service.knowledge_section(core_of(request).settings, ref)
