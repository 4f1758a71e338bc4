"""Choices that a text mentions and does not ask for: how it was once, how it runs today, what it wonders about.

They bind no plan: degrees, bans, engines, precisions, serving. Each is said back, so that nobody who meant it as a wish waits for it in vain.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from agent.understand.choices import DTYPES, ENGINES, SERVINGS
from agent.understand.constraints import BANS, DEGREES, OPEN_DEGREES
from agent.understand.notes import Notes
from agent.understand.open_degrees import is_asked, open_degrees
from agent.understand.scan import EATEN, SPAN, Scan, compiled

_SENTENCE = re.compile(r"(?:[^.;!?\n]|\.(?=\w))++[.;!?\n]?")
_DELIBERATES = compiled(
    r"\b(?:is|are|isn'?t|aren'?t|would|wouldn'?t|will|does|do|could)\b[^?]{0,160}\b(?:better|best|worse|enough|sufficient|suffices?|preferable|optimal|worth(?:while)?|"
    r"(?:make|makes)\s+(?:more\s+|any\s+)?sense|sensible|reasonable|advisable|wise|overkill|too\s+(?:much|many|wide|small|big)|faster|slower|cheaper|(?:good|bad|stupid|silly|crazy|smart)\s+(?:idea|choice)|stupid|silly|dumb|crazy|insane|nonsense|mad|a\s+mistake|pointless|foolish|recommend\w*)\b"
    r"|\b(?:what|how)\s+(?:do|would|does)\s+(?:you|u|one|people|they)\s+(?:think|say|feel)\b|\b(?:thoughts|opinions?|views?|feelings?|advice)\s+(?:on|about|regarding)\b|\b(?:what|how)\s+about\b|\bwhat\s+if\b|^\s*(?:maybe|perhaps)\b|\b(?:conviene|lohnt|merece\s+la\s+pena|vale\s+(?:la|a)\s+pena|warto|besser|ausreichend|genug|sinnvoll|suffit|suffisant|mieux|vaut|mejor|suficiente|melhor|meglio|sufficiente|basta|beter|genoeg|лучше|достаточно)\b"
    r"|更\s*好|够\s*吗|足\s*够|十\s*分|良\s*い|い\s*い|더\s*나은|충분"
)
"""A question about which degree is right, where it ends in a question mark."""
_WORTH = compiled(
    r"\b(?:worth(?:while)?|makes?\s+(?:any\s+|more\s+)?sense|conviene|merece\s+la\s+pena|vale\s+(?:la|a)\s+pena|vaut[- ](?:il|elle)|vaut\s+(?:la|le)|faut-il|lohnt|sinnvoll|heeft\s+het\s+zin|warto|стоит\s+ли)\b"
)
"""Asks whether something pays: what stands before the model's name is what is asked about."""
_WONDERS = compiled(
    r"(?:^|(?<=,)|\b(?:or|and|but|so)\b)\s*(?:should|shall|ought)\s+(?:we|i|one|it)\b"
    r"|\b(?:(?:have|has)(?:\s+not|n't)\s+(?:yet\s+)?(?:decided|settled|chosen)|not\s+(?:quite\s+)?sure|unsure|uncertain|undecided|wonder(?:ing)?|debating|torn\s+between|don'?t\s+know|do\s+not\s+know|no\s+idea)\b"
    r"|\b(?:sollen|sollten|soll)\s+wir\b|\b(?:faut-il|devrions-nous|doit-on)\b|\bdeber[íi]amos\b|\bdovremmo(?!\s+(?:servire|ospitare|mettere|far\s+girare|eseguire|gestire|usare\s+il))\b|\bdevemos\b"
)
_UNDECIDED = compiled(
    r"(?:\b(?:nothing|not|never)|n't)\s+(?:(?:is|are|has|have|been|yet|really|finally|fully)\s+){0,4}(?:decided|settled|chosen|picked|final(?:i[sz]ed)?|fixed|set\s+in\s+stone|made\s+up\s+(?:our|my|their)\s+minds?)\b"
    r"|\b(?:engine|framework|runtime|backend|serving(?:\s+mode)?|precision|quanti[sz]ation|p/?d|disagg\w*|(?:whether|if)\s+to\s+[^.;,\n]{2,40}?)\s*:?\s*(?:(?:is|are|stays?|remains?)\s+)?(?:(?:still|all|left|also|completely)\s+){0,2}(?:open(?![- ]?source)|tbd|t\.b\.d\b|undecided|to\s+be\s+(?:decided|determined)|up\s+in\s+the\s+air)\b"
    r"|(?:尚未|还没|沒有|没有)\s*(?:决\s*定|定)|まだ\s*決|아직\s*(?:안\s*정|결정|정하)"
)
"""Says that a choice is not made."""
_LEANS = compiled(r"\b(?:lean(?:s|ing)?|tend(?:s|ing)?|inclin\w+|drift\w*|favou?r\w*|prefer\w*|thinking|looking)\b")
_SOFT = compiled(
    r"\b(?:decide\s+(?:for\s+)?yourself|(?:it'?s\s+)?your\s+(?:call|choice)|you\s+(?:decide|choose|pick)|(?:it'?s\s+|is\s+|are\s+)?(?:all\s+)?up\s+to\s+(?:you|the\s+(?:tool|planner|plan))|no\s+(?:real\s+|strong\s+|particular\s+)?(?:preferences?|opinion)|(?:do\s+not|don'?t)\s+(?:really\s+)?(?:insist|care\s+(?:which|whether|if|much))|(?:not|isn'?t|aren'?t)\s+(?:an?\s+)?(?:must|hard\s+requirement|requirement|mandatory|required|binding|set\s+in\s+stone)|(?<!non-)(?<!not )(?<!isn't )negotiable|up\s+for\s+grabs|optional|nice[- ]to[- ]have|(?:was|were|am|are|'m|'re)\s+(?:\w+\s+)?thinking\s+(?:of|about)|would\s+be\s+(?:nice|cool|great|lovely)|(?:my|a|wild)\s+guess|i(?:'d)?\s+guess|you\s+tell\s+(?:me|us)|(?:i|we)(?:'d|\s+would)\s+have\s+(?:gone|used|taken|picked|chosen)|(?:my|our)\s+(?:gut|hunch|intuition|instinct|feeling|first\s+(?:idea|thought|instinct))\b|gut\s+(?:feeling|says)|(?:i|we)\s+(?:have\s+a\s+(?:hunch|feeling)|suspect|reckon|would\s+guess|tend\s+to\s+think)|naively|just\s+an?\s+(?:idea|thought|suggestion)|"
    r"(?:use|pick|take|choose)\s+whatever|(?<=,\s)whatever(?=\s*(?:[.;!\n]|$))|whatever\s+(?:you|works|is\s+best|fits)|kein\s+muss|ist\s+mir\s+egal|egal|entscheide\s+du|(?:du|ihr|sie)\s+entscheid\w+|à\s+vous\s+de\s+(?:voir|choisir|décider)|peu\s+importe|pas\s+obligatoire|decide\s+t[úu]|da\s+igual|no\s+es\s+obligatorio)\b|你\s*决\s*定|都\s*可\s*以|随\s*便|お\s*任\s*せ|알\s*아\s*서"
)
"""A degree that stands beside such words is an idea, not a wish."""
_MAYBE = compiled(
    r"\b(?:maybe|perhaps|possibly|probably|vielleicht|peut-être|quiz[áa]s?|tal\s+vez|forse|talvez)\b|也\s*许|可\s*能|多\s*分|아\s*마"
)
_COULD_BE = compiled(r"\b(?:could|might|may)\s+(?:also\s+|well\s+|even\s+|just\s+)?be\b")
"""Begins what a sentence that wonders has in mind."""
_BINDING = compiled(r"\b(?:fixed|must|required|mandatory|given|exactly|has\s+to|have\s+to|please|pls)\b")
"""A choice in such a sentence that is a wish all the same."""
_INVERTED = compiled(
    r"(?:^|(?<=[,;:(.\x1f]))\s{0,3}(?:(?:and|but|so|or|also|then|hm+|well|btw|by\s+the\s+way|otherwise|i\.e\.)[\s,]{1,3}){0,3}"
    r"(?:is|are|isn'?t|aren'?t|was|does|do|doesn'?t|don'?t|did|should|shouldn'?t|shall|would|wouldn'?t|will|won'?t|can|can'?t|could|couldn'?t|may|might|must|has|have|any\s+(?:reason|benefit|point|advantage|gain|chance|value)|"
    r"wouldn't|anyone|any\s*one|maybe|perhaps|or|why\s+not|ist|sind|kann|könnte|soll(?:te|ten|en)?|wäre|lohnt|hilft|geht|est-ce|peut-on|faut-il|serait|es|puede|podemos|podría|conviene|vale|è|possiamo|conviene|seria|posso|podemos|is\s+het)\b(?!\s*[:=])"
)
"""How a question starts that is answered with yes or no."""
_THE_REST = compiled(r"\b(?:rest|everything\s+else|anything\s+else|else|others?|remaining|otherwise)\b")
_MUST = compiled(
    r"\b(?:must|mandatory(?<!not mandatory)|has\s+to\s+be|have\s+to\s+be|is\s+fixed|are\s+fixed|is\s+given|are\s+given)\b"
)
MAYBE_REACH = 24
"""Characters behind `maybe` within which its degree stands."""
_POLITE = compiled(
    r"\b(?:can|could|would|will|kannst|könntest|können|könnten|peux|pouvez|pourriez|puedes|podrías|podría|puoi|potete|potresti|pode|poderia)[-\s]+(?:you|ye|u|du|sie|ihr|tu|vous|usted|someone|somebody|we\s+please|i\s+please)\b"
)
_SOUGHT = compiled(
    r"^\W*(?:\w+[\s,]+){0,4}?(?:what|which|how|where|who|when|best|recommended|ideal|optimal|welche\w*|wie|was|quel\w*|comment|combien|qué|cuál|cuánt\w*|cómo|quale|quali|come|qual|como|quanti|quant[ao]s)\b"
)
"""A sentence that asks for the plan itself: what stands in it is told, not asked."""
_PLAN_SOUGHT = compiled(
    r"^\W*(?:(?:so|and|now|ok|hi|hello)\W+)?(?:what|which|how)\b[^?,]{0,40}\b(?:layout|plan|split|sharding|config\w*|set-?up|parallelism|strategy|way|deployment|scheme|mapping|arrangement|shard|serve|deploy|run|host)\b"
)
MOST_WORDS = 7
"""Words of a clause that is a question by its mark alone: `TP16 OK?`."""
_RUNS = r"(?:(?:deployment|set-?up|config\w*|layout|system)\s+is|run|runs|running|launch\w*|start\w*\s+(?:it\s+|the\s+server\s+)?with|serves?|serving|uses?|using|operates?|operating|deployed|configured|have\s+it|läuft|laufen|betreiben|nutzen|tourne|utilisons|usamos|corremos|rodamos|usiamo)"
_TODAY = r"(?:currently|today|at\s+(?:the\s+moment|present)|right\s+now|presently|nowadays|these\s+days|as\s+of\s+(?:now|today)|so\s+far|momentan|derzeit|aktuell|zurzeit|bislang|actuellement|aujourd'hui|actualmente|hoy|atualmente|hoje|attualmente|oggi)"
_WAS = r"(?:last\s+(?:year|month|week|quarter|time|spring|summer|autumn|fall|winter|night|sprint)|yesterday|previously|formerly|originally|back\s+then|(?:years?|months?|weeks?|days?)\s+ago|in\s+the\s+past|earlier\s+this\s+\w+|früher|bisher|letzte[ns]?\s+(?:jahr|woche|monat|quartal)|auparavant|avant|l'an\s+dernier|antes|el\s+año\s+pasado|prima)"
_TRIED = r"(?:tried|tested|benchmarked|measured|experimented\s+with|evaluated|attempted|considered|looked\s+(?:at|into)|played\s+with|investigated|explored|used\s+to\s+\w+|were\s+(?:running|using|on)|started\s+(?:out\s+)?(?:with|on)|probiert|getestet|essayé|testé|probado|probamos|testamos|provato)"
_OLD = r"(?:existing|current|present|last|latest|recent|old|previous|former|earlier|legacy|today's)\s+(?:\w+\s+){0,2}?(?:set-?up|deployment|config\w*|layout|system|installation|stack|service|split|parallelism|runs?|attempts?|tests?|benchmarks?)"
_TOLD = compiled(
    rf"\b{_TODAY}\s+(?:that|it|this)(?:'s|\s+is)\b|\b{_TODAY}\b[^.;\n!?]{{0,40}}?\b{_RUNS}\b|\b{_RUNS}\b[^.;\n!?,]{{0,60}}?\b{_TODAY}\b|\b{_TRIED}\b|\b{_WAS}\b|\bbaseline\b|\b{_OLD}\b"
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
_COMBINED = rf"{_KIND}(?:\s?[x*+/&,]?\s?{_KIND}){{0,4}}(?:\s+(?:with|and|x)\s+\d{{1,3}}\s+(?:replicas?|copies))?"
_ALTERNATIVES = compiled(
    rf"(?<![a-z]){_COMBINED}(?:\s*,?\s*(?:\b(?:or|vs\.?|versus|oder|ou|of|или)\b|\bo\b|还\s*是|ま\s*た\s*は|또는|そ\s*れ\s*と\s*も)\s*(?:(?:rather|maybe|even|with|use|perhaps)\s+)?{_COMBINED})+"
)
_COMPARED = compiled(
    rf"\b(?:compar\w{{1,4}}|vergleich\w*|confront\w*)\s+{_COMBINED}(?:\s*(?:,|\band\b|\bwith\b|\bto\b|\bagainst\b|\bund\b|\bet\b|\by\b|&)\s*{_COMBINED})+"
)
_ENGINE = r"(?:v-?llm|sg-?lang|sgl|tensor-?\s?rt(?:[- ]?llm)?|trt(?:[- ]?llm)?)"
_DTYPE = r"(?:(?:mx|nv)?fp(?:4|8|16)|bf16|int[48]|awq|gptq)"
_OR = r"\s*(?:\b(?:or|vs\.?|versus|oder|ou|of|или|either)\b|\bo\b|/(?!v-?llm)|还\s*是|ま\s*た\s*は|또는|か)\s*(?:(?:rather|even|with|use|in)\s+)?"
_OTHER_ALTERNATIVES = compiled(
    rf"\b{_ENGINE}(?:{_OR}{_ENGINE})+\b|(?<![\w-]){_DTYPE}(?:\s+weights)?(?:{_OR}{_DTYPE})+\b(?!\s*(?:kv|activations?))"
)
"""Engines and precisions of which none is said to hold."""
_NOT = compiled(r"\b(?:no|not|neither|without|avoid|never|nor)\s+(?:use\s+)?$")


def pass_over(scan: Scan, named: Sequence[SPAN], notes: Notes, *, alternatives: bool = True) -> None:
    """Eat the choices that a text tells of or wonders about; `named` are the places of its models and GPUs.

    Without `alternatives` those stay (a follow-up that leaves a choice is asked about).
    """
    for pattern in (_COMPARED, _ALTERNATIVES, _OTHER_ALTERNATIVES) if alternatives else ():
        for match in pattern.finditer(scan.text):
            if _NOT.search(scan.text[max(0, match.start() - 16) : match.start()]) is None:
                _told(scan, notes, match.span(), "alternatives: the plan chooses")
    for span in list(open_degrees(scan.text)) if alternatives else ():
        _pass(scan, notes, span, DEGREES, "alternatives that are asked about: the plan chooses")
    for span in _weighed(scan.text, named):
        _pass(scan, notes, span, _WEIGHABLE, "asked about, so that nothing is fixed: the plan chooses")
    for whole in _wondered(scan.text, named):
        for span in _around_given(scan.text, whole, named):
            _pass(scan, notes, span, _CHOICES, "asked about, so that nothing is fixed: the plan chooses")
    for span in list(_undecided(scan.text)):
        _pass(scan, notes, span, _WEIGHABLE, "not decided: the plan chooses")
    for span in list(_soft(scan.text)):
        _pass(scan, notes, span, DEGREES, "an idea, not a wish: the plan chooses")
    for match in list(_LIFTED.finditer(scan.text)):
        _pass(scan, notes, match.span(), (*DEGREES, *BANS), "a restriction that no longer holds")
    for span in list(_past_and_present(scan.text)):
        _pass(scan, notes, span, DEGREES, "told of how it was or is, not asked for")


_LIFTED = compiled(
    r"[^.;!?\n]{0,120}\b(?:restriction|ban|rule|constraint|limitation|prohibition|that)\s+(?:is|was|has\s+been|got)\s+(?:now\s+|since\s+|meanwhile\s+)?(?:lifted|dropped|gone|off\s+again|void|obsolete)\b"
)
"""Takes back a ban or a degree that stands before it."""
_REALISTIC = compiled(
    r"\b(?:is|are|would|was)\s+[^?]{0,60}\b(?:realistic|feasible|achievable|attainable|typical|normal|reasonable|acceptable|possible|plausible|good|bad|too\s+\w+|realistisch|réaliste|realista)\s*\?"
)
_MEASURES = compiled(
    r"(?<![\w.])\d+(?:[.,]\d+)?\s?(?:ms|milliseconds?|s|sec|seconds?|(?:tok(?:en)?s?|t)\s*(?:/|per|a)\s*s(?:ec(?:ond)?)?)\b(?:\s*(?:/|per|a|each)\s*(?:output\s+)?tok(?:en)?s?\b)?"
)
_RUNS_NOW = compiled(
    rf"\b{_TODAY}\b[^.;\n!?]{{0,40}}?\b(?:{_RUNS}|gets?|getting|takes?|sees?|seeing|reach\w*|achiev\w*|manages?|at)\b|\b(?:(?:tp|pp|ep|dp)[\s=-]*\d{{1,3}}|it|this|that|which|set-?up|config\w*)\s+(?:gives?|gave|gets?|yields?)\s+(?:me|us)\b(?=[^.;,\n]{{0,12}}\d)|\b(?:{_RUNS}|gets?|takes?|sees?)\b[^.;\n!?,]{{0,60}}?\b{_TODAY}\b"
)


def without_measures(text: str, notes: Notes) -> str:
    """The text without times and speeds that are asked about (`is 60 ms realistic?`) or told of how it runs today."""
    for sentence in list(_SENTENCE.finditer(text)):
        start, end = sentence.span()
        asked = _REALISTIC.search(text, start, end)
        told = None if asked is not None else _RUNS_NOW.search(text, start, end)
        if asked is None and told is None:
            continue
        wish = _WISH.search(text, told.end(), end) if told is not None else None
        for match in list(_MEASURES.finditer(text, start, wish.start() if wish is not None else end)):
            notes.assume(f"ignored: `{match.group()}` (a measure, or asked about: no limit)")
            text = text[: match.start()] + EATEN * len(match.group()) + text[match.end() :]
    return text


_CHOICES = (*DEGREES, *BANS, *OPEN_DEGREES, *ENGINES, *SERVINGS, *DTYPES)
_WEIGHABLE = (*DEGREES, *OPEN_DEGREES, *ENGINES, *SERVINGS, *DTYPES)
"""What a call for opinions leaves open; a ban before it (`no pipeline parallelism. Ideas?`) holds."""


_OPINION = compiled(
    r"^\W*(?:so\W+|and\W+|but\W+)?(?:which\s+(?:one|of\s+(?:the\s+|these\s+|those\s+)?(?:two|both|them|these|those))\b|what\s+(?:do|would)\s+(?:you|u)\s+(?:think|recommend|suggest|say|do)|(?:any\s+)?(?:thoughts|opinions|ideas|advice)\b|who(?:'s|\s+is)\s+right|what(?:'s|\s+is)\s+(?:better|best)\s*\?|was\s+ist\s+besser|welche[rs]?\s+ist\s+besser|qu'en\s+penses|lequel\s+est|cuál\s+es\s+mejor|qué\s+opinas)"
)
"""A question about what the sentence before it weighed."""


A_NAME = 3
"""Words of a sentence that only names something: it weighs nothing."""


def _weighed(text: str, named: Sequence[SPAN]) -> Iterator[SPAN]:
    """Sentences whose choices the next one asks an opinion of."""
    sentences = [m.span() for m in _SENTENCE.finditer(text)]
    for (start, end), (low, high) in pairwise(sentences):
        settled = _BINDING.search(text, start, end) is not None
        own = any(pattern.search(text, low, high) for pattern in _CHOICES)
        if (
            len(text[start:end].split()) > A_NAME
            and text[low:high].endswith("?")
            and _OPINION.match(text[low:high])
            and not settled
            and not own
        ):
            yield from [(start, end)] if not any(start <= a < end for a, _ in named) else []


SHORT = 6
"""Words of a sentence that only says that the one before is no wish."""


def _soft(text: str) -> Iterator[SPAN]:
    """Sentences that leave the choice to the plan, with the one before where they say nothing else (`You decide.`)."""
    before: SPAN | None = None
    for sentence in _SENTENCE.finditer(text):
        words = sentence.group()
        if _SOFT.search(words) is not None and _MUST.search(words) is None and _THE_REST.search(words) is None:
            if before is not None and len(words.split()) <= SHORT and _MUST.search(text, *before) is None:
                yield before
            yield sentence.span()
        before = sentence.span() if words.strip() else before


def soft(text: str) -> list[SPAN]:
    """Sentences that leave the choice to the plan."""
    asked = [m.span() for m in _SENTENCE.finditer(text) if is_asked(m.group()) and _DELIBERATES.search(m.group())]
    return [*_soft(text), *asked]


def _undecided(text: str) -> Iterator[SPAN]:
    """What sentences say of a choice that is not made, with the one before where they say nothing else, or the one behind where they name nothing."""
    sentences = [m for m in _SENTENCE.finditer(text) if m.group().strip()]
    for at, sentence in enumerate(sentences):
        words = sentence.group()
        open_at = _UNDECIDED.search(words)
        if open_at is None:
            continue
        if at and len(words.split()) <= SHORT and _MUST.search(text, *sentences[at - 1].span()) is None:
            yield sentences[at - 1].span()
        leans = _LEANS.search(words, 0, open_at.start())
        clause = max((m.end() for m in _PARTS.finditer(words, 0, open_at.start())), default=0)
        near = len(words[clause : open_at.start()].split()) <= SHORT
        start = sentence.start() + (leans.start() if leans else clause if near else open_at.start())
        yield start, sentence.end()
        if not any(pattern.search(text, start, sentence.end()) for pattern in _WEIGHABLE):
            yield from [m.span() for m in sentences[at + 1 : at + 2] if _FAVOURED.search(m.group())]


_FAVOURED = compiled(
    r"\b(?:favou?rites?|front[- ]?runners?|probably|likely|maybe|perhaps|candidates?|leading|ahead|lean\w*|tend\w*)\b"
)


_GIVEN = compiled(rf"\b(?:in|at|im|en|em)\s+{_DTYPE}(?!\s*(?:or|oder|ou|o)\b)")
"""A precision in which the model of a question is served (`is A enough for B at int8, or ...?`)."""
_SPLIT_ON = compiled(
    rf"\b(?:with|on|in|for|under|mit|avec|con|com|met|pod|engine\W{{1,4}})\s*{_ENGINE}\b|\b{_ENGINE}\s?(?:으\s?로|로)(?=\s)|\b{_ENGINE}\s?(?:で|上)"
)
"""An engine that a question takes for granted: `how do I split it with vLLM?`."""
_ONE_ENGINE = compiled(rf"\b{_ENGINE}\b")


def _around_given(text: str, span: SPAN, named: Sequence[SPAN]) -> Iterator[SPAN]:
    """The parts of a question beside what it says of the model that it names."""
    start, end = span
    given = list(_GIVEN.finditer(text, start, end)) if any(start <= a < end for a, _ in named) else []
    if len({m.group().lower() for m in _ONE_ENGINE.finditer(text, start, end)}) == 1:
        given += _SPLIT_ON.finditer(text, start, end)
    for match in sorted(given, key=lambda match: match.start()):
        yield start, match.start()
        start = match.end()
    yield start, end


def _wondered(text: str, named: Sequence[SPAN]) -> Iterator[SPAN]:
    """Sentences, or what is left of them, that ask which choice is right."""
    for sentence in _SENTENCE.finditer(text):
        words = sentence.group()
        if _BINDING.search(words) is not None:
            continue
        maybe = _MAYBE.search(words)
        if maybe is not None and any(p.search(words, maybe.start(), maybe.end() + MAYBE_REACH) for p in DEGREES):
            yield sentence.start() + maybe.start(), sentence.end()
            continue
        wonders = _WONDERS.search(words)
        names = any(sentence.start() <= a < sentence.end() for a, _ in named)
        deliberates = _DELIBERATES.search(words) if words.endswith("?") else None
        if (
            deliberates is not None
            and not (names and "about" in deliberates.group())
            and not _PLAN_SOUGHT.search(words)
        ):
            yield sentence.span()
        elif deliberates is not None and names and _WORTH.search(words):
            first = min(a for a, _ in named if sentence.start() <= a < sentence.end())
            yield sentence.start(), first
        elif wonders is not None:
            unsure = _COULD_BE.search(words)
            start = min(wonders.start(), unsure.start()) if unsure is not None else wonders.start()
            asked = _INVERTED.match(words) if words.endswith("?") and not names else None
            yield sentence.start() + (0 if asked is not None else start), sentence.end()
        elif is_asked(words) and _POLITE.search(words) is None:
            start = _asked_from(words)
            span = sentence.start() + start, sentence.end()
            if start < len(words) and not any(span[0] <= a < span[1] for a, _ in named):
                yield span


def _asked_from(words: str) -> int:
    """Where the question of a sentence starts that ends in a question mark; its length when it asks for the plan itself."""
    inverted = [m.start() for m in _INVERTED.finditer(words)]
    if inverted:
        return inverted[-1]
    if _SOUGHT.search(words) is not None:
        return len(words)
    clause = max((m.end() for m in _PARTS.finditer(words)), default=0)
    return clause if len(words[clause:].split()) <= MOST_WORDS else len(words)


_PARTS = re.compile(r"[,;:(\n](?=\s{0,3}\S)|\s-\s")


_COMMAND = compiled(
    r"(?:\bvllm\s+serve|\bpython3?\s+-m|\btrtllm-serve|\bdocker\s+run|\btorchrun|\bmpirun|\bsglang\s+serve)\b[^\n]*(?:\\\n[^\n]*){0,12}"
)
_NOW = compiled(
    r"\b(?:currently|today|right\s+now|at\s+the\s+moment|so\s+far|existing|current|nowadays|for\s+now|now|until\s+now|we\s+(?:run|launch|start|use|have))\b"
)
COMMAND_LEAD = 160
"""Characters before a command within which the line before it says that it is today's."""
_THAT_IS_NOW = compiled(
    r"\b(?:that(?:'s|\s+is)|this\s+is|those\s+are|above\s+is|the\s+above\s+is)\s+(?:\w+\s+)?(?:what|how|the\s+(?:command|config\w*|set-?up|line))\s+we\s+(?:currently\s+|now\s+)?(?:run|start|launch|serve|use|deploy|have|do)\b"
)
"""Points back at a command or a configuration: it is how it runs now."""


def _past_and_present(text: str) -> Iterator[SPAN]:
    """From where a sentence begins to tell how it was or is, to where it says what is wanted."""
    yield from ((0, match.start()) for match in list(_THAT_IS_NOW.finditer(text))[:1])
    for match in _COMMAND.finditer(text):
        lead = text[max(0, match.start() - COMMAND_LEAD) : match.start()].rstrip().rpartition("\n")[2]
        if _NOW.search(lead) is not None:
            yield match.span()
    yield from (clause.span() for clause in _CLAUSE.finditer(text) if _TOLD_HAN.search(clause.group()))
    for sentence in _SENTENCE.finditer(text):
        told = _TOLD.search(sentence.group())
        if told is None:
            continue
        words = sentence.group()
        start = max((m.end() for m in _BEFORE.finditer(words, 0, told.start())), default=0)
        if _MUST.search(words, start, told.start()) is not None:
            continue
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
