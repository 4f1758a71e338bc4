"""The rule catalogue."""

from typing import Any

from fastapi import APIRouter

from api import service

router = APIRouter(prefix="/v1/rules", tags=["rules"])


@router.get("")
def list_rules() -> list[dict[str, Any]]:
    """Every rule."""
    return service.rule_records()


@router.get("/{code}")
def show_rule(code: str) -> dict[str, Any]:
    """One rule."""
    return service.rule_record(code)
