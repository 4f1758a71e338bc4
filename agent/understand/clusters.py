"""Which GPUs a text offers: the kind, GPUs per host, hosts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import gcd
from typing import Any

from agent.understand.names import Mention, Vocabulary, slips, squash
from agent.understand.notes import Notes
from agent.understand.outcome import outcome, parts_of_sum
from agent.understand.roles import Reading
from agent.understand.scan import COUNT, SPAN, Scan, compiled, count_of
from agent.understand.standing import weight

MAX_GPUS = 65_536
MOST_PER_HOST = 1_024
"""No host has more GPUs: such a number behind it is a price."""
SEARCHED_HOSTS = 4
"""Hosts assumed when the question is how many GPUs it takes."""

_MARK = "\ue000"
"""Stands where a GPU was named, letter for letter, so that patterns can speak of it."""

_G = rf"(?<!{_MARK}){_MARK}++s?(?:[- ]?(?:tensor[- ]core|server(?:[- ]edition|(?=[- ]+(?:gpus?|cards?)\b))|gpus?|cards?|accelerators?|devices?|chips?|sxm\d?|grafikkarten|cartes?))*"
_HOST = r"(?:nodes?|noder|hosts?(?![ ]*\x1f|\s+(?:a|an|the|my|our|this|it|and\s+serve)\b)|servers|server(?![- ]+(?:edition|cards?|gpus?)\b)|machines?|box(?:es)?|(?:compute\s+)?trays?|systems?|instances?|chassis)"
_MAKE = r"(?:(?:nvidia|amd|dgx|hgx|dual|x|(?:st|stuks|stück|adet|szt\.?|pcs|pieces\s+of|units\s+of)(?=\s))[- ]*){0,3}"
_EACH = r"[ ,]*(?:(?!(?:or|and|vs|to|nor|on|in)\b)[a-z]{2}(?=\s)|of|with|having|each|met\s+(?:elk|ieder)|med\s+var(?:dera|sin)|mit\s+je(?:weils)?|avec\s+chacune?|con\s+cada\s+uno|containing|that have|holding|mit|met|med|de|avec|con|com|,|:|@|x|[(])*[ ,]*(?:of(?:\s+(?:them|which))?(?:\s+(?:with|has|have|having|holding|containing))?|with|having|each|has|x|(?:both|all)\s+(?:of\s+them\s+)?(?:with|having))?[ ,(]*"
_GPUS = r"(?:gpus?|(?:graphics?\s+)?cards?|accelerators?|devices?|cartes?|(?:grafik)?karten?|tarjetas?|placas?|schede|kaarten)"
_ANOTHER = rf"(?P<again>{COUNT})"
HOST_WORDS, GPU_COUNT_WORDS = _HOST, _GPUS
"""How hosts and GPUs are called."""

_SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("rack", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}[- ]*racks?\b")),
    ("rack", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*racks?\s+(?:of|with)\s+{_MAKE}{_G}")),
    ("whole_rack", compiled(rf"\b(?:an?\s+)?(?:full|whole|entire|complete)\s+{_MAKE}{_G}[- ]*racks?\b|{_G}[- ]*(?:full|whole|entire|complete)?[- ]*rack\b|\b(?:full|whole|entire|complete)\s+racks?\s+of\s+{_G}")),
    ("hosts_gpus", compiled(rf"(?P<h>{COUNT})\s*(?:x|\*|by)\s*(?P<n>{COUNT})\s*(?:x|\*)?[- ]*{_MAKE}{_G}(?:[- ]*{_HOST}\b)?")),
    ("hosts_gpus", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*{_HOST}{_EACH}(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}(?:\s*(?:each|per\s+{_HOST}))?")),
    ("hosts_gpus", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*(?:of\s+(?:our|the|my|these|those)\s+)?(?P<n>{COUNT})(?:x|[- ](?:gpus?|way))[- ]*{_MAKE}{_G}[- ]*{_HOST}\b")),
    ("hosts_gpus", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}[- ]*{_HOST}{_EACH}(?P<n>{COUNT})(?:\s*x?\s*(?:{_G}|{_GPUS}))?(?:\s*each)?")),
    ("hosts_gpus", compiled(rf"{_G}[ ,:x]*(?P<h>{COUNT})[- ]*{_HOST}\s*[(,]?\s*(?:with|of|x)\s*(?P<n>{COUNT})(?:\s*{_GPUS})?\s*each\b")),
    ("hosts_gpus", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}\s*(?:x|\*|on|over|across|in|per\s+{_HOST}\s*,?)\s*(?P<h>{COUNT})\s*{_HOST}\s+(?:each|of\s+those)")),
    ("per_host", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}\s+in\s+(?:an?|one)\s+{_HOST}\b")),
    ("total_hosts", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}\s*(?:,|on|over|across|in|spread\s+over|auf|sur|[(])+\s*(?P<h>{COUNT})\s*{_HOST}\b")),
    ("hosts_gpus", compiled(rf"\beach\s+of\s+(?:the|our|these|those|my)\s+(?P<h>{COUNT})\s*{_HOST}\s+(?:has|have|holds?|contains?|carr(?:y|ies)|comes?\s+with|features?|houses?)\s+(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}")),
    ("per_host", compiled(rf"\b(?:each|every|per|our|the|a|all|these|those|,)?\s*{_HOST}\s+(?:each\s+)?(?:has|have|holds?|contains?|carr(?:y|ies)|comes?\s+with|features?|is\s+equipped\s+with|are\s+equipped\s+with)\s+(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}(?:\s*(?:each|apiece))?")),
    ("per_host", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}\s*(?:per|/|in\s+each|on\s+each|a)\s*{_HOST}\b")),
    ("hosts_gpus", compiled(rf"(?P<n>{COUNT})\s*(?:x\s*)?(?:{_GPUS}|{_G})\s*짜\s*리\s*(?P<h>{COUNT})\s*{_HOST}")),
    ("one_host", compiled(rf"单\s*机\s*(?P<n>{COUNT})[- ]*x?[- ]*(?:{_GPUS}\s*)?{_MAKE}{_G}")),
    ("both_hosts", compiled(rf"\bboth\s+(?:(?:of\s+them|with|have|has|are|being|hold|at)\s+){{0,2}}(?P<n>{COUNT})\s*x\s*{_MAKE}{_G}")),
    ("per_host", compiled(rf"\beach\s+(?:one\s+)?(?:with|has|having|of|holding|carrying|containing)\s+(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}")),
    ("per_host", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}\s*(?:each|apiece|a\s+piece|vardera|chacune?|cada\s+un[oa]|ciascuno)\b")),
    ("per_host", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}\s*(?:in|on|inside)\s+(?:each|every)(?:\s+(?:single\s+)?one)?(?:\s+of\s+(?:them|those|these))?\b")),
    ("total", compiled(rf"{_G}\s*[(,]\s*(?:max(?:imum)?|at\s+most|up\s+to|under|no\s+more\s+than|not\s+more\s+than)\s*(?:of\s+)?(?P<n>\d{{1,4}})(?=\s*(?:[),;]|\.(?!\d)|$|{_GPUS}))")),
    ("one_host", compiled(r"(?<![\w.,])(?P<n>\d{1,3})\s+(?:(?:of\s+them|gpus?|cards?)\s+)?in\s+(?:the|that|this|our|my|one|a|that\s+one)\s+(?:same\s+|single\s+)?(?:server|machine|box|node|host|chassis|system)\b(?!\s*(?:has|have))|(?<![\w.,])(?P<m>\d{1,3})\s+in\s+(?:eine[rm]|une?|una|uma?)\s+nodes\b")),
    ("hosts", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*(?:(?:nvidia|amd)[- ])?(?:dgx|hgx)[- ]*{_G}(?:[- ]*{_HOST}\b)?")),
    ("host", compiled(rf"\b(?:dgx|hgx)[- ]*{_MARK}+(?!s)")),
    ("one_host", compiled(rf"(?P<n>\d{{1,3}})[- ]?(?:x|gpu|way)[- ]*{_MAKE}{_G}[- ]*{_HOST}\b")),
    ("hosts", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*{_MAKE}{_G}[- ]*{_HOST}\b")),
    ("hosts", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*{_HOST}\s+(?:of|with)\s+{_MAKE}{_G}")),
    ("both", compiled(rf"\bboth\s+(?:of\s+)?(?:(?:my|our|the|these|those)\s+)?{_MAKE}{_G}")),
    ("total", compiled(rf"(?P<n>{COUNT})\s*(?:x|\*|of|-)?\s*(?:(?:the|those|{_GPUS}\s*\(?|[张块枚台个])\s*)?{_MAKE}{_G}")),
    ("total", compiled(rf"{_G}\s*(?:x|\*|:)\s*(?P<n>\d{{1,6}})\b(?!\s*(?:x|gpus?|cards?)?\s*(?:per|/|each|in\s+each)\b|[- ]*x?[- ]*{_HOST}\b)")),
    ("total", compiled(rf"{_G}\s*\(\s*x?(?P<n>{COUNT})(?:\s*{_GPUS})?\s*\)")),
)  # fmt: skip
_WHOLE_RACK = compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{_MAKE}{_MARK}++(?![- ]*(?:s\b|racks?|chips?|{_GPUS}|{_HOST}))")
"""`a GB300 NVL72` is the rack."""

_TOTAL = compiled(
    rf"(?P<n>{COUNT})(?!\s*--)[- ]*x?[- ]*{_GPUS}\b(?!\s*(?:per|/|each|apiece|a)\b)(?:\s*(?:in\s+total|total|cluster|overall))?"
    rf"|(?<![\w.,])(?P<m>\d{{1,3}})\s+of\s+(?:them|those|these)\b(?!\s+(?:have|has|keep|type|chat|write|wait|online|active|at\s+(?:once|the\s+same)|(?:are|is|were)\s+(?!(?:available|free|ours|mine|usable)\b)))(?:\s+(?:are\s+)?available)?|\b(?:count|quantity|number\s+of\s+gpus|num_gpus|gpu_count|ngpus?|gpus|n)\s*[:=]\s*(?P<k>\d{{1,6}})\b"
)
_PER_HOST = compiled(
    rf"(?P<n>(?!(?:one|an?|1)\s*(?:per|/|a|in)\b){COUNT})\s*x?\s*(?:{_GPUS})?\s*(?:per|/|a|in\s+each|in\s+every)\s*{_HOST}\b|(?P<m>{COUNT})[- ]gpu[- ]{_HOST}\b|\bgpus[-_ ]per[-_ ](?:host|node|server|machine)\s*[:=]\s*(?P<k>\d{{1,4}})\b"
)
_HOSTS_OF = compiled(
    rf"(?P<h>{COUNT})[- ]*x?[- ]*{_HOST}\s+(?:of|with|having|x)\s+(?P<n>\d{{1,3}})(?:\s*{_GPUS}\b|(?=\s*(?:[.,;)\n]|$|each\b)))(?:\s*each\b)?"
)
"""`2 nodes of 4`, where the GPU is named elsewhere."""
_HOSTS = compiled(
    rf"(?P<h>{COUNT})[- ]*x?[- ]*{_HOST}\b|(?:\b|--)(?:n?nodes|hosts|num[-_]nodes|servers)\s*[:= ]\s*(?P<k>\d{{1,4}})\b(?![ \t]*(?:x|gpus?))"
)
_LABELLED = (
    (
        "hosts_gpus",
        compiled(
            rf"\b(?:nodes|hosts|servers|machines)\s*[:=]\s*(?P<h>\d{{1,4}})\s*,?\s*(?:with|of|x|@|à|mit|con|avec)\s*(?P<n>\d{{1,3}})\s*(?:{_GPUS}\s*)?(?:each|apiece|per\s+{_HOST})\b"
        ),
    ),
    ("total", compiled(r"--(?:num[-_])?gpus(?:[-_]count)?[= ]+\"?(?P<n>\d{1,4})\b")),
    (
        "per_host",
        compiled(
            r"(?:\b|--)(?:gpus|cards|accelerators)[-_ ]per[-_ ](?:host|node|server|machine)s?\s*[:= ]\s*(?P<n>\d{1,4})\b"
        ),
    ),
    (
        "hosts",
        compiled(
            r"(?:\b|--)(?:n_?nodes|(?:node|host|server|machine|box)[-_ ](?:num|count|number)|(?:num(?:ber)?[-_ ](?:of[-_ ])?)?(?:nodes|hosts|servers|machines)(?:[-_ ](?:num|count))?)\s*[:=]\s*(?P<h>\d{1,4})\b(?!\s*(?:x|\*|gpus?))"
        ),
    ),
    (
        "total",
        compiled(
            r"\b(?:gpu|accelerator|card|device)s?[-_ ]?(?:num|count|number|qty|quantity|total)\s*[:=]\s*(?P<n>\d{1,6})\b"
        ),
    ),
    (
        "total",
        compiled(
            r"\b(?:num(?:ber)?|n|count|total|qty)[-_ ]?(?:of[-_ ])?(?:gpus|cards|accelerators|devices)\s*[:=]\s*(?P<n>\d{1,6})\b"
        ),
    ),
)
"""Numbers behind their names, as configurations give them; no GPU that follows on the next line is counted by them."""
_INSIDE = compiled(
    rf"\b(?:in|on|inside)\s+(?:each|every)\s+(?:single\s+)?(?:one\s+)?of\s+(?:them|those|these)\b|\b(?:inside|within|across|beyond|between|leaves?|leaving|cross(?:es|ing)?|in\s+(?:each|every))\s+(?:(?:of\s+)?(?:an?|one|the|each|every|single|our|its)\s+)+{_HOST}(?:\s+boundar(?:y|ies))?|\bshared\s+(?:\w+\s+)?(?:by|among|between|across)\s+(?:(?:all|its|the)\s+){{0,2}}{COUNT}\s*{_GPUS}"
)
"""Speaks of hosts, not of how many there are."""
_VAGUE = compiled(
    rf"\b(?P<words>(?:a\s+few|few|several|some|(?<!how )many|multiple|various|a\s+(?:bunch|number|handful|lot)\s+of|lots\s+of|plenty\s+of)\s+(?:of\s+(?:our|the|my)\s+)?{_MAKE}(?:{_G}|{_HOST}))"
)
_WE_HAVE = compiled(
    r"\b(?:(?:we|i)(?:'ve)?\s+(?:have|own|got|hold|rent)|there\s+are|available\s*[:=]?)\s+(?:got\s+)?(?:only\s+|just\s+)?(?P<n>\d{1,5})(?=\s*(?:$|[.,;!)]|in\s+total|available))"
)
_LOOSE_HOSTS = compiled(
    rf"(?<![\w.,])(?P<h>\d{{1,4}})\s+(?:(?!of\b|per\b|each\b|every\b|the\b|users?\b|sessions?\b|streams?\b|tokens?\b|requests?\b|gpus?\b|cards?\b|ms\b)[a-z]{{3,14}}\s+){{1,2}}{_HOST}\b"
)
"""A number of hosts with words between that nobody here knows: `3 equal nodes`."""
_RACK_APART = compiled(rf"(?:(?P<n>{COUNT})\s+|\b(?:our|the|this|full|whole)\s+)racks?\b")
_SOME_CLUSTER = compiled(
    rf"\b(?:an?|the|our)\s+{_MAKE}{_G}[- ]*(?:clusters?|pools?|farms?|fleets?|environment|setup|infrastructure)\b"
)
"""Says which GPU it is, not how many."""
_SUCH = compiled(
    rf"\b(?:there\s+are|(?:we|i)\s+(?:can|may|could|will)\s+(?:reserve|book|use|have|get|take)|we(?:'ve)?\s+(?:have\s+)?(?:have|own|run|use|got))\s+(?P<h>{COUNT})\s+(?:of\s+(?:them|those|these)|such(?:\s+{_HOST})?)\b"
)
"""A number of the hosts that were described before."""
_NIC = re.compile(
    r"(?P<n>\d{1,4})\s*(?P<u>Gb/s|Gbps|Gbit/s|GB/s|GBps|G)(?:\s*(?:per|/)\s*GPU)?\s*(?:of\s+)?"
    r"(?:InfiniBand|infiniband|IB|RoCE|Ethernet|ethernet|NICs?|NDR|HDR|network(?:ing)?)\b(?:\s+per\s+GPU)?"
    r"|(?:InfiniBand|infiniband|IB|RoCE(?:v2)?|NICs?|NDR|HDR|EDR|XDR|ConnectX[- ]?\d|CX[- ]?\d|BlueField[- ]?\d|EFA|network)[ ,:(]*(?:with|at|of|running|links?|adapters?|cards?|\s)*\s*(?P<m>\d{1,4})\s*(?P<v>Gb/s|Gbps|Gbit/s|GB/s|GBps|G)\b(?:\s*(?:per|/|for\s+(?:each|every))\s*GPU)?"
    r"|(?<!NVLink )(?<!NVLINK )(?<!nvlink )(?<!HBM )(?<!\d)(?P<k>\d{2,4})\s*(?P<w>Gb/s|Gbps|Gbit/s)\s*(?:per|/|for\s+(?:each|every)|je|pro|par|por)\s*(?:GPU|gpu|card|accelerator)\b"
    r"|\b(?:every|each|per)\s+(?:GPU|gpu|card)(?:\s+(?:has|gets|with|is|on|its|own|an?|behind|attached|to|one|dedicated)){0,6}\s*(?P<j>\d{2,4})\s*(?P<x>Gb/s|Gbps|Gbit/s|GB/s)"
    r"|(?<!NVLink )(?<!HBM )(?<!\d)(?P<i>\d{1,3}(?:\.\d{1,2})?)\s*(?P<y>Gb/s|Gbps|Gbit/s|GB/s)\s+(?:(?!NVL|nvl|NVSwitch|HBM|hbm|memory)[\w-]+\s+){0,2}?(?:per|for\s+(?:each|every)|to\s+(?:each|every)|na|pro|par|por|je)\s+(?:GPU|gpu|card)\b(?![^.;,\n]{0,24}(?:NVLink|nvlink|HBM|memory))"
)
UNKNOWN_GPU = compiled(
    rf"(?:{COUNT}\s*x?\s*)?(?<![\w.])(?P<name>(?:(?:nvidia|amd|intel)\s+)?(?:(?:rtx|gtx|geforce|quadro|tesla|radeon|instinct|titan)[- ]?(?:rtx[- ]?)?"
    r"(?:pro[- ])?[a-z]{0,2}\d{1,4}\w{0,4}(?:[- ](?:ti|super|ada))?|gb\d{3}|mi\d{2,3}[a-z]?|[vhbar]\d{2,3}[a-z]?|[345]0[5-9]0(?:[- ]?ti|(?=s\b|\s(?:gpus?|cards?)\b))|"
    r"t4|k80|p40|p100|gaudi[- ]?\d?|tpu[- ]?(?:v?\d[a-z]?)?|trainium\d?|trn\d|inferentia\d?|cerebras|groq|ascend[- ]?\w{0,5})s?)(?![\w/])"
)


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


def find_cluster(
    scan: Scan,
    gpus: Vocabulary,
    gpus_per_host: Mapping[str, int],
    notes: Notes,
    readings: Sequence[Reading],
    *,
    wants_count: bool,
) -> dict[str, object] | None:
    """The cluster as a `ClusterRequest` document; otherwise a question is noted.

    `wants_count` says that the text asks how many GPUs it takes: a missing count is then an assumption.
    """
    nic = scan.take(_NIC)
    mentions = named_gpus(scan, gpus)
    key = _one_kind(scan, mentions, gpus, notes)
    numbered = scan.take(_NUMBERED)
    ours, lost = (_parts(scan), _lost(scan)) if mentions else ([], [])
    if _ALL_OURS.search(scan.original):
        lost = []
    shapes = _shapes(scan, mentions, notes)
    if key is None:
        return None
    if not any(shape.total or shape.hosts or shape.racks for shape in shapes) and not _within_a_host(ours, shapes):
        shapes += [_part_named(match) for match in ours]
        ours = []
    if wants_count and not shapes:
        shapes = [Shape(total=count_of(m["n"])) for m in scan.take(_AT_MOST)]
    gone = scan.take(_NAMED_HOST) if not (ours or lost) else []
    broken = sum(1 + (match["b"] is not None) for match in numbered)
    shapes = _without_rest(shapes, lost)
    size, shape = _trial(scan, shapes, key, gpus_per_host[key], readings, notes)
    whole = size
    for match in ours if not lost or not any(_said(m, "q", "u") for m in ours) else ():
        size = size and _part_of(size, match, scan, notes)
    for match in lost if not ours or size == whole else ():
        size = size and _part_left(size, match, scan, notes)
    if gone and size and size == whole and len(gone) < size[0]:
        size = (size[0] - len(gone), size[1])
        notes.assume(f"`{scan.words(gone[0].span())}`: planned for {size[0]} of {size[0] + len(gone)} hosts")
    if broken and size and size == whole and size[0] == 1 and broken < size[1]:
        size = (1, size[1] - broken)
        notes.assume(f"planned for {size[1]} of the {whole[1] if whole else 0} GPUs: {broken} of them cannot be used")
    if size is None and shape == Shape() and "cluster" not in notes.questions and not wants_count:
        size = _one_rack(scan, mentions, key, gpus_per_host[key], notes)
    if size is None and shape == Shape():
        if not wants_count:
            notes.ask("cluster", f"how many {key} GPUs are there, and how many in each host (for example `2x8 {key}`)?")
            return None
        notes.assume(f"at most {SEARCHED_HOSTS} hosts of {gpus_per_host[key]} {key}: the text gives no number of GPUs")
        size = _size(Shape(hosts=SEARCHED_HOSTS), key, gpus_per_host[key], notes)
    if size is None:
        return None
    document: dict[str, object] = {"gpu": key, "gpus_per_host": size[1], "hosts": size[0]}
    for match in nic[:1]:
        rate, unit = float(_said(match, "n", "m", "k", "j", "i") or 0), _said(match, "u", "v", "w", "x", "y") or ""
        document["nic_gb_per_s"] = _each_gpu_of(scan, match) * (rate if unit.startswith("GB") else rate / 8)
        notes.assume(f"{document['nic_gb_per_s']:g} GB/s of network for each GPU: `{scan.words(match.span())}`")
    return document


def _within_a_host(parts: Sequence[re.Match[str]], shapes: Sequence[Shape]) -> bool:
    """Whether the parts are GPUs of the one host that is described (`the node has 8 B200, 6 are ours`)."""
    named = [_part_named(match) for match in parts]
    each = min((shape.per_host for shape in shapes if shape.per_host), default=0)
    return bool(named) and all(part.total is not None and part.total < each for part in named)


_SHARED_BY = compiled(
    rf"[^.;\n]{{0,40}}?\b(?:shared\s+(?:\w+\s+)?(?:by|among|between|across)\s+(?:all\s+|its\s+|the\s+){{0,2}}(?P<n>{COUNT})\s*(?:of\s+(?:them|the\s+)\s*)?(?:{_GPUS}|{_G})|that\s+(?:the|all|its)\s+(?:the\s+)?(?P<m>{COUNT})\s*(?:{_GPUS}|{_G})\s+share)\b"
)
_CARDS_BEFORE = compiled(rf"(?P<n>{COUNT})\s*(?:x\s*)?$")


def _each_gpu_of(scan: Scan, match: re.Match[str]) -> float:
    """The part of a network port that each GPU has: less than one where GPUs share the ports that a host has."""
    shared = _SHARED_BY.match(scan.original, match.end())
    if shared is None:
        return 1.0
    cards = _CARDS_BEFORE.search(scan.original, max(0, match.start() - 16), match.start())
    return (count_of(cards["n"]) if cards is not None else 1) / max(1, count_of(shared["n"] or shared["m"]))


_THAT_IS = rf"\s*[,(]\s*(?:(?:i\.e\.|that\s+is|so|or|=)[\s,]*)?{COUNT}\s*{_HOST}\b\)?"
"""The same part in hosts: `24 of them, three nodes`."""
_SAID_IN_HOSTS = compiled(rf"{_THAT_IS}$")
_AT_MOST = compiled(
    r"\b(?:at\s+most|up\s+to|max(?:imum)?|no(?:t)?\s+more\s+than|upper\s+bound\s+(?:is|of))\s+(?P<n>\d{1,4})(?=\s*(?:[.,;:)\n]|$|of\s+them\b))"
)
"""How many GPUs there are, where the question is how many it takes."""
_OURS = compiled(
    rf"(?:,|\bbut|\band(?=\s+would)|\bhowever|\bthough|\bof\s+which|\bof\s+(?:them|those|these|it)|[(;])[\s,]*(?:so\s+)?(?:of\s+(?:which|them|those|these|it)\s+)?(?:(?:we|i|you|our\s+team|my\s+team)\s+)?(?:(?:can|may|will|do|are|am|would|shall|should|must|want\s+to|plan\s+to)\s+)?(?:(?:only|just)\s+)?(?:be\s+)?"
    rf"(?:get|gets|got|have|has|use|take|dedicate|devote|spare|lend|allowed|given|granted|allotted|allocated|assigned)\s+(?:(?:only|just|to\s+use|up\s+to|access\s+to)\s+)*(?P<n>{COUNT})\s*(?P<what>{_GPUS}|{_HOST})?(?:\s+(?:out\s+)?of\s+(?:it|them|those|these|that))?(?:{_THAT_IS})?(?!\s*(?:x|[a-z]{{1,2}}\d|[a-z]*(?:token|request|user|session|chat)))(?=\s*(?:[.,;)\n]|$|for\b|to\b))"
    rf"|(?:,|\bbut|\bof\s+which|[(;])[\s,]*(?:so\s+)?(?:only\s+|just\s+)?(?P<m>{COUNT})\s*(?P<things>{_GPUS}|{_HOST})?\s*(?:\(\s*\d{{1,4}}\s*(?:{_GPUS}|{_HOST})\s*\)\s*)?(?:of\s+(?:it|them|those|these|which)\s+)?(?:are|is)\s+(?:ours|yours|mine|free|available|left|idle|usable|reserved\s+for\s+(?:us|me|this)|allocated\s+to\s+(?:us|me))\b"
    rf"|\b(?P<i>{COUNT})\s+(?:out\s+)?of\s+(?:the|our|my|these|those)\s+(?=\d{{1,4}}\s+(?:(?:equal|identical|available)\s+)?(?P<holders>nodes|hosts|servers|machines|boxes)\b)"
    rf"|\b(?:inference|serving|production|prod|this\s+(?:project|service|team|workload)|the\s+(?:llm|service|model|endpoint)|we|i)\s+(?:(?:only|just|may|can|will|shall)\s+)*(?:gets?|has|have|use|uses|receives?|keeps?)\s+(?:only\s+|just\s+)?(?P<p>{COUNT})\s+of\s+(?:the|our|those|these)\s+(?P<owned>{_HOST}|{_GPUS})\b"
    rf"|\b(?:inference|serving|production|prod|which\s+leaves|leaving|we|you|gives?\s+us|lets?\s+us\s+(?:use|have))\s+(?:(?:only|just|get|gets|have|has|keep|use)\s+)*(?:(?:the|with)\s+)?(?:remaining|other)\s+(?P<u>{COUNT})\s*(?P<spared>{_HOST}|{_GPUS})\b"
    rf"|\b(?:gives?|leaves?|lets?)\s+(?:only\s+)?us\s+(?:only\s+|just\s+|have\s+|use\s+)*(?P<v>{COUNT})\s+of\s+(?:the|those|these|our)\s+(?P<given>{_HOST}|{_GPUS})\b"
    rf"|\bthe\s+(?P<q>{COUNT})\s+(?P<left>{_HOST}|{_GPUS})?\s*(?:that|which)\s+(?:are|is)\s+(?:left|free|ours|available)\b(?!\s*(?:for|to)\s+(?:training|research))"
    rf"|\b(?:so|leaves|leaving|makes|that'?s)\s+(?:(?:us|we|i|have|with|only|just)\s+)*(?P<w>{COUNT})\s+(?:usable|working|healthy|good|intact|free|available)\s+(?P<useful>{_GPUS}|{_HOST})\b"
    rf"|\b(?:only|just)\s+(?P<y>{COUNT})\s+(?:out\s+)?of\s+(?:the|our|these|those|its)\s+(?:{COUNT}\s+)?(?P<mine>{_GPUS}|{_HOST})\s+(?:are|is)\s+(?:ours|yours|mine|free|available|usable|for\s+(?:us|me|this))\b"
    rf"|\b(?:so|leaves|leaving|which\s+leaves)\s+(?P<r>{COUNT})\s*(?P<remaining>{_GPUS}|{_HOST})?\s*(?:of\s+them\s+)?(?:for\s+us|are\s+ours|remain)\b"
    rf"|\b(?:my|our)\s+(?:(?:team|group|department|project|lab|unit)(?:'s)?\s+)?(?:quota|share|allocation|slice|allotment|reservation)\s*(?:is|of|=|:|are)?\s*(?:only\s+|just\s+)?(?P<k>{COUNT})(?!\s*(?:x\s*)?(?:nvidia\s+|amd\s+)?[a-z]{{1,3}}\d{{1,3}}\w{{0,4}}\s+{_HOST})(?:\s*(?P<units>{_GPUS}|{_HOST}))?\b(?:\s+(?:out\s+)?of\s+(?:it|them|those|these|that|the|our)\b(?:\s+(?P<allotted>{_HOST}|{_GPUS})\b)?)?(?:{_THAT_IS})?"
)
"""The part of a cluster that may be used: `16 nodes of 8 H100 but I only get 32 GPUs of it`."""


_USABLE = compiled(
    rf"\b(?:we|i|you|the\s+team)\s+(?:may|can|are\s+allowed\s+to|get\s+to|shall|should|must|have\s+to)\s+(?:only\s+)?(?:use|have|get|take|touch|book|occupy)\s+(?:only\s+|just\s+|up\s+to\s+)?(?P<n>{COUNT})(?:\s*(?P<what>{_GPUS}|{_HOST}))?(?:\s+of\s+(?:them|those|these|it))?(?:\s*,\s*(?:that\s+is|i\.e\.|so|which\s+is)\s+{COUNT}\s*{_HOST}(?:\s+(?:of|with)\s+{COUNT}(?:\s*{_GPUS})?)?)?(?=\s*(?:[.,;)\n]|$))"
    rf"|\b(?:so\s+)?(?:that|there)\s+(?:leaves|are|is)\s+(?:us\s+)?(?:with\s+)?(?:only\s+|just\s+)?(?P<m>{COUNT})(?:\s*(?P<things>{_GPUS}|{_HOST}))?\s+left\b"
)
"""The part that may be used, in a sentence of its own: `of the 4 nodes we may use 3`."""
_OF_THE = compiled(rf"\bof\s+(?:the|our|those|these)\s+{COUNT}\s+(?P<holders>{_HOST}|{_GPUS})\b[^.;\n]*$")
_LOST = compiled(
    rf"\b(?P<n>{COUNT}|the\s+other|another)\s*(?:(?:whole|full|entire|complete)\s+)?(?P<what>{_HOST}|{_GPUS})?(?:\s+of\s+(?:which|whom|(?:the|those|these|our)\s+(?:{COUNT}\s+)?(?P<holders>{_HOST}|{_GPUS})|(?:the|those|these|our)\s+{COUNT}|them|those|these))?(?P<each>\s+(?:per|on\s+each|in\s+each|of\s+each|on\s+every|in\s+every)\s+{_HOST})?\s+(?:is|are|was|were|has\s+been|have\s+been|stays?|remains?|must\s+stay|goes|go|runs?|serves?|belongs?(?:\s+to)?|will\s+be|(?:is|are)\s+being)\s+(?:(?:currently|already|permanently|always|cold|warm|kept|set|put|for|to|by|with|as|the|a|an|our|some|down|out|off|in)\s+)*"
    r"(?:booked|reserved|used|needed|taken|occupied|blocked|busy|off[- ]limits|aside|dedicated|earmarked|lent|loaned|of\s+(?:rotation|service|order|the\s+pool)|broken|dead|defect\w*|down\b|offline|drained|failed|not\s+(?:ours|available|usable)|(?:hot\s+)?spares?|stand-?by|maintenance|repair\w*|staging|dev\b|development|test\w*|training|fine-?tuning|research|embeddings?|rerank\w*|batch\s+jobs?|other\s+(?:teams?|jobs?|people|models?|workloads?)|another\s+(?:team|job|model|workload)|(?:[a-z]+\s+){0,2}(?:teams?|groups?|departments?|units?|projects?)\b|embedding\b|somebody\s+else|someone\s+else)\b"
)
_KEPT = compiled(
    rf"\b(?:research|training|they|others|(?:an?|the)\s*other\s+(?:team|group|project)|the\s+\w+\s+(?:team|group|department)|somebody\s+else|someone\s+else|fine-?tuning|staging|dev)\s+(?:keeps?|holds?|takes?|uses?|has|have|needs?|occup(?:y|ies)|gets?|blocks?|owns?)\s+(?P<n>{COUNT})\s+of\s+(?:the|our|those|these)\s+(?P<what>{_HOST}|{_GPUS})\b"
)
"""A part that others have: `one node is reserved for fine-tuning`."""
_LOST_IN_EACH = compiled(
    rf"(?P<each>\b(?:on|in)\s+(?:(?:both|each|all|every\s+one)\s+of\s+(?:them|those|these|the\s+{_HOST})|(?:each|every)\s+{_HOST}))\s*,?\s*(?P<n>{COUNT})\s*(?P<what>{_GPUS})?\s*(?:of\s+(?:them|those|the\s+{_GPUS})\s+)?(?:is|are|were)\s+(?:already\s+|currently\s+|always\s+)?(?:taken|used|occupied|reserved|booked|blocked|needed|busy|held)\b(?:[^.;\n]{{0,90}}?,?\s*\bso\s+(?:only\s+|just\s+)?\d{{1,2}}\s*(?:{_GPUS}\s*)?(?:per|on\s+each|in\s+each|/)\s*{_HOST}\s+(?:is|are|remain)\b[^.;\n]{{0,30}})?"
)
_NAMED_HOST = compiled(
    r"\b(?:dgx|hgx|nodes?|hosts?|servers?|srv|box|worker|machine|gpu[- ]?(?:node|host|server))[-_ #]?\d{1,3}\s+(?:is|was|has\s+been|went)\s+(?:(?:currently|already|permanently|also|out|on|in|the)\s+){0,2}(?:lent|loaned|given|reserved|booked|broken|dead|down|offline|taken|used\s+(?:by|for)|sent|returned|gone|faulty|defect\w*|repair\w*|rma|off[- ]limits)\b"
)
"""`dgx04 has been lent`: one host less."""
_ALL_OURS = compiled(
    rf"\ball\s+(?:{COUNT}|of\s+(?:them|these|those))\s+(?:(?:{_GPUS})\s+)?(?:(?:may|can|could|should|are\s+to)\s+be\s+used|are\s+(?:free|ours|available|usable))\b"
)
"""`I left one as a spare, but all 4 may be used`."""
_NUMBERED = compiled(
    r"\b(?:gpus?|cards?|devices?)\s*#?(?P<a>\d{1,2})(?:\s*(?:,|and|&)\s*(?:(?:gpus?|cards?|devices?)\s*)?#?(?P<b>\d{1,2}))?\s+(?:is|are)\s+(?:\w+\s+)?(?:defect\w*|broken|dead|down|faulty|offline|failed|taken|reserved|used|gone|bad)\b"
)
"""`GPU 6 and GPU 7 are defective`."""
"""`on both of them four GPUs are taken`."""
_LIMITS = compiled(
    r"\b(?:but|would|dedicate|devote|spare|however|though|only|just|may|can|allowed|given|granted|allotted|allocated|assigned|quota|share|allocation|slice|allotment|reservation|ours|mine|free|available|left|idle|usable|reserved)\b|^[\s,;(]*of\s"
)
"""Says that it is a part: `each node has 8, we have 2 nodes` is the whole."""


def _parts(scan: Scan) -> list[re.Match[str]]:
    """Places that speak of a part; they are eaten."""
    found = [
        match
        for match in _OURS.finditer(scan.text)
        if any(match[name] for name in "ipqruvwy") or _LIMITS.search(match.group())
    ]
    found = found or list(_USABLE.finditer(scan.text))
    for match in found:
        scan.eat(match.span())
    return found


def _lost(scan: Scan) -> list[re.Match[str]]:
    """Places that speak of what others have; they are eaten."""
    kept = scan.take(_KEPT) + scan.take(_LOST_IN_EACH)
    return [*kept, *(m for m in scan.take(_LOST) if m["what"] or m["holders"] or m["n"].lower().split()[-1] != "other")]


def _without_rest(shapes: list[Shape], lost: Sequence[re.Match[str]]) -> list[Shape]:
    """The shapes without what others are told to leave (`18 trays of 4, two are spares, so 64 GPUs`): it is worked out."""
    hosts, each = (max(_values(shapes, name), default=0) for name in ("hosts", "per_host"))
    taken = sum(map(_taken, lost))
    rests = {(hosts - taken) * each, hosts * each - taken} if taken else set()
    kept = [s for s in shapes if s.total not in rests or s.per_host or s.hosts]
    return [s for s in kept if not taken or s.hosts != hosts - taken or s.per_host or s.total]


def _taken(match: re.Match[str]) -> int:
    """How many of them others have."""
    return 1 if match["n"].lower().split()[-1] in ("other", "another") else count_of(match["n"])


def _part_left(size: tuple[int, int], match: re.Match[str], scan: Scan, notes: Notes) -> tuple[int, int]:
    """The cluster without what others have of it, where that leaves whole hosts or a part of one."""
    hosts, per_host = size
    count = _taken(match)
    what = _said(match, "what", "holders")
    by_gpu = hosts == 1 if what is None else re.fullmatch(_GPUS, what, re.IGNORECASE) is not None
    lost = count * (hosts if _said(match, "each") else 1) * (1 if by_gpu else per_host)
    left = hosts * per_host - lost
    if _said(match, "each") and per_host - count > 0:
        notes.assume(
            f"`{scan.words(match.span())}`: planned for {per_host - count} of the {per_host} GPUs of each host"
        )
        return hosts, per_host - count
    if left <= 0:
        notes.ask(
            "cluster",
            f"`{scan.words(match.span())}`: that is as many as the {hosts * per_host} GPUs or more: how many are there to use?",
        )
    if left <= 0 or (left > per_host and left % per_host):
        return size
    notes.assume(f"`{scan.words(match.span())}`: planned for {left} of the {hosts * per_host} GPUs")
    return max(1, left // per_host), min(per_host, left)


def _said(match: re.Match[str], *names: str) -> str | None:
    """The first of these groups that a pattern has and that matched."""
    groups = match.groupdict()
    return next((groups[name] for name in names if groups.get(name)), None)


_PARTS = ("n", "m", "k", "i", "p", "q", "r", "u", "v", "w", "y")
"""Groups that hold the size of a part."""


def _part_named(match: re.Match[str]) -> Shape:
    """The part as a shape."""
    count = count_of(_said(match, *_PARTS) or "")
    what = _what(match) or "gpus"
    return Shape(total=count) if re.fullmatch(_GPUS, what, re.IGNORECASE) else Shape(hosts=count)


def _what(match: re.Match[str]) -> str | None:
    """What a part is counted in: GPUs, hosts, or nothing that is said."""
    held = _OF_THE.search(match.string, max(0, match.start() - REACH), match.start())
    return _said(
        match,
        *("what", "things", "units", "holders", "owned", "left", "allotted", "remaining", "spared", "given"),
        *("useful", "mine"),
    ) or (held["holders"] if held is not None else None)


REACH = 120
"""Characters before a part within which its whole is named."""


def _part_of(size: tuple[int, int], match: re.Match[str], scan: Scan, notes: Notes) -> tuple[int, int] | None:
    """The hosts that the usable part fills; a part larger than the whole is asked about."""
    hosts, per_host = size
    if (
        hosts > 1
        and _what(match) is None
        and _SAID_IN_HOSTS.search(match.group()) is None
        and count_of(_said(match, *_PARTS) or "") <= hosts
    ):
        notes.ask("cluster", f"`{scan.words(match.span()).strip(' ,;(')}`: hosts or GPUs?")
        return None
    part = _part_named(match)
    total = part.total or (part.hosts or hosts) * per_host
    if total == hosts * per_host:
        return size
    if per_host < total < hosts * per_host and total % per_host and total % hosts == 0:
        notes.assume(
            f"`{scan.words(match.span()).strip(' ,;(')}`: {total // hosts} of the {per_host} GPUs of each host"
        )
        return hosts, total // hosts
    if total > hosts * per_host or (total > per_host and total % per_host):
        notes.ask("cluster", f"the text gives {hosts} hosts of {per_host} GPUs but also {total} GPUs: which one?")
        return None
    notes.assume(f"`{scan.words(match.span()).strip(' ,;(')}`: planned for {total} of the {hosts * per_host} GPUs")
    return max(1, total // per_host), min(per_host, total)


def _one_rack(scan: Scan, mentions: Sequence[Mention], key: str, usual: int, notes: Notes) -> tuple[int, int] | None:
    """A rack-scale system that is named without any count: `Kimi K2 on GB200 NVL72` is one such rack."""
    if not any(_is_rack(mention, scan) for mention in mentions) or _RACK_KEY.search(key) is None:
        return None
    notes.assume(f"one rack of {key}: the text names the system and gives no number of GPUs")
    return _size(Shape(racks=1), key, usual, notes)


def _trial(
    scan: Scan, shapes: list[Shape], key: str, usual: int, readings: Sequence[Reading], notes: Notes
) -> tuple[tuple[int, int] | None, Shape | None]:
    """Hosts and GPUs per host: by what is said about each number where those contradict each other."""
    first = Notes()
    found = _attempt(scan, shapes, key, usual, readings, first)
    for choose in (_agreeing, settled) if first.questions else ():
        second = Notes()
        kept = choose(shapes, scan, second)
        again = _attempt(scan, kept, key, usual, readings, second) if kept != shapes else (None, None)
        if again[0] is not None and not second.questions:
            notes.take_over(second)
            return again
    notes.take_over(first)
    return found


def _attempt(
    scan: Scan, shapes: list[Shape], key: str, usual: int, readings: Sequence[Reading], notes: Notes
) -> tuple[tuple[int, int] | None, Shape | None]:
    """Hosts and GPUs per host as the patterns have it; as the roles of the numbers have it where the patterns find none or are in doubt."""
    trial = Notes()
    shape = _merged(shapes, trial)
    size = None if shape is None or shape == Shape() else _size(shape, key, usual, trial)
    told = _by_roles(readings, usual)
    if told is not None and (size is None or _apart(shapes)):
        if (
            size is not None
            and told.total is not None
            and told.hosts is not None
            and told.total <= usual < told.total * told.hosts
        ):
            trial.ask("cluster", f"are the {told.total} {key} the sum over {told.hosts} hosts, or in each of them?")
        second = Notes()
        better = _size(told, key, usual, second)
        if better is not None and not second.questions and better != size:
            words = [scan.words(r.words) for r in readings if r.role in _COUNTED]
            second.assume(f"`{', '.join(words)}` read as {better[0]} x {better[1]} {key}")
            size, trial = better, second
            for reading in readings:
                if reading.role in _COUNTED:
                    scan.eat(reading.quantity.span)
    notes.take_over(trial)
    return size, shape


def _agreeing(shapes: list[Shape], scan: Scan, notes: Notes) -> list[Shape]:
    """The shapes without those that the text stands by clearly less, where they contradict each other."""
    weights = [weight(scan.original, shape.place) if shape.place is not None else 0.0 for shape in shapes]
    kept = [s for s, w in zip(shapes, weights, strict=True) if w >= 0 or w > max(weights) - CLEAR]
    if len(kept) == len(shapes) or _merged(kept, Notes()) is None:
        return shapes
    for shape in shapes:
        if shape.place is not None and shape not in kept:
            notes.assume(f"ignored: `{scan.words(shape.place)}` (another number of GPUs is what the text stands by)")
    return kept


def settled(shapes: list[Shape], scan: Scan, notes: Notes) -> list[Shape]:
    """The shapes with the one number of each kind that the text works out from the others, where it gives several."""
    summed = _of_unequal_hosts(shapes, scan, notes)
    if summed is not None:
        return [summed]
    kept = shapes
    for name in ("hosts", "total", "per_host"):
        value = _worked_out(kept, name, scan)
        if value is not None:
            others = sorted({n for s in kept if (n := getattr(s, name)) is not None and n != value})
            notes.assume(f"{name.replace('total', 'GPUs')} {value}: what the text comes to ({others} are also given)")
            chosen: dict[str, Any] = {name: value}
            kept = [s if getattr(s, name) is None else replace(s, **chosen) for s in kept]
    return kept


def _worked_out(shapes: Sequence[Shape], name: str, scan: Scan) -> int | None:
    """The result among several numbers of one kind; hosts also by the GPUs that they are told to make."""
    counts = [(n, s.place) for s in shapes if (n := getattr(s, name)) is not None and s.place is not None]
    values = {n for n, _ in counts}
    if len(values) < 2:
        return None
    total, each = (next(iter(v)) if len(v := _values(shapes, one)) == 1 else None for one in ("total", "per_host"))
    if name == "hosts" and total and each and total % each == 0 and _makes(total // each, values):
        return total // each
    if name == "total" and len(hosts := _values(shapes, "hosts")) == 1 and each and next(iter(hosts)) * each in values:
        return next(iter(hosts)) * each
    return outcome(scan.original, counts)


def _values(shapes: Sequence[Shape], name: str) -> set[int]:
    return {n for s in shapes if (n := getattr(s, name)) is not None}


def _makes(result: int, values: set[int]) -> bool:
    """Whether a number is one of some, or what is left of the largest without another one."""
    return result in values or max(values) - result in values


def _of_unequal_hosts(shapes: Sequence[Shape], scan: Scan, notes: Notes) -> Shape | None:
    """Hosts that differ, with their sum: planned as equal ones that all of them can hold (8 + 4 GPUs are three of 4)."""
    counts = [(n, s.place) for s in shapes if (n := s.per_host or s.total) is not None and s.place is not None]
    parts = parts_of_sum(scan.original, counts) if len(counts) > 2 else ()
    if len(set(parts)) < 2:
        return None
    each = gcd(*parts)
    notes.assume(f"hosts of {', '.join(map(str, parts))} GPUs: planned as {sum(parts) // each} of {each}")
    return Shape(hosts=sum(parts) // each, per_host=each)


CLEAR = 2.0
"""Weight by which one number of GPUs must lead another."""
FARTHEST_COUNT = 2.0
"""Words between a number and what it counts, where no pattern vouches for the two."""
_COUNTED = ("gpus", "hosts", "per_host")


def _apart(shapes: list[Shape]) -> bool:
    """Whether GPUs and hosts were counted in different places of the text: the number may be each host's or the sum."""
    whole = _merged(shapes, Notes())
    if whole is None or whole.per_host is not None or None in (whole.total, whole.hosts):
        return False
    return not any(s.total and s.hosts for s in shapes)


def _by_roles(readings: Sequence[Reading], usual: int) -> Shape | None:
    """The one shape that counts of GPUs, hosts and GPUs per host make; hosts named first hold so many each if so many fit."""
    counts = {role: [r for r in readings if r.role == role and r.cost <= FARTHEST_COUNT] for role in _COUNTED}
    values = {role: {int(r.amount) for r in found} for role, found in counts.items()}
    if not any(values.values()) or any(len(v) > 1 for v in values.values()):
        return None
    total, hosts, each = (next(iter(values[role]), None) for role in _COUNTED)
    if total and hosts and not each:
        first = counts["hosts"][0].quantity.span < counts["gpus"][0].quantity.span
        fits = total <= usual and hosts > 1
        return Shape(hosts=hosts, per_host=total) if first and fits else Shape(total=total, hosts=hosts)
    return Shape(total=total if not (each and hosts) else None, hosts=hosts, per_host=each)


def _one_kind(scan: Scan, mentions: list[Mention], gpus: Vocabulary, notes: Notes) -> str | None:
    """The one GPU that is named; unknown or several ones are asked about."""
    rest = scan.text
    for mention in mentions:
        rest = rest[: mention.span[0]] + " " * (mention.span[1] - mention.span[0]) + rest[mention.span[1] :]
    unknown = UNKNOWN_GPU.search(rest)
    if unknown is not None or not mentions:
        place = unknown.span("name") if unknown is not None else _misspelt(rest, gpus)
        if place is None:
            return None
        name = " ".join(rest[slice(*place)].split())
        scan.eat(place)
        meant = _close_to(name, gpus, 0 if unknown is not None else 1)
        listed = ", ".join(f"`{n}`" for n in meant or gpus.nearest(name) or tuple(gpus.names)[:3])
        near = f"did you mean {listed}?" if meant else f"nearest names: {listed}"
        notes.ask("gpu", f"GPU `{name}` is not in the catalogue; {near}")
        return None
    keys = list(dict.fromkeys(kind_of(m, scan, gpus) for m in mentions))
    if len(keys) > 1:
        notes.ask(
            "gpu",
            f"the text names {len(keys)} kinds of GPU ({', '.join(keys)}): which one? All GPUs of a plan are equal",
        )
        return None
    if keys and _is_pcie(keys[0], scan.original, gpus):
        notes.ask("gpu", f"the text says PCIe: is the GPU `{keys[0].replace('-sxm', '-pcie')}` or `{keys[0]}`?")
        return None
    for mention in mentions:
        words = scan.words(mention.span)
        if "sxm" in keys[0] and _PCIE_BEHIND.match(scan.original, mention.span[1]):
            notes.assume(f"`{words}` as PCIe card is not in the catalogue: planned with the links of {keys[0]}")
        if squash(words) != squash(keys[0]):
            notes.assume(f"`{words}` read as {keys[0]}")
    return keys[0] if keys else None


_RACK_NAME = compiled(r"\bnvl[- ]?\d")
_RACK_KEY = re.compile(r"nvl\d")


def _is_rack(mention: Mention, scan: Scan) -> bool:
    """Whether a place names a system that fills a rack (`GB200 NVL72`); `H100 NVL` is a card."""
    return _RACK_NAME.search(scan.words(mention.span)) is not None


def named_gpus(scan: Scan, gpus: Vocabulary) -> list[Mention]:
    """Places that name GPUs of the catalogue."""
    return [m for m in gpus.mentions(scan.text) if any(c.isdigit() for c in scan.words(m.span))]


def kind_of(mention: Mention, scan: Scan, gpus: Vocabulary) -> str:
    """The one GPU that a place names, by the memory and the form that are told."""
    return _sized(_preferred(mention.keys, scan.original), gpus, scan.original[mention.span[1] :][:16])


_LOOKS_ALIKE = str.maketrans({"o": "0", "i": "1", "l": "1", "s": "5", "z": "2"})
_WORD = compiled(
    r"(?<![\w./-])[a-z]{1,3}[a-z0-9]{0,4}\d[a-z0-9]{0,4}(?![\w/])|(?<![\w./-])[a-z]\d[oils0-9]{1,4}(?![\w/])"
)


def _close_to(name: str, gpus: Vocabulary, most: int = 1) -> tuple[str, ...]:
    """GPUs whose name is at most so many slips from a word, digits and letters that look alike counting as equal."""
    word = squash(name).translate(_LOOKS_ALIKE)
    forms = {
        key: {squash(n).translate(_LOOKS_ALIKE) for n in (*names, key.partition("-")[0])}
        for key, names in gpus.names.items()
    }
    far = {key: min((slips(word, form) for form in known if len(form) > 2), default=9) for key, known in forms.items()}
    return tuple(
        sorted((key for key in far if far[key] == min(far.values()) <= most), key=lambda key: "sxm" not in key)[:3]
    )


def _misspelt(text: str, gpus: Vocabulary) -> SPAN | None:
    """Where a text that names no GPU has a word that is nearly the name of one (`8 L4OS`, `B2000`)."""
    words = [m for m in _WORD.finditer(text) if _close_to(m.group(), gpus)]
    return words[0].span() if words else None


def _sized(key: str, gpus: Vocabulary, behind: str) -> str:
    """The sibling of a GPU whose memory is given beside its name (`H20 (141 GB)`)."""
    family = key.partition("-")[0]
    siblings = [k for k in gpus.names if k.partition("-")[0] == family and k.rpartition("-")[0] != ""]
    said = re.match(
        r"(?:'?s\b)?[\s,(]{0,4}(?:(?:with|van|von|mit|de|of|à|con|med)\s|x\s?\d{1,3}\W)?[\s,(]{0,4}(\d{2,3})\s*(?:gi?b?|gigs?|gigabytes?)\b",
        behind.lower(),
    )
    fits = [k for k in siblings if said is not None and f"{said[1]}g" in k]
    if said is None or not fits or f"{said[1]}g" in key:
        return key
    return next((k for k in fits if "sxm" in k), fits[0])


def _is_pcie(key: str, text: str, gpus: Vocabulary) -> bool:
    """Whether the text speaks of PCIe, not of SXM, although the name alone reads as an SXM card that is sold as both."""
    said = text.lower()
    return "pcie" in said and "sxm" not in said and "-sxm" in key and key.replace("-sxm", "-pcie") in gpus.names


_PCIE_BEHIND = compiled(r"[\s,(-]{1,2}pci-?e\b(?!\s*(?:gen|\d|x\d|switch|slot|lane|link))")


@lru_cache(maxsize=8)
def _sizes_said(text: str) -> frozenset[int]:
    """Gigabytes that a text gives."""
    return frozenset(int(n) for n in re.findall(r"(?<![\w.])(\d{2,3})\s*(?:gi?b?|gigs?|gigabytes?)\b", text.lower()))


def _preferred(keys: tuple[str, ...], text: str) -> str:
    """Of several variants the one whose memory the text gives, then the SXM one, then the one with more memory."""
    said = _sizes_said(text)
    sizes = {key: max((int(n) for n in re.findall(r"(\d+)g", key)), default=0) for key in keys}
    return min(keys, key=lambda key: (sizes[key] not in said, "sxm" not in key, -sizes[key], len(key), key))


def _shapes(scan: Scan, mentions: list[Mention], notes: Notes) -> list[Shape]:
    """What the text says about numbers of GPUs and hosts; the words are eaten."""
    marked = scan.text
    for mention in mentions:
        start, end = mention.span
        marked = marked[:start] + _MARK * (end - start) + marked[end:]
    scan.text = marked
    found = [_shape(kind, m) for kind, pattern in _LABELLED for m in scan.take(pattern)]
    scan.take(_INSIDE)
    for match in scan.take(_VAGUE) if mentions else ():
        words = scan.words(match.span("words"))
        notes.ask("cluster", f"how many are `{words}`: how many GPUs are there, and how many in each host?")
    found += [*_halves(scan, mentions), *_rows(scan)] if mentions else []
    if any(_is_rack(mention, scan) for mention in mentions):
        found += [_shape("rack", m) for m in scan.take(_WHOLE_RACK)]
    scan.take(_SOME_CLUSTER)
    for kind, pattern in _SHAPES if mentions else ():
        found += [_shape(kind, m) for m in scan.take(pattern)]
    if mentions:
        found += [
            Shape(hosts=count_of(m["h"]), per_host=count_of(m["n"]), place=m.span()) for m in scan.take(_HOSTS_OF)
        ]
        found += [Shape(per_host=count_of(m["n"] or m["m"] or m["k"]), place=m.span()) for m in scan.take(_PER_HOST)]
        found += [Shape(hosts=count_of(m["h"]), place=m.span()) for m in scan.take(_LOOSE_HOSTS)]
        if any(shape.per_host for shape in found):
            found += [
                Shape(hosts=count_of(m["h"]), place=m.span()) for m in scan.take(_SUCH) if _speaks_of_hosts(scan, m)
            ]
        found += [Shape(total=count_of(m["n"] or m["m"] or m["k"]), place=m.span()) for m in scan.take(_TOTAL)]
        found += [Shape(hosts=count_of(m["h"] or m["k"]), place=m.span()) for m in scan.take(_HOSTS)]
        if not found and any(_is_rack(mention, scan) for mention in mentions):
            found += [Shape(racks=count_of(m["n"] or "one")) for m in scan.take(_RACK_APART)]
        found += _twins(scan, found)
        if not found:
            found += [Shape(total=count_of(m["n"])) for m in scan.take(_WE_HAVE)]
        if not found:
            found += _near(scan, notes)
    scan.take(re.compile(rf"{_MAKE}{_G}"))
    return found


_HALF = compiled(
    rf"\bhalf\s+(?:of\s+)?(?:an?\s+|one\s+|the\s+|einen?\s+)?(?P<what>{_MAKE}{_G}(?:[- ]*(?:{_HOST}|racks?))?|(?:{_HOST}|racks?)\b(?:\s+(?:of|with)\s+{_MAKE}{_G})?)"
)
_BEFORE = compiled(
    rf"(?P<n>{COUNT})(?:\s+(?!(?:on|in|at|with|for|using|per|via|of|and|or|users?|requests?|tokens?|tok|in|out|input|output|ms|s|k)\b)[^\W\d_]{{2,16}}){{1,2}}\s+{_MAKE}{_G}"
)
_BEHIND = compiled(
    rf"{_G}\s*(?P<sep>[(:x,;|/])?\s*(?P<n>\d{{1,6}})\s*(?:[(,;|]|(?(sep)$|(?!))|[぀-ヿ一-鿿가-힣]|{_GPUS}\b)"
)


_ROW = re.compile(
    rf"^[ \t|]*[\w.-]{{2,40}}[ \t:|][^\n{_MARK}]{{0,60}}{_MAKE}{_G}[ \t|:]+(?P<n>\d{{1,2}})[ \t|;]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""A line of a table: a host, its GPU, how many of them it has."""


def _rows(scan: Scan) -> list[Shape]:
    """The hosts of a table that has a line for each of them."""
    rows = list(_ROW.finditer(scan.text))
    if len(rows) < 2:
        return []
    for row in rows:
        scan.eat(row.span())
    counts = [int(row["n"]) for row in rows]
    each = max(1, gcd(*counts))
    return [Shape(hosts=sum(counts) // each, per_host=each)]


_TWIN = compiled(
    rf"\b(?:another|a\s+second|the\s+second|one\s+more|a\s+further)\s+(?:(?:identical|equal|such|similar|equivalent)\s+)+(?:one|{_HOST})\b|\banother\s+(?:one|{_HOST})\s+(?:just\s+|exactly\s+)?(?:like\s+(?:it|this|that)|of\s+the\s+same)\b"
)
_ONE_CASE = compiled(
    r"\bin\s+(?:an?|one|the\s+same|my|our|a\s+single)\s+(?:[a-z]+\s+)?(?:frame|rig|chassis|tower|case|pc|desktop|workstation|enclosure)\b"
)


def _twins(scan: Scan, found: list[Shape]) -> list[Shape]:
    """A second host that is like the one described; one host where all GPUs stand in one case."""
    hosts = {shape.hosts for shape in found if shape.hosts is not None}
    if hosts <= {1} and _values(found, "per_host"):
        twins = [m for m in scan.take(_TWIN) if weight(scan.original, m.span()) >= 0]
        if twins:
            found[:] = [replace(shape, hosts=None) for shape in found]
            return [Shape(hosts=1 + len(twins), place=twins[0].span())]
    if not hosts and _values(found, "total") and scan.take(_ONE_CASE):
        found[:] = [replace(shape, hosts=1) for shape in found]
    return []


def _speaks_of_hosts(scan: Scan, match: re.Match[str]) -> bool:
    """Whether hosts or GPUs are named shortly before `there are 4 of them`."""
    return _NAMES_HOSTS.search(scan.original, max(0, match.start() - REACH), match.start()) is not None


_NAMES_HOSTS = compiled(rf"\b(?:{_HOST}|{_GPUS}|racks?)\b|\b[a-z]{{1,3}}\d{{2,3}}\w{{0,4}}\b")


def _halves(scan: Scan, mentions: list[Mention]) -> list[Shape]:
    """`half a node of H100`, `half a GB200 NVL72 rack`."""
    rack = any(_is_rack(mention, scan) for mention in mentions)
    return [
        Shape(racks=1, share=0.5) if rack or "rack" in match["what"].lower() else Shape(hosts=1, share=0.5)
        for match in scan.take(_HALF)
    ]


def _near(scan: Scan, notes: Notes) -> list[Shape]:
    """A number beside the GPU, with words between them that nobody here knows: better taken, and told, than overlooked."""
    found = []
    for match in [*scan.take(_BEFORE), *scan.take(_BEHIND)]:
        found.append(Shape(total=count_of(match["n"])))
        notes.assume(f"`{scan.words(match.span())}` read as {found[-1].total} GPUs")
    return found


_ONE_HOST = compiled(rf"{_MARK}[- ]*(?:node|host|server|machine|box)$")
_SOLD = compiled(r"\b(?:dgx|hgx)\b")


def _shape(kind: str, match: re.Match[str]) -> Shape:
    groups = {name: count_of(words) for name, words in match.groupdict().items() if words}
    n, h = groups.get("n", groups.get("m")), groups.get("h")
    words = match.group()
    if kind == "hosts_gpus" and n is not None and n > MOST_PER_HOST:
        kind, words = "hosts", match.string[match.start() : match.start("n")].rstrip(" ,;:(")
    if kind == "hosts" and h is not None and h > 1 and _ONE_HOST.search(words) and not _SOLD.search(words):
        kind, n = "one_host", h
    shape = {
        "rack": Shape(racks=n),
        "whole_rack": Shape(racks=1),
        "hosts_gpus": Shape(hosts=h, per_host=n),
        "total_hosts": Shape(total=n, hosts=h),
        "per_host": Shape(per_host=n),
        "one_host": Shape(hosts=1, per_host=n),
        "hosts": Shape(hosts=h),
        "host": Shape(hosts=1),
        "total": Shape(total=n),
        "both": Shape(total=2),
        "both_hosts": Shape(hosts=2, per_host=n),
    }[kind]
    return replace(shape, place=match.span())


def _merged(shapes: list[Shape], notes: Notes) -> Shape | None:
    """All that is said, as one shape; None (and a question) when it does not agree."""
    facts = {
        name: notes.one_of(name, [v for s in shapes if (v := getattr(s, field)) is not None])
        for name, field in (("GPUs", "total"), ("hosts", "hosts"), ("GPUs per host", "per_host"), ("racks", "racks"))
    }
    if {"GPUs", "hosts", "GPUs per host", "racks"} & set(notes.questions):
        return None
    total, hosts, per_host = facts["GPUs"], facts["hosts"], facts["GPUs per host"]
    share = min((s.share for s in shapes), default=1.0)
    if total and hosts and per_host and total != hosts * per_host:
        if total == per_host:
            return Shape(hosts=hosts, per_host=per_host)
        notes.ask("cluster", f"the text gives {total} GPUs but also {hosts} hosts of {per_host}: which one?")
        return None
    return Shape(total=total, hosts=hosts, per_host=per_host, racks=facts["racks"], share=share)


def _size(shape: Shape, key: str, usual: int, notes: Notes) -> tuple[int, int] | None:
    """Hosts and GPUs per host, with an assumption where the text left one open."""
    if shape.racks is not None:
        domain = int(next(iter(re.findall(r"nvl(\d+)", key)), 8 * usual))
        total = round(shape.racks * domain * shape.share)
        if shape.total is not None and shape.total < total:
            notes.assume(f"{shape.total} of the {total} GPUs of {shape.racks} {key}")
            return _split(shape.total, key, usual, notes)
        notes.assume(f"a rack of {key} is {domain} GPUs in hosts of {usual}")
        return total // usual, usual
    if shape.per_host is not None and shape.hosts is not None and shape.hosts > 1 and shape.per_host > usual > 1:
        notes.assume(f"{shape.per_host} GPUs in all: hosts of {key} have at most {usual}")
        shape = Shape(total=shape.per_host, hosts=shape.hosts)
    if shape.per_host is not None:
        hosts = shape.hosts or (shape.total or shape.per_host) // shape.per_host
        return _checked(hosts, shape.per_host, notes)
    if shape.total is None and shape.share < 1:
        return _checked(
            shape.hosts or 1,
            max(1, round(usual * shape.share)),
            notes,
            assumed=f"half of the {usual} GPUs that a host usually has",
        )
    if shape.total is None:
        return _checked(shape.hosts or 1, usual, notes, assumed=f"{usual} {key} in each host, as it is usually sold")
    if shape.hosts is not None:
        if shape.total % shape.hosts:
            notes.ask(
                "cluster", f"{shape.total} GPUs do not divide over {shape.hosts} hosts: how many GPUs has each host?"
            )
            return None
        return _checked(shape.hosts, shape.total // shape.hosts, notes)
    return _split(shape.total, key, usual, notes)


def _split(total: int, key: str, usual: int, notes: Notes) -> tuple[int, int] | None:
    """A bare number of GPUs over hosts of the usual size."""
    if total <= usual or total > MAX_GPUS:
        return _checked(1, total, notes)
    per_host = max((n for n in range(1, usual + 1) if total % n == 0), default=1)
    if per_host == 1 < usual:
        notes.ask("cluster", f"{total} {key} do not fill hosts of {usual}: how many GPUs has each host?")
        return None
    return _checked(
        total // per_host, per_host, notes, assumed=f"{total} GPUs are {total // per_host} hosts of {per_host}"
    )


def _checked(hosts: int, per_host: int, notes: Notes, *, assumed: str = "") -> tuple[int, int] | None:
    if not 0 < hosts * per_host <= MAX_GPUS:
        notes.ask("cluster", f"a cluster has 1 to {MAX_GPUS:,} GPUs, not {hosts * per_host:,}: how many are there?")
        return None
    if assumed:
        notes.assume(assumed)
    return hosts, per_host


_COUNT_ALONE = compiled(
    rf"(?:(?:\b(?:only|just|had|have|got|with|use|using|afford|add|to|on)\s+|^\s*)(?P<n>{COUNT})(?=\s*(?:$|[?.!,;]|of\s+(?:them|those)|instead|total))"
    rf"|(?!an?\b)(?P<m>{COUNT})\s*{_GPUS})(?:\s*(?:of\s+(?:them|those)|in\s+total|total|instead))?"
)
_HOSTS_ALONE = compiled(rf"(?P<h>{COUNT})\s*{_HOST}\b(?:\s*(?:of|with|x)\s*(?P<n>{COUNT})(?:\s*{_GPUS})?)?")
_GRID_ALONE = compiled(rf"(?P<h>{COUNT})\s*x\s*(?P<n>{COUNT})\b(?!\s*[a-z])")
_SCALED = compiled(
    rf"\b(?P<by>double|twice|half|halve|quadruple)\s+(?:of\s+)?(?:the\s+|as\s+many\s+|my\s+)?(?:number\s+of\s+)?{_GPUS}"
)
_FACTORS = {"double": 2.0, "twice": 2.0, "half": 0.5, "halve": 0.5, "quadruple": 4.0}


def find_cluster_change(
    scan: Scan, gpus: Vocabulary, gpus_per_host: Mapping[str, int], notes: Notes, old: Mapping[str, int | str]
) -> dict[str, object] | None:
    """What a text changes of a known cluster (`gpu`, `gpus_per_host`, `hosts`): its size, its GPU, or both; None when neither."""
    mentions = named_gpus(scan, gpus)
    key = _one_kind(scan, mentions, gpus, notes)
    if {"gpu"} & set(notes.questions):
        return None
    shapes = _shapes(scan, mentions, notes) or _bare_shapes(scan, old)
    if key is None and not shapes:
        return None
    gpu = key or str(old["gpu"])
    usual = gpus_per_host[gpu]
    if _merged(shapes, Notes()) is None:
        shapes = settled(shapes, scan, notes)
    shape = _merged(shapes, notes) if shapes else Shape(total=int(old["hosts"]) * int(old["gpus_per_host"]))
    if shape is None:
        return None
    if shape.hosts is not None and shape.total is None and shape.per_host is None and key is None:
        shape = Shape(hosts=shape.hosts, per_host=int(old["gpus_per_host"]))
    size = _size(shape, gpu, usual, notes)
    return None if size is None else {"gpu": gpu, "gpus_per_host": size[1], "hosts": size[0]}


def _bare_shapes(scan: Scan, old: Mapping[str, int | str]) -> list[Shape]:
    """Numbers of GPUs and hosts in a text that names no GPU, since everybody knows which one is meant."""
    total = int(old["hosts"]) * int(old["gpus_per_host"])
    found = [Shape(total=max(1, round(total * _FACTORS[m["by"].lower()])), place=m.span()) for m in scan.take(_SCALED)]
    found += [Shape(hosts=count_of(m["h"]), per_host=count_of(m["n"]), place=m.span()) for m in scan.take(_GRID_ALONE)]
    found += [
        Shape(hosts=count_of(m["h"]), per_host=count_of(m["n"]) if m["n"] else None, place=m.span())
        for m in scan.take(_HOSTS_ALONE)
    ]
    return found or [Shape(total=count_of(m["n"] or m["m"]), place=m.span()) for m in scan.take(_COUNT_ALONE)]
