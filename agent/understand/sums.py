"""Numbers that a text works out by itself: stated sums, parts of a prompt of which one is cached, mixes of two lengths."""

import re

from agent.understand.notes import Notes
from agent.understand.scan import EATEN, compiled

_N = r"\d{1,3}(?:,\d{3})+(?![\d,]*\d)|\d{1,7}(?:\.\d{1,2})?k?"
_SUM = compiled(
    rf"(?<![\w.,])(?:{_N})\b[^\d+.;\n=]{{0,40}}(?:\+\s*(?:[a-z]+\s+){{0,3}}?~?(?:{_N})\b[^\d+.;\n=]{{0,40}}?){{1,4}}(?:=|,?\s*(?:so|thus|hence|makes|making|i\.e\.|that'?s|which\s+is|gives?|giving|->|=>)\s+(?:about\s+|~)?)\s*(?P<total>{_N})\b(?P<unit>\s*tok(?:en)?s?\b)?"
)
_TERM = compiled(rf"(?<![\w.,])(?:{_N})\b")
_READ = compiled(
    r"\b(?:prompts?|inputs?|isl|contexts?|history|system|question|user|documents?|chunks?|instructions?)\b"
)
_SUMMED = compiled(
    rf"(?<![\w.,])(?P<total>{_N})(?:\s*(?:prompt\s+|input\s+)?tok(?:en)?s?)?\s+(?:in\s+(?:all|total)|altogether|all\s+told|overall|together)\b"
)
_CACHED = compiled(r"\b(?:cach\w*|prefix\w*)\b")
_FIXED = compiled(
    r"\b(?:same|system|fixed|shared|common|identical|constant|prefix|cached|preamble|instructions?|handbook)\b"
)
_CACHED_AND_OWN = compiled(
    rf"(?<![\w.,])(?P<a>{_N})[- ]?tok(?:en)?s?[- ](?:of\s+)?(?:(?:cached|shared|fixed|common|identical|static|always|the|same)\s+){{0,3}}(?:system|shared|common|cached|fixed)\s+(?:prompt|prefix|preamble|block|instructions?|part)[^.;\n\d]{{0,60}}?(?:\+|\bplus\b|\band\b|\bthen\b)[^.;\n\d]{{0,24}}?(?P<b>{_N})[- ]?tok(?:en)?s?\b[^.;\n\d]{{0,24}}?\b(?:questions?|user|message|query|turn|own|new|input|request)\b(?:\s+(?:message|part|input|turn))?"
)
REACH = 320
"""Characters before a stated sum within which its parts stand."""
_PIECES = compiled(
    r"(?<![\w.,])(?P<n>[2-9]|[1-4]\d)\s*(?:x\s*)?(?:retrieved\s+|top\s+|rag\s+)?(?:chunks?|passages?|snippets?|excerpts?|paragraphs?|few-?shot\s+examples?|examples?|shots?|hits)\s*(?:of|x|à|a|at|with|,|each|@)?\s*(?:(?:about|around|some|roughly|~)\s*)?(?P<m>\d{2,4})(?:\s*tok(?:en)?s?)?(?:\s+each)?\b(?!\s*(?:ms|s\b|gb))"
)
"""`4 chunks of 600 tokens`."""
_ALIKE = r"(?:system|shared|common|fixed|static|base|constant|instruction|policy|standing)"
_THING = r"(?:prompts?|prefix|preamble|instructions?|block|part|header|handbook|policy|context|guidelines?)"
_ON_TOP = compiled(
    rf"\b{_ALIKE}\s+{_THING}\b[^.;\n\d]{{0,30}}?(?P<a>{_N})(?:[- ]?tok(?:en)?s?)?(?P<mid>[^\d\n]{{1,140}}?)(?P<b>{_N})(?:[- ]?tok(?:en)?s?\b)?(?P<tail>\s+(?:(?:more|extra|additional|further)\b|(?:tokens\s+)?(?:on\s+top|in\s+addition|more|extra|of\s+their\s+own)(?:\s+of\s+(?:that|it|this))?))?"
    rf"|(?<![\w.,])(?P<c>{_N})[- ]?tok(?:en)?s?\s+(?:of\s+)?(?:an?\s+|the\s+)?{_ALIKE}\s+{_THING}\b(?P<between>[^\d\n]{{1,140}}?)(?P<d>{_N})(?:[- ]?tok(?:en)?s?\b)?(?P<end>\s+(?:(?:more|extra|additional|further)\b|(?:tokens\s+)?(?:on\s+top|in\s+addition|of\s+their\s+own)(?:\s+of\s+(?:that|it|this))?))?"
)
"""A system prompt and what comes on top of it."""
_PART = r"(?:instructions?|system\s+prompt|prefix|preamble|contexts?|history|tickets?(?:\s+text)?|questions?|query|queries|documents?|docs|chunks|passages|snippets|examples?|shots|(?:user|customer)(?:'?s)?\s+(?:text|input|message|question|part|query)|tool\s+(?:definitions?|schemas?|specs?)|schemas?|transcripts?|emails?|code|files?|boilerplate|few-?shot|guidelines?|rules?|policy|retrieved\s+\w+|message)"
_AND_PARTS = compiled(
    rf"(?<![\w.,])(?P<a>{_N})(?:[- ]?tok(?:en)?s?)?\s+(?:of\s+)?(?P<what>(?:[a-z]{{2,12}}[- ]+){{0,3}}?{_PART})\b(?P<mid>[^.;\n\d]{{0,48}}?)(?P<join>\+|\bplus\b|\band\b|&)\s*(?:(?:an?|the|about|around|some|another|roughly|~|of)\s*){{0,3}}(?P<b>{_N})(?P<tok>[- ]?tok(?:en)?s?)?\s+(?:(?:of|for|from)\s+)?(?:(?:the|a|an|actual|own|new)\s+)?(?:[a-z]{{2,12}}[- ]+){{0,2}}?{_PART}\b"
)
"""`2,000 tokens of instructions and 1,000 tokens of ticket text`: one prompt."""
_KIND = (
    r"(?:visual|vision|image|text|audio|video|system|user|question|context|history|prompt|input|document|retrieved|rag)"
)
_PLUS_TOKENS = compiled(
    rf"(?<![\w.,])(?P<a>{_N})\s*(?P<what>{_KIND})[- ]tok(?:en)?s?(?P<mid>\s*)(?:\+|\bplus\b|\band\b|&)\s*(?:(?:an?|the|about|around|some|another|roughly|~)\s*){{0,3}}(?P<b>{_N})\s*{_KIND}[- ]tok(?:en)?s?\b"
)
"""`1,600 visual tokens + 250 text tokens`."""
_AND_PARTS_OF = compiled(
    rf"(?<![\w.,])(?P<a>{_N})(?:[- ]?tok(?:en)?s?)?\s+(?:of\s+)?(?P<what>(?:[a-z]{{2,12}}[- ]+){{0,3}}?{_PART})\b(?P<mid>[^.;\n\d]{{0,24}}?)(?:\+|\bplus\b)\s*(?:[a-z]{{1,12}}\s+){{0,5}}?{_PART}(?:\s+and\s+(?:[a-z]{{1,12}}\s+)?{_PART})?\s+(?:of|with|at|being|is)\s+(?:(?:about|around|some|another|roughly|~)\s*){{0,2}}(?P<b>{_N})(?:[- ]?tok(?:en)?s?)?\b"
)
"""`2800 tokens of passages, plus a question and instructions of about 400 tokens`."""
_MIX = compiled(
    rf"(?<![\w.])(?P<p>\d{{1,2}})\s?%[^()%\n]{{0,40}}?\(?\s*(?P<a>{_N})(?:\s*tok\w*)?\s*in\s*[/,;]\s*(?P<b>{_N})(?:\s*tok\w*)?\s*out\s*\)?\s*(?:[,;]|and|&)\s*(?:and\s+)?(?P<q>\d{{1,2}})\s?%[^()%\n]{{0,40}}?\(?\s*(?P<c>{_N})(?:\s*tok\w*)?\s*in\s*[/,;]\s*(?P<d>{_N})(?:\s*tok\w*)?\s*out\b\s*\)?"
)
"""`60% short chats (800 in / 200 out), 40% documents (6,000 in / 400 out)`."""
_ADDS = compiled(
    r"\b(?:adds?|adding|plus|on\s+top|additional(?:ly)?|extra|in\s+addition|comes?\s+on|followed\s+by|then\s+(?:the|a)|another|further)\b|\+"
)
_FROM_USER = compiled(
    r"\b(?:users?|questions?|message|query|turn|own|input|request|documents?|customer|citizen|caller|patient|client|chunks?|passages?|snippets?|context|rest|variable|individual|actual|per[- ]request|rag|retriev\w+|history|ticket|email)\b"
)
_ANSWERED = compiled(
    r"\b(?:out|outputs?|answers?|repl(?:y|ies)|respon[sc]es?|completions?|generat\w+|returns?|summar\w+|cached?)\b"
)
_SAME = compiled(
    r"\b(?:same\s+(?:for|in|on|every|across|each|all)|identical|shares?|shared|cached?|caching|never\s+changes?|unchang\w+|(?:doesn'?t|does\s+not)\s+change|constant|common\s+to|every(?:body|one)|reused|static|fixed)\b"
)
_HALF = compiled(
    rf"\bhalf\s+(?:of\s+)?(?:(?:the|our|all|these|those)\s+)?(?:\w+\s+){{1,2}}?(?:have|has|are|carry|come|with|of|at|about|around|take|use|\s){{1,4}}(?P<a>{_N})(?P<unit>[^.;\n\d]{{0,32}}?)(?:[,;]|\band\b|\bwhile\b)\s*(?:(?:and|while|but)\s+)?(?:the\s+)?(?:other|second|remaining)\s+(?:half|ones|50\s?%)?\s*(?:of\s+\w+\s+)?(?:(?:have|has|are|carry|come|with|of|at|about|around|take|use|only|some)\s+){{0,4}}(?P<b>{_N})\b"
)
_SHARES = compiled(
    rf"(?<![\w.])(?P<p>\d{{1,2}})\s?%[^.;\n\d%]{{0,40}}?(?<![\w.,])(?P<a>{_N})(?P<unit>\s*(?:prompt\s+|input\s+|output\s+)?tok(?:en)?s?\b[^.;\n\d%]{{0,24}}?)(?:[,;]|\band\b|\bwhile\b)[^.;\n\d%]{{0,24}}?(?<![\w.])(?P<q>\d{{1,2}})\s?%[^.;\n\d%]{{0,40}}?(?<![\w.,])(?P<b>{_N})\b"
)
"""`70% have 1000 tokens, 30% have 5000`."""


_MEGATOKENS = compiled(r"(?<![\w.,])(?P<n>\d{0,3}\.\d{1,6})\s*(?:mega[- ]?|million\s+)tok(?:en)?s\b")
_MINUTES = compiled(
    r"(?<![\w.,])\d{0,3}\.\d{1,6}\s*min(?:ute)?s?\s*\(\s*(?:=\s*)?(?P<same>\d[\d.]{0,6}\s*(?:ms|s|seconds?))\s*\)"
)
"""Units that nobody plans in."""


def with_plain_sums(text: str, notes: Notes) -> str:
    """The text with every sum, part and mix as the one number that the plan needs."""
    text = _MEGATOKENS.sub(lambda m: f"{float(m['n']) * 1e6:g} tokens", _MINUTES.sub(r"\g<same>", text))
    text = _MIX.sub(lambda m: _mix(m, notes), text)
    text = _PIECES.sub(lambda m: _pieces(m, notes), text)
    text = _SUM.sub(lambda m: _summed(m, notes), text)
    text = _ON_TOP.sub(lambda m: _on_top(m, notes), text)
    text = _CACHED_AND_OWN.sub(lambda m: _joined(m, notes), text)
    text = _PLUS_TOKENS.sub(lambda m: _parts(m, notes), text)
    text = _AND_PARTS_OF.sub(lambda m: _parts(m, notes), text)
    text = _AND_PARTS.sub(lambda m: _parts(m, notes), text)
    text = _with_cached_part(text, notes)
    text = _HALF.sub(lambda m: _mixed(m, 0.5, notes), text)
    text = _EACH_SENDS.sub(lambda m: _sent(m, notes), text)
    text = _ACTIVE.sub(lambda m: _active(m, notes), text)
    return _SHARES.sub(
        lambda m: _mixed(m, int(m["p"]) / 100, notes) if int(m["p"]) + int(m["q"]) == 100 else m.group(), text
    )


def _amount(words: str) -> float:
    return float(words.rstrip("k").replace(",", "")) * (1000 if words.endswith("k") else 1)


def _summed(match: re.Match[str], notes: Notes) -> str:
    """A sum that is right, as its result; what was added is named where its terms say so."""
    terms = [_amount(one.group()) for one in _TERM.finditer(match.string, match.start(), match.start("total"))]
    total = _amount(match["total"])
    if abs(sum(terms) - total) > 0.02 * total:
        return match.group()
    notes.assume(f"`{' '.join(match.group().split())[:80]}` read as {total:g}")
    named = _READ.search(match.group()) is not None and "out" not in match.group().lower()
    return f"{'prompt of ' if named else ''}{total:g}{match['unit'] or ' tokens' if named else match['unit'] or ''}"


def _pieces(match: re.Match[str], notes: Notes) -> str:
    """What several equal pieces have together; a piece that stands alone is no part of a prompt."""
    total = int(match["n"]) * int(match["m"])
    notes.assume(f"`{' '.join(match.group().split())}` read as {total} tokens of the prompt")
    return f"{total} tokens of context"


def _on_top(match: re.Match[str], notes: Notes) -> str:
    """A shared part of a prompt and what is added to it, as one prompt; cached where the text says that it is the same for all."""
    part, own = _amount(match["a"] or match["c"]), _amount(match["b"] or match["d"])
    between = f"{match['mid'] or match['between']}{match['tail'] or match['end'] or ''}"
    if not _ADDS.search(between) or not _FROM_USER.search(between) or _ANSWERED.search(between.replace("cached", "")):
        return match.group()
    if min(part, own) < 16:
        return match.group()
    if _SAME.search(match.group()) or _SAME.search(match.string, match.end(), match.end() + 60):
        return _prompt(part, part + own, match.group(), notes)
    notes.assume(f"`{' '.join(match.group().split())[:80]}`: prompts of {part + own:g} tokens")
    return f"prompt of {part + own:g} tokens"


def _parts(match: re.Match[str], notes: Notes) -> str:
    """Two parts of a prompt as the whole; the first one is cached where it is said to be the same for all."""
    part, own = _amount(match["a"]), _amount(match["b"])
    if min(part, own) < 16 or _ANSWERED.search(match["mid"]):
        return match.group()
    if _SAME.search(f"{match['what']}{match['mid']}"):
        return _prompt(part, part + own, match.group(), notes)
    notes.assume(f"`{' '.join(match.group().split())[:80]}`: prompts of {part + own:g} tokens")
    return f"prompt of {part + own:g} tokens"


def _mix(match: re.Match[str], notes: Notes) -> str:
    """The mean lengths of two kinds of requests."""
    share = int(match["p"]) / 100
    if int(match["p"]) + int(match["q"]) != 100:
        return match.group()
    isl, osl = (share * _amount(match[x]) + (1 - share) * _amount(match[y]) for x, y in (("a", "c"), ("b", "d")))
    notes.assume(f"`{' '.join(match.group().split())[:80]}`: {isl:g} in and {osl:g} out on average")
    return f"requests of {isl:.0f} tokens in, {osl:.0f} tokens out"


def _joined(match: re.Match[str], notes: Notes) -> str:
    part, own = _amount(match["a"]), _amount(match["b"])
    return _prompt(part, part + own, match.group(), notes) if own else match.group()


def _prompt(part: float, whole: float, words: str, notes: Notes) -> str:
    notes.assume(f"`{' '.join(words.split())[:80]}`: {part:g} of {whole:g} prompt tokens are cached")
    return f"prompt of {whole:g} tokens, {100 * part / whole:.4g}% prefix cache hit rate"


def _with_cached_part(text: str, notes: Notes) -> str:
    """A stated sum of two parts of a prompt, of which the one that is the same for all is cached."""
    for match in list(_SUMMED.finditer(text)):
        low = max(0, match.start() - REACH)
        total = _amount(match["total"])
        parts = list(_TERM.finditer(text, low, match.start()))
        pair = next(
            (
                (a, b)
                for a in parts
                for b in parts
                if a.start() < b.start() and _amount(a.group()) + _amount(b.group()) == total
            ),
            None,
        )
        if pair is None or _CACHED.search(text, pair[0].start(), match.start()) is None:
            continue
        first, second = (_near(text, one) for one in pair)
        if first == second:
            continue
        part = pair[0] if first else pair[1]
        plain = _prompt(_amount(part.group()), total, text[pair[0].start() : match.end()], notes)
        return text[: pair[0].start()] + EATEN * 3 + " " + plain + text[match.end() :]
    return text


def _near(text: str, number: re.Match[str]) -> bool:
    """Whether words around a number say that what it counts is the same for everybody."""
    return _FIXED.search(text, max(0, number.start() - 40), number.end() + 60) is not None and (
        _OWN.search(text, max(0, number.start() - 24), number.end() + 50) is None
    )


_OWN = compiled(r"\b(?:questions?|user(?:'s)?|different|own|new|varies|varying|unique|another|adds)\b")


_EACH_SENDS = compiled(
    r"(?<![\w.,])(?P<n>\d{1,3}(?:,\d{3})+|\d{1,6})\s+(?P<who>(?:[a-z-]+\s+){0,2}?(?:users?|people|devs?|developers?|engineers?|agents?|seats?|employees?|colleagues?|analysts?|customers?|students?|clinicians?|devices?|cameras?|sensors?|bots?|clients?|workers?))\b[^.;\n\d]{0,24}?\b(?:each|every\s+one(?:\s+of\s+them)?|everyone|apiece)\b[^.;\n\d]{0,24}?\b"
    r"(?:(?P<m>an?|one|\d{1,4})\s+(?:\w+\s+)?(?:requests?|quer(?:y|ies)|calls?|questions?|prompts?|messages?|completions?)\s*(?:every\s+(?P<t>\d{1,4})\s*(?P<u>s(?:ec(?:ond)?)?s?|min(?:ute)?s?|hours?)|(?:per|an?|every|/)\s*(?P<unit>second|minute|hour|day|s\b|min\b)))"
)
"""`120 agents, each triggers a request every 20 seconds`."""
_SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


_A_RATE = compiled(r"\d\s*(?:(?:req(?:uest)?s?|calls|queries)\s*(?:/|per|an?)\s*(?:s|min|hour)|rps|qps|rpm)")


def _sent(match: re.Match[str], notes: Notes) -> str:
    """What all of some people send together, as a rate."""
    each = int(match["m"]) if match["m"].isdigit() else 1
    span = int(match["t"] or 1) * _SECONDS_OF[(match["u"] or match["unit"])[0].lower()]
    if _A_RATE.search(match.string, match.end()) or _A_RATE.search(match.string[: match.start()]):
        return match.group()
    rate = int(match["n"].replace(",", "")) * each / span
    notes.assume(f"`{' '.join(match.group().split())[:80]}`: {rate:.4g} requests per second")
    return f"{rate:.6g} requests per second"


_SHARE_WORDS = {"half": 0.5, "third": 1 / 3, "quarter": 0.25, "fifth": 0.2, "tenth": 0.1}
_ACTIVE = compiled(
    rf"(?<![\w.,])(?P<n>\d{{1,3}}(?:,\d{{3}})+|\d{{1,6}})(?P<who>\s+(?:of\s+(?:them|those)|(?:[a-z-]+\s+){{0,2}}?(?:users?|people|devs?|developers?|engineers?|agents?|seats?|employees?|colleagues?|analysts?|customers?|students?|clinicians?|licen[cs]es?|accounts?|subscribers?)))[\s,;(-]+(?:(?:of\s+(?:whom|which|them|those)|but|and|with|maybe|perhaps|about|around|roughly|at\s+most|only|some|say|typically|usually|up\s+to|~)[\s,]*){{0,5}}"
    rf"(?:(?:an?|one)\s+(?P<part>{'|'.join(_SHARE_WORDS)})|(?P<half>half)|(?P<p>\d{{1,2}})\s?%)(?:\s+of\s+(?:them|those|whom|which|the\s+\w+))?\s+(?:(?:are|is|will\s+be|being|of\s+them)\s+)?(?:active|online|at\s+(?:once|a\s+time|the\s+same\s+time|any\s+\w+)|concurrent\w*|simultaneous\w*|in\s+parallel|busy|working|typing)(?:\s+(?:at\s+(?:once|a\s+time|the\s+same\s+time|any\s+(?:given\s+)?\w+)|simultaneously|concurrently|in\s+parallel))?"
)
"""`70 of them, maybe a third active at once`."""


def _active(match: re.Match[str], notes: Notes) -> str:
    """The part of some people that is there at once, as requests in flight."""
    share = _SHARE_WORDS[match["part"].lower()] if match["part"] else 0.5 if match["half"] else int(match["p"]) / 100
    count = max(1, round(int(match["n"].replace(",", "")) * share))
    notes.assume(f"`{' '.join(match.group().split())[:80]}`: {count} at once")
    return f"{count} concurrent users"


def _mixed(match: re.Match[str], share: float, notes: Notes) -> str:
    """The mean of a mix."""
    mean = share * _amount(match["a"]) + (1 - share) * _amount(match["b"])
    notes.assume(f"`{' '.join(match.group().split())[:80]}`: {mean:g} on average")
    return f"requests have {mean:g}{match['unit']}"
