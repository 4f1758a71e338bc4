"""A DAG in other people's formats: documents, graphs, traces, and the files that deploy it."""

from strategy.export.artifacts import Artifact, Exporter, Plan
from strategy.export.documents import document, to_json, to_yaml
from strategy.export.formats import FORMATS, exporter
from strategy.export.mermaid import to_mermaid

__all__ = ["FORMATS", "Artifact", "Exporter", "Plan", "document", "exporter", "to_json", "to_mermaid", "to_yaml"]
