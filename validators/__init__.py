"""The judge: the rule catalogue, the typing pass, the proof as a stage. Deterministic: no clock, no network, no model."""

from validators.documents import Document, read_document
from validators.validate import Verdict, validate

__all__ = ["Document", "Verdict", "read_document", "validate"]
