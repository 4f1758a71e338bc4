"""Which of several models or GPUs a text stands by, told by what it says around each of them.

A text that names two is rarely undecided: one of them was sold, belongs to others, is only compared with, or stands in an edit that takes
it back. Every place gets a weight from the words before it, behind it, in its clause and in its sentence; the name with the greatest one is
planned for, the others are said. Only names of about equal weight are asked about.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from agent.understand.scan import COUNT, SPAN, compiled

MOST_PLACES = 12
"""Places at the beginning and at the end of a text that are looked at."""
MARGIN = 1.0
"""Weight by which a name must lead."""
TOGETHER = 24
"""Characters between names that are named together."""
QUOTED = 4.0
"""Weight that a line of a quoted mail loses."""
REACH = 300
"""Characters around a place within which its sentence is looked for."""
CLAUSE = compiled(
    r"[,;()\n]|[.!?](?=\s|$)|\s-\s|:\s+(?=(?:it|we|i|they|the|so|now|our)\b)|\b(?:but|and|while|whereas|until|instead(?!\s+of)|aber|sondern|und|mais|pero|sino|mas|ma)\b"
)
SENTENCE = compiled(r"[;\n]|[.!?](?=\s|$)")

_REFUSED_BEFORE = compiled(
    r"(?:\b(?:not|no|never|than|from|unlike|off|instead\s+of|rather\s+than|in\s+place\s+of|compared\s+(?:to|with)|vs\.?|versus|beats?|replac(?:e|es|ing)|formerly|previously|was|were|had|without|forget|ignor(?:e|ing)|drop(?:s|ped|ping)?|"
    r"leav(?:e|es|ing)|left(?!\s+with)|(?:переезжа\w+|переход\w*|мигриру\w+|уход\w+)\s+с|(?:wechsel\w*|umstieg|umsteigen|migrieren?|umzug|ziehen|weg)\s+von|(?:pass\w+|migr\w+|migration)\s+(?:de|da|desde|van)|retir(?:e|ed|ing)|reject(?:ed|ing)?|abandon(?:ed|ing)?|over|like|similar\s+to|as\s+(?:good|fast|cheap)\s+as|used\s+to\s+(?:be|run|use|have|serve)|evaluated|considered|tried|tested|compared|benchmarked|asked\s+for|ordered|wanted|hoped\s+for|"
    r"statt|anstatt|anstelle\s+von|nicht|kein\w*|au\s+lieu\s+d[eu']|pas|en\s+lugar\s+de|en\s+vez\s+de|al\s+posto\s+di|invece\s+di|em\s+vez\s+de|вместо)\b|而\s*不\s*是|不\s*是|代\s*替)"
    rf"\W{{0,3}}(?:(?:the|our|my|an?|any|on|with|use|using|for|der|den|dem|die|das|le|la|les|el|los)\s+){{0,3}}(?:{COUNT}\s*)?(?:x\s*)?(?:(?:nvidia|amd|old|older|existing)\s+){{0,2}}$"
)
"""Right before a name that is not meant."""
_MEANT_BEFORE = compiled(
    r"(?:\b(?:left\s+with|use|using|serve|serving|run(?:ning)?|deploy(?:ing)?|host(?:ing)?|plan(?:ning)?(?:\s+for)?|chose|picked|settled\s+(?:on|for)|decided\s+(?:on|for)|went\s+(?:with|for)|go(?:ing)?\s+with|approved|bought|purchased|got|get|switch(?:ed|ing)?\s+to|mov(?:e|ed|ing)\s+to|migrat\w+\s+to|upgrad\w+\s+to|replaced\s+(?:by|with)|replace\s+(?:it|that|this|them|those)\s+(?:by|with)|swap\w*\s+(?:it|that|them)?\s*(?:out\s+)?(?:for|to|with)|changed\s+to|"
    r"(?:purchase|order|replacement|successor|decision|choice|question|target|task|goal|request|plan|answer|model|hardware)\s+(?:was\s+for|is\s+for|is|will\s+be|are)|it(?:'s|\s+is)|(?:has\s+to|must|should|will|shall)\s+be|now|(?:we|i)(?:'ll|\s+will|\s+now|\s+only|\s+just)?\s+(?:have|need|want|do|run|use|own|got)|make\s+(?:it|that)|(?:ours|mine)\s+(?:is|are)|"
    r"(?:model|gpus?|hardware|hw|accelerators?|cluster|machines?|servers?|nodes?|cards?|boxes|production|prod|ours)\s*[:=])|换\s*成|改\s*用|改\s*为|改\s*成|升\s*级\s*到|现\s*在\s*用|[→»]|=>|->|(?<=\s)(?:на|auf|zu|naar)\b)"
    rf"\W{{0,3}}(?:(?:the|our|my|an?|on|onto|with|for|is|are|only|just|exactly|einen?|un|une|des|{COUNT}|x|nvidia|amd|new|nodes?|servers?|box(?:es)?|of|each|pair|张|块|台)[\W]{{0,3}}){{0,7}}$"
)
"""Right before a name that is meant."""
_REFUSED_BEHIND = compiled(
    r"\s*(?:s\b)?\s*(?:(?:gpus?|cards?|box(?:es)?|nodes?|servers?|machines?|clusters?|racks?)\s+)?\W{0,2}(?:(?:is|are|was|were|got|gets|get|has\s+been|have\s+been|will\s+be|being|went|goes|go)\s+(?:\w+\s+){0,3}?(?:gone|too\s+\w+|out\b|retired|replaced|sold|returned|back\s+to|given|taken|reserved|occupied|busy|dropped|history|not\b|off\s+limits|unavailable|discontinued|decommissioned|phased|away|scrapped|cancel\w+|dead|broken|discarded)"
    r"|(?:isn'?t|aren'?t|wasn'?t|weren'?t|didn'?t|doesn'?t|won'?t|can'?t|cannot)\b|belongs?\b|(?:stays?|remains?)\s+with\b|that\s+(?:we|i)\s+(?:cannot|can'?t|may\s+not|had|used|discussed|don'?t|never|tried|considered)|(?:which|that|who)\s+(?:\w+\s+){0,4}(?:too|not|n't|cannot|never|belongs?|gone|no\s+longer)\b|(?:we|i)\s+(?:discussed|had|used|asked\s+for|ordered|tried|considered|mentioned|wanted|talked|looked\s+at)|(?:will\s+)?(?:come|comes|arrive|arrives|follow|follows)\s+(?:later|next|in\s+\w+)|で\s*は\s*な\s*く|じゃ\s*な\s*く|(?:이|가)\s*아니라|从|已|被\s*淘\s*汰|不\s*用)"
)
"""Right behind a name that is not meant."""
_ASKED_AWAY = compiled(
    r"s?\s*(?:gpus?|cards?|nodes?|boxes)?\s*\?\s*(?:no|nope|nah|not|never|too|sold|unavailable|we\s+(?:can'?t|cannot|don'?t)|out\s+of)\b"
)
"""A name that is asked about and refused at once: `4x GH200? No budget for those.`"""
_AGAINST = compiled(
    r"\b(?:last|was|were|had|did|gave|ran|used|tried|tested|evaluated|considered|measured|old|older|former\w*|previous\w*|before|earlier|existing|legacy|retired|decommissioned|outdated|obsolete|used\s+to|so\s+far|ago|yesterday|originally|initially|until\s+(?:now|recently|last)|back\s+then|in\s+the\s+past|currently|(?:runs?|running|serves?|use|have)\s+(?:[\w.-]+\s+){0,8}today|today\s+(?:we|it)\s+(?:run|runs|use|serve|have)|at\s+the\s+moment|"
    r"(?:even\s+)?if|(?:how|what)\s+about|suppose|imagine|would(?:'ve|\s+have)?|could|might|maybe|perhaps|you\s+(?:planned|gave|said|wrote|suggested|proposed|told|sent)|wrote|said|thought|later|someday|eventually|next\s+(?:year|quarter|month|spring|summer|fall|autumn|winter)|future|roadmap|wish|once|when\s+we\s+get|"
    r"they|their|them|he|she|his|her|someone|somebody|others?|competit\w+|rivals?|vendors?|suppliers?|blogs?|papers?|articles?|posts?|benchmark\w*|mlperf|leaderboards?|reports?|reported|claims?|claimed|lists?|published|marketing|sales|quotes?|quoted|offers?|brochure|research(?:ers)?|training|train|fine-?tun\w+|staging|dev|development|qa|labs?|laptop|workstation|demo|poc|pilot|sandbox|colleagues?|sister|neighbou?r\w*|predecessor\w*|upstairs|departments?|"
    r"cheaper|faster|slower|better|worse|bigger|smaller|compar\w+|reference|similar|unlike|like|than|instead\s+of|rather\s+than|draft|judge|embedding\w*|rerank\w*|too\s+(?:big|large|slow|expensive|small|old|weak|costly)|off\s+limits|hands\s+off|inutil\w*|unnötig|zwecklos|pointless|useless|no\s+(?:point|use|budget|money)|cannot|can't|don'?t|not|never|unavailable|dropped|rejected|gone|returned|sold|belongs?|reserved|occupied|taken|busy|broken|cancel+ed|discontinued|asked|ordered|wanted|hoped|wished|discussed|ignore|disregard|forget|"
    r"früher|bisher|bislang|vorher|alte[nrsm]?|ehemals|damals|kolleg\w+|wenn|vielleicht|auparavant|avant|ancien\w*|jadis|si|peut-être|collègue\w*|antes|anterior\w*|antigu\w+|quizás?|prima|vecchi\w+|precedente\w*|forse|talvez|раньше|старый|прежде)\b|以\s*前|之\s*前|原\s*来|原\s*先|过\s*去|旧|如\s*果|也\s*许|别\s*人|同\s*事|竞\s*争|従\s*来|これまで|もし|기존|이전|예전|만약|경쟁"
)
_FOR = compiled(
    r"\b(?:our|ours|we|us|my|mine|i|now|new|newly|please|plans?|planned\s+for|need\w*|wants?|serve|serving|run|deploy|target\w*|goal|production|prod|live|approved|purchased?|bought|this\s+time|until\s+then|for\s+now|meanwhile|this\s+(?:request|question|ticket|plan|project|one)|today's|final(?:ly)?|decided|decision|picked|chose|chosen|settled|must|should|shall|goes?|instead|actual(?:ly)?|really|only|"
    r"wir|uns\w*|jetzt|nun|neue?[nrsm]?|bitte|brauch\w+|soll\w*|künftig|nous|notre|nos|maintenant|désormais|nouve\w+|voulons|ahora|nosotros|nuestr\w+|nuev[oa]s?|queremos|necesitamos|adesso|ora|nostr[oi]|nuov[oi]|vogliamo|agora|nosso\w*|nov[oa]s?|precisamos|теперь|сейчас|нам)\b|现\s*在|这\s*次|目\s*前|我\s*们|想|需\s*要|换\s*成|改\s*用|今\s*回|新|現\s*在|이번|지금|우리|현재"
)
_TAKEN_BACK = compiled(
    r"\b(?:(?:no|or|oh)?,?\s*wait|(?<=[,.;]\s)no(?=,)|let'?s\s+(?:go\s+with|take|use|say)|scratch\s+that|strike\s+that|i\s+mean|i\s+meant|oops|or\s+rather|my\s+bad|correction|typo)\b"
)
"""What follows stands instead of what was said before."""
_UNREAL = compiled(
    r"\b(?:if|had\s+we|suppose|imagine|once\s+(?:we|the)|would(?:'ve|\s+have)|next\s+(?:year|quarter|month|spring|summer|fall|autumn|winter)|wenn|falls|si\s+(?:nous|on|tuvi\w+|hubi\w+)|se\s+avessimo|если)\b|如\s*果|もし|만약"
)
"""What is said of what is not there: no wish in it is one."""
_MEASURED = compiled(
    r"(?<!\d)(?<!\d[,.])\d[\d,.]*\s?k?\s*(?:tok\w*|in\b|out\b|inputs?|outputs?|prompts?|concurren\w*|users?|sessions?|in[- ]flight|parallel)|\d\s*/\s*\d|\b(?:isl|osl|ttft|tpot)\b"
)
"""Says what the load is: the sentence is about what shall be planned."""
_POINTS_BACK = compiled(
    r"\W{0,6}(?:(?:but|and|so|no|oh|well|sadly|unfortunately)\W+){0,2}(?:that|this|those|these|it|they|which|he|she|(?:the\s+)?(?:former|machines?|servers?|cards?|nodes?|box(?:es)?))\b(?!\s+(?:is|are|will|should|must|has|have)\s+(?:to|be|for|a\b))"
)
_THOSE = compiled(r"[\s,;-]*(?:but|and|though)?\s*(?:those|these|they|it|that\s+one|which|who)\b")
_MEANT_BEHIND = compiled(
    r"s?\s*(?:gpus?|cards?)?\s*(?:that\s+|which\s+)?(?:we|i)\s+(?:can|may)\s+use\b|\s+(?:is|are)\s+(?:what|the\s+one)\b"
)
_NO_OFFER = compiled(
    r"\b(?:inutil\w*|pointless|useless|no\s+(?:point|use|need)|don'?t|do\s+not|never|stop|spare\s+us|unnötig|zwecklos|bitte\s+kein\w*|no\s+nos|não\s+nos)\b[^.;\n]{0,40}?\b(?:propos\w*|suggest\w*|recommend\w*|offer\w*|sell\w*|pitch\w*|buy\w*|achet\w*|vorschl\w*|empfehl\w*|propon\w*|recom[ei]nd\w*|suger\w*|sugger\w*|compr\w*)\W+(?:[\w']+\W+){0,3}?$"
)
"""`no use in suggesting B200`. Ends where the name begins."""
_REMARK = compiled(r"[^;\n]{0,32}?(?:<-+|<=+|←|#|//|\s--)(?P<said>[^\n]{1,80})")
"""What a line says of itself at its end: `4x L40S (1 host)  <- embeddings, hands off`."""
_TAKEN_BY = compiled(
    r"\b(?:hands\s+off|off[- ]limits|do\s*n[o']t\s+touch|not\s+(?:ours|mine|available|for\s+(?:us|this))|reserved|embedding\w*|rerank\w*|whisper|training|others?|broken|dead|spare|retired|old|sold|staging|dev|gone|taken|belongs?)\b"
)
_GONE = compiled(
    r"\b(?:gone|(?:went|led|goes|got\s+us)\s+nowhere|fail\w*|disappoint\w*|useless|unusable|a\s+(?:dead\s+end|mistake|disaster)|hands\s+off|go(?:es)?\s+away|going\s+away|phased|ends?|retired|retires?|decommissioned|sold|returned|dropped|rejected|history|off\s+limits|cancel+ed|scrapped|replaced|too\s+\w+|not|n't|never|taken|reserved|belongs?|obsolete|over|elsewhere|reference|fyi|comparison|info)\b"
)
EDIT = compiled(
    r"(?:^|(?<=\n)|(?<=[.!?)]\s))\W{0,4}(?:--?\s*(?:sorry|oops|wait|hold\s+on|correction)\b(?=[\s,!.:-])|(?:edit|edited|update|updated|upd|correction|corrected|erratum|errata|amendment|addendum|p\.?\s?s|korrektur|nachtrag|aktualisierung|correctif|rectificatif|mise\s+à\s+jour|corrección|actualización|correzione|aggiornamento|correção|atualização)\b\.?\s*(?:\d|\([^)\n]{0,30}\)|[-/.\d\s]{1,12})?\s*[:,-]|(?:更正|补充|更新|修正|訂正|追記|정정|수정|추가)\s*[:,])"
)
"""Begins what is added later: it stands over what was written before."""


@dataclass(frozen=True)
class Place:
    """A name in the text: what it stands for, and where."""

    key: str
    span: SPAN


def weight(text: str, span: SPAN) -> float:
    """How much a text stands by what it names at `span`: below 0 when it says no to it, or tells of it."""
    start, end = span
    clause, sentence = around(text, span, CLAUSE), around(text, span, SENTENCE)
    before = text[max(sentence[0], start - 60) : start]
    unreal = _UNREAL.search(text, *clause) is not None
    score = 2.0 * (not unreal and _FOR.search(text, *clause) is not None) - 2.5 * (
        _AGAINST.search(text, *clause) is not None
    )
    score += not unreal and _FOR.search(text, sentence[0], clause[0]) is not None
    score -= _AGAINST.search(text, sentence[0], clause[0]) is not None
    score -= 3.0 * (_REFUSED_BEFORE.search(before) is not None) - 2.0 * (
        not unreal and _MEANT_BEFORE.search(before) is not None
    )
    score -= 3.0 * (_REFUSED_BEHIND.match(text, end) is not None)
    score -= 4.0 * (_ASKED_AWAY.match(text, end) is not None)
    score += _MEASURED.search(text, *sentence) is not None
    score -= 3.0 * (_NO_OFFER.search(text[max(sentence[0], start - 90) : start]) is not None)
    remark = _REMARK.match(text, end)
    score -= 3.0 * (remark is not None and _TAKEN_BY.search(remark["said"]) is not None)
    if _THOSE.match(text, clause[1]) and _GONE.search(text, clause[1], sentence[1]):
        score -= 2.5
    score += 2.0 * (not unreal and _MEANT_BEHIND.match(text, end) is not None)
    following = around(text, (min(len(text), sentence[1] + 2),) * 2, SENTENCE)
    if _POINTS_BACK.match(text, *following) and _GONE.search(text, *following):
        score -= 2.5
    score += 4.0 * (_TAKEN_BACK.search(text, sentence[0], start) is not None)
    score -= 3.0 * (_TAKEN_BACK.search(text, end, sentence[1]) is not None)
    score -= QUOTED * text[sentence[0] : sentence[0] + 3].lstrip().startswith(">")
    return score + 4.0 * (edit_start(text) <= start)


def edit_start(text: str) -> int:
    """Where the first edit of a text begins; beyond its end when it has none."""
    first = EDIT.search(text)
    return first.start() if first is not None and first.start() > 0 else len(text) + 1


def around(text: str, span: SPAN, ends: re.Pattern[str]) -> SPAN:
    """The stretch between two ends around a span."""
    start, end = span
    low = max((m.end() for m in ends.finditer(text, max(0, start - REACH), start)), default=max(0, start - REACH))
    behind = ends.search(text, end, end + REACH)
    return low, behind.start() if behind is not None else min(len(text), end + REACH)


def standing(text: str, places: Sequence[Place]) -> str | None:
    """The key that a text stands by; None when two of them do about equally."""
    if len({place.key for place in places}) < 2:
        return places[0].key if places else None
    best: dict[str, float] = {}
    where: dict[str, Place] = {}
    for place in [*places[:MOST_PLACES], *places[MOST_PLACES:][-MOST_PLACES:]]:
        score = weight(text, place.span)
        if score > best.get(place.key, float("-inf")):
            best[place.key], where[place.key] = score, place
    order = sorted(best, key=lambda key: -best[key])
    leads = best[order[0]] - best[order[1]] >= MARGIN
    return order[0] if leads and not in_one_breath(text, places, where[order[0]]) else None


_JOINED = compiled(
    rf"s?\s*(?:,|&|/|\+|\b(?:and|or|vs\.?|versus|oder|und|et|ou|y|o|e|или|и)\b|和|或|还\s*是|と|か|와|과)\s*(?:(?:the|our|an?|on|{COUNT}|x|maybe|perhaps|also)\s*)*$"
)


def in_one_breath(text: str, places: Sequence[Place], best: Place) -> bool:
    """Whether a name is one of several that the text names together (`compare A and B`, `8 H100 and 8 A100`)."""
    order = sorted(places, key=lambda place: place.span)
    return any(
        best in (a, b) and a.key != b.key and _JOINED.fullmatch(text[a.span[1] : b.span[0]]) is not None
        for a, b in pairwise(order)
        if b.span[0] - a.span[1] <= TOGETHER
    )


UNDECIDED = compiled(
    r"\b(?:successor|model|gpus?|hardware|procurement|cards?|ours|machines?|replacement)\b[^.;\n]{0,40}?\b(?:hasn't|haven't|isn't|aren't|has\s+not|have\s+not|is\s+not|are\s+not|not)\s+(?:yet\s+)?(?:been\s+)?(?:chosen|decided|picked|selected|known|named|announced|determined|settled|told\s+us)\b|\b(?:ours|gpus?|hardware|cards?|model)\s+will\s+be\s+(?:something|another)\s*(?:else|one)?\b|\bdon't\s+know\s+(?:yet\s+)?(?:which|what)\s+(?:gpus?|model|cards?)\b"
)
"""Says that what is to be planned is open: what is told of others or of before is no answer then."""
