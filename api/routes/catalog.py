"""Models and GPUs."""

from typing import Any

from fastapi import APIRouter

from api import service

router = APIRouter(prefix="/v1/catalog", tags=["catalog"])


@router.get("/{kind}")
def list_catalog(kind: service.Kind) -> list[dict[str, Any]]:
    """Every model or GPU in short."""
    return service.catalog_rows(kind)


@router.get("/{kind}/{name:path}")
def show_record(kind: service.Kind, name: str) -> dict[str, Any]:
    """One model or GPU in full, by name, alias or Hugging Face id."""
    return service.catalog_record(kind, name)
