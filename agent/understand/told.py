"""What a text tells of other people, other machines and other times: it is not what shall be planned.

Sentences are judged by who speaks of what: a colleague's wish, an old machine's speed, a run of last week, something that is only for
reference. Where a text names several models, GPUs or engines, those in such sentences are no rivals of the one that is left. All that is
passed over is said back.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from agent.understand.names import Mention, Vocabulary
from agent.understand.notes import Notes
from agent.understand.scan import COUNT, EATEN, SPAN, compiled
from agent.understand.standing import weight

_BINDS = compiled(
    r"\d|\b(?:v-?llm|sg-?lang|tensor-?\s?rt|trt|tp|pp|ep|dp|parallel\w*|pipeline|disagg\w*|latency|throughput|fp8|bf16)\b"
)
"""Words that a plan could take for a wish."""
_OTHERS = (
    r"(?:(?:an?|my|our|the|another|some|one\s+of\s+(?:my|our|the)|other|their|his|her|that|this|several|two|most)\s+(?:[a-z]+\s+){0,2}?(?:colleagues?|co-?workers?|vendors?|suppliers?|resellers?|integrators?|sales(?:people|person|man|\s+(?:reps?|teams?|guys?))|"
    r"forums?|consultants?|advis[eo]rs?|mentors?|interns?|friends?|neighbou?rs?|competitors?|competition|predecessors?|contractors?|rivals?|youtubers?|influencers?|kolleg\w+|collègues?|colegas?|collegh\w+|"
    r"(?:other|sister|neighbou?ring|research|second|parallel)\s+(?:teams?|groups?|departments?|projects?|sites?|compan(?:y|ies)|labs?|divisions?|units?)|(?:teams?|groups?|guys|folks|people)\s+(?:next\s+door|upstairs|downstairs|across|in\s+the\s+other|from\s+the\s+other|on\s+the\s+other|over\s+(?:there|at)))"
    r"|the\s+(?:[a-z]+\s+)?(?:teams?|groups?|departments?)(?=\s+(?:next\s+door|upstairs|downstairs|runs?|uses?|gets?|got|ran|used|measured|reports?|reported|keeps?|hosts?|serves?)\b)|(?:vendors?|suppliers?|integrators?|resellers?|consultants?|bidders?|offers?)\s+(?:no\.?\s*)?(?:\d|[a-z])|someone|somebody|nvidia|amd|reddit|hacker\s*news|chatgpt|the\s+(?:internet|docs|documentation|marketing\w*)|(?:(?:mein|ein|unser|der)\s+)?kollege|(?:(?:meine|eine|unsere|die)\s+)?kolleg(?:in|en)|(?:mon|un|une|ma|nos|des)\s+collègues?|(?:mi|un|una|meu|minha|um|uma)\s+coleg[ao]s?|(?:il\s+mio|un|una)\s+colleg[ah]\w*|同\s?事|同\s?僚|동료)"
)
_SAYS = r"(?:says?|said|claims?|claimed|suggest(?:s|ed)?|recommend(?:s|ed)?|prefers?|preferred|wants?|wanted|swears?\s+by|swore|uses?|used|runs?|ran|gets?|got|reports?|reported|measured?s?|reach(?:es|ed)?|advis\w+|propos\w+|thinks?|thought|believes?|likes?|would\s+\w+|insist\w*|has|have|had|told|mention\w*|show(?:s|ed)?|quot\w+|manag\w+|needs?|is|are|was|were|serves?|served|tri(?:es|ed)|went|goes|deployed|see(?:s|n)?|saw|hits?|achiev\w+|promis\w+|argu\w+|asked|meint|sagt|sagte|empfiehlt|möchte|will|nutzt|dit|veut|recommande|préfère|dice|quiere|prefiere|recomienda|vuole|consiglia|quer|diz|prefere|recomenda|说|建\s?议|想|推\s?荐|は|が|가|이|은|는)"
_OF_OTHERS = compiled(
    rf"(?:^|(?<=[,;.:(!?\n-])|(?<=\x1f)|\b(?:and|but|while|although|though|because|since|whereas|even\s+if)\b)\s{{0,3}}(?P<told>(?:(?:also|now|btw|fyi|by\s+the\s+way|even|meanwhile|apparently|for\s+reference|for\s+comparison)[\s,:]{{1,3}}){{0,2}}{_OTHERS}\b[^.;\n,]{{0,40}}?(?:(?<=[a-z])\s+|(?<=[^a-z]))\b{_SAYS}(?![a-z])(?:\s+(?:that\s+)?(?:we|i|you|one)\s+(?:should|could|must|can|need|needs|ought|would|may|might|better|have\s+to)\b)?)"
    r"|(?P<written>\b(?:an?|the|that|this|one|some|their|nvidia'?s?|your)\s+(?:[\w-]+\s+){0,2}?(?:blogs?(?:\s*posts?)?|articles?|papers?|whitepapers?|reports?|posts?|threads?|tutorials?|guides?|videos?|talks?|slides?|docs|documentation|benchmarks?|readme)\s+(?:says?|said|claims?|claimed|suggests?|recommends?|uses?|used|reports?|reported|shows?|mentions?|quotes?|advises?|states?|runs?|ran|describes?|swears?\s+by|raves?\s+about|insists?\s+on|praises?)\b)"
    r"|(?P<before>\b(?:i|we)\s+(?:had\s+)?(?:first|initially|originally|earlier|previously)\s+(?:wrote|said|thought|planned|assumed|asked|told|mentioned|had|expected|estimated|wanted)\b(?:\s+(?:that\s+)?(?:we|i|you|they|it)\s+\w+)?)"
    r"|(?P<forget>\b(?:forget|ignore|disregard|scratch)\s+(?:about\s+)?(?:the|all|any|our|my|what)\s+(?=[^.;,\n]{0,60}\d)[^.;,\n]{0,60}|(?:^|(?<=[.;\n]\s)|(?<=\n))(?:(?:as\s+)?compared\s+(?:with|to)|in\s+contrast\s+to|unlike)\s+(?:the|our|that|last)\s+[^.;,()\n]{0,60}(?:\([^)\n]{0,80}\))?,)"
    r"|(?P<heard>\b(?:(?:i|we)(?:'m|\s+was|\s+were|\s+am|\s+got|'ve\s+been|\s+have\s+been)\s+told(?!\s+\d[\d.,]*\s*m?s\s+to\s+(?:the\s+)?first\s+token\s*[.;,\n])|(?:i|we)(?:'ve|\s+have)?\s+(?:read|heard|saw|seen|found)\s+(?:somewhere|online|on|in|about|that|of|people|others|someone|folks)|according\s+to\s+(?!(?:our|the)\s+(?:contract|sla|spec))|rumou?r\s+has\s+it|people\s+(?:say|claim|recommend|tell)|they\s+say|it\s+is\s+said|on\s+(?:reddit|twitter|hacker\s*news))\b)"
)
_TURN = compiled(
    r";|[.!?](?=\s|$)|\n|:\s+(?=\d)|\s-\s|,\s{0,2}(?:so|hence|thus|therefore)\s+(?=(?:no|without|not|never|please|don'?t|avoid|skip|leave)\b)|(?:[,:]\s{0,2})?\b(?:but|however|yet|whereas|while|though|although|instead|aber|mais|pero|però|mas)\b|,\s{0,2}(?:so\s+)?(?:we|i|ours?|mine|my|please|the\s+plan|plan|wir|ich|nous|je|nosotros)\b|\b(?:we|i)\s+(?:want|need|have|use|run|are|am|will|plan|prefer|must|do|don'?t|would)\b"
)
_AGREED = compiled(
    r"\b(?:agrees?|agreed|(?:he|she|they)(?:'s|'re|\s+is|\s+are)\s+right|and\s+so\s+(?:do|am)\s+i|and\s+(?:we|i)\s+(?:do|want|like|follow)\b)"
)

_PAST_VERB = r"(?:did|gave|ran|got|had|was|were|reached|showed|shows|took|managed|yielded|measured|hit|made|delivered|achieved|needed|served|stayed|ended|produced|used|handled|peaked|topped|came)"
_OLD_RUN = compiled(
    rf"(?:^|(?<=[,;.:(!?\n-])|(?<=\x1f)|\b(?:and|but|while|since|because|as|on|with|in|from|under|by)\b)\s{{0,3}}(?P<told>(?:(?:our|the|my|this|that|an?|one)\s{{1,3}})?(?:(?:very|most)\s{{1,3}})?(?:(?:old|older|previous|former|earlier|last|prior|legacy|retired|decommissioned|first|initial|recent|latest)\s+(?:[\w-]+\s+){{0,3}}?|(?=(?:pilot|poc|prototype|beta|trial|mvp)\b))"
    r"(?:box(?:es)?|machines?|clusters?|systems?|set-?ups?|deployments?|servers?|rigs?|runs?|tests?|attempts?|benchmarks?|experiments?|poc|pilots?|prototype|beta|mvp|generation|installation|config\w*|measurements?|trial|try|version|stack|hardware|nodes?|platform|contract|agreement|sla|slo|spec\w*|requirements?|targets?|figures?|numbers?)\b"
    rf"(?:\s*\([^)]{{0,80}}\))?[^.;\n]{{0,80}}?\b{_PAST_VERB}\b)"
)
_DISMISSED = compiled(
    r"\b(?:not\s+part\s+of\s+(?:this|it|the|our)|not\s+(?:our|the|my)\s+(?:problem|topic|subject|concern|business)|out\s+of\s+scope|(?:just\s+|only\s+|purely\s+)?(?:for|as)\s+(?:your\s+|a\s+)?(?:reference|comparison|orientation)(?:\s+only)?|for\s+(?:your\s+)?info(?:rmation)?(?:\s+only)?|fyi|(?:please\s+)?(?:ignore|disregard|forget)\s+(?:that|this|it|those|them|about\s+(?:it|that))|"
    r"(?:is|are|was|were|got|been|has\s+been|have\s+been)\s+(?:now\s+|already\s+|long\s+|since\s+|being\s+)*(?:gone|retired|decommissioned|scrapped|sold|switched\s+off|turned\s+off|shut\s+down|dead|history|obsolete|returned|cancel+ed|given\s+away)|(?:stays?|remains?|belongs?)\s+(?:with|to|at)\s+(?:the|another|an?other|them)|no\s+longer\s+(?:ours|available|in\s+use|there|relevant)|"
    r"not\s+an?\s+option|(?:don'?t|do\s+not|doesn'?t|does\s+not)\s+(?:care|matter|count|apply)(?:\s+about\s+(?:that|it|those))?(?:\s+any\s?more)?|irrelevant|unrelated|nur\s+zur\s+info\w*|à\s+titre\s+(?:indicatif|d'information)|(?:solo\s+)?como\s+referencia|a\s+título\s+(?:de|indicativo)\w*|per\s+riferimento)\b|仅\s?供\s?参\s?考|参\s?考\s?ま\s?で|참고"
)
_GIVEN_AWAY = compiled(
    r"[\s,.(-]*(?:(?:wait|no|oh|sorry|hm+|ah|but|and)[\s,]+){0,4}(?:that|those|these|they|it)(?:'re|'s)?\s+(?:\w+\s+){0,2}?(?:went|go|goes|going|given|promised|reserved(?!\s+(?:and\s+paid|for\s+(?:us|this|me|our)\b|anyway))|booked(?!\s+(?:and\s+paid|for\s+(?:us|this|me|our)\b|anyway))|taken|sold)\b"
)
"""`those went to the training team`."""
_POINTS_BACK = compiled(
    r"^[\s,.(-]*(?:(?:wait|no|oh|sorry|hm+|ah)[\s,]+){0,4}(?:but\s+|and\s+|so\s+)?(?:that|this|those|these|it|they|which|please|ignore|forget|disregard|don'?t|do\s+not|not|just|only|for|fyi)\b"
)
_SEGMENT = re.compile(
    r"[.!?;](?=\s|$)|\n|\s-\s|(?:,\s{0,2}|(?<=\s))\b(?:but|however|whereas|while|instead)\b(?!\s+of)|,\s{0,2}(?:and\s+|so\s+)?(?:we|i|our|it'?s|they|now)\b|:\s+(?=(?:we|i)\b)",
    re.IGNORECASE,
)
_ELSEWHERE = compiled(
    r"\b(?:did|gave|ran|had|was|were|hosted|(?<!be )used|(?<!be )served(?!\s+(?:by|with))|tried|tested|wrote|said|left|considered|looked|thought|benchmarked|evaluated|measured|started\s+(?:with|on)|came\s+from|teams?|colleagues?|vendor|they|someone|others?|old|older|previous\w*|former\w*|last|before|earlier|until|ago|originally|initially|formerly|currently|today|presently|existing|at\s+the\s+moment|yesterday|"
    r"belongs?|reference|comparison|compared?|unlike|versus|competitors?|similar|retired|decommissioned|dev|staging|laptop|(?:in|since|of)\s+20[12]\d|früher|bisher|bislang|alte[nrsm]?|vorher|auparavant|ancien\w*|avant|antes|anterior\w*|antigu\w+|prima|vecchi\w+|precedente|не\s+наш\w*|раньше|старый)\b|之\s?前|以\s?前|先\s?前|参\s?考|旧|去\s?年|测\s?过|試|이전|기존|예전|지난"
)
_OURS = compiled(
    r"\b(?:we|i)(?:'d|'ll|\s+would|\s+will|\s+now)?\s+(?:want|need|plan|like|get|have|own|run|go)\b|\b(?:now|new|ours|this\s+time|going\s+to|please|target|from\s+now|(?:mov|migrat|switch|upgrad|chang)\w+\s+to|jetzt|neu\w*|maintenant|nouve\w+|ahora|nuev\w+|adesso|nuov\w+|agora|nov[oa]s?)\b|现\s?在|这\s?次|今\s?回|이번|지금"
)


def _segments(text: str) -> Iterator[SPAN]:
    """A text in pieces that each tell of one thing."""
    start = 0
    for match in _SEGMENT.finditer(text):
        end = match.end() if match.group().strip() in (".", "!", "?", ";") else match.start()
        if end > start:
            yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def without_told(
    text: str,
    vocabularies: Sequence[Vocabulary],
    others: Callable[[str], list[SPAN]],
    notes: Notes,
    *,
    followed: bool = False,
) -> str:
    """The text without what it tells of others; `others` finds further names of the last vocabulary's kind that no catalogue has.

    In a follow-up (`followed`) that something is gone is a change of the cluster.
    """
    text = _without(text, _OF_OTHERS, ("told", "written", "before", "forget", "heard"), notes)
    text = _without(text, _OLD_RUN, ("told",), notes)
    for pattern in () if followed else (_MOVED_FROM, _EXAMPLE):
        for match in list(pattern.finditer(text)):
            name = "merged" if match.groupdict().get("merged") else "old"
            text = _eaten(text, match.span(name), notes) if _BINDS.search(match[name]) else text
    text = text if followed else _without_dismissed(text, vocabularies, notes)
    for vocabulary in vocabularies:
        text = _without_rivals(
            text, (vocabulary, vocabularies[0]), others if vocabulary is vocabularies[-1] else None, notes
        )
    return text


_MOVED_FROM = compiled(
    r"\b(?:consolidat\w+|merg(?:e|ing)|fold(?:ing)?|collaps\w+|combin\w+)\s+(?P<merged>(?:[^.;\n]|\.(?=\d)){2,110}?)\s+into\s+(?:one|a\s+single)\b|\b(?:migrat\w+|moving|moved?|switch\w*|upgrad\w+|transition\w*|coming)\s+(?:[a-z]+\s+){0,2}?from\s+(?P<old>[^.;\n]{2,90}?)\s+(?:on)?to\s+(?=[^.;\n]{0,40}\d)"
)
"""What is left behind: `migrating from Llama 2 on V100s to ...`."""
_EXAMPLE = compiled(
    r"\b(?:example|sample|template|handbook|docs?)\s*(?P<old>\((?:\"[^\")\n]{4,80}\"|'[^')\n]{4,80}')\))"
)
"""An example that somebody else wrote."""


def _without(text: str, pattern: re.Pattern[str], groups: Sequence[str], notes: Notes) -> str:
    """The text without what starts with a match, to where the text turns to itself."""
    for match in list(pattern.finditer(text)):
        start, reach = match.span(next(name for name in groups if match[name]))
        turn = None if match.groupdict().get("forget") else _TURN.search(text, reach)
        end = reach if match.groupdict().get("forget") else turn.start() if turn is not None else len(text)
        if _BINDS.search(text[start:end]) and _AGREED.search(text[start : end + 40]) is None:
            text = _eaten(text, (start, end), notes)
    return text


def _without_dismissed(text: str, vocabularies: Sequence[Vocabulary], notes: Notes) -> str:
    """The text without sentences that say of themselves, or of the one before, that they do not count."""
    pieces = list(_segments(text))
    for index, (start, end) in enumerate(pieces):
        match = _DISMISSED.search(text, start, end) or _GIVEN_AWAY.match(text, start, end)
        if match is None or _A_PART.search(text, start, match.end()) is not None:
            continue
        bare = not _BINDS.search(text[start : match.start()]) and _POINTS_BACK.match(text[start:end]) is not None
        both = bare and index and EATEN not in text[slice(*pieces[index - 1])]
        span = (pieces[index - 1][0], end) if both else _in_brackets(text, (start, end), match.start())
        words = text[slice(*span)]
        named = [m for v in vocabularies for m in v.mentions(words)]
        meant = any(weight(text, (span[0] + m.span[0], span[0] + m.span[1])) > CLEARLY for m in named[:MOST_WEIGHED])
        if (_BINDS.search(words) or named) and not meant and not _KINDS.search(words):
            hardware = _HARDWARE.search(text, start, end) is not None
            text = _eaten(text, span, notes)
            text = _with_models(text, (span[0], words), vocabularies[0]) if hardware else text
    return text


_A_PART = compiled(
    rf"\bgpus?\s+\d{{1,2}}(?:\s*(?:,|and|to|-|&)\s*\d{{1,2}}){{0,4}}\s+(?:is|are|belongs?|goes|go)\b|(?<![\w.-]){COUNT}\s+of\s+them\s+(?:is|are|belongs?|stays?|remains?|goes|go)\b|(?<![\w.-]){COUNT}\s+of\s+(?:the|those|these|our)\s+(?:{COUNT}\s+)?(?:nodes?|hosts?|servers?|machines?|gpus?|cards?|boxes|trays)\s+(?:is|are|belongs?|stays?|remains?|goes|go)\b"
)
"""A part of the hardware, which the rest of the sentence takes from the whole."""
_OF_THE_REST = compiled(r"\d|\b(?:an?other|others?|rest|remaining|second)\b")


def _in_brackets(text: str, piece: SPAN, place: int) -> SPAN:
    """What is dismissed within a piece of text: the brackets around the place, where they speak of something else (`(another 4 are ...)`)."""
    start, end = piece
    opened = text.rfind("(", start, place)
    closed = text.find(")", place, end)
    within = opened >= 0 and closed >= 0 and ")" not in text[opened:place]
    return (opened, closed + 1) if within and _OF_THE_REST.search(text, opened, closed) else piece


_HARDWARE = compiled(
    r"\b(?:machines?|box(?:es)?|servers?|nodes?|clusters?|gpus?|cards?|hardware|hosts?|those|these|they)\b"
)
"""What is gone is the hardware; the model that was named with it stays."""
_KINDS = compiled(
    r"\b(?:tp|pp|ep|dp|cp|sp|(?:tensor|pipeline|expert|data|context|sequence)[- ]parallel\w*|pipelin\w+|latency|ttft|tpot|throughput|costs?)\b"
)
"""Parallelism and goals: that they do not count is a wish."""


CLEARLY = 2.0
"""Weight of a name that is meant in spite of such words."""
MOST_WEIGHED = 3
"""Names of a sentence that are looked at."""


def _without_rivals(
    text: str, kinds: tuple[Vocabulary, Vocabulary], others: Callable[[str], list[SPAN]] | None, notes: Notes
) -> str:
    """The text without sentences about other times and people that name a rival of what the rest names."""
    vocabulary, models = kinds
    places = [
        (m.span, _counted(text, m)) for m in vocabulary.mentions(text) if any(c.isalpha() for c in text[slice(*m.span)])
    ]
    known = [span for span, _ in places]
    places += [
        (span, (text[slice(*span)].lower(),))
        for span in (others(text) if others else ())
        if not any(a < span[1] and span[0] < b for a, b in known)
    ]
    if len({keys for _, keys in places}) < 2:
        return text
    pieces = [(a, b, [place for place in places if a <= place[0][0] < b]) for a, b in _segments(text)]
    naming = [(a, b, [keys for _, keys in inside]) for a, b, inside in pieces if inside]
    elsewhere = [
        (a, b, [keys for _, keys in inside])
        for a, b, inside in pieces
        if inside
        and _ELSEWHERE.search(text, a, b)
        and not _OURS.search(text, a, b)
        and not any(weight(text, span) > 0 for span, _ in inside[:MOST_WEIGHED])
    ]
    kept = {keys for piece in naming if piece not in elsewhere for keys in piece[2]}
    if not kept:
        return text
    for start, end, keys in elsewhere:
        if any(key not in kept for key in keys):
            text = _with_models(_eaten(text, (start, end), notes), (start, text[start:end]), models)
    return text


def _with_models(text: str, eaten: tuple[int, str], models: Vocabulary) -> str:
    """The text with the model that was eaten with other words, where no other one is left."""
    start, words = eaten
    for mention in models.mentions(words)[-1:] if not models.mentions(text) else ():
        low, high = start + mention.span[0], start + mention.span[1]
        text = text[:low] + words[slice(*mention.span)] + text[high:]
    return text


_COUNT = re.compile(r"(?<![\w.])(\d{1,4})\s*(?:x\s*)?$")


def _counted(text: str, mention: Mention) -> tuple[str, ...]:
    """What a place names, with the number before it: `2 H100` and `4 H100` are two things."""
    count = _COUNT.search(text[max(0, mention.span[0] - 8) : mention.span[0]])
    return (*mention.keys, count[1]) if count is not None else mention.keys


def _eaten(text: str, span: SPAN, notes: Notes) -> str:
    start, end = span
    words = " ".join(text[start:end].replace(EATEN, " ").split()).strip(" ,;:.")
    if words:
        notes.assume(f"ignored: `{words[:80]}` (told of others or of before, not asked for)")
    return text[:start] + EATEN * (end - start) + text[end:]
