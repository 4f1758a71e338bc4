"""What a text says of numbers of GPUs and hosts, as one value, and how hosts and GPUs are called."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.understand.scan import SPAN

MARK = "\ue000"
"""Stands where a GPU was named, letter for letter, so that patterns can speak of it."""

NAMED_GPU = rf"(?<!{MARK}){MARK}++s?(?:[- ]?(?:tensor[- ]core|server(?:[- ]edition|(?=[- ]+(?:gpus?|cards?)\b))|gpus?|cards?|accelerators?|devices?|chips?|sxm\d?|grafikkarten|cartes?))*"
HOST_WORDS = r"(?:nodes?|noder|hosts?(?![ ]*\x1f|\s+(?:a|an|the|my|our|this|it|and\s+serve)\b)|servers|server(?![- ]+(?:edition|cards?|gpus?)\b)|machines?|box(?:es)?|(?:compute\s+)?trays?|systems?|instances?|chassis)"
MAKE = r"(?:(?:nvidia|amd|dgx|hgx|dual|x|(?:st|stuks|stück|adet|szt\.?|pcs|pieces\s+of|units\s+of)(?=\s))[- ]*){0,3}"
EACH = r"[ ,]*(?:(?!(?:or|and|vs|to|nor|on|in)\b)[a-z]{2}(?=\s)|of|with|having|each|met\s+(?:elk|ieder)|med\s+var(?:dera|sin)|mit\s+je(?:weils)?|avec\s+chacune?|con\s+cada\s+uno|containing|that have|holding|mit|met|med|de|à|avec|con|com|,|:|@|x|[(])*[ ,]*(?:of(?:\s+(?:them|which))?(?:\s+(?:with|has|have|having|holding|containing))?|with|having|each|has|x|(?:both|all)\s+(?:of\s+them\s+)?(?:with|having))?[ ,(]*"
GPU_WORDS = r"(?:gpus?|(?:graphics?\s+)?cards?|accelerators?|devices?|cartes?|(?:grafik)?karten?|tarjetas?|placas?|schede|kaarten)"
"""How hosts and GPUs are called, and what stands between them."""


@dataclass(frozen=True)
class Shape:
    """Numbers as the text gives them; None where it does not."""

    total: int | None = None
    hosts: int | None = None
    per_host: int | None = None
    racks: int | None = None
    share: float = 1.0
    """Part of it that is meant (`half a rack`)."""
    place: SPAN | None = field(default=None, compare=False)
    """Where the text says so."""


def group_of(match: re.Match[str], *names: str) -> str | None:
    """The first of these groups that a pattern has and that matched."""
    groups = match.groupdict()
    return next((groups[name] for name in names if groups.get(name)), None)


def given(shapes: Sequence[Shape], name: str) -> set[int]:
    """What shapes give for a number."""
    return {n for s in shapes if (n := getattr(s, name)) is not None}
