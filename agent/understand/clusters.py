"""Which GPUs a text offers: the kind, GPUs per host, hosts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import gcd
from typing import Any

from agent.understand.names import Mention, Vocabulary, slips, squash
from agent.understand.notes import Notes
from agent.understand.outcome import outcome, parts_of_sum
from agent.understand.roles import Reading
from agent.understand.scan import COUNT, SPAN, Scan, compiled, count_of
from agent.understand.shape import EACH, GPU_WORDS, HOST_WORDS, MAKE, MARK, NAMED_GPU, Shape, given, group_of
from agent.understand.shares import (
    AT_MOST,
    find_shares,
    part_named,
    usable,
    with_named_hosts,
    within_a_host,
    without_rest,
)
from agent.understand.standing import weight

MAX_GPUS = 65_536
MOST_PER_HOST = 1_024
"""No host has more GPUs: such a number behind it is a price."""
SEARCHED_HOSTS = 4
"""Hosts assumed when the question is how many GPUs it takes."""

_SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("rack", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}[- ]*racks?\b")),
    ("rack", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*racks?\s+(?:of|with)\s+{MAKE}{NAMED_GPU}")),
    ("whole_rack", compiled(rf"\b(?:an?\s+)?(?:full|whole|entire|complete)\s+{MAKE}{NAMED_GPU}[- ]*racks?\b|{NAMED_GPU}[- ]*(?:full|whole|entire|complete)?[- ]*rack\b|\b(?:full|whole|entire|complete)\s+racks?\s+of\s+{NAMED_GPU}")),
    ("hosts_gpus", compiled(rf"(?P<h>{COUNT})\s*(?:x|\*|by)\s*(?P<n>{COUNT})\s*(?:x|\*)?[- ]*{MAKE}{NAMED_GPU}(?:[- ]*{HOST_WORDS}\b)?")),
    ("hosts_gpus", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*{HOST_WORDS}{EACH}(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}(?:\s*(?:each|per\s+{HOST_WORDS}))?")),
    ("hosts_gpus", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*(?:of\s+(?:our|the|my|these|those)\s+)?(?P<n>{COUNT})(?:x|[- ](?:gpus?|way))[- ]*{MAKE}{NAMED_GPU}[- ]*{HOST_WORDS}\b")),
    ("hosts_gpus", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}[- ]*{HOST_WORDS}{EACH}(?P<n>{COUNT})(?:\s*x?\s*(?:{NAMED_GPU}|{GPU_WORDS}))?(?:\s*each)?")),
    ("hosts_gpus", compiled(rf"{NAMED_GPU}[ ,:x]*(?P<h>{COUNT})[- ]*{HOST_WORDS}\s*[(,]?\s*(?:with|of|x)\s*(?P<n>{COUNT})(?:\s*{GPU_WORDS})?\s*each\b")),
    ("hosts_gpus", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}\s*(?:x|\*|on|over|across|in|per\s+{HOST_WORDS}\s*,?)\s*(?P<h>{COUNT})\s*{HOST_WORDS}\s+(?:each|of\s+those)")),
    ("per_host", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}\s+in\s+(?:an?|one)\s+{HOST_WORDS}\b")),
    ("total_hosts", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}\s*(?:,|on|over|across|in|(?:spread|split|distributed|divided|verteilt|réparties?)\s+(?:on|over|across|between|among|auf|sur)|auf|sur|[(])+\s*(?P<h>{COUNT})\s*{HOST_WORDS}\b(?:\s*\(\s*\d{{1,3}}\s*(?:{GPU_WORDS}\s+)?(?:each|apiece|per\s+{HOST_WORDS})\s*\))?")),
    ("hosts_gpus", compiled(rf"\beach\s+of\s+(?:the|our|these|those|my)\s+(?P<h>{COUNT})\s*{HOST_WORDS}\s+(?:has|have|holds?|contains?|carr(?:y|ies)|comes?\s+with|features?|houses?)\s+(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}")),
    ("per_host", compiled(rf"\b(?:each|every|per|our|the|a|all|these|those|,)?\s*{HOST_WORDS}\s+(?:each\s+)?(?:has|have|holds?|contains?|carr(?:y|ies)|comes?\s+with|features?|is\s+equipped\s+with|are\s+equipped\s+with)\s+(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}(?:\s*(?:each|apiece))?")),
    ("per_host", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}\s*(?:per|/|in\s+each|on\s+each|a)\s*{HOST_WORDS}\b")),
    ("hosts_gpus", compiled(rf"(?P<n>{COUNT})\s*(?:x\s*)?(?:{GPU_WORDS}|{NAMED_GPU})\s*짜\s*리\s*(?P<h>{COUNT})\s*{HOST_WORDS}")),
    ("one_host", compiled(rf"单\s*机\s*(?P<n>{COUNT})[- ]*x?[- ]*(?:{GPU_WORDS}\s*)?{MAKE}{NAMED_GPU}")),
    ("both_hosts", compiled(rf"\bboth\s+(?:(?:of\s+them|with|have|has|are|being|hold|at)\s+){{0,2}}(?P<n>{COUNT})\s*x\s*{MAKE}{NAMED_GPU}")),
    ("hosts_gpus", compiled(rf"(?P<n>(?<![\w.,])\d{{1,3}})\s*x?\s*{MAKE}{NAMED_GPU}\s*(?:x|\*)\s*(?P<h>{COUNT})\s*(?:nodes|hosts|servers|machines|boxes|systems)\b")),
    ("per_host", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}\s*(?:pcie\s+)?(?:per|in\s+each|in\s+an?)\s+[a-z]{{1,3}}\d{{3,4}}[a-z]{{0,3}}\b")),
    ("per_host", compiled(rf"\beach\s+(?:one\s+)?(?:with|has|having|of|holding|carrying|containing)\s+(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}")),
    ("per_host", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}\s*(?:each|apiece|a\s+piece|vardera|chacune?|cada\s+un[oa]|ciascuno)\b")),
    ("per_host", compiled(rf"(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}\s*(?:in|on|inside)\s+(?:each|every)(?:\s+(?:single\s+)?one)?(?:\s+of\s+(?:them|those|these))?\b")),
    ("total", compiled(rf"{NAMED_GPU}\s*[(,]\s*(?:max(?:imum)?|at\s+most|up\s+to|under|no\s+more\s+than|not\s+more\s+than)\s*(?:of\s+)?(?P<n>\d{{1,4}})(?=\s*(?:[),;]|\.(?!\d)|$|{GPU_WORDS}))")),
    ("one_host", compiled(r"(?<![\w.,])(?P<n>\d{1,3})\s+(?:(?:of\s+them|gpus?|cards?)\s+)?in\s+(?:the|that|this|our|my|one|a|that\s+one)\s+(?:same\s+|single\s+)?(?:server|machine|box|node|host|chassis|system)\b(?!\s*(?:has|have))|(?<![\w.,])(?P<m>\d{1,3})\s+in\s+(?:eine[rm]|une?|una|uma?)\s+nodes\b")),
    ("hosts", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*(?:(?:nvidia|amd)[- ])?(?:dgx|hgx)[- ]*{NAMED_GPU}(?:[- ]*{HOST_WORDS}\b)?")),
    ("host", compiled(rf"\b(?:dgx|hgx)[- ]*{MARK}+(?!s)")),
    ("one_host", compiled(rf"(?P<n>\d{{1,3}})[- ]?(?:x|gpu|way)[- ]*{MAKE}{NAMED_GPU}[- ]*{HOST_WORDS}\b")),
    ("hosts", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*{MAKE}{NAMED_GPU}[- ]*{HOST_WORDS}\b")),
    ("hosts", compiled(rf"(?P<h>{COUNT})[- ]*x?[- ]*{HOST_WORDS}\s+(?:of|with)\s+{MAKE}{NAMED_GPU}")),
    ("both", compiled(rf"\bboth\s+(?:of\s+)?(?:(?:my|our|the|these|those)\s+)?{MAKE}{NAMED_GPU}")),
    ("total", compiled(rf"(?P<n>{COUNT})\s*(?:x|\*|of|-)?\s*(?:(?:the|those|{GPU_WORDS}\s*\(?|[张块枚台个])\s*)?{MAKE}{NAMED_GPU}")),
    ("total", compiled(rf"{NAMED_GPU}\s*(?:x|\*|:)\s*(?P<n>\d{{1,6}})\b(?!\s*(?:x|gpus?|cards?)?\s*(?:per|/|each|in\s+each)\b|[- ]*x?[- ]*{HOST_WORDS}\b)")),
    ("total", compiled(rf"{NAMED_GPU}\s*\(\s*x?(?P<n>{COUNT})(?:\s*{GPU_WORDS})?\s*\)")),
)  # fmt: skip
_WHOLE_RACK = compiled(
    rf"(?P<n>{COUNT})[- ]*x?[- ]*{MAKE}{MARK}++(?![- ]*(?:s\b|racks?|chips?|{GPU_WORDS}|{HOST_WORDS}))"
)
"""`a GB300 NVL72` is the rack."""

_TOTAL = compiled(
    rf"(?P<n>{COUNT})(?!\s*--)[- ]*x?[- ]*{GPU_WORDS}\b(?!\s*(?:per|/|each|apiece|a)\b)(?:\s*(?:in\s+total|total|cluster|overall))?"
    rf"|(?<![\w.,])(?P<m>\d{{1,3}})\s+of\s+(?:them|those|these)\b(?!\s+(?:have|has|keep|type|chat|write|wait|online|active|at\s+(?:once|the\s+same)|(?:are|is|were)\s+(?!(?:available|free|ours|mine|usable)\b)))(?:\s+(?:are\s+)?available)?|\b(?:count|quantity|number\s+of\s+gpus|num_gpus|gpu_count|ngpus?|gpus|n)\s*[:=]\s*(?P<k>\d{{1,6}})\b"
)
_PER_HOST = compiled(
    rf"(?P<n>(?!(?:one|an?|1)\s*(?:per|/|a|in)\b){COUNT})\s*x?\s*(?:{GPU_WORDS})?\s*(?:per|/|a|in\s+each|in\s+every)\s*{HOST_WORDS}\b|(?P<m>{COUNT})[- ]gpu[- ]{HOST_WORDS}\b|\bgpus?[-_ ]per[-_ ](?:host|node|server|machine)\s*[:=]\s*(?P<k>\d{{1,4}})\b"
)
_HOSTS_OF = compiled(
    rf"(?P<h>{COUNT})[- ]*x?[- ]*{HOST_WORDS}\s+(?:of|with|having|x)\s+(?P<n>\d{{1,3}})(?:\s*{GPU_WORDS}\b|(?=\s*(?:[.,;)\n]|$|each\b)))(?:\s*each\b)?"
)
"""`2 nodes of 4`, where the GPU is named elsewhere."""
_HOSTS = compiled(
    rf"(?P<h>{COUNT})[- ]*x?[- ]*{HOST_WORDS}\b|(?:\b|--)(?:n?nodes|hosts|num[-_]nodes|servers)\s*[:= ]\s*(?P<k>\d{{1,4}})\b(?![ \t]*(?:x|gpus?))"
)
_LABELLED = (
    (
        "hosts_gpus",
        compiled(
            rf"\b(?:nodes|hosts|servers|machines)\s*[:=]\s*(?P<h>\d{{1,4}})\s*,?\s*(?:with|of|x|@|à|mit|con|avec)\s*(?P<n>\d{{1,3}})\s*(?:{GPU_WORDS}\s*)?(?:each|apiece|per\s+{HOST_WORDS})\b"
        ),
    ),
    ("total", compiled(r"--(?:num[-_])?gpus(?:[-_]count)?[= ]+\"?(?P<n>\d{1,4})\b")),
    (
        "per_host",
        compiled(
            r"(?:\b|--)(?:gpus?|cards?|accelerators?)[-_ ]per[-_ ](?:host|node|server|machine)s?\s*[:= ]\s*(?P<n>\d{1,4})\b"
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
    rf"(?<=[-,;(–]\s)(?<![\w.,]){COUNT}\s+{HOST_WORDS}\s+(?:each|apiece|per\s+(?:replica|copy|instance|team|unit|model|group|tenant))(?=\s*(?:[.,;)]|$))|\b(?:in|on|inside)\s+(?:each|every)\s+(?:single\s+)?(?:one\s+)?of\s+(?:them|those|these)\b|\b(?:inside|within|across|beyond|between|leaves?|leaving|cross(?:es|ing)?|in\s+(?:each|every))\s+(?:(?:of\s+)?(?:an?|one|the|each|every|single|our|its)\s+)+{HOST_WORDS}(?:\s+boundar(?:y|ies))?|\bshared\s+(?:\w+\s+)?(?:by|among|between|across)\s+(?:(?:all|its|the)\s+){{0,2}}{COUNT}\s*{GPU_WORDS}"
)
"""Speaks of hosts, not of how many there are."""
_VAGUE = compiled(
    rf"\b(?P<words>(?:a\s+few|few|several|some|(?<!how )many|multiple|various|a\s+(?:bunch|number|handful|lot)\s+of|lots\s+of|plenty\s+of)\s+(?:of\s+(?:our|the|my)\s+)?{MAKE}(?:{NAMED_GPU}|{HOST_WORDS}))"
)
_WE_HAVE = compiled(
    r"\b(?:(?:we|i)(?:'ve)?\s+(?:have|own|got|hold|rent)|there\s+are|available\s*[:=]?)\s+(?:got\s+)?(?:only\s+|just\s+)?(?P<n>\d{1,5})(?=\s*(?:$|[.,;!)]|in\s+total|available))"
)
_LOOSE_HOSTS = compiled(
    rf"(?<![\w.,])(?P<h>\d{{1,4}})\s+(?:(?!of\b|per\b|each\b|every\b|the\b|users?\b|sessions?\b|streams?\b|tokens?\b|requests?\b|gpus?\b|cards?\b|ms\b)[a-z]{{3,14}}\s+){{1,2}}{HOST_WORDS}\b"
)
"""A number of hosts with words between that nobody here knows: `3 equal nodes`."""
_RACK_APART = compiled(rf"(?:(?P<n>{COUNT})\s+|\b(?:our|the|this|full|whole)\s+)racks?\b")
_SOME_CLUSTER = compiled(
    rf"\b(?:an?|the|our)\s+{MAKE}{NAMED_GPU}[- ]*(?:clusters?|pools?|farms?|fleets?|environment|setup|infrastructure)\b"
)
"""Says which GPU it is, not how many."""
_SUCH = compiled(
    rf"\b(?:there\s+are|(?:we|i)\s+(?:can|may|could|will)\s+(?:reserve|book|use|have|get|take)|we(?:'ve)?\s+(?:have\s+)?(?:have|own|run|use|got|take|buy|order|get|bought|ordered))\s+(?P<h>{COUNT})\s+(?:of\s+(?:them|those|these)|such(?:\s+{HOST_WORDS})?)\b"
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
_UNKNOWN_GPU = compiled(
    rf"(?:{COUNT}\s*x?\s*)?(?<![\w.])(?P<name>(?:(?:nvidia|amd|intel)\s+)?(?:(?:rtx|gtx|geforce|quadro|tesla|radeon|instinct|titan)[- ]?(?:rtx[- ]?)?"
    r"(?:pro[- ])?[a-z]{0,2}\d{1,4}\w{0,4}(?:[- ](?:ti|super|ada))?|gb\d{3}|mi\d{2,3}[a-z]?|(?!a\d{1,3}b\b)[vhbar]\d{2,3}[a-z]?|[345]0[5-9]0(?:[- ]?ti|(?=s\b|\s(?:gpus?|cards?)\b))|"
    r"t4|k80|p40|p100|gaudi[- ]?\d?|tpu[- ]?(?:v?\d[a-z]?)?|trainium\d?|trn\d|inferentia\d?|cerebras|groq|ascend[- ]?\w{0,5})s?)(?![\w/])"
)


def unknown_gpus(text: str) -> list[SPAN]:
    """Where a text names GPUs that no catalogue has."""
    return [m.span("name") for m in _UNKNOWN_GPU.finditer(text)]


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
    shares = find_shares(scan, named=bool(mentions))
    shapes = _shapes(scan, mentions, notes)
    if key is None:
        return None
    if not any(shape.total or shape.hosts or shape.racks for shape in shapes) and not within_a_host(shares, shapes):
        shapes += [part_named(match) for match in shares.ours]
        shares = replace(shares, ours=[])
    if wants_count and not shapes:
        shapes = [Shape(total=count_of(m["n"])) for m in scan.take(AT_MOST)]
    shares = with_named_hosts(scan, shares)
    size, shape = _trial(scan, without_rest(shapes, shares.lost), key, gpus_per_host[key], readings, notes)
    size = usable(size, shares, scan, notes) if size is not None else None
    if size is None and shape == Shape():
        size = _unsaid(scan, mentions, key, gpus_per_host[key], notes, wants_count=wants_count)
    if size is None:
        return None
    return {"gpu": key, "gpus_per_host": size[1], "hosts": size[0], **_network(scan, nic, notes)}


def _unsaid(
    scan: Scan, mentions: Sequence[Mention], key: str, usual: int, notes: Notes, *, wants_count: bool
) -> tuple[int, int] | None:
    """The size of a cluster of which the text gives no number: one rack, as much as may be needed, or a question."""
    if wants_count:
        notes.assume(f"at most {SEARCHED_HOSTS} hosts of {usual} {key}: the text gives no number of GPUs")
        return _size(Shape(hosts=SEARCHED_HOSTS), key, usual, notes)
    size = _one_rack(scan, mentions, key, usual, notes) if "cluster" not in notes.questions else None
    if size is None:
        notes.ask("cluster", f"how many {key} GPUs are there, and how many in each host (for example `2x8 {key}`)?")
    return size


def _network(scan: Scan, nic: Sequence[re.Match[str]], notes: Notes) -> dict[str, float]:
    """What each GPU has of the network, where the text says so."""
    if not nic:
        return {}
    match = nic[0]
    rate, unit = float(group_of(match, "n", "m", "k", "j", "i") or 0), group_of(match, "u", "v", "w", "x", "y") or ""
    each = _each_gpu_of(scan, match) * (rate if unit.startswith("GB") else rate / 8)
    notes.assume(f"{each:g} GB/s of network for each GPU: `{scan.words(match.span())}`")
    return {"nic_gb_per_s": each}


_SHARED_BY = compiled(
    rf"[^.;\n]{{0,40}}?\b(?:shared\s+(?:\w+\s+)?(?:by|among|between|across)\s+(?:all\s+|its\s+|the\s+){{0,2}}(?P<n>{COUNT})\s*(?:of\s+(?:them|the\s+)\s*)?(?:{GPU_WORDS}|{NAMED_GPU})|that\s+(?:the|all|its)\s+(?:the\s+)?(?P<m>{COUNT})\s*(?:{GPU_WORDS}|{NAMED_GPU})\s+share)\b"
)
_CARDS_BEFORE = compiled(rf"(?P<n>{COUNT})\s*(?:x\s*)?$")


def _each_gpu_of(scan: Scan, match: re.Match[str]) -> float:
    """The part of a network port that each GPU has: less than one where GPUs share the ports that a host has."""
    shared = _SHARED_BY.match(scan.original, match.end())
    if shared is None:
        return 1.0
    cards = _CARDS_BEFORE.search(scan.original, max(0, match.start() - 16), match.start())
    return (count_of(cards["n"]) if cards is not None else 1) / max(1, count_of(shared["n"] or shared["m"]))


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
    total, each = (next(iter(v)) if len(v := given(shapes, one)) == 1 else None for one in ("total", "per_host"))
    if name == "hosts" and total and each and total % each == 0 and _makes(total // each, values):
        return total // each
    if name == "total" and len(hosts := given(shapes, "hosts")) == 1 and each and next(iter(hosts)) * each in values:
        return next(iter(hosts)) * each
    return outcome(scan.original, counts)


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
    unknown = _UNKNOWN_GPU.search(rest)
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
        if any(_PCIE_NEAR.match(scan.original, mention.span[1]) for mention in mentions):
            notes.assume(f"{keys[0].replace('-sxm', '-pcie')}: PCIe is what the text says of it")
            return keys[0].replace("-sxm", "-pcie")
        notes.ask("gpu", f"the text says PCIe: is the GPU `{keys[0].replace('-sxm', '-pcie')}` or `{keys[0]}`?")
        return None
    for mention in mentions:
        words = scan.words(mention.span)
        if "sxm" in keys[0] and _PCIE_BEHIND.match(scan.original, mention.span[1]):
            notes.assume(f"`{words}` as PCIe card is not in the catalogue: planned with the links of {keys[0]}")
        if squash(words) != squash(keys[0]):
            notes.assume(f"`{words}` read as {keys[0]}")
    return keys[0] if keys else None


_RACK_NAME = compiled(r"\bnvl[- ]?(?:[48]|16|32|36|64|72|144|576)(?![\d.]|\s*g)")
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


_PCIE_NEAR = compiled(
    r"s?(?:[\s,;()/-]|\d{2,3}\s?gb?\b|gpus?\b|cards?\b|each\b|je\b|da\b|de\b){0,8}?pci-?e\b(?!\s*(?:gen|\d|x\d|switch|slot|lane|link|only|topolog|p2p|bus))"
)
"""A card's form right behind its name: `A100 (80 GB, PCIe)`."""
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
        marked = marked[:start] + MARK * (end - start) + marked[end:]
    scan.text = marked
    found = [_shape(kind, m) for kind, pattern in _LABELLED for m in scan.take(pattern)]
    counted = any(shape.hosts is not None for shape in found)
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
    if counted:
        found = [replace(s, hosts=None) if s.hosts == 1 and s.per_host is not None else s for s in found]
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
    scan.take(re.compile(rf"{MAKE}{NAMED_GPU}"))
    return found


_HALF = compiled(
    rf"\bhalf\s+(?:of\s+)?(?:an?\s+|one\s+|the\s+|einen?\s+)?(?P<what>{MAKE}{NAMED_GPU}(?:[- ]*(?:{HOST_WORDS}|racks?))?|(?:{HOST_WORDS}|racks?)\b(?:\s+(?:of|with)\s+{MAKE}{NAMED_GPU})?)"
)
_BEFORE = compiled(
    rf"(?P<n>{COUNT})(?:\s+(?!(?:on|in|at|with|for|using|per|via|of|and|or|users?|requests?|tokens?|tok|in|out|input|output|ms|s|k)\b)[^\W\d_]{{2,16}}){{1,2}}\s+{MAKE}{NAMED_GPU}"
)
_BEHIND = compiled(
    rf"{NAMED_GPU}\s*(?P<sep>[(:x,;|/])?\s*(?P<n>\d{{1,6}})\s*(?:[(,;|]|(?(sep)$|(?!))|[぀-ヿ一-鿿가-힣]|{GPU_WORDS}\b)"
)


_ROW = re.compile(
    rf"^[ \t|]*[\w.-]{{2,40}}[ \t:|][^\n{MARK}]{{0,60}}{MAKE}{NAMED_GPU}[ \t|:]+(?P<n>\d{{1,2}})[ \t|;]*$",
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
    rf"\b(?:another|a\s+second|the\s+second|one\s+more|a\s+further)\s+(?:(?:identical|equal|such|similar|equivalent)\s+)+(?:one|{HOST_WORDS})\b|\banother\s+(?:one|{HOST_WORDS})\s+(?:just\s+|exactly\s+)?(?:like\s+(?:it|this|that)|of\s+the\s+same)\b"
)
_ONE_CASE = compiled(
    r"\bin\s+(?:an?|one|the\s+same|my|our|a\s+single)\s+(?:[a-z]+\s+)?(?:frame|rig|chassis|tower|case|pc|desktop|workstation|enclosure)\b"
)


def _twins(scan: Scan, found: list[Shape]) -> list[Shape]:
    """A second host that is like the one described; one host where all GPUs stand in one case."""
    hosts = {shape.hosts for shape in found if shape.hosts is not None}
    if hosts <= {1} and given(found, "per_host"):
        twins = [m for m in scan.take(_TWIN) if weight(scan.original, m.span()) >= 0]
        if twins:
            found[:] = [replace(shape, hosts=None) for shape in found]
            return [Shape(hosts=1 + len(twins), place=twins[0].span())]
    if not hosts and given(found, "total") and scan.take(_ONE_CASE):
        found[:] = [replace(shape, hosts=1) for shape in found]
    return []


HOSTS_REACH = 120
"""Characters before `there are 4 of them` within which stands what they are."""


def _speaks_of_hosts(scan: Scan, match: re.Match[str]) -> bool:
    """Whether hosts or GPUs are named shortly before `there are 4 of them`."""
    return _NAMES_HOSTS.search(scan.original, max(0, match.start() - HOSTS_REACH), match.start()) is not None


_NAMES_HOSTS = compiled(rf"\b(?:{HOST_WORDS}|{GPU_WORDS}|racks?)\b|\b[a-z]{{1,3}}\d{{2,3}}\w{{0,4}}\b")


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


_ONE_HOST = compiled(rf"{MARK}[- ]*(?:node|host|server|machine|box)$")
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


ONE_BOX = 8
"""GPUs that fit into one host of whatever make."""


def _split(total: int, key: str, usual: int, notes: Notes) -> tuple[int, int] | None:
    """A bare number of GPUs over hosts of the usual size."""
    if total <= usual or total > MAX_GPUS:
        return _checked(1, total, notes)
    if total <= ONE_BOX and usual > 1 and "nvl" not in key:
        return _checked(1, total, notes, assumed=f"{total} {key} in one host: the text names no more")
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
    rf"|(?!an?\b)(?P<m>{COUNT})\s*{GPU_WORDS})(?:\s*(?:of\s+(?:them|those)|in\s+total|total|instead))?"
)
_HOSTS_ALONE = compiled(rf"(?P<h>{COUNT})\s*{HOST_WORDS}\b(?:\s*(?:of|with|x)\s*(?P<n>{COUNT})(?:\s*{GPU_WORDS})?)?")
_GRID_ALONE = compiled(rf"(?P<h>{COUNT})\s*x\s*(?P<n>{COUNT})\b(?!\s*[a-z])")
_SCALED = compiled(
    rf"\b(?P<by>double|twice|half|halve|quadruple)\s+(?:of\s+)?(?:the\s+|as\s+many\s+|my\s+)?(?:number\s+of\s+)?{GPU_WORDS}"
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
