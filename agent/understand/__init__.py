"""From a sentence to a request, without a model: small extractors that each eat the words they understand."""

from agent.understand.assemble import Understanding
from agent.understand.edits import understand

__all__ = ["Understanding", "understand"]
