"""Machines by the names they are sold under: `p5.48xlarge`, `a3-highgpu-8g`, `DGX H200` as a host with so many GPUs."""

import re
from functools import cache

from agent.understand.names import Vocabulary
from agent.understand.notes import Notes
from agent.understand.scan import COUNT, compiled
from knowledge import catalogue

_HOST = r"(?:[- ]*(?:bare[- ]metal\s+)?(?:instances?|machines?|nodes?|vms?|servers?|box(?:es)?|hosts?|systems?|shapes?|slices?|chassis|units?)\b)?"
_HOW_MANY = rf"(?:\s*(?:x|\*|×)\s*(?P<times>\d{{1,4}})\b|[\s,;:(]+(?P<of>{COUNT})\s+of\s+(?:them|those|these)\b\)?)?"
_SYSTEM = compiled(
    rf"(?<![a-z0-9_-])(?P<half>(?:half|quarter|halbe[rnms]?|demie?|medio|media|meio|mezzo|mezza)\s+(?:of\s+)?(?:an?\s+|one\s+|the\s+)?)?(?:(?P<pre>\d{{1,4}}|两|一|二|三|四|두|세|네)\s*(?:台の?|대의?)\s*)?(?:nvidia\s+)?(?:dgx|hgx)[- ]?(?P<gpu>(?:[hab]\d{{3}})(?:[- ]?(?:sxm\d?|\d{{2,3}}\s?gb?))*)(?![a-z0-9]){_HOST}"
    rf"(?!\s+(?:gpus?|cards?|clusters?|pods?|superpods?|pools?|fleets?|farms?|baseboards?)\b){_HOW_MANY}"
)
GPUS_OF_A_SYSTEM = 8
"""DGX and HGX systems of these generations."""


@cache
def _sold() -> tuple[tuple[re.Pattern[str], catalogue.Instance], ...]:
    return tuple(
        (re.compile(rf"(?<![\w.-])(?:{one.name})(?![a-z0-9]){_HOST}{_HOW_MANY}", re.IGNORECASE), one)
        for one in catalogue.instances()
    )


def with_plain_hosts(text: str, notes: Notes) -> str:
    """The text with the names of machines as `8-gpu h100-sxm node`, as people say it who do not rent them."""
    for pattern, instance in _sold():

        def plain(match: re.Match[str], instance: catalogue.Instance = instance) -> str:
            gpus = instance.gpus or int(match["n"])
            notes.assume(f"`{match.group().strip()}` read as hosts of {gpus // instance.hosts} {instance.gpu}")
            return _host(match, gpus // instance.hosts, instance.gpu, instance.hosts)

        text = pattern.sub(plain, text)
    return _SYSTEM.sub(_system, text)


_COPIES = compiled(
    r"(?<![\w.-])(?P<n>\d{1,3})\s+(?:(?:separate|independent|parallel|identical)\s+)?(?:instances?|deployments?|copies)\s+of\s+(?:the\s+|our\s+|this\s+)?(?=(?P<what>model\b|llm\b|\S))"
)


_APART = compiled(
    r"(?<![\w.-])(?P<n>\d{1,3})\s+(?:separate|independent|distinct)\s+(?:servers|instances|engines|deployments|processes|endpoints)\b(?!\s+(?:with|of|each|having)\s+(?:an?\s+)?\d)"
)
"""Several servers as programs: `two separate servers behind a load balancer`."""


_OR_INSTANCES = compiled(
    r"(?P<or>\b(?:tp|pp|ep|dp)[\s=-]*\d{0,3},?\s+(?:or|vs\.?|versus)(?:\s+(?:just|simply|rather|maybe))?)\s+(?P<n>\d{1,3})\s+instances\b"
)


def with_plain_replicas(text: str, models: Vocabulary) -> str:
    """`4 instances of Llama 3.1 8B` as replicas: instances of a model are no hosts."""

    def plain(match: re.Match[str]) -> str:
        behind = text[match.end() : match.end() + 60]
        named = match["what"].lower() in ("model", "llm") or any(m.span[0] < 4 for m in models.mentions(behind)[:1])
        return f"{match['n']} replicas, " if named else match.group()

    text = _OR_INSTANCES.sub(r"\g<or> \g<n> replicas", text)
    return _COPIES.sub(plain, _APART.sub(r"\g<n> replicas", text))


def _system(match: re.Match[str]) -> str:
    return match.group() if match["half"] else _host(match, GPUS_OF_A_SYSTEM, match["gpu"], 1)


def _host(match: re.Match[str], gpus: int, gpu: str, hosts: int) -> str:
    """One such host, or as many as the words behind its name say."""
    before = match.groupdict().get("pre")
    many = before or match["times"] or match["of"] or ("" if hosts == 1 else f"{hosts}")
    return f"{many} {gpus}-gpu {gpu} node".strip()
