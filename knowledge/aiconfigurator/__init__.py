"""NVIDIA AIConfigurator as a second opinion on a price, where it is installed (the extra `aiconfigurator`)."""

from knowledge.aiconfigurator.answer import priced
from knowledge.aiconfigurator.package import Package, installed

__all__ = ["Package", "installed", "priced"]
