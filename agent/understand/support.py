"""Which of two values a text stands by: what it needs now, aims at and limits, against what it tells of before, of today and of tests."""

from agent.understand.scan import SPAN, compiled

REACH = 400
"""Characters around a value within which its sentence is looked for."""
NEAR = 120
"""Characters over which alternatives stretch."""
_CLAUSE_END = compiled(r"[,;:()\n]|[.!?](?=\s|$)|\s-\s|\b(?:but|and|while|whereas|aber|und|mais|pero|mas)\b")
_SENTENCE_END = compiled(r"[;\n]|[.!?](?=\s|$)")
_WANTED = compiled(
    r"\b(?:now|new|needs?|needed|must|should|targets?|goals?|(?<!off-)(?<!off )peaks?|busiest|wants?|wanted|wish|size|sizing|plan|design|provision|requires?|required|requirements?|please|instead|rather|promised?|contract\w*|slo|"
    r"soll\w*|muss|müssen|brauch\w+|jetzt|neue?[nrs]?|ziel\w*|spitze\w*|maintenant|besoin|doit|doivent|cible|pointe|ahora|necesit\w+|debe\w?|objetivo|pico|agora|precis\w+|adesso|deve|picco)\b"
)
_TOLD = compiled(
    r"\b(?:last|was|were|had|did|gave|got|currently?|today|existing|benchmark\w*|tests?|tested|old|older|former\w*|previous\w*|before|earlier|measured|saw|sees?|off-?\s?peak|average|on\s+average|typical\w*|normal\w*|usual\w*|quiet\w*|night\w*|initial\w*|originally|outdated|obsolete|used\s+to|at\s+the\s+moment|so\s+far|ago|yesterday|"
    r"bisher|früher|heute|derzeit|aktuell|alte[nrs]?|gemessen|avant|ancien\w*|aujourd'hui|actuel\w*|mesuré\w*|antes|actual\w*|hoy|medid[oa]s?|hoje|atual\w*|prima|oggi|attual\w*)\b"
)
_LIMIT = compiled(r"(?:\b(?:under|below|within|at\s+most|max\w*|up\s+to|less\s+than|limit|no\s+more\s+than)|<=?|≤)\W*$")
_BETWEEN_ALTERNATIVES = compiled(
    r"\b(?:or|vs|versus|oder|ou|o|или|could\s+(?:also\s+)?be|might\s+(?:also\s+)?be|alternatively|либо)\b|/"
)


def support(text: str, span: SPAN, named: list[SPAN]) -> float:
    """How much speaks for a value that stands at `span` in `text`; `named` are the places of models and GPUs."""
    start, end = span
    low, high = _around(text, span, sentence=True)
    near_low, near_high = _around(text, span, sentence=False)
    score = 2.0 * (_says(text, near_low, near_high, wanted=True) - _says(text, near_low, near_high, wanted=False))
    score += _says(text, low, near_low, wanted=True) - _says(text, low, near_low, wanted=False)
    score += any(low <= a < high for a, _ in named)
    words = text[max(0, start - 20) : end]
    score -= 3.0 * (_DENIED.search(text[max(near_low, start - 40) : start]) is not None)
    score -= 3.0 * (_CAPS.search(text[start:end]) is not None)
    score += 3.0 * (_CORRECTED.search(text, max(0, start - REACH), start) is not None)
    return score + (
        _LIMIT.search(text, max(0, start - 16), start) is not None or _LIMIT_WITHIN.search(words) is not None
    )


_CORRECTED = compiled(
    r"\b(?:sorry|correction|scratch\s+that|strike\s+that|my\s+mistake|my\s+bad|oops|i\s+(?:meant|misread|mistyped))\b"
)
"""What stands behind such words stands instead of what was said before."""
_DENIED = compiled(
    r"(?:(?:\b(?:not|no|never|instead\s+of|rather\s+than|without|nicht|kein\w*|pas|sin|non|senza)|n't)\s+(?:\w+\s+){0,3}|--max[-_]\w+(?:[-_]\w+)*[= ]\s*)$"
)
"""Right before a value that is not meant, or that only caps what the server takes."""
_CAPS = compiled(r"\bmax[-_](?:num[-_]seqs|model[-_]len|batch[-_]size|num[-_]batched[-_]tokens)\b")
"""A setting of a server that only caps what it takes."""
_LIMIT_WITHIN = compiled(r"\b(?:under|below|within|at\s+most|max\w*|up\s+to|less\s+than|limit)\b|<|≤")


def _says(text: str, low: int, high: int, *, wanted: bool) -> bool:
    return (_WANTED if wanted else _TOLD).search(text, low, max(low, high)) is not None


def _around(text: str, span: SPAN, *, sentence: bool) -> SPAN:
    """The sentence, or the clause, around a span."""
    start, end = span
    ends = _SENTENCE_END if sentence else _CLAUSE_END
    low = max((m.end() for m in ends.finditer(text, max(0, start - REACH), start)), default=max(0, start - REACH))
    behind = ends.search(text, end, end + REACH)
    return low, behind.start() if behind is not None else min(len(text), end + REACH)


def alternatives(text: str, places: list[SPAN]) -> bool:
    """Whether a text offers its values as alternatives: `4 or 8`."""
    low, high = min(a for a, _ in places), max(b for _, b in places)
    return high - low <= NEAR and _BETWEEN_ALTERNATIVES.search(text, low, high) is not None
