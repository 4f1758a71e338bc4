"""Which latencies a text asks for."""

import re

from agent.understand.notes import Notes
from agent.understand.scan import COUNT, SPAN, Scan, compiled, count_of, number_of

_T = rf"(?P<n>\d{{1,9}}(?:[.,]\d{{1,3}})?|half\s+a|{COUNT})\s*-?\s*(?P<u>milliseconds?|millisekunden|millis|msecs?|ms|µs|us|microseconds?|seconds?|sekunden?|secondes?|segundos?|secs?|s)?(?![\w%])(?![.,]?\d)(?!\s*-?\s?tok)"
_T_UNIT = _T.replace(")?(?![\\w%])", ")(?![\\w%])")
_STAT = r"(?:\(?\s*(?:p\d{2}(?:\.\d)?|\d{2}th\s+percentile|median|mean|average|avg|max)\s*\)?)"
_BETWEEN = (
    rf"(?:\s|{_STAT}|[:=<>≤⩽~≈(-]|(?:under|below|within|less|than|at|most|maximum|max|of|is|to|be|should|must|has|have|needs?|wants?|stays?|keep|kept|remains?|lies?|under|no|more|up|"
    r"around|about|target|targets|limit|budget|slo|sla|latency|latencies|lower|not|exceed|exceeding|in|by|time|unter|moins|de|menos|a|has|arrives?|en|em|an|the|within|"
    r"appears?|comes?|delivered|for|longer|later|wait(?:s|ing)?|never|above|over|smaller|the|tolerance)\b){0,10}?"
)
_TTFT = (
    r"(?:\bttft(?:_ms|_s(?:ec(?:onds?)?)?)?\b|time[- ]to[- ](?:the[- ])?first[- ]token|first[- ]tokens?(?:[- ](?:latency|time|delay))?|first\s+(?:words?|characters?|output|response|reply|answer|chunk|byte|letters?|result|syllable)s?\b|"
    r"(?:something|anything|text|words?|output|(?:an?\s+|the\s+)?(?:answer|reply|response)|results?|streaming|typing|it)\s+(?:appears?|shows?(?:\s+up)?|starts?|begins?|arrives?|is\s+(?:visible|seen|shown)|comes\s+back)\b|"
    r"(?:empty|blank)\s+(?:screen|page|window)|(?:initial|start[- ]?up|reaction|waiting)\s+(?:delay|latency|wait|response|token|pause|time)|prefill\s+(?:latency|time)|(?:starts?|begins?)\s+(?:answering|typing|streaming|responding|writing|talking)|"
    r""
    r"(?:answers?|responses?|repl(?:y|ies)|output|generation|streaming)\s+(?:to\s+|should\s+|must\s+|(?:has|have|needs?)\s+to\s+)?(?:start|begin)s?\b|"
    r"\bprefill(?=\s*(?:[:=<≤]=?|under|below|of|in|within)?\s*\d{1,6}(?:\.\d{1,3})?\s*m?s\b))"
)
_TPOT = (
    r"(?:\b(?:tpot|itl|tbt)(?:_ms|_s(?:ec(?:onds?)?)?)?\b|inter[- ]token(?:[- ]latency)?|time[- ](?:per|between)[- ](?:output[- ])?tokens?|"
    r"(?:per|each|every|between|an?)[- ](?:output[- ]|generated[- ]|decoded[- ]|new[- ])?tokens?(?:[- ]latency)?|token[- ]latency|decode[- ]latency|decode\s+step|"
    r"\bdecode(?=\s*(?:[:=<≤]=?|under|below|of|in|within)?\s*\d{1,6}(?:\.\d{1,3})?\s*m?s\b))"
)
_LABEL_FIRST = r"{0}{1}{2}"
_THEN_SET = r"[^;\n\d\x1f]{0,60}?[-:,.][ ]+(?:(?:so|please|and|we|must|should|want|to|need)\s+){0,3}(?:keep|get|hold|bring|make|have|push|cap|limit)\s+(?:it|that|this)\s+(?:to\s+be\s+|down\s+)?(?:under|below|within|at|to|at\s+most|less\s+than|<=?)\s+"
"""`the first token is what they feel: keep it under` so much."""
_LABELLED = {
    "ttft": (
        compiled(
            rf"{_T_UNIT}\s*(?:{_STAT}\s*)?(?:for\s+(?:the\s+)?|to\s+(?:the\s+)?|of\s+|(?:until|before|till|by)\s+(?:they\s+see\s+|we\s+see\s+|i\s+see\s+|users?\s+sees?\s+)?(?:the\s+)?)?(?:max\s+)?{_TTFT}"
        ),
        compiled(rf"{_TTFT}{_BETWEEN}{_T}"),
        compiled(rf"{_TTFT}{_THEN_SET}{_T_UNIT}"),
    ),
    "tpot": (
        compiled(rf"{_T_UNIT}\s*(?:{_STAT}\s*)?/\s*(?:output\s*)?tok(?:en)?s?\b"),
        compiled(rf"{_T_UNIT}\s*(?:{_STAT}\s*)?(?:for\s+(?:the\s+)?|of\s+)?(?:max\s+)?{_TPOT}"),
        compiled(rf"{_TPOT}{_BETWEEN}{_T}"),
        compiled(rf"{_TPOT}{_THEN_SET}{_T_UNIT}"),
    ),
}
_SUB_SECOND = compiled(
    rf"sub-?\s?second\s+(?:{_STAT}\s*)?{_TTFT}|{_TTFT}{_BETWEEN}(?:sub-?\s?second|a\s+second|one\s+second)(?!\w)"
)
_SPEED = compiled(
    r"(?P<n>(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d{1,6}(?:\.\d{1,3})?))(?P<k>\s?k\b)?\s*\+?\s*(?:(?:output|generated|decode[d]?|new)\s+)?(?:tok(?:en)?s?|t)\s*(?:/|per|a|every)\s*s(?:ec(?:ond)?)?\b"
    r"(?P<per>\s*(?:/|per|for\s+each|for\s+every|each|a)\s*(?:user|stream|request|session|sequence|client|query|person|conversation)s?\b|\s*/\s*u\b)?"
    r"|\b(?:tok(?:en)?s?\s*(?:/|per|a)\s*s(?:ec(?:ond)?)?|tps|speed)\s*(?:/|per|for\s+(?:each|every)|each|a)\s*(?:user|stream|request|session)s?\b[^.;,\n\d]{0,40}?(?P<behind>\d{1,4}(?:\.\d{1,3})?)(?![\w.]*\d)(?!\s*(?:users?|ms|s\b|sec|%|k\b|tok\w*\s*(?:in|out)))"
    r"|tokens?\s+(?:at|of|:)\s*(?P<at>\d{1,4}(?:\.\d{1,3})?)\s*/\s*s(?:ec)?\b(?P<each>\s*(?:/|per|for\s+each|each)\s*(?:user|stream|request|session)?s?)?"
    r"|(?P<m>(?<![\w.,])\d{1,6}(?:\.\d{1,3})?)\s*tps(?:\s*(?:/|per|for\s+(?:each|every))\s*(?:user|stream|request|session)s?|\s+each|\s*/\s*u)\b"
)
FASTEST_READER = 300.0
"""Tokens per second above which a bare speed cannot be one user's."""
_END_TO_END = compiled(
    rf"(?:end[- ]to[- ]end|e2e|total|overall)\s*(?:request\s*)?(?:latency|response\s+time|time)?{_BETWEEN}{_T_UNIT}"
)
_PERCENTILE = compiled(r"\b(?:p\d{2}(?:\.\d)?|\d{2}th\s+percentile)\b")


_LIMITS = r"(?:latenc(?:y|ies)|slos?|slas?|ttft|tpot|itl|(?:latency\s+)?(?:limits?|targets?|goals?))"
_HEADROOM = compiled(
    rf"(?<![\d.,])(?P<n>\d{{1,3}})\s?(?:%|percent|per\s+cent)\s+(?:of\s+)?(?:safety\s+)?(?:headroom|margin|slack|buffer|reserve)\s+(?:(?:left|free|kept)\s+)?(?:on|in|for|to|below|under|against)\s+(?:(?:the|our|both|all|these|those)\s+){{0,2}}{_LIMITS}\b"
    rf"|\b(?:stay|keep|plan|remain|be)\s+(?:at\s+least\s+)?(?P<m>\d{{1,3}})\s?(?:%|percent)\s+(?:below|under)\s+(?:(?:the|our|both|all|these|those)\s+){{0,2}}{_LIMITS}\b"
)


def find_headroom(scan: Scan) -> dict[str, float]:
    """The share of the latency limits that the text wants kept free (`20 % headroom on the SLOs`)."""
    found = scan.take(_HEADROOM)
    return {"headroom": int(found[0]["n"] or found[0]["m"]) / 100} if found else {}


def find_slo(scan: Scan, notes: Notes) -> dict[str, float]:
    """Latency limits as an `Slo` document."""
    headroom = find_headroom(scan)
    percentile = _PERCENTILE.search(scan.text)
    for match in scan.take(_END_TO_END):
        notes.assume(f"ignored: `{scan.words(match.span())}` (limits are TTFT and TPOT; say those)")
    ttft = [(1000.0, m.span()) for m in scan.take(_SUB_SECOND)]
    limits: dict[str, list[tuple[float, SPAN]]] = {"ttft": ttft, "tpot": _speeds(scan, notes)}
    for name, patterns in _LABELLED.items():
        for pattern in patterns:
            limits[name] += [(_milliseconds(m, scan, notes), m.span()) for m in scan.take(pattern)]
    if percentile is not None:
        scan.take(_PERCENTILE)
        notes.assume(f"`{percentile.group()}` noted: estimates are means, so leave headroom for the tail")
    found = {
        f"{name}_ms": notes.one_of(f"{name}_ms", [value for value, _ in values], [span for _, span in values])
        for name, values in limits.items()
    }
    for name, value in found.items():
        if value is not None and value <= 0:
            notes.ask(name, f"the limit {name} must be above 0: how long may it take?")
        elif value is None and name not in notes.questions:
            notes.assume(f"{name}: no limit, since the text gives none", default=name)
    return {name: value for name, value in found.items() if value is not None and value > 0} | headroom


_TPOT_LABEL = compiled(_TPOT)


def _milliseconds(match: re.Match[str], scan: Scan, notes: Notes) -> float:
    words = " ".join(match["n"].lower().split())
    amount = 0.5 if words == "half a" else float(number_of(words)) if words[0].isdigit() else float(count_of(words))
    unit = (match["u"] or "").lower()
    label = match.group().lower()
    if not unit:
        small = amount < (1 if _TPOT_LABEL.search(label) else 20)
        unit = "s" if "_s" in label or ("_ms" not in label and small) else "ms"
        if "_ms" not in label and "_s" not in label:
            notes.assume(f"`{scan.words(match.span())}` read as {amount:g} {unit}")
    if unit.startswith(("us", "µ", "micro")):
        return amount / 1000
    return amount if unit.startswith("m") else round(amount * 1000, 6)


def _speeds(scan: Scan, notes: Notes) -> list[tuple[float, SPAN]]:
    """Tokens per second for one user, as milliseconds per token."""
    found: list[tuple[float, SPAN]] = []
    for match in scan.take(_SPEED):
        speed = float((match["n"] or match["m"] or match["at"] or match["behind"]).replace(",", "")) * (
            1000 if match["k"] else 1
        )
        said = scan.words(match.span())
        if speed <= 0 or (match["per"] is None and match["m"] is None and speed > FASTEST_READER):
            notes.assume(f"ignored: `{said}` (a total throughput is no limit here; the plan maximises it)")
            continue
        found.append((round(1000 / speed, 6), match.span()))
        notes.assume(f"`{said}` read as {found[-1][0]:g} ms per token for each user")
    return found
