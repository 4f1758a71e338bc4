"""A DAG in other people's formats."""

from strategy.export.documents import document, to_json, to_yaml
from strategy.export.mermaid import to_mermaid

__all__ = ["document", "to_json", "to_mermaid", "to_yaml"]
