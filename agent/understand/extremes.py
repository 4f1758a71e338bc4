"""Values that a text tells beside the one to plan for: tails of a length, and loads of other times than the one that is asked for."""

import re

from agent.understand.notes import Notes
from agent.understand.scan import compiled

_VALUE = r"\d{1,3}(?:,\d{3})+(?!\d)|\d{1,7}(?:\.\d{1,2})?\s?k?(?![\w.]*\d)"
_TAIL = r"(?:p9\d(?:\.\d)?|p99\.9|9\d(?:th)?\s+percentile|max(?:imum)?|worst[- ]case|longest|largest|biggest|peak)"
_LENGTHS = {
    "in": r"(?:in(?:put)?s?|prompts?|contexts?|isl|documents?|docs|requests?)",
    "out": r"(?:out(?:put)?s?|osl|completions?|answers?|responses?|repl(?:y|ies)|generations?)",
}
_IS = r"(?:\s*(?:length|len|tokens?|size)s?)?\s*(?:(?:is|are|of|at|around|about|goes\s+(?:up\s+)?to|go\s+(?:up\s+)?to|can\s+(?:be|hit|reach)|reach(?:es)?|hits?|up\s+to)\s+){0,3}[:=~]?\s*"
_TAILS = {
    kind: compiled(
        rf"[,;(]?\s*(?:(?:the|with|but|and|a|some|though)\s+){{0,2}}\b{_TAIL}\s+{words}{_IS}(?:{_VALUE})(?:\s*tok(?:en)?s?)?\b\)?"
    )
    for kind, words in _LENGTHS.items()
}
_CENTRAL = {
    kind: compiled(
        rf"(?:{_VALUE})(?:\s*tok(?:en)?s?)?\s+(?:of\s+)?{words}\b|\b{words}(?:\W{{1,3}}(?:is|are|of|about|around|avg|average|mean|~|tokens?|length|:|=)){{0,3}}\W{{0,3}}(?:{_VALUE})"
    )
    for kind, words in _LENGTHS.items()
}
_TIMES = r"(?:(?:next\s+)?(?:spring|summer|autumn|fall|winter|year|quarter|month|week|christmas|launch|go-?live|black\s+friday|ramadan|q[1-4])|peaks?|(?:the\s+)?(?:evening|morning|night|lunch\w*|daytime|weekends?)|typical(?:\s+load)?|average|usual|normal|worst[- ]case|mean|steady\s+state|(?:january|february|march|april|may|june|july|august|september|october|november|december))"
_SIZE_FOR = compiled(
    rf"\b(?:size|plan|dimension|design|provision|build|calculate|prepare)\s+(?:it\s+|this\s+|things\s+|everything\s+)?for\s+(?:the\s+)?(?P<when>{_TIMES})\b"
)
_LOAD = compiled(
    rf"(?<![\w.,])(?:(?P<first>{_TIMES})(?:\s+(?:load|traffic|is|are|of|at|about|around|we\s+have|we\s+see))*\s*[:=]?\s*)?(?P<n>\d[\d,]*(?:\.\d+)?k?)\s*(?P<what>(?:concurrent\s+|parallel\s+|simultaneous\s+)?(?:req(?:uest)?s?\s*(?:/|per)\s*(?:s(?:ec(?:ond)?)?|min(?:ute)?|hour)|rps|qps|rpm|users|sessions|chats|requests|concurrent|streams|in\s+flight)|/\s?s\b)?(?(first)(?!\s*(?:tok|ms\b|s\b|sec|%|k\b|in\b|out\b))|(?P<at>[^.;,\n\d]{{0,30}}?\b(?P<when>{_TIMES}|now|today|currently|otherwise|normally|at\s+present|off-?peak)\b))"
)


_UP_TO = compiled(
    rf"\b(?:up\s+to|grow(?:s|ing)?\s+to|go(?:es)?\s+to|reach(?:es)?|peak(?:s)?\s+at|can\s+(?:be|reach|hit)|at\s+most|max(?:imum)?|as\s+long\s+as|as\s+large\s+as)\s+(?:{_VALUE})(?P<unit>\s*tok(?:en)?s?)?\s*[,;(]?\s*(?:(?:but|and|though|with|the|a|an)\s+){{0,2}}(?P<how>typical(?:ly)?|usually|mostly|normally|avg|average|mean|median|on\s+average|most(?:ly)?)(?:\s+(?:is|are|one|of|at|about|around|more\s+like|closer\s+to|nearer))*\s*[:~]?\s*(?P<n>{_VALUE})(?!\s*(?:ms\b|s\b|sec|%|users?|req|rps))"
)
"""`up to 200k tokens, typical 45k`."""


def without_extremes(text: str, notes: Notes) -> str:
    """The text without the tail of a length whose usual value it gives, and with the load of the time that it asks for alone."""

    def usual(match: re.Match[str]) -> str:
        notes.assume(f"`{' '.join(match.group().split())}`: planned for {match['n']}")
        return f"{match['n']}{match['unit'] or ''}"

    text = _UP_TO.sub(usual, text)
    for kind, pattern in _TAILS.items():

        def left(match: re.Match[str], kind: str = kind) -> str:
            rest = f"{match.string[: match.start()]} {match.string[match.end() :]}"
            if _CENTRAL[kind].search(rest) is None:
                return match.group()
            notes.assume(f"ignored: `{' '.join(match.group().split()).strip(' ,;(')}` (planned for the usual length)")
            return " "

        text = pattern.sub(left, text)
    return _of_the_time(text, notes)


def _when(match: re.Match[str]) -> str:
    """The time that a load belongs to, as one word."""
    words = (match.groupdict().get("first") or match["when"]).lower().split()
    return next((word for word in reversed(words) if word != "load"), "").rstrip("s")


def _of_the_time(text: str, notes: Notes) -> str:
    """`5 requests/s now, 9 requests/s by summer. Size for summer`: nine."""
    asked = _SIZE_FOR.search(text)
    if asked is None:
        return text
    when = _when(asked)
    loads = [
        m for m in _LOAD.finditer(text) if (m["first"] or m["what"]) and not asked.start() <= m.start() < asked.end()
    ]
    meant = [m for m in loads if _when(m) == when]
    if len({m["n"] for m in meant}) != 1 or len(loads) < 2:
        return text
    noun = next((m["what"] for m in loads if m["what"]), "")
    for match in reversed(loads):
        if match["n"] != meant[0]["n"]:
            notes.assume(f"ignored: `{' '.join(match.group().split())}` (sized for {asked['when']})")
            text = f"{text[: match.start()]} {text[match.end() :]}"
        elif not match["what"]:
            text = f"{text[: match.end('n')]} {noun}{text[match.end('n') :]}"
    return text
