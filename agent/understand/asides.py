"""Degrees that a text mentions and does not ask for: how it was once, how it runs today, what it wonders about.

They bind no plan. Each is said back, so that nobody who meant it as a wish waits for it in vain.
"""

import re
from collections.abc import Iterator

from agent.understand.constraints import BANS, DEGREES, OPEN_DEGREES
from agent.understand.notes import Notes
from agent.understand.scan import SPAN, Scan, compiled

_SENTENCE = re.compile(r"(?:[^.;!?\n]|\.(?=\w))++[.;!?\n]?")
_DELIBERATES = compiled(
    r"\b(?:is|are|isn'?t|aren'?t|would|wouldn'?t|will|does|do|could)\b[^?]{0,160}\b(?:better|best|worse|enough|sufficient|suffices?|preferable|optimal|worth(?:while)?|"
    r"(?:make|makes)\s+(?:more\s+|any\s+)?sense|sensible|reasonable|advisable|wise|overkill|too\s+(?:much|many|wide|small|big)|faster|slower|cheaper|good\s+(?:idea|choice)|recommend\w*)\b"
    r"|\b(?:what|how)\s+about\b|\bwhat\s+if\b|^\s*(?:maybe|perhaps)\b|\b(?:besser|ausreichend|genug|sinnvoll|suffit|suffisant|mieux|vaut|mejor|suficiente|melhor|meglio|sufficiente|basta|beter|genoeg|лучше|достаточно)\b"
    r"|更\s*好|够\s*吗|足\s*够|十\s*分|良\s*い|い\s*い|더\s*나은|충분"
)
"""A question about which degree is right, where it ends in a question mark."""
_WONDERS = compiled(
    r"(?:^|(?<=,)|\b(?:or|and|but|so)\b)\s*(?:should|shall|ought)\s+(?:we|i|one|it)\b"
    r"|\b(?:not\s+(?:quite\s+)?sure|unsure|uncertain|undecided|wonder(?:ing)?|debating|torn\s+between|don'?t\s+know|do\s+not\s+know|no\s+idea)\b"
    r"|\b(?:sollen|sollten|soll)\s+wir\b|\b(?:faut-il|devrions-nous|doit-on)\b|\bdeber[íi]amos\b|\bdovremmo\b|\bdevemos\b"
)
_BINDING = compiled(r"\b(?:fixed|must|required|mandatory|given|exactly|has\s+to|have\s+to)\b")
"""A degree in such a sentence that is a wish all the same."""
_RUNS = r"(?:run|runs|running|serves?|serving|uses?|using|operates?|operating|deployed|configured|have\s+it|läuft|laufen|betreiben|nutzen|tourne|utilisons|usamos|corremos|rodamos|usiamo)"
_TODAY = r"(?:currently|today|at\s+(?:the\s+moment|present)|right\s+now|presently|nowadays|these\s+days|as\s+of\s+(?:now|today)|so\s+far|momentan|derzeit|aktuell|zurzeit|bislang|actuellement|aujourd'hui|actualmente|hoy|atualmente|hoje|attualmente|oggi)"
_WAS = r"(?:last\s+(?:year|month|week|quarter|time|spring|summer|autumn|fall|winter|night|sprint)|yesterday|previously|formerly|originally|back\s+then|(?:years?|months?|weeks?|days?)\s+ago|in\s+the\s+past|earlier\s+this\s+\w+|früher|bisher|letzte[ns]?\s+(?:jahr|woche|monat|quartal)|auparavant|avant|l'an\s+dernier|antes|el\s+año\s+pasado|prima)"
_TRIED = r"(?:tried|tested|benchmarked|measured|experimented\s+with|evaluated|attempted|used\s+to\s+\w+|were\s+(?:running|using|on)|started\s+(?:out\s+)?(?:with|on)|probiert|getestet|essayé|testé|probado|probamos|testamos|provato)"
_OLD = r"(?:existing|current|present|old|previous|former|earlier|legacy|today's)\s+(?:\w+\s+){0,2}?(?:set-?up|deployment|config\w*|layout|system|installation|stack|service|split|parallelism|runs?|attempts?|tests?|benchmarks?)"
_TOLD = compiled(
    rf"\b{_TODAY}\b[^.;\n!?]{{0,40}}?\b{_RUNS}\b|\b{_RUNS}\b[^.;\n!?,]{{0,60}}?\b{_TODAY}\b|\b{_TRIED}\b|\b{_WAS}\b|\bbaseline\b|\b{_OLD}\b"
)
"""How it was, and how it runs until there is a plan."""
_CLAUSE = re.compile(r"[^,;.\n]++")
_TOLD_HAN = compiled(
    r"之\s?前|以\s?前|上\s?(?:个\s?)?(?:月|季\s?度|周)|去\s?年|试\s?过|目\s?前|先\s?月|先\s?週|試\s?し|昨\s?年|예전|지난|작년|현재"
)
"""The same in scripts that end a sentence like a clause."""
_WISH = compiled(
    r"\b(?:but|however|though|please|instead|this\s+time|from\s+now\s+on|(?:and\s+|so\s+)?(?:we|i|they)(?:\s+now)?(?:'d|\s+would|\s+do)?\s+(?:want|need|like|wish|prefer|plan|require|must|should)|want|need|plan|nun|jetzt|aber|mais|pero|mas|ma)\b"
)
_BEFORE = compiled(r"[,(:]|\b(?:but|instead\s+of|rather\s+than|replac\w+|than|while|whereas|not)\b")
_KIND = r"(?:tp|pp|ep|dp|cp|dcp|(?:tensor|pipeline|expert|data)[- ]parallel(?:ism)?)[\s=:-]{0,2}\d{1,4}"
_COMBINED = rf"{_KIND}(?:\s?[x*+/&,]?\s?{_KIND}){{0,4}}"
_ALTERNATIVES = compiled(
    rf"(?<![a-z]){_COMBINED}(?:\s*,?\s*(?:\b(?:or|vs\.?|versus|oder|ou|of|или)\b|\bo\b|还\s*是|ま\s*た\s*は|또는|そ\s*れ\s*と\s*も)\s*(?:(?:rather|maybe|even|with|use|perhaps)\s+)?{_COMBINED})+"
)
_NOT = compiled(r"\b(?:no|not|neither|without|avoid|never|nor)\s+(?:use\s+)?$")


def pass_over(scan: Scan, notes: Notes) -> None:
    """Eat the degrees and bans that a text tells of or wonders about."""
    for match in _ALTERNATIVES.finditer(scan.text):
        if _NOT.search(scan.text[max(0, match.start() - 16) : match.start()]) is None:
            _told(scan, notes, match.span(), "alternatives: the plan chooses")
    for span in list(_wondered(scan.text)):
        _pass(
            scan,
            notes,
            span,
            (*DEGREES, *BANS, *OPEN_DEGREES),
            "asked about, so that nothing is fixed: the plan chooses",
        )
    for span in list(_past_and_present(scan.text)):
        _pass(scan, notes, span, DEGREES, "told of how it was or is, not asked for")


def _wondered(text: str) -> Iterator[SPAN]:
    """Sentences, or what is left of them, that ask which degree is right."""
    for sentence in _SENTENCE.finditer(text):
        words = sentence.group()
        if _BINDING.search(words) is not None:
            continue
        wonders = _WONDERS.search(words)
        if words.endswith("?") and _DELIBERATES.search(words) is not None:
            yield sentence.span()
        elif wonders is not None:
            yield sentence.start() + wonders.start(), sentence.end()


def _past_and_present(text: str) -> Iterator[SPAN]:
    """From where a sentence begins to tell how it was or is, to where it says what is wanted."""
    yield from (clause.span() for clause in _CLAUSE.finditer(text) if _TOLD_HAN.search(clause.group()))
    for sentence in _SENTENCE.finditer(text):
        told = _TOLD.search(sentence.group())
        if told is None:
            continue
        words = sentence.group()
        start = max((m.end() for m in _BEFORE.finditer(words, 0, told.start())), default=0)
        wanted = list(_WISH.finditer(words, 0, told.start()))
        wish = _WISH.search(words, told.end())
        if not wanted or wanted[-1].end() <= start:
            yield sentence.start() + start, sentence.start() + (wish.start() if wish is not None else len(words))


def _pass(scan: Scan, notes: Notes, span: SPAN, patterns: tuple[re.Pattern[str], ...], why: str) -> None:
    """Eat what the patterns match within `span`, and say it back as one."""
    found = [m.span() for pattern in patterns for m in pattern.finditer(scan.text, *span)]
    if found:
        _told(scan, notes, (min(s for s, _ in found), max(e for _, e in found)), why, found)


def _told(scan: Scan, notes: Notes, span: SPAN, why: str, eaten: list[SPAN] | None = None) -> None:
    notes.assume(f"ignored: `{scan.words(span)[:80]}` ({why})")
    for part in eaten or [span]:
        scan.eat(part)
