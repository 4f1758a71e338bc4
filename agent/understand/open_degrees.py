"""Degrees that a text asks about: alternatives in a question, undecided ones, and those that may be changed.

A degree binds a plan only where a clause demands it. Here are the places where none does, whatever the language: a question that sets one
degree against another or against something else, two degrees of which none is decided, and what the text says may be changed freely.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from agent.understand.scan import SPAN, compiled

_TALK = re.compile(r"(?:[^.;!?\n]|\.(?=\w))++[.;!?\n]?")
_ONE = compiled(
    r"(?<![a-z-])(?P<kind>tp|pp|ep|dp|cp|tensor|pipeline|expert|data|context)(?:[-_ ]*(?:parall?el\w*|size|degree|stages))*[\s=:-]{0,2}(?P<n>\d{1,4})(?![\w.]*\d|%)"
)
_AGAINST = compiled(
    r"\b(?:or|vs\.?|versus|hay|oder|ou|czy|lub|albo|eller|atau|of|или|либо|yoksa|veya|mi|mı|mu|mü|o|u)\b|还\s*是|或\s*者|ま\s*た\s*は|そ\s*れ\s*と\s*も|또는|아니면"
)
"""Sets one thing against another, or asks (`mı`)."""
_DEMANDS = compiled(
    r"\b(?:must|mandatory|required?|fixed|has\s+to|have\s+to|need(?:s|ed)?\s+to\s+(?:be|stay|remain)|only\s+(?:use|with)|keep\w*|exactly|muss|obligatoire|obligatorio|doit)\b"
)
_UNDECIDED = compiled(
    r"\b(?:undecided|unsure|(?:have\s+not|haven't|not|n't)\s+(?:yet\s+)?(?:decided|sure|settled|chosen|know)|can'?t\s+decide|unentschieden|unschlüssig|indécis|pas\s+(?:encore\s+)?décidé|indecis[oa]s?|no\s+(?:lo\s+)?(?:hemos\s+decidido|sabemos)|hésit\w+|zögern|schwanken|dud(?:amos|ando|o)|hesita\w+|esit\w+|twijfel\w+|waha\w+|сомнева\w+|колебл\w+|torn|debating|kararsız\w*|karar\s+ver\w*|nie\s+wiemy|не\s+(?:решили|знаем))\b"
    r"|犹\s*豫|纠\s*结|没\s*(?:有\s*)?(?:决\s*定|想\s*好)|不\s*确\s*定|未\s*定|迷\s*っ|決\s*め\s*(?:て\s*い|か\s*ね)|정하지|결정하지|고민"
)
_OTHER_KIND = compiled(r",?\s*(?:and\s+)?(?:tp|pp|ep|dp|cp|sp)\s*\?")
"""Asks about a kind that no number stands by (`tp4 ep?`)."""
_WISHES = compiled(
    r"\bis\s+[a-z]{2}\s*[= -]?\s*\d{1,4}\s+(?:ok(?:ay)?|legal|valid|possible|allowed)\b|\b(?:please|pls|plz|bitte|s'?il\s+(?:vous|te)\s+pla[iî]t|por\s+favor|per\s+favore|(?:can|could|would|will)\s+(?:you|we|i)\s+(?:please\s+)?(?:plan|give|show|make|build|design|lay|propose|generate|get|have|do|use|fix|set|work\s+out)|(?:könn(?:en|t|ten)|kann)\b|pouvez|peux|puede[ns]?|puedes|pode[ms]?|what(?:'s|\s+is|\s+would\s+be)?\s+the\s+(?:best|rest)|how\s+(?:should|would|do|can|many|to)|what\s+(?:else|about\s+the\s+rest|\w+\s+(?:should|would|shall|do|can|else))|wie|comment|cómo|como|come|怎\s*么|怎\s*样|如\s*何|ど\s*う|어떻게)"
)
"""A question that asks for a plan with what it says, and not whether that is wise."""
_SO_FAR = compiled(
    r"\b(?:was|were|had|ran|currently|at\s+present|at\s+the\s+moment|until\s+now|so\s+far|today|previous\w*|predecessor|formerly|inherited|left|used\s+to|last\s+(?:time|week|month|year)|someone|somebody|suspect|suspicion|bisher|derzeit|aktuell|momentan|actuellement|actualmente|hasta\s+ahora|atualmente|attualmente|obecnie|nu\s+nog)\b(?:(?!\b(?:but|wants?|wanted|need\w*|now|must|should|please|instead|would)\b)[^.;!?\n]){0,40}$|之\s*前\S{0,12}$|目\s*前\S{0,12}$|現\s*在\S{0,12}$|これまで\S{0,12}$|지금까지\S{0,12}$"
)
"""Stands before a degree that is told of, as it was or as somebody thinks it might be."""
_WORKS = compiled(
    r"\s+(?:works|runs|worked|ran)\b[^.;!?\n\d]{0,12}\bbut\b|[^.;!?\n\d]{0,24}?(?:\b(?:and|but|which)\b|,)\s+(?:(?:it|this|that|which)\s+)?(?:is|works|runs|performs|seems|feels)\s+(?:just\s+|kind\s+of\s+|sort\s+of\s+|only\s+)?(?:okay|ok|fine|slow\w*|so-so|decent|poor\w*|bad\w*|not\s+\w+|disappoint\w*|meh|alright|good|well|too\s+\w+|painful\w*)\b"
)
"""Stands behind a degree that is in use: `at TP16 and it is okay-ish`."""
_YES_OR_NO = compiled(r"\W{0,3}(?:yes\s*(?:/|or)\s*no|y\s*/\s*n|ja\s*(?:/|oder)\s*nein|oui\s*/\s*non|s[íi]\s*/\s*no)\b")
_MAY_CHANGE = compiled(
    r"\b(?:may|can|could|free\s+to|welcome\s+to|allowed\s+to)\s+(?:freely\s+|also\s+)?(?:change|alter|touch|tune|adjust|drop|replace|vary|modify|rearrange)\s+(?:(?:the|all|any|our|of|those|these)\s+)*(?:parallel\w*|tp|degrees?|sharding|layout|split)"
    r"|\bparalleli\w+\s+(?:\w+\s+)?(?:is|are)\s+(?:all\s+|fully\s+|entirely\s+)?(?:open|free|negotiable|up\s+for\s+grabs|up\s+to\s+you)\b"
)
_CHANGED_NOT = compiled(r"\b(?:not|no|nobody|never|n't)\s+(?:\w+\s+)?$")


def open_degrees(text: str) -> Iterator[SPAN]:
    """Stretches of a text whose degrees fix nothing."""
    for match in _ONE.finditer(text):
        answer = _YES_OR_NO.match(text, match.end())
        if answer is not None:
            yield match.start(), answer.end()
    for sentence in _TALK.finditer(text):
        yield from _open_in(text, sentence.span())
        yield from _told_in(text, sentence.span())
        versus = _VERSUS.search(sentence.group())
        if versus is not None:
            yield sentence.start() + versus.start(), sentence.start() + versus.end()
        if is_asked(sentence.group()) and _COPIES_OR.search(sentence.group()):
            yield sentence.span()
    for match in _MAY_CHANGE.finditer(text):
        if _CHANGED_NOT.search(text[max(0, match.start() - 24) : match.start()]) is None:
            yield 0, match.start()


def _open_in(text: str, sentence: SPAN) -> Iterator[SPAN]:
    """The part of a sentence whose degrees are alternatives that it asks about."""
    found = list(_ONE.finditer(text, *sentence))
    if not found:
        return
    span = _clause_start(text, sentence[0], found[0].start()), sentence[1]
    asks = is_asked(text[slice(*sentence)])
    if _DEMANDS.search(text, *span) is not None or not (asks or _UNDECIDED.search(text, *sentence)):
        return
    kinds = [(m["kind"][0].lower(), int(m["n"])) for m in found]
    differ = any(a == b and m != n for a, m in kinds for b, n in kinds)
    if asks and _WISHES.search(text, *sentence) is None and _OTHER_KIND.match(text, found[-1].end()) is None:
        yield span
        return
    weighed = asks and any(_AGAINST.search(text, m.end(), end) for m, end in _reaches(found, sentence[1]))
    if differ or weighed:
        yield span


_ASKS_ANYWAY = compiled(
    r"^\W*(?:(?:and|so|but|or|also|then|hm+|ok|btw)[\s,]+){0,2}(?:is|are|does|do|should|shall|would)\s+(?:it|there|this|that|these|those|we|i|one|the|a|using|running|tp|pp|ep|dp|cp|tensor|pipeline|expert|data)\b(?!\s+(?:please|must)\b)"
)
"""How a question begins that was typed without its mark."""


_ASKS_ELSEWHERE = re.compile(
    r"(?:で\s*し\s*ょ\s*う|で\s*す|ま\s*す)\s*か\s*[.。]?\s*$|까\s*요\s*[.]?\s*$|吗\s*[.。]?\s*$|ど\s*ち\s*ら\s*が|哪\s*个\s*好"
)
"""The same in languages that ask with a word."""


def is_asked(words: str) -> bool:
    """Whether a sentence is a question."""
    return words.rstrip().endswith("?") or bool(_ASKS_ANYWAY.match(words) or _ASKS_ELSEWHERE.search(words))


_WHETHER = compiled(
    r"\b(?:whether|savoir\s+si|saber\s+s[ei]|sapere\s+se|wissen\s*,?\s*ob|weten\s+of|wiedzieć\s*,?\s*czy|знать\s*,?|(?:tell|know|see|check|say|test|find\s+out|wonder\w*|ask\w*)\s+(?:me\s+|us\s+|out\s+)?if)\b[^.;,!?\n]{0,28}$"
)
"""Before a degree that is asked about."""
AHEAD = 140
"""Characters before a degree within which stands who thinks of it, or when it was."""
_CLAUSE_END = re.compile(r"[,;.!?\n]")
_SUPPOSED = compiled(
    r"\b(?:i|we)(?:'d|\s+would|\s+do)?\s+(?:(?:go|start|begin)\s+(?:for|with)|pick|choose|assum\w+|guess\w*|suppos\w+|believ\w+|reckon\w*|figure\w*|expect\w*|think|thought|imagine\w*)\b[^.;!?\n]{0,30}$"
)
"""Before a degree that somebody thinks of."""
_COPIES_OR = compiled(
    r"\d{1,3}\s+(?:copies|replicas?|instances)\b[^.;?\n]{0,40}\bor\b|\bor\b[^.;?\n]{0,40}?\d{1,3}\s+(?:copies|replicas?|instances)\b"
)


_VERSUS = compiled(
    r"\b(?:tp|pp|ep|dp)[\s=-]*\d{0,3}\s+(?:vs\.?|versus)\s+\d{1,3}\s+(?:copies|replicas?|instances)\b|\d{1,3}\s+(?:copies|replicas?|instances)\s+(?:vs\.?|versus)\s+(?:tp|pp|ep|dp)[\s=-]*\d{0,3}"
)


def _told_in(text: str, sentence: SPAN) -> Iterator[SPAN]:
    """Degrees of a sentence that says how things are or were, and demands nothing."""
    passed = sentence[0]
    for match in _ONE.finditer(text, *sentence):
        if match.start() < passed:
            continue
        if _WHETHER.search(text[max(sentence[0], match.start() - AHEAD) : match.start()]):
            end = _CLAUSE_END.search(text, match.end(), sentence[1])
            passed = end.start() if end is not None else sentence[1]
            yield match.start(), passed
    if _DEMANDS.search(text, *sentence) is None:
        for match in _ONE.finditer(text, *sentence):
            before = text[max(sentence[0], match.start() - AHEAD) : match.start()]
            if _SO_FAR.search(before) or _SUPPOSED.search(before) or _WORKS.match(text, match.end(), sentence[1]):
                yield match.span()


def _reaches(found: list[re.Match[str]], end: int) -> Iterator[tuple[re.Match[str], int]]:
    """Each degree with the place up to which a word may set something against it."""
    ends = [*(later.start() for _, later in pairwise(found)), end]
    yield from ((match, min(stop, match.end() + FARTHEST)) for match, stop in zip(found, ends, strict=True))


FARTHEST = 40
"""Characters behind a degree within which a word sets something against it."""
_CLAUSE = re.compile(r"[;:(]|,\s")


def _clause_start(text: str, low: int, place: int) -> int:
    """Where the clause of the first degree begins."""
    return max((m.end() for m in _CLAUSE.finditer(text, low, place)), default=low)
