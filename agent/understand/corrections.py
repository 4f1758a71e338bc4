"""What a text tells of the past, and where it corrects itself: its last words stand."""

import re
from collections.abc import Sequence

from agent.understand.names import Mention, Vocabulary
from agent.understand.notes import Notes
from agent.understand.roles import quantities
from agent.understand.scan import EATEN, compiled

_PAST = compiled(
    r"\b(?:(?<!logs of )(?<!traffic of )(?<!metrics of )(?<!traces of )(?<!numbers of )(?<!data of )last\s+(?:year|month|week|quarter)(?!'s\s+(?:\w+\s+)?(?:logs?|traffic|traces?|metrics|monitoring|stat\w*|data|numbers|telemetry|histogram\w*))|previously|formerly|in\s+the\s+past|until\s+now|so\s+far,?\s+(?:we|it)|up\s+to\s+now|before\s+that|(?:we|it|this|that|there)\s+used\s+to|"
    r"we(?:'ve|'d|\s+have|\s+had)?\s+(?:once\s+|already\s+|first\s+)?(?:ran|had|tried|tested|benchmarked|were\s+running)|früher|bisher|auparavant|antes|nous\s+avons\s+(?:essayé|testé)|hemos\s+probado|abbiamo\s+provato)\b"
    r"(?:[^;.\n]|\.(?=\d)){0,200}?(?:;|[.!](?:\s|$)|\n|$|,?\s*\b(?:but\s+)?(?:now|today|this\s+(?:time|quarter|year|month|week)|jetzt|maintenant|ahora)\b|(?=,?\s*\b(?:so\s+(?=no\b|we\b|please\b|don'?t\b|let\b|weights?\b|it\b|the\b)|(?:(?:and|but|so)\s+)?(?:please\b|(?:we|i)(?:'d|\s+would|\s+now)?\s+(?:want|need|like|plan)\b))))"
)
_ACQUIRED = compiled(
    r"\b(?:bought|received|ordered|purchased|rented|delivered|arrived|installed|acquired|got(?=\s+(?:\w+\s+){0,2}?\d+\s*x?\s*[a-z]{1,2}\d{2,3}))\b"
)
"""What came in the past is there: `last week we got 8 H200`."""
_ATTEMPT = compiled(r"\b(?:ran|tried|tested|benchmarked|used|were\s+running)\b")
ENGINE_NAMES = Vocabulary(
    {
        "vllm": ("v-llm",),
        "sglang": ("sg-lang", "sgl"),
        "trtllm": ("tensorrt-llm", "tensor rt llm", "trt-llm", "tensorrt", "trt"),
    }
)
_MARKER = compiled(
    r"(?<![\s,;.(-])[\s,;.(-]*+(?:\?+[\s-]*(?:no|nope|nah|nee|nein|non|nao|não|нет)\b[\s,;.:!-]*|\b(?:(?:oh|no+|er+|uh+),?\s+wait|no(?=\s*[-:])|wait,?\s+no|scratch\s+that|strike\s+that|correction|sorry|oops|typo|my\s+bad|i\s+mean|i\s+meant|or\s+rather|make\s+(?:that|it)|"
    r"actually|rather|nein|non|perdón|quatsch|ich\s+meine|je\s+veux\s+dire|quiero\s+decir)\b[\s,:;.-]*)+(?:(?:i\s+meant?|i\s+mean|make\s+(?:that|it)|it'?s|that'?s|with|on|over|across|of|is|the|just|plain|regular|normal|vanilla|base|standard)\s+)*"
)
_NUMBER = compiled(
    r"(?<![\w.])(?:\d{1,6}|one|two|three|four|five|six|seven|eight|ten|twelve|sixteen|thirty-two)(?![\w.]*\d)(?!\w)"
)
_GOAL = compiled(r"\b(?:latency|throughput)\b")
_DEGREE = compiled(r"\s*\b(?P<kind>tp|pp|ep|dp|cp)[ =]?\d{1,5}\b")
_DTYPE = compiled(r"(?<![\w-])(?P<dtype>(?:mx|nv)?fp(?:4|8|16)|bf16|int[48]|awq|gptq)\b")
_COUNT_AHEAD = re.compile(rf"\s*(?:{_NUMBER.pattern})?\s*(?:x\b)?\s*$", re.IGNORECASE)
_COUNT_BEFORE = re.compile(rf"(?:{_NUMBER.pattern})\s*(?:x\s*)?$", re.IGNORECASE)


_KEPT = compiled(r"\bwants?\s+to\s+keep\b|\bplease\s+keep\b|\bmust\s+stay\b|\bto\s+stay\b")
"""What was so before and shall stay so."""


def without_past(text: str, models: Vocabulary, notes: Notes) -> str:
    """The text without what it says was so before (`last year we ran X; now ...`); a model that is named nowhere else stays."""

    def forget(match: re.Match[str]) -> str:
        words = match.group()
        if "again" in words.lower() or _KEPT.search(words) or (_ACQUIRED.search(words) and not _ATTEMPT.search(words)):
            return words
        if any(c.isdigit() for c in words):
            notes.assume(f"ignored: `{' '.join(words.split())[:80]}` (told as past)")
        return EATEN * len(words)

    left = _PAST.sub(forget, text)
    for mention in models.mentions(text)[-1:] if left != text and not models.mentions(left) else ():
        start, end = mention.span
        left = left[:start] + text[start:end] + left[end:]
    return left


def corrected(text: str, vocabularies: Sequence[Vocabulary], notes: Notes) -> str:
    """The text with its last words where it corrects itself: `8, no wait, 16 H100` is `16 H100`."""
    text = _HOSTS_RECOUNTED.sub(lambda m: _recounted(m, notes), text)
    text = _NO_BUT.sub(lambda m: _replaced(m, notes), _TIMES.sub(lambda m: _replaced(m, notes), text))
    text = _OTHER_UNIT.sub(
        lambda m: f"{m['n']} {m['what']} per {m['unit']}", _RETYPED.sub(lambda m: _blanked(m, notes), text)
    )
    text = _ONLY_SO_MANY.sub(lambda m: _revised(m, notes), _OF_THOSE.sub(lambda m: _revised(m, notes), text))
    text = _GROWING.sub(lambda m: _revised(m, notes), text)
    for pattern in _TURNED:
        text = pattern.sub(lambda m: _turned(m, notes), text)
    for _ in range(3):
        text = _REVISED.sub(lambda m: _revised(m, notes), text)
    text = _SCRAPPED.sub(lambda m: _replaced(m, notes), _DECIDED.sub(lambda m: _decided(m, notes), text))
    text = _came_out(_fewer(text, notes), vocabularies, notes)
    text = _reversioned(_undenied(text, vocabularies, notes), vocabularies[0], notes)
    for _ in range(4):
        match = next((m for m in _MARKER.finditer(text) if _corrects(text, m, vocabularies) is not None), None)
        if match is None:
            return text
        swapped = _swapped(text, match, vocabularies)
        if swapped is not None:
            notes.assume(f"`{' '.join(text[match.start() : match.end() + 24].split())}`: read what was said last")
            text = swapped
            continue
        start = _corrects(text, match, vocabularies)
        assert start is not None
        notes.assume(f"`{' '.join(text[start : match.end() + 12].split())}`: read what was said last")
        text = text[:start] + _with_noun(text[start : match.start()], text[match.end() :], vocabularies)
    return text


_HOST_NOUN = r"(?:nodes|hosts|servers|machines|boxes|racks|trays)"
_HOSTS_RECOUNTED = compiled(
    rf"(?<![\w.,])(?P<old>\d{{1,3}})(?P<mid>\s*x?\s*(?:[a-z]{{1,2}}\d{{1,3}}\w{{0,3}}\s+)?{_HOST_NOUN}\b[^.;\n]{{0,40}}?)[\s.,;(-]+(?:sorry|no\s+wait|wait|oops|actually|correction|i\s+mean|make\s+that|scratch\s+that)[\s,:-]+(?:it'?s\s+|only\s+|just\s+|make\s+(?:that|it)\s+)*(?P<new>\d{{1,3}})\s+{_HOST_NOUN}\b"
)
"""`4 H100 nodes of 8... sorry, 3 nodes`."""
_BARE_NUMBER = re.compile(r"\s*(?P<n>\d{1,6})\s*(?=$|[-.,;:!?()\n]|\sso\b|\ssince\b|\sbecause\b|\sas\b)")


def _recounted(match: re.Match[str], notes: Notes) -> str:
    """The hosts as they were counted last, with what was said of each."""
    notes.assume(f"`{' '.join(match.group().split())}`: read what was said last")
    return f"{match['new']}{match['mid']}"


def _with_noun(old: str, new: str, vocabularies: Sequence[Vocabulary]) -> str:
    """A new number with the name that the old one counted, where it has none of its own (`8 H100, sorry, it's 4`)."""
    number = _BARE_NUMBER.match(new)
    if number is None:
        return new
    named = [m for vocabulary in vocabularies for m in vocabulary.mentions(old)]
    words = old[named[0].span[0] : named[0].span[1]] if len(named) == 1 else ""
    return f"{number['n']} {words}{new[number.end() :]}" if words and any(c.isdigit() for c in words) else new


_OUTCOME = compiled(
    r"(?<![\s,;.(?-])[\s,;.(?-]*+\b(?:(?:(?:oh|no|but|and|then|so|now|wait|actually|finally|eventually|later|instead|in\s+the\s+end)[\s,;-]+){0,5}(?:(?:the\s+|our\s+)?[a-z]{1,14}\s+)??(?:(?:have|has|had|then|finally|eventually|since|now|only|just)\s+){0,3}"
    r"(?:settled\s+(?:on|for)|decided\s+(?:on|for|to\s+(?:use|take|go\s+with))|agreed\s+on|ended\s+up\s+(?:with|on|getting|using|buying)|came\s+(?:back|out|through)\s+with|came\s+up\s+with|wound\s+up\s+with|landed\s+(?:on|with)|went\s+(?:with|for)|switched\s+(?:over\s+)?to|moved\s+(?:over\s+)?to|"
    r"(?:only|just)\s+(?:got|gave\s+us|delivered|approved|received|granted)|got\s+only)|instead\s+(?:we|they|i)\s+(?:have|got|use|took|bought|received)|(?:we|they|i)\s+(?:have|got|received)\s+(?=[^.;\n]{1,30}\binstead\b))"
    r"\s+(?:(?:the|an?|some|plain|only|just|with)\s+)*"
)
"""What it came to, behind what was planned: `we settled on`, `but only got`, `instead they have`."""
_WANTED_FIRST = compiled(
    r"\?|\b(?:plan(?:ned|ning)?|want(?:ed|ing)?|asked|order(?:ed)?|hop(?:ed|ing)|request(?:ed)?|applied|consider(?:ed|ing)?|thought|thinking|intend(?:ed)?|wish(?:ed)?|meant|looked|looking|aim(?:ed|ing)?|expect(?:ed)?|budgeted|first|initially|originally|evaluated|tried|would\s+have|should\s+have|supposed)\b"
)
_TOLD_COUNT = re.compile(rf"(?:{_NUMBER.pattern})\s*(?:x\s*)?$", re.IGNORECASE)
_INSTEAD = compiled(r"\s+instead\b")


def _came_out(text: str, vocabularies: Sequence[Vocabulary], notes: Notes) -> str:
    """The text with what it came to in place of what was planned: `planned on H100 but only got H200` is about H200."""
    for marker in _OUTCOME.finditer(text):
        base = max(0, marker.start() - LOOK_BACK)
        before, after = text[base : marker.start()], text[marker.end() : marker.end() + 60]
        sentences = before[-160:]
        for vocabulary in vocabularies if _WANTED_FIRST.search(sentences + text[marker.start() : marker.end()]) else ():
            new = next((m for m in vocabulary.mentions(after) if _COUNT_AHEAD.match(after[: m.span[0]])), None)
            old = vocabulary.mentions(before)
            if new is None or not old:
                continue
            notes.assume(
                f"`{' '.join((before[old[-1].span[0] :] + text[marker.start() : marker.end() + new.span[1]]).split())[:100]}`: read what it came to"
            )
            return text[:base] + _in_place(before, after, (old, new.span), text[marker.end() + 60 :])
    return text


def _in_place(before: str, after: str, places: tuple[Sequence[Mention], tuple[int, int]], rest: str) -> str:
    """The new name (with its own count, or else with the old one's) where the last old name stood; older names are gone."""
    mentions, (start, end) = places
    old_start, old_end = mentions[-1].span
    if after[:start].strip():
        count = _TOLD_COUNT.search(before[:old_start])
        old_start = count.start() if count is not None else old_start
        start = 0
    for mention in mentions[:-1]:
        a, b = mention.span
        before = before[:a] + EATEN * (b - a) + before[b:]
    behind = _INSTEAD.sub("", after[end:], count=1) if _INSTEAD.match(after[end:]) else after[end:]
    return before[:old_start] + after[start:end] + before[old_end:] + " " + behind + rest


_FEWER = compiled(
    r"\b(?:plan(?:ned)?|want(?:ed)?|asked|ordered|hoped|requested|applied|wished|budgeted)\b[^.;\n\d]{0,24}(?P<old>\d{1,5})(?P<noun>\s*x?\s*(?:[a-z]{1,2}\d{2,3}\w{0,3}|gpus?|cards?|nodes?|servers?|hosts?|machines?)\b[^.;\n\d]{0,20}?)"
    r"[\s,;-]*\b(?:but|and)\b[^.;\n\d]{0,30}?\b(?:got|received|approved|granted|delivered|came\s+back\s+with|ended\s+up\s+with|given)\s+(?:only\s+|just\s+|us\s+)*(?P<new>\d{1,5})(?=\s*(?:[.,;:)\n]|$|of\s+them))(?:\s*of\s+them)?"
)
"""`we asked for 32 H100 but only got 16`."""


def _fewer(text: str, notes: Notes) -> str:
    return _FEWER.sub(lambda m: _replaced(m, notes), text)


_MORE_BETWEEN = re.compile(r"[,.;\n]\s[^\x1f]*\d")


def _swapped(text: str, marker: re.Match[str], vocabularies: Sequence[Vocabulary]) -> str | None:
    """The text with a corrected name in the old one's place, when more was said between the two (`V3.1, 8 H200. Make that R1`)."""
    base = max(0, marker.start() - LOOK_BACK)
    before, after = text[base : marker.start()], text[marker.end() : marker.end() + 60]
    for vocabulary in vocabularies:
        new = next((m for m in vocabulary.mentions(after) if _COUNT_AHEAD.match(after[: m.span[0]])), None)
        old = vocabulary.mentions(before) if new is not None else []
        gap = before[old[-1].span[1] :] if old else ""
        another = any(v is not vocabulary and v.mentions(gap) for v in vocabularies)
        if new is not None and old and (another or _MORE_BETWEEN.search(gap)):
            return text[:base] + _in_place(before, after, (old[-1:], new.span), text[marker.end() + 60 :])
    return None


_SCRAPPED = compiled(
    r"\b(?:forget|ignore|scrap|disregard|never\s+mind|not\s+counting)\b[^.;\n\d]{0,40}?(?P<old>\d{1,9})(?P<noun>[^.;\n\d]{0,24}?)[\s,:;-]+(?:it'?s|it\s+is|they\s+are|now|make\s+(?:that|it)|use|take|we\s+(?:need|have|want|are))\s+(?:now\s+)?(?P<new>\d{1,9})\b"
)
"""`forget the earlier number of 64 users, it is 24`."""
_NO_BUT = compiled(
    r"(?<![\w.])(?P<old>\d{1,6})(?P<noun>\s*x?\s*[a-z][\w-]{0,12}(?:\s+[a-z]\w{0,12})?)\s*\?+\s*(?:no|nope|nah|nein|non)\b[,!.\s]+(?P<new>\d{1,6})(?![\w.]*\w)"
)
"""`36 B200s? no, 32.`"""
_TIMES = compiled(
    r"(?<![\w.,])(?P<old>\d{1,4})(?P<noun>(?:\s?x\s?(?:nvidia\s+|amd\s+)?[a-z]{1,7}|\s+(?:nvidia\s+|amd\s+)?[a-z]{1,3}\d{2,3})[\w-]{0,14}(?:[\s(-]{1,2}(?:\d{2,3}\s?gb?|sxm\d?|pcie|nvl|ada|pro|\d{4}|gpus?|cards?)\)?){0,4})[\s,.;(-]+(?:(?:no|oh|wait|sorry|oops|actually|rather|i\s+mean|i\s+meant|correction|make\s+(?:that|it)|scratch\s+that|it'?s)[\s,:;-]+){1,4}(?P<new>\d{1,4})\s?x?(?=\s*(?:[;!)\n]|[,.](?!\d)|$))"
)
"""`4x A100 80GB... sorry, 8x`."""
_OTHER_UNIT = compiled(
    r"(?<![\w.,])(?P<n>\d+(?:[.,]\d+)*)\s*(?P<what>req\w*|queries|calls|prompts|messages)\s*(?:/|per|a)\s*(?:s|sec(?:ond)?|min(?:ute)?|h(?:our)?)\b[\s.,;(-]*\b(?:no|sorry|wait|oops|i\s+mean|rather|actually|correction|anzi|nein|halt|pardon|plutôt|perdón|digo|quer\s+dizer|aliás|of\s+nee|nee)\b[\s,:;.-]*(?:it'?s\s+|make\s+it\s+|i\s+mean\s+)?(?:per|/|a)\s*(?P<unit>second|minute|hour|day)s?\b!?"
)
"""`24 req/min... no, per second`."""
_RETYPED = compiled(
    r"(?P<old>(?<![\w.,/])\d+(?:[.,]\d+)*k?(?:\s?/\s?\d+(?:[.,]\d+)*k?)?)(?P<noun>(?:\s+(?!(?:because|since|as|bc|for)\b)[a-z]+){0,2})(?P<mark>[\s,;.(-]*\b(?:(?:(?:oh|no+|ah),?\s+wait|wait(?:\s*,?\s*no)?|no|sorry|oops|hm+|correction|scratch\s+that|actually)\b[\s,;:.-]*(?:that|those|this|these)(?:'?s|'?re|\s+is|\s+are|\s+was|\s+were)\s+(?=[a-z])"
    r"|(?:(?:but|though|well|oh)[\s,]+)?(?:that|those|these|it)(?:'?s|'?re|\s+is|\s+are|\s+was|\s+were)\s+(?:just\s+|only\s+|merely\s+)?(?=(?:what|from|for|the|an?|their|some|nvidia's|amd's|marketing)\s+(?:[\w-]+\s+){0,2}?(?:benchmarks?|defaults?|demo|examples?|template|leaderboard|blog|papers?|brochure|marketing|datasheet|mlperf|inferencemax)\b)))"
)
"""A number that turns out to count something else: `500, no wait, that's the daily users`."""
_ONLY_SO_MANY = compiled(
    r"(?P<old>(?<![\w.,])\d+(?:[.,]\d+)*k?\b)(?P<noun>(?:\s+[^\W\d_]+){1,4}?)(?P<mark>\s*,?\s*(?:não|nein|nicht|no|non|not|nope)\s*,\s*(?:apenas|só|nur|sondern|solo|seulement|only|just|rather|but)\s+)(?P<new>\d+(?:[.,]\d+)*k?)(?![\w.]*\d)(?P<again>(?:\s+[^\W\d_]+){1,4})?"
)
"""`20 requests per second no, only 2`."""
_OF_THOSE = compiled(
    r"(?P<old>(?<![\w.,])\d+(?:[.,]\d+)*k?)(?P<noun>\s+(?!in\b|out\b|inputs?\b|outputs?\b|gpus?\b|cards?\b|accelerators?\b|nodes?\b|hosts?\b|servers?\b|machines?\b|box(?:es)?\b|racks?\b|x\b|tok|replicas?\b|experts?\b|layers?\b)[a-z]{3,}(?:\s+[a-z]{3,})?)(?P<mark>\s*,\s*(?P<part>of\s+(?:whom|which|those|them)\s+)?(?:(?:about|around|roughly|some|only|maybe|at\s+most|up\s+to|perhaps)\s+)*)(?P<new>\d+(?:[.,]\d+)*k?)(?:\s+of\s+(?:them|whom|those|these)\b|(?=\s+(?:are\s+)?(?:active|online|connected|typing|waiting)\b)|(?(part)(?![\d.,]*(?:\d|\s*%|k?\s*tok))|(?!)))"
)
"""`900 agents, about 120 of them at once`: the part counts."""
_GROWING = compiled(
    r"(?P<old>(?<![\w.,])\d+(?:[.,]\d+)*k?)(?P<noun>\s+(?:(?:concurrent|simultaneous|parallel|active)\s+)?(?:users|people|chats|sessions|requests|streams|clients|conversations|rps|qps|req/s|requests\s+per\s+second)\b(?:\s+(?:at\s+(?:once|a\s+time|the\s+same\s+time)|in\s+(?:parallel|flight)|concurrently|simultaneously))?)(?P<mark>[^.;\n]{0,100}?[\s,;.-]+(?:so\s+|and\s+|but\s+)?(?:please\s+|let'?s\s+)?(?:plan|size|design|dimension|provision|prepare|build)\s+(?:it\s+|this\s+|things\s+)?for\s+(?:the\s+)?)(?P<new>\d+(?:[.,]\d+)*k?)(?=\s*(?:[.,;)!]|$))"
)
"""`30 chats today, 90 next year, plan for 90`."""
_REVISED = compiled(
    r"(?P<old>(?<![\w.,])\d+(?:[.,]\d+)*k?\b)(?P<noun>(?:\s+(?!and\b|in\b|out\b)[a-z]+){0,2})(?P<mark>[\s,;.(-]+(?:[a-z'.]+\s+){0,2}?(?:corrected|changed|revised|updated|raised|lowered|reduced|cut|bumped|upped|agreed|settled|decided)\s+(?:it\s+|this\s+|that\s+)?(?:to|on|down\s+to|up\s+to)\s+)(?P<new>\d+(?:[.,]\d+)*k?)(?![\w.]*\d)"
)
"""`Paul said 200, Mei corrected to 260`."""


_ONE = r"(?<![\w.,])\d+(?:[.,]\d+)*k?(?![\w.]*\w)"
_TIME = r"(?<![\w.,])\d+(?:[.,]\d+)?\s?(?:ms|milliseconds?|s|secs?|seconds?)\b"
_STOPS = r"(?=\s*(?:[.,;!()]|$|instead\b|at\s+most\b|max\b))"
_TURNED = (
    compiled(
        rf"(?P<old>{_ONE})(?P<noun>\s*x?\s*(?:[a-z]{{1,2}}\d{{2,3}}\w{{0,3}}|[a-z]+)?(?:\s+gpus?)?)[\s,;(-]+(?:(?:uh+|er+|hm+|oh|ah|no|sorry|oops|but)[\s,]+){{1,3}}wait\b[^.;\n\d]{{0,60}}?\b(?:so|now|leaves?|left\s+with|makes?|have)\s+(?:it'?s\s+|only\s+|us\s+|just\s+)*(?P<new>{_ONE}){_STOPS}"
    ),
    compiled(
        rf"(?P<old>{_ONE})(?P<noun>(?:\s+[a-z]+){{0,3}}?)[\s,;(-]+(?:but|hm+|er+|or|and|well|so|no)[\s,]+(?:then\s+|now\s+|please\s+)?let'?s\s+(?:rather\s+|better\s+|instead\s+)?(?:say|use|take|assume|call\s+it|make\s+(?:it|that)|go\s+with|plan\s+(?:for|with|on))\s+(?P<new>{_ONE}){_STOPS}"
    ),
    compiled(
        rf"(?<=\s)(?P<old>{_TIME})(?<=[a-z])(?P<noun>[^.;\n\d]{{0,50}}?)[\s,;-]+(?:(?:but|and)\s+)?(?:(?:we|they|i|users?)\s+(?:now\s+)?(?:want|need|expect|would\s+like|'d\s+like|aim\s+(?:for|at))|it\s+(?:should|must)\s+be)\s+(?:it\s+)?(?:(?:to\s+be|at\s+most|under|within|below|max)\s+)*(?P<new>{_TIME}){_STOPS}"
    ),
    compiled(
        rf"(?<=\s)(?P<old>{_TIME})(?<=[a-z])(?P<noun>[^.;,\n\d]{{0,40}}?)[\s,;-]+(?:but\s+|and\s+|now\s+)?(?:it\s+|that\s+|this\s+)?(?:must|should|has\s+to|needs\s+to)\s+(?:now\s+)?(?:come|go|get|be|drop)\s+(?:(?:down|reduced|cut|to|under|below|within|at\s+most)\s+){{1,3}}(?P<new>{_TIME}){_STOPS}"
    ),
    compiled(
        rf"(?<=\s)(?P<old>{_TIME})(?<=[a-z])(?P<noun>[^.;,\n\d]{{0,40}}?)[\s,-]+(?:but|and|while)\s+(?P<new>{_TIME})(?=\s+(?:is|are)\s+(?:required|needed|mandatory|contractual|binding|an?\s+must|the\s+(?:limit|target|requirement|contract|goal))\b)"
    ),
)
"""A value that is taken back, and what stands instead, without a name: `32 H200, no wait, one node died, so 24`; `takes 8 s to start, we want 2 s`."""
_TAKES = compiled(
    r"\b(?:used\s+to\s+be|is\s+at|takes?|took|gets?|got|was|were|had|sees?|currently|today|right\s+now)\s+(?:about\s+|around\s+|some\s+)?$"
)


def _blanked(match: re.Match[str], notes: Notes) -> str:
    notes.assume(f"ignored: `{' '.join(match.group().split())}` (taken back)")
    old = match["old"]
    return match.group().replace(old, EATEN * len(old), 1)


def _revised(match: re.Match[str], notes: Notes) -> str:
    notes.assume(f"`{' '.join(match.group().split())}`: read what was said last")
    again = match.groupdict().get("again") or ""
    more = set(again.split()) - set(match["noun"].split())
    return f"{match['new']}{again if more else match['noun']} "


_NEGATOR = compiled(
    r"(?:\bnot|\bno|\bnever|\binstead\s+of|\brather\s+than|\bnicht|\bkeine?n?|\bpas|\bnon|\bniet|\bnie|\bне|而不是|不是|ではなく)\s*(?:(?:on|with|for|the|an?|auf|mit|sur|de|su|con|в|на)\s+)*$"
)
_NEW_VERSION = compiled(r"(?:the\s+|it\s+)?v?(?P<v>\d\.\d)(?![\d.]*\d)(?!\s*(?:s|ms|sec\w*|k|tok\w*)\b)")
_OLD_VERSION = re.compile(r"(?<![\d.])\d(?:\.\d)?(?![\d.bB])")


def _replaced(match: re.Match[str], notes: Notes) -> str:
    notes.assume(f"`{' '.join(match.group().split())}`: read what was said last")
    return f"{match['new']}{match['noun']} "


def _turned(match: re.Match[str], notes: Notes) -> str:
    """The new value; a time stands unless the text tells of it (`takes 8 s`)."""
    told = match.re is _TURNED[-1] or _TAKES.search(match.string, max(0, match.start() - 40), match.start("old"))
    return (
        match.group()
        if match["old"][-1].isalpha() and match["old"][-1] != "k" and not told
        else _replaced(match, notes)
    )


def _undenied(text: str, vocabularies: Sequence[Vocabulary], notes: Notes) -> str:
    """The text without names that it says no to (`8x H100, not H200`), where it names another one."""
    for vocabulary in vocabularies:
        mentions = vocabulary.mentions(text)
        denied = [m for m in mentions if _NEGATOR.search(text[max(0, m.span[0] - 30) : m.span[0]])]
        kept = {m.keys for m in mentions if m not in denied}
        for mention in denied if kept else ():
            start, end = mention.span
            notes.assume(f"`{text[start:end]}` is not meant: the text says no to it")
            text = text[:start] + EATEN * (end - start) + text[end:]
    return text


def _reversioned(text: str, models: Vocabulary, notes: Notes) -> str:
    """The text with the version that it corrects a model's to: `Llama 3.1 70B. Actually make it 3.3`."""
    for marker in _MARKER.finditer(text):
        new = _NEW_VERSION.match(text, marker.end())
        base = max(0, marker.start() - LOOK_BACK)
        old = models.mentions(text[base : marker.start()]) if new is not None else []
        if new is None or not old:
            continue
        start, end = (base + place for place in old[-1].span)
        name = _OLD_VERSION.sub(new["v"], text[start:end], count=1)
        if name != text[start:end] and any(m.span == (0, len(name)) for m in models.mentions(name)):
            notes.assume(f"`{text[start:end]}` corrected to `{name}`")
            return text[:start] + name + text[end : marker.start()] + " " + text[new.end() :]
    return text


_DECIDED = compiled(
    rf"(?P<first>{_NUMBER.pattern})(?P<what>\s*x?\s*[a-z]{{1,2}}\d{{1,3}}\w{{0,3}}(?:\s+gpus?)?)?\s*\??\s*(?:,|\bor\b|\bor\s+maybe\b|\bmaybe\b|\bdo\s+we\s+need\b|\s)+(?P<second>{_NUMBER.pattern})"
    rf"(?P<again>\s*x?\s*[a-z]{{1,2}}\d{{1,3}}\w{{0,3}}(?:\s+gpus?)?)?\s*\?[^\w\n]*(?:\w{{1,6}}\s+){{0,2}}?(?:let'?s\s+)?(?:pick|go\s+(?:with|for)|take|choose|use|make\s+it|say|call\s+it|assume)\s+(?P<last>{_NUMBER.pattern})(?P<named>\s*x?\s*[a-z]{{1,2}}\d{{1,3}}\w{{0,3}})?"
)
"""A question that the text answers itself: `8 H200? or 16? pick 16`."""


def _decided(match: re.Match[str], notes: Notes) -> str:
    """The number that was settled on, with what was counted."""
    if match["last"] not in (match["first"], match["second"]):
        return match.group()
    notes.assume(f"`{' '.join(match.group().split())}`: read what was said last")
    return match["last"] + (match["named"] or match["what"] or match["again"] or "")


LOOK_BACK = 1_200
"""Characters before a correction within which what it corrects stands."""


def _corrects(text: str, marker: re.Match[str], vocabularies: Sequence[Vocabulary]) -> int | None:
    """Where the words start that those after the marker replace: the last ones of the same kind before it; None when there are none."""
    base = max(0, marker.start() - LOOK_BACK)
    start = _replaced_from(text[base : marker.start()], text[marker.end() : marker.end() + 60], vocabularies)
    return None if start is None else base + start


def _replaced_from(before: str, after: str, vocabularies: Sequence[Vocabulary]) -> int | None:
    """The same within the words before a correction."""
    for vocabulary in vocabularies:
        new = next((m for m in vocabulary.mentions(after) if _COUNT_AHEAD.match(after[: m.span[0]])), None)
        old = vocabulary.mentions(before) if new is not None else []
        if new is not None and old:
            start = old[-1].span[0]
            count = _COUNT_BEFORE.search(before[:start]) if _NUMBER.match(after.lstrip()) else None
            return count.start() if count is not None else start
    goals = list(_GOAL.finditer(before))
    if _GOAL.match(after) is not None and goals and len(before) - goals[-1].end() <= 40:
        return goals[-1].start()
    degree = _DEGREE.match(after)
    if degree is not None:
        same = [m for m in _DEGREE.finditer(before) if m["kind"].lower() == degree["kind"].lower()]
        return same[-1].start("kind") if same else None
    named = _DTYPE.match(after.lstrip())
    if named is not None:
        same = list(_DTYPE.finditer(before))
        return same[-1].start("dtype") if same and len(before) - same[-1].end() <= 40 else None
    typed = _same_kind(before, after)
    if typed is not None:
        return typed
    last = _NUMBER.match(after.lstrip())
    if last is None:
        return None
    numbers = list(_NUMBER.finditer(before))
    if not numbers or len(before) - numbers[-1].end() > 40:
        return None
    kinds = {_counted_by(before, numbers[-1].end()), _counted_by(after.lstrip(), last.end())}
    return numbers[-1].start() if len(kinds - {None}) < 2 else None


_COUNTS = (
    compiled(
        r"\s*(?:concurren\w+|simultaneous|parallel|users?|people|sessions?|chats?|streams?|in\s+flight|at\s+once)\b"
    ),
    compiled(r"\s*(?:tokens?\s+)?(?:in|out|inputs?|outputs?|prompts?|answers?|tokens?)\b"),
    compiled(r"\s*(?:rps|qps|req(?:uest)?s?\s*(?:/|per))"),
    compiled(r"\s*(?:ms|s|seconds?|milliseconds?)\b"),
)


def _counted_by(text: str, end: int) -> int | None:
    """Which kind of noun stands behind a number: a load, a length, a rate, a time; None when another one does."""
    return next((kind for kind, pattern in enumerate(_COUNTS) if pattern.match(text, end)), None)


def _same_kind(before: str, after: str) -> int | None:
    """Where the last quantity before a marker starts, when the marker is followed by one of the same kind: `3k. Sorry, 30k`."""
    new = next(iter(quantities(after)), None)
    old = quantities(before)
    if new is None or not old or new.kind not in ("time", "tokens", "thousands", "speed", "rate", "pace"):
        return None
    leading = after[: new.span[0]].strip()
    near = len(before) - old[-1].span[1] <= 40
    return old[-1].span[0] if old[-1].kind == new.kind and not leading and near else None
