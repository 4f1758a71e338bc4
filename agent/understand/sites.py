"""Several clusters by their names, and the one that the text is about: `alpha = 4x8 H100, beta = 2x8 H200. This is about beta`."""

import re

from agent.understand.names import Vocabulary
from agent.understand.notes import Notes
from agent.understand.scan import compiled

_KIND = r"(?:clusters?|sites?|pools?|options?|zones?|partitions?|env(?:ironment)?s?|dcs?|data\s?cent(?:er|re)s?|regions?|locations?|queues?|offers?|variants?|racks?)"
_DEFINED = re.compile(
    rf"(?:(?i:\b{_KIND})\s+[\"'`]?(?P<label>[A-Za-z][\w-]{{0,14}}|\d)[\"'`]?|(?<![\w/.-])(?P<letter>[A-D])(?=\s*[(=:)]))\s*(?P<mark>=|:|\(|\)|-\s|(?i:is|has|with|of)\b)"
)
_END = re.compile(r"[.;\n](?=\s|$)|[.;\n]")
_TRAILING = re.compile(r"(?:[,;\s]|\band)+$")
MOST_SITES = 6
"""Names of clusters that are looked at."""


def without_other_sites(text: str, gpus: Vocabulary, notes: Notes) -> str:
    """The text without the clusters that it names beside the one that it is about."""
    found = list(_DEFINED.finditer(text))[:MOST_SITES]
    if len(found) < 2:
        return text
    starts = [m.start() for m in found] + [len(text)]
    sites: dict[str, tuple[int, int]] = {}
    for match, following in zip(found, starts[1:], strict=True):
        stop = _END.search(text, match.end(), following)
        said = _TRAILING.sub("", text[match.end() : stop.start() if stop is not None else following])
        if any(any(c.isdigit() for c in said[slice(*m.span)]) for m in gpus.mentions(said)):
            sites.setdefault((match["label"] or match["letter"]).lower(), (match.start(), match.end() + len(said)))
    meant = [label for label in sites if len(sites) > 1 and _is_meant(text, label, list(sites.values()))]
    if len(meant) != 1:
        return text
    for label, (start, end) in sorted(sites.items(), key=lambda site: -site[1][0]):
        if label != meant[0]:
            notes.assume(f"ignored: `{' '.join(text[start:end].split())[:80]}` (the text is about {meant[0]})")
            text = f"{text[:start]} {text[end:]}"
    return text


def _is_meant(text: str, label: str, sites: list[tuple[int, int]]) -> bool:
    """Whether words outside of the definitions say that a cluster is the one."""
    name = rf"(?:(?:the\s+)?{_KIND}\s+)?[\"'`]?{re.escape(label)}[\"'`]?(?![\w-])"
    pattern = compiled(
        rf"\b(?:about|for|use|using|on|onto|only|take|pick(?:ed)?|chose|choose|chosen|want|get|got|go(?:ing)?\s+with|went\s+with|plan(?:ned)?|deploy|target|signed|bought|approved|ours\s+is|it'?s|in|to)\s+{name}"
        rf"|(?<![\w-]){name}\s+(?:is|was|will\s+be|are)\s+(?:the\s+)?(?:only\s+)?(?:free|ours|available|one|meant|chosen|what|it\b|approved|signed|bought|for\s+(?:this|us))"
    )
    return any(not any(a <= m.start() < b for a, b in sites) for m in pattern.finditer(text))
