"""The part of a cluster that may be used: what is ours, what others have, what is lent or broken."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.understand.notes import Notes
from agent.understand.scan import COUNT, Scan, compiled, count_of
from agent.understand.shape import GPU_WORDS, HOST_WORDS, Shape, given, group_of


@dataclass(frozen=True)
class Shares:
    """Where a text speaks of a part: what is ours, what others have, hosts that are gone by their name, GPUs that are broken."""

    ours: list[re.Match[str]]
    lost: list[re.Match[str]]
    gone: list[re.Match[str]]
    broken: int
    halved: bool = False


_HALF = compiled(
    rf"\b(?:the\s+(?:other|second)\s+)?half\s+(?:of\s+)?(?:it|them|those|these|that|(?:the|our|those|these)\s+(?:{GPU_WORDS}|{HOST_WORDS}))\s+(?:is|are|goes?|belongs?|has\s+been|have\s+been)\s+(?:(?:currently|already|permanently|always|to|for|used|by|the|with|in)\s+){{0,3}}?(?:taken|reserved|used|busy|booked|occupied|blocked|training|others?|else\w*|another|research|embeddings?|broken|down|ours|mine|free|available|us|unavailable|lent|staging)\b"
)
"""`half of it is taken`, `half of them are ours`: either way half is left."""


def find_shares(scan: Scan, *, named: bool) -> Shares:
    """Every place that speaks of a part, eaten; of a text that names no GPU (`named`) only broken ones."""
    broken = sum(1 + (match["b"] is not None) for match in scan.take(_NUMBERED))
    ours, lost = (_parts(scan), _lost(scan)) if named else ([], [])
    halved = named and not ours and not lost and bool(scan.take(_HALF))
    return Shares(ours, [] if _ALL_OURS.search(scan.original) else lost, [], broken, halved)


def with_named_hosts(scan: Scan, shares: Shares) -> Shares:
    """The parts with hosts that are gone by their name, where nothing else speaks of a part."""
    return shares if shares.ours or shares.lost else replace(shares, gone=scan.take(_NAMED_HOST))


def usable(size: tuple[int, int], shares: Shares, scan: Scan, notes: Notes) -> tuple[int, int] | None:
    """Hosts and GPUs per host that may be used of a whole; None where that has to be asked."""
    whole: tuple[int, int] = size
    left: tuple[int, int] | None = size
    remaining = any(group_of(m, "q", "u") for m in shares.ours)
    for match in () if shares.lost and remaining else shares.ours:
        left = left and _part_of(left, match, scan, notes)
    for match in shares.lost:
        if not shares.ours or left == whole:
            left = left and _part_left(left, match, scan, notes)
        elif _taken(match) > whole[0] * whole[1]:
            notes.assume(f"`{scan.words(match.span())}`: more than the {whole[0] * whole[1]} GPUs that are told of")
    final = _FINALLY.search(scan.original) if shares.lost or shares.ours else None
    if final is not None and left is not None and left[0] == 1 and 0 < int(final["n"] or final["k"]) < left[1]:
        left = (1, int(final["n"] or final["k"]))
        notes.assume(f"`{scan.words(final.span())}`: planned for {left[1]} of the {whole[0] * whole[1]} GPUs")
    if shares.gone and left == whole and len(shares.gone) < whole[0]:
        left = (whole[0] - len(shares.gone), whole[1])
        notes.assume(f"`{scan.words(shares.gone[0].span())}`: planned for {left[0]} of {whole[0]} hosts")
    if shares.halved and left == whole and whole[0] * whole[1] % 2 == 0:
        left = (whole[0], whole[1] // 2) if whole[0] == 1 else (whole[0] // 2, whole[1])
        notes.assume(f"planned for {left[0] * left[1]} of the {whole[0] * whole[1]} GPUs: half of them")
    if shares.broken and left == whole and whole[0] == 1 and shares.broken < whole[1]:
        left = (1, whole[1] - shares.broken)
        notes.assume(f"planned for {left[1]} of the {whole[1]} GPUs: {shares.broken} of them cannot be used")
    return left


_FINALLY = compiled(
    r"\b(?:so\s+\d{1,3}|sobram\s+\d{1,3}|left|remain\w*)\s*(?:\.{2,3}|[,;-])\s*(?:but\s+|well\s+|actually\s+)*(?:make\s+(?:it|that)|in\s+practice\s+(?:we(?:'ll)?\s+)?(?:use\s+|have\s+)?|we(?:'ll|\s+will)\s+(?:only\s+|just\s+)?use|let'?s\s+(?:use|say|take)|na\s+prática\s+vamos\s+usar|en\s+la\s+práctica\s+usamos)\s*(?P<n>\d{1,3})\b|(?:let'?s|we(?:'ll|\s+will)|laten\s+we|lasst?\s+uns|nehmen\s+wir|prenons(?:-en)?|usemos|usiamone|usaremos)\s+(?:just\s+|only\s+)?(?:use\s+|take\s+)?(?P<k>\d{1,3})(?:\s+(?:gebruiken|nehmen|nutzen|of\s+them|gpus?|cards?))?(?=\s*(?:[,;!)]|\.(?!\d)|$))"
)
"""`so 6... in practice we'll use 4`."""


def within_a_host(shares: Shares, shapes: Sequence[Shape]) -> bool:
    """Whether the parts are GPUs of the one host that is described (`the node has 8 B200, 6 are ours`)."""
    named = [part_named(match) for match in shares.ours]
    each = min((shape.per_host for shape in shapes if shape.per_host), default=0)
    return bool(named) and all(part.total is not None and part.total < each for part in named)


_THAT_IS = rf"\s*[,(]\s*(?:(?:i\.e\.|that\s+is|so|or|=)[\s,]*)?{COUNT}\s*{HOST_WORDS}\b\)?"
"""The same part in hosts: `24 of them, three nodes`."""
_SAID_IN_HOSTS = compiled(rf"{_THAT_IS}$")
AT_MOST = compiled(
    r"\b(?:at\s+most|up\s+to|max(?:imum)?|no(?:t)?\s+more\s+than|upper\s+bound\s+(?:is|of))\s+(?P<n>\d{1,4})(?=\s*(?:[.,;:)\n]|$|of\s+them\b))"
)
"""How many GPUs there are, where the question is how many it takes."""
_GPU_NAME = r"(?:nvidia\s+|amd\s+)?[a-z]{1,3}\d{1,3}\w{0,3}"
_OURS = compiled(
    rf"(?:,|\bbut|\band(?=\s+would)|\bhowever|\bthough|\bof\s+which|\bof\s+(?:them|those|these|it)|[(;])[\s,]*(?:so\s+)?(?:of\s+(?:which|them|those|these|it)\s+)?(?:(?:we|i|you|our\s+team|my\s+team)\s+)?(?:(?:can|may|will|do|are|am|would|shall|should|must|want\s+to|plan\s+to)\s+)?(?:(?:only|just)\s+)?(?:be\s+)?"
    rf"(?:get|gets|got|have|has|own|owns|control|use|take|dedicate|devote|spare|lend|allowed|given|granted|allotted|allocated|assigned)\s+(?:(?:only|just|to\s+use|up\s+to|access\s+to)\s+)*(?P<n>{COUNT})\s*(?P<what>{GPU_WORDS}|{HOST_WORDS})?(?:\s+(?:out\s+)?of\s+(?:it|them|those|these|that))?(?:{_THAT_IS})?(?!\s*(?:x|[a-z]{{1,2}}\d|[a-z]*(?:token|request|user|session|chat)))(?=\s*(?:[.,;)\n]|$|for\b|to\b))"
    rf"|(?:,|\bbut|\bof\s+which|[(;])[\s,]*(?:so\s+)?(?:only\s+|just\s+)?(?P<m>{COUNT})\s*(?P<things>{GPU_WORDS}|{HOST_WORDS})?\s*(?:\(\s*\d{{1,4}}\s*(?:{GPU_WORDS}|{HOST_WORDS})\s*\)\s*)?(?:of\s+(?:it|them|those|these|which)\s+)?(?:are|is)\s+(?:ours|yours|mine|free|available|left|idle|usable|(?:(?:meant|intended|reserved|kept|set\s+aside)\s+)?for\s+(?:us|me|this|our)\b(?:\s+(?:service|project|model|team|workload|one|purpose|deployment|use))?|allocated\s+to\s+(?:us|me))\b"
    rf"|\b(?P<i>{COUNT})\s+(?:out\s+)?of\s+(?:the|our|my|these|those)\s+(?=\d{{1,4}}\s+(?:(?:equal|identical|available)\s+)?(?P<holders>nodes|hosts|servers|machines|boxes)\b)"
    rf"|\b(?:inference|serving|production|prod|this\s+(?:project|service|team|workload)|the\s+(?:llm|service|model|endpoint)|(?:our|my|this|the)\s+(?:team|group|project|tenant|department|service|unit|customer|client)|(?:we|i|you)(?:'re|'ve\s+been|'ve|'m)?)\s+(?:(?:only|just|may|can|will|shall|are\s+allowed\s+to)\s+)*(?:given|granted|assigned|gets?|got|has|have|use|uses|receives?|keeps?|(?:are|were|have\s+been|am|was|'re)\s+(?:given|granted|allotted|allocated|assigned|left\s+with))\s+(?:only\s+|just\s+|with\s+)?(?P<p>{COUNT})\s+(?:out\s+)?of\s+(?:the|our|those|these)\s+(?:(?P<owned>{HOST_WORDS}|{GPU_WORDS})\b|(?={COUNT}\s+(?P<boxes>\d{{1,2}}-gpu)\b)|(?={COUNT}\s+(?:x\s*)?(?:{GPU_WORDS}|{_GPU_NAME})\b))"
    rf"|\b(?:inference|serving|production|prod|which\s+leaves|leaving|we|you|gives?\s+us|lets?\s+us\s+(?:use|have))\s+(?:(?:only|just|get|gets|have|has|keep|use)\s+)*(?:(?:the|with)\s+)?(?:remaining|other)\s+(?P<u>{COUNT})\s*(?P<spared>{HOST_WORDS}|{GPU_WORDS})\b"
    rf"|\b(?:gives?|leaves?|lets?)\s+(?:only\s+)?us\s+(?:only\s+|just\s+|have\s+|use\s+)*(?P<v>{COUNT})\s+of\s+(?:the|those|these|our)\s+(?P<given>{HOST_WORDS}|{GPU_WORDS})\b"
    rf"|\bthe\s+(?P<q>{COUNT})\s+(?P<left>{HOST_WORDS}|{GPU_WORDS})?\s*(?:that|which)\s+(?:are|is)\s+(?:left|free|ours|available)\b(?!\s*(?:for|to)\s+(?:training|research))"
    rf"|\b(?:so|leaves|leaving|makes|that'?s)\s+(?:(?:us|we|i|have|with|only|just)\s+)*(?P<w>{COUNT})\s+(?:usable|working|healthy|good|intact|free|available)\s+(?P<useful>{GPU_WORDS}|{HOST_WORDS})\b"
    rf"|\b(?:only|just)\s+(?P<y>{COUNT})\s+(?:out\s+)?of\s+(?:(?:the|our|these|those|its)\s+(?:{COUNT}\s*)?(?P<mine>{GPU_WORDS}|{HOST_WORDS})?|them|these|those)\s*(?:are|is)\s+(?:ours|yours|mine|free|available|usable|for\s+(?:us|me|this))\b"
    rf"|\b(?:so|leaves|leaving|which\s+leaves)\s+(?P<r>{COUNT})\s*(?P<remaining>{GPU_WORDS}|{HOST_WORDS})?\s*(?:of\s+them\s+)?(?:for\s+us|are\s+ours|remain)\b"
    rf"|\b(?:my|our)\s+(?:(?:team|group|department|project|lab|unit)(?:'s)?\s+)?(?:quota|share|allocation|slice|allotment|reservation)\s*(?:is|of|=|:|are)?\s*(?:only\s+|just\s+)?(?P<k>{COUNT})(?!\s*(?:x\s*)?(?:nvidia\s+|amd\s+)?[a-z]{{1,3}}\d{{1,3}}\w{{0,4}}\s+{HOST_WORDS})(?:\s*(?P<units>{GPU_WORDS}|{HOST_WORDS}))?\b(?:\s+(?:out\s+)?of\s+(?:it|them|those|these|that|the|our)\b(?:\s+(?P<allotted>{HOST_WORDS}|{GPU_WORDS})\b)?)?(?:{_THAT_IS})?"
)
"""The part of a cluster that may be used: `16 nodes of 8 H100 but I only get 32 GPUs of it`."""


_USABLE = compiled(
    rf"\b(?:we|i|you|the\s+team)\s+(?:may|can|are\s+allowed\s+to|get\s+to|shall|should|must|have\s+to)\s+(?:only\s+)?(?:use|have|get|take|touch|book|occupy)\s+(?:only\s+|just\s+|up\s+to\s+)?(?P<n>{COUNT})(?:\s*(?P<what>{GPU_WORDS}|{HOST_WORDS}))?(?:\s+of\s+(?:them|those|these|it))?(?:\s*,\s*(?:that\s+is|i\.e\.|so|which\s+is)\s+{COUNT}\s*{HOST_WORDS}(?:\s+(?:of|with)\s+{COUNT}(?:\s*{GPU_WORDS})?)?)?(?=\s*(?:[.,;)\n]|$))"
    rf"|\b(?:so\s+)?(?:that|there)\s+(?:leaves|are|is)\s+(?:us\s+)?(?:with\s+)?(?:only\s+|just\s+)?(?P<m>{COUNT})(?:\s*(?P<things>{GPU_WORDS}|{HOST_WORDS}))?\s+left\b"
)
"""The part that may be used, in a sentence of its own: `of the 4 nodes we may use 3`."""
_OF_THE = compiled(rf"\bof\s+(?:the|our|those|these)\s+{COUNT}\s+(?P<holders>{HOST_WORDS}|{GPU_WORDS})\b[^.;\n]*$")
_LOST = compiled(
    rf"(?<!node )(?<!host )(?<!gpu )(?<!card )(?<!server )(?<!machine )(?<!box )(?<!node-)(?<!gpu-)(?<!#)\b(?P<n>{COUNT}|the\s+other|another)\s*(?:(?:whole|full|entire|complete)\s+)?(?P<what>{HOST_WORDS}|{GPU_WORDS})?(?:\s+of\s+(?:which|whom|(?:the|those|these|our)\s+(?:{COUNT}\s+)?(?P<holders>{HOST_WORDS}|{GPU_WORDS})|(?:the|those|these|our)\s+{COUNT}|them|those|these))?(?P<each>\s+(?:per|on\s+each|in\s+each|of\s+each|on\s+every|in\s+every)\s+{HOST_WORDS})?\s+(?:is|are|was|were|has\s+been|have\s+been|stays?|remains?|must\s+stay|goes|go|runs?|serves?|belongs?(?:\s+to)?|will\s+be|(?:is|are)\s+being)\s+(?:(?:currently|already|permanently|always|cold|warm|kept|set|put|for|to|by|with|as|the|a|an|our|some|down|out|off|in)\s+)*"
    r"(?:booked|reserved|used|needed|taken|occupied|blocked|busy|off[- ]limits|aside|dedicated|earmarked|lent|loaned|of\s+(?:rotation|service|order|the\s+pool)|broken|dead|defect\w*|down\b|offline|drained|failed|not\s+(?:ours|available|usable)|(?:hot\s+)?spares?|stand-?by|maintenance|repair\w*|staging|dev\b|development|test\w*|training|fine-?tuning|research|embeddings?|rerank\w*|batch\s+jobs?|other\s+(?:teams?|jobs?|people|models?|workloads?)|another\s+(?:team|job|model|workload)|(?:[a-z]+\s+){0,2}(?:teams?|groups?|departments?|units?|projects?)\b|embedding\b|somebody\s+else|someone\s+else)\b"
)
_KEPT = compiled(
    rf"\b(?:research|training|they|others|(?:an?|the)\s*other\s+(?:team|group|project)|the\s+\w+\s+(?:team|group|department)|somebody\s+else|someone\s+else|fine-?tuning|staging|dev)\s+(?:keeps?|holds?|takes?|uses?|has|have|needs?|occup(?:y|ies)|gets?|blocks?|owns?)\s+(?P<n>{COUNT})\s+of\s+(?:the|our|those|these)\s+(?P<what>{HOST_WORDS}|{GPU_WORDS})\b"
)
"""A part that others have: `one node is reserved for fine-tuning`."""
_LOST_IN_EACH = compiled(
    rf"(?P<each>\b(?:on|in)\s+(?:(?:both|each|all|every\s+one)\s+of\s+(?:them|those|these|the\s+{HOST_WORDS})|(?:each|every)\s+{HOST_WORDS}))\s*,?\s*(?P<n>{COUNT})\s*(?P<what>{GPU_WORDS})?\s*(?:of\s+(?:them|those|the\s+{GPU_WORDS})\s+)?(?:is|are|were)\s+(?:already\s+|currently\s+|always\s+)?(?:taken|used|occupied|reserved|booked|blocked|needed|busy|held)\b(?:[^.;\n]{{0,90}}?,?\s*\bso\s+(?:only\s+|just\s+)?\d{{1,2}}\s*(?:{GPU_WORDS}\s*)?(?:per|on\s+each|in\s+each|/)\s*{HOST_WORDS}\s+(?:is|are|remain)\b[^.;\n]{{0,30}})?"
)
_OF_THEM_TAKEN = compiled(
    rf"(?<![\w.-])(?P<n>{COUNT})\s*(?P<what>{GPU_WORDS}|{HOST_WORDS})?\s*of\s+(?:them|those|these|which)\s+(?:already\s+|currently\s+|now\s+|permanently\s+)?(?:taken|used|busy|reserved|booked|occupied|blocked|in\s+use|broken|dead|down|unavailable)\b"
)
"""`32 H200, 8 of them taken`."""
_NAMED_HOST = compiled(
    r"\b(?:dgx|hgx|nodes?|hosts?|servers?|srv|box|worker|machine|gpu[- ]?(?:node|host|server))[-_ #]?\d{1,3}\s+(?:is|was|has\s+been|went)\s+(?:(?:currently|already|permanently|also|out|on|in|the)\s+){0,2}(?:lent|loaned|given|reserved|booked|broken|dead|down|offline|taken|used\s+(?:by|for)|sent|returned|gone|faulty|defect\w*|repair\w*|rma|off[- ]limits)\b"
)
"""`dgx04 has been lent`: one host less."""
_ALL_OURS = compiled(
    rf"\ball\s+(?:{COUNT}|of\s+(?:them|these|those))\s+(?:(?:{GPU_WORDS})\s+)?(?:(?:may|can|could|should|are\s+to)\s+be\s+used|are\s+(?:free|ours|available|usable))\b"
)
"""`I left one as a spare, but all 4 may be used`."""
_NUMBERED = compiled(
    r"\b(?:gpus?|cards?|devices?)\s*#?(?P<a>\d{1,2})(?:\s*(?:,|and|&)\s*(?:(?:gpus?|cards?|devices?)\s*)?#?(?P<b>\d{1,2}))?\s+(?:is|are)\s+(?:\w+\s+)?(?:defect\w*|broken|dead|down|faulty|offline|failed|taken|reserved|used|gone|bad)\b"
)
"""`GPU 6 and GPU 7 are defective`."""
"""`on both of them four GPUs are taken`."""
_LIMITS = compiled(
    r"\b(?:but|would|dedicate|devote|spare|however|though|only|just|may|can|allowed|given|granted|allotted|allocated|assigned|quota|share|allocation|slice|allotment|reservation|ours|mine|free|available|left|idle|usable|reserved|for\s+(?:us|me|this|our))\b|^[\s,;(]*of\s"
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
    kept = scan.take(_KEPT) + scan.take(_LOST_IN_EACH) + scan.take(_OF_THEM_TAKEN)
    return [*kept, *(m for m in scan.take(_LOST) if m["what"] or m["holders"] or m["n"].lower().split()[-1] != "other")]


def without_rest(shapes: list[Shape], lost: Sequence[re.Match[str]]) -> list[Shape]:
    """The shapes without what others are told to leave (`18 trays of 4, two are spares, so 64 GPUs`): it is worked out."""
    hosts, each = (max(given(shapes, name), default=0) for name in ("hosts", "per_host"))
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
    what = group_of(match, "what", "holders")
    by_gpu = (
        _counts_gpus(scan, match, hosts) if what is None else re.fullmatch(GPU_WORDS, what, re.IGNORECASE) is not None
    )
    lost = count * (hosts if group_of(match, "each") else 1) * (1 if by_gpu else per_host)
    left = hosts * per_host - lost
    if group_of(match, "each") and per_host - count > 0:
        notes.assume(
            f"`{scan.words(match.span())}`: planned for {per_host - count} of the {per_host} GPUs of each host"
        )
        return hosts, per_host - count
    if left <= 0:
        notes.ask(
            "cluster",
            f"`{scan.words(match.span())}`: that is as many as the {hosts * per_host} GPUs or more: how many are there to use?",
        )
    if left <= 0:
        return size
    if left > per_host and left % per_host:
        notes.assume(f"`{scan.words(match.span())}`: {left} GPUs are left, planned for {left // per_host} whole hosts")
        return left // per_host, per_host
    notes.assume(f"`{scan.words(match.span())}`: planned for {left} of the {hosts * per_host} GPUs")
    return max(1, left // per_host), min(per_host, left)


_PARTS = ("n", "m", "k", "i", "p", "q", "r", "u", "v", "w", "y")
"""Groups that hold the size of a part."""


def _counts_gpus(scan: Scan, match: re.Match[str], hosts: int) -> bool:
    """Whether `8 of them` counts GPUs: there are no so many hosts, or no host was spoken of just before."""
    before = scan.original[max(0, match.start() - LOOK_BACK) : match.start()]
    return hosts == 1 or _taken(match) > hosts or _HOST_WORD.search(before) is None


LOOK_BACK = 80
"""Characters before a part within which stands what it is a part of."""
_HOST_WORD = compiled(rf"\b{HOST_WORDS}\b|\b\d+\s*x\s*\d")


def part_named(match: re.Match[str]) -> Shape:
    """The part as a shape."""
    count = count_of(group_of(match, *_PARTS) or "")
    what = _what(match) or "gpus"
    return Shape(total=count) if re.fullmatch(GPU_WORDS, what, re.IGNORECASE) else Shape(hosts=count)


def _what(match: re.Match[str]) -> str | None:
    """What a part is counted in: GPUs, hosts, or nothing that is said."""
    held = _OF_THE.search(match.string, max(0, match.start() - REACH), match.start())
    return group_of(
        match,
        *("what", "things", "units", "holders", "owned", "left", "allotted", "remaining", "spared", "given"),
        *("useful", "mine", "boxes"),
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
        and count_of(group_of(match, *_PARTS) or "") <= hosts
    ):
        notes.ask("cluster", f"`{scan.words(match.span()).strip(' ,;(')}`: hosts or GPUs?")
        return None
    part = part_named(match)
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
