"""What traffic a text describes: lengths of prompt and answer, load, shared prefixes."""

import re

from agent.understand.nearby import take_nearby
from agent.understand.notes import Notes
from agent.understand.scan import COUNT, Scan, compiled, count_of, number_of

DEFAULT_ISL = 4096
DEFAULT_OSL = 512
"""A retrieval-augmented chat turn: what is planned for when the text gives no lengths."""

K = 1024
"""Tokens in `1k`: context lengths are counted in powers of two."""


def _length(group: str, *, alone: bool = True) -> str:
    """A pattern for a number of tokens (`4096`, `4,096`, `4k`, `1.5k`); `alone` refuses the first half of a pair."""
    end = r"(?![\w.,/]*\d)(?!\w)" if alone else r"(?![\w.,]*\d)(?!\w)"
    return rf"(?<![\w.,])(?P<{group}>\d{{1,3}}(?:[,_]\d{{3}})+|\d{{1,9}}(?:[.,]\d{{1,3}})?)[ ]?(?P<{group}k>k|m)?{end}"


_N = _length("n")
_TOK = r"(?:[- ]*(?:tokens?|toks?|jetons?|token))?"
_IS = r"(?:\s*(?:tokens?|length|len|size|lengths)\b)?\s*(?:=|:|-|\bof\b|\bis\b|\bare\b|\bwith\b|\baround\b|\babout\b|\bup\s+to\b|~|≈|\bde\b|von|\(|\bavg\b|\baverage(?:s)?\b|\bbeing\b|\s)*\s*"
_IN_ALONE = r"ins?(?=\s*(?:[-,;:./&+|)=>]|$|\n|and\b|out\b|tokens?\b|~|≈|avg\b|average\b|about\b|up\b|is\b|\d))"
"""`in` is a length's name only where no place follows (`12 in Zurich`)."""
_INPUT = (
    rf"(?:inputs?|{_IN_ALONE}|prompts?|prefill|contexts?|ctx|documents?|docs?|isl|requests?\s+of|questions?|contracts?|reports?|papers?|emails?|tickets?|texts?|"
    r"articles?|conversations?|histor(?:y|ies)|code\s*bases?|transcripts?|sen[dt]s?|sending)"
)
_OUTPUT = (
    r"(?:out(?:put)?s?|osl|generat(?:ed|ion|ions|e|ing)|completions?|responses?|answers?|repl(?:y|ies)|summar(?:y|ies)|decode|"
    r"new\s+tokens|gens?)"
)
_PAIR = compiled(
    rf"(?:(?:isl\s*/\s*osl|in(?:put)?\s*/\s*out(?:put)?|isl,?\s*osl)\s*(?:=|:|of|is)?\s*)?{_length('a', alone=False)}"
    rf"{_TOK}\s*(?:/|:|->|→)\s*{_length('b')}(?!\s*(?:s\b|sec))(?:\s*(?:tokens?|isl\s*/\s*osl|in(?:put)?\s*/\s*out(?:put)?))?"
)
_GLUED = compiled(r"(?<![\w.])(?P<a>\d{1,3})k(?P<b>\d{1,3})k(?![\w])")
_ISL = (
    compiled(rf"\b(?:isl|(?:input|prompt|context|ctx|prefill)(?:[-_ ](?:sequence\s+)?(?:len(?:gth)?|tokens?|size))?s?){_IS}{_N}{_TOK}"),
    compiled(rf"{_N}{_TOK}[- ]*(?:(?:long|average|avg|mean|of|en|de)[- ]+)?{_INPUT}(?:\s+tokens?|\s+length)?\b"),
    compiled(rf"\b{_INPUT}{_IS}{_N}{_TOK}"),
    compiled(rf"\beach\s+(?:(?:of|with|around|about|having|has|some|being)\s+|~\s*)*{_N}[- ]*tokens?\b|\b{_N.replace('<n', '<e')}[- ]*tokens?\s+(?:each|apiece)\b"),
)  # fmt: skip
_OSL = (
    compiled(rf"\b(?:osl|(?:output|completion|generation|response)(?:[-_ ](?:sequence\s+)?(?:len(?:gth)?|tokens?|size))?s?){_IS}{_N}{_TOK}"),
    compiled(rf"{_N}{_TOK}[- ]*(?:(?:long|average|avg|mean|of|en|de|reasoning|thinking|generated)[- ]+)?(?:{_OUTPUT}|(?<=tokens )(?:come\s+back|back|(?:are\s+)?(?:returned|generated|produced)))(?:\s+tokens?|\s+length)?\b"),
    compiled(rf"\b(?:{_OUTPUT}{_IS}|into\s+|(?:gets?|getting|receiv(?:es?|ing)|returns?|returning|producing|produces?|yields?|yielding|answered\s+(?:in|with|by)(?:\s+some)?)\s+(?:back\s+)?(?:about\s+)?){_N}{_TOK}(?:\s+back\b)?"),
)  # fmt: skip
_IN_ORDER = compiled(
    rf"\b{_INPUT}(?:\s+(?:len(?:gth)?|tokens?|size))?\s*[=:]?\s*{_length('a')}{_TOK}[ ,;/&+]*(?:and\s+)?(?:an?\s+)?{_OUTPUT}(?:\s+(?:len(?:gth)?|tokens?|size))?\s*[=:]?\s*{_length('b')}{_TOK}"
)
"""Both lengths behind their names: `prefill 32k decode 512`."""
_EQUAL = compiled(rf"\b(?:isl\s*=\s*osl|osl\s*=\s*isl)\s*=\s*{_length('n')}")
_LONG = compiled(
    rf"\b(?:requests?|prompts?|inputs?|queries|messages?|documents?)\s+(?:that\s+)?(?:are|is|have|has|with|of|average)\s+(?:about\s+|around\s+|up\s+to\s+|~\s*)?{_N}{_TOK}(?:\s+long)?\b"
)
_HOW_MANY = compiled(
    r"(?<![\w.,])\d{1,9}(?:\.\d{1,3})?\s?(?:m|million|thousand)?\s+(?:documents|docs|prompts|articles|questions|conversations|transcripts|requests|inputs|files|pages|queries)\b(?!\s+(?:of\s+)?\d*\s*tok)(?!\s*(?:/|per|a|in\s+flight|at\s+once|concurr|each\s+s))"
)
"""A number of texts, not of tokens."""
_BECOMES = compiled(
    rf"{_length('a')}{_TOK}\s+(?:[a-z]+\s+){{0,2}}?(?:becomes?|into|turn(?:ed|s)?\s+into|->|→|yields?|gives?|summari[sz]ed\s+(?:to|into|in))\s+(?:about\s+|an?\s+)?{_length('b')}{_TOK}(?:\s+[a-z]+)?"
)
"""`30,000-token reports become 600-token abstracts`."""
_BOTH = compiled(rf"\bin(?:put)?s?[ :=]*{_length('a')}{_TOK}[ ,;/and]*out(?:put)?s?[ :=]*{_length('b')}{_TOK}")

_LOAD = (
    compiled(
        rf"(?P<n>(?<![\w.,])\d{{1,6}}(?:\.\d{{1,3}})?k|{COUNT})\s*(?:x\s*)?(?:concurrent|conc\b|parallel|simultaneous|in[- ]?flight|active)(?!\s*[=:])\s*(?:requests?|users?|sessions?|"
        r"streams?|sequences?|connections?|clients?|chats?|queries)?"
    ),
    compiled(rf"\b(?:max\s+)?(?:concurrency|concurrent\s+(?:users|requests)|conc|c(?=\s*=))(?:\s+level)?\s*(?:=|:|of|is|at|\s)*\s*(?P<n>{COUNT})"),
    compiled(rf"(?P<n>{COUNT})\s*(?:req(?:uest)?s?|sequences?|users?|sessions?)\s*(?:in[- ]?flight|at\s+(?:once|a\s+time|the\s+same\s+time)|in\s+parallel|concurrently|simultaneously)"),
    compiled(rf"(?P<n>(?<![\w.,])\d{{1,6}}(?:\.\d{{1,3}})?k|{COUNT})\s*(?:people|users?|sessions?|streams|clients|chats|conversations)\b(?:\s+(?:online|active|chatting|connected))?(?:\s+(?:at\s+(?:once|a\s+time|the\s+same\s+time)|simultaneously|concurrently))?"),
    compiled(rf"(?P<n>{COUNT})\s+(?:[a-z]{{3,12}}\s+)?(?:people|persons|users?|developers|engineers|employees|customers|colleagues|callers|agents|analysts|students)\b[^.;,\n\d]{{0,40}}?\b(?:at\s+(?:once|a\s+time|the\s+same\s+time)|simultaneously|concurrently|in\s+parallel)"),
    compiled(rf"\busers\s*[:=]?\s*(?P<n>{COUNT})(?!\s*(?:x|tok|[a-z%]))"),
    compiled(r"(?<=[-, \d])(?P<n>(?<=\D)\d{1,6})[- ]?concurrency\b"),
)  # fmt: skip
_BATCH = compiled(rf"\b(?:batch(?:[- _]?size)?|bs)\s*(?:=|:|of|is|\s)*\s*(?P<n>{COUNT})\b")
_RATE = compiled(
    rf"(?P<n>(?<![\w.,])\d{{1,3}}(?:,\d{{3}})+|(?<![\w.,])\d{{1,9}}(?:\.\d{{1,6}})?|{COUNT})\s*(?P<k>k)?\s*(?:"
    r"(?:req(?:uest)?s?|quer(?:y|ies)|prompts?|calls?|messages?)\s*(?:/|per|a|an|each|every)\s*(?P<unit>s(?:ec(?:ond)?)?|min(?:ute)?|h(?:our|r)?|day)\b"
    r"|(?P<short>rps|qps|req/s|rpm|qpm))"
)
_RATE_LABEL = compiled(
    r"\b(?:(?:request|arrival)[ _]rate|rr(?=\s*[=:])|requests?(?=\s*[:=]?\s*\d{1,6}(?:\.\d{1,6})?\s*(?:/|per)\s*s)|load)\s*(?:=|:|of|is|\s)*\s*(?P<n>\d{1,6}(?:\.\d{1,6})?)(?:\s*(?:/|per)\s*s(?:ec(?:ond)?)?\b)?(?!\s*(?:users?|people|clients|sessions|streams|concurr|requests?\s+(?:at|in)))(?![\d.])"
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PREFIX = (
    compiled(r"(?P<n>\d{1,3}(?:\.\d{1,3})?)\s*(?P<p>%)\s*(?:of\s+(?:the\s+)?(?:prompts?|tokens?|input)\s+(?:is|are)\s+)?(?:shared|cached|common|reused|prefix)(?:[- ](?:prefix(?:es)?|cache|cached|hits?|hit|rate|ratio|reuse))*"),
    compiled(r"\b(?:prefix|cache|kv)[- _]?(?:prefix|cache)?[- _]?(?:caching\s+)?(?:hits?|hit|reuse)[- _]?(?:rate|ratio)?\s*(?:=|:|of|is|around|about|~|\s)*(?P<n>\d{1,3}(?:\.\d{1,3})?)\s*(?P<p>%)?"),
)  # fmt: skip


def find_workload(scan: Scan, notes: Notes) -> dict[str, object]:
    """The workload as a `Workload` document; lengths that the text does not give are assumptions."""
    found = find_traffic(scan, notes)
    open_fields = tuple(name for name in ("isl", "osl") if name not in found and name not in notes.questions)
    if not {"concurrency", "request_rate"} & found.keys() and "load" not in notes.questions:
        open_fields += ("concurrency",)
    found |= {name: round(value) for name, value in take_nearby(scan, notes, open_fields).items() if value >= 1}
    for name, default, what in (("isl", DEFAULT_ISL, "prompt"), ("osl", DEFAULT_OSL, "answer")):
        if name not in found and name not in notes.questions:
            found[name] = default
            notes.assume(f"{name} {default}: the text gives no {what} length")
    return found


def find_traffic(scan: Scan, notes: Notes) -> dict[str, object]:
    """What the text says of the workload, and nothing else."""
    load = _load(scan, notes)
    prefix = _prefix(scan, notes)
    pairs = [(_tokens(m, "a"), _tokens(m, "b")) for m in scan.take(_BOTH)]
    pairs += [(_tokens(m, "a"), _tokens(m, "b")) for m in scan.take(_IN_ORDER)]
    pairs += [(_tokens(m, "a"), _tokens(m, "b")) for m in scan.take(_BECOMES)]
    pairs += [(_tokens(m), _tokens(m)) for m in scan.take(_EQUAL)]
    pairs += [(_tokens(m, "a"), _tokens(m, "b")) for m in scan.take(_PAIR) if _is_pair(m)]
    pairs += [(int(m["a"]) * K, int(m["b"]) * K) for m in scan.take(_GLUED)]
    outputs = _lengths(scan, _OSL[:2])
    scan.take(_HOW_MANY)
    inputs = _lengths(scan, (*_ISL, _LONG))
    outputs += _lengths(scan, _OSL[2:])
    isl = notes.one_of("isl", [a for a, _ in pairs] + inputs)
    osl = notes.one_of("osl", [b for _, b in pairs] + outputs)
    if re.search(r"\d\s?k\b", scan.original, re.IGNORECASE) and {isl, osl} & {
        v for v in (isl, osl) if v and v % K == 0
    }:
        notes.assume("1k tokens are 1,024 tokens")
    lengths = {name: value for name, value in (("isl", isl), ("osl", osl)) if value is not None}
    return {**lengths, **load, **prefix}


def _tokens(match: re.Match[str], group: str = "n") -> int:
    scale = {"k": K, "m": K * K}.get((match[f"{group}k"] or "").lower(), 1)
    words = match[group]
    return round(number_of(words) * scale) if scale > 1 or "." in words else count_of(words)


def _is_pair(match: re.Match[str]) -> bool:
    """Two lengths, not a fraction such as 24/7."""
    return _tokens(match, "a") >= 32 and _tokens(match, "b") >= 1


def _lengths(scan: Scan, patterns: tuple[re.Pattern[str], ...]) -> list[int]:
    return [_tokens(m, "n" if m["n"] else "e") for pattern in patterns for m in scan.take(pattern)]


def _load(scan: Scan, notes: Notes) -> dict[str, object]:
    """Concurrency or request rate; both together are asked about."""
    rates = [_rate(m) for m in scan.take(_RATE)] + [float(m["n"]) for m in scan.take(_RATE_LABEL)]
    counts = [_count(m["n"]) for pattern in _LOAD for m in scan.take(pattern)]
    for match in scan.take(_BATCH):
        counts.append(count_of(match["n"]))
        notes.assume(f"`{scan.words(match.span())}` read as {counts[-1]} concurrent requests")
    rate, count = notes.one_of("request rate", rates), notes.one_of("concurrency", counts)
    if rate is not None and count is not None:
        notes.ask(
            "load",
            f"the text gives a concurrency ({count}) and a request rate ({rate:g}/s): which one shall the plan hold?",
        )
    if rate is not None:
        return {"request_rate": rate}
    if count is not None:
        return {"concurrency": count}
    return {}


def _count(words: str) -> int:
    return round(float(words[:-1]) * 1000) if words.lower().endswith("k") else count_of(words)


def _rate(match: re.Match[str]) -> float:
    """Requests per second."""
    words = match["n"]
    amount = float(number_of(words)) if words[0].isdigit() else float(count_of(words))
    unit = (match["unit"] or ("min" if (match["short"] or "").lower() in {"rpm", "qpm"} else "s"))[0].lower()
    return amount * (1000 if match["k"] else 1) / _SECONDS[unit]


_PREFIX_LOOSE = compiled(
    r"(?<![\w.,])(?P<n>\d{1,2}(?:\.\d{1,3})?)\s*%(?=[^;\n.%]{0,60}\b(?:cache[ds]?|prefix(?:es)?|shared|reused)\b)[^;\n.%]{0,60}?\b(?:cache[ds]?|prefix(?:es)?|shared|reused)\b(?:\s+(?:cache|hits?))?"
)
_SHARES = {
    "half": 0.5,
    "a third": 1 / 3,
    "one third": 1 / 3,
    "a quarter": 0.25,
    "two thirds": 2 / 3,
    "three quarters": 0.75,
}
_PREFIX_WORDS = compiled(
    rf"\b(?P<share>{'|'.join(_SHARES)})\s+(?:of\s+)?(?P<rest>[^.;,]{{0,60}}?\b(?:cached|shared|reused|(?:is|are)\s+(?:a\s+)?(?:common|the\s+same)|cache\s+hits?|prefix))\b"
)


def _prefix(scan: Scan, notes: Notes) -> dict[str, object]:
    ratios = []
    for match in _PREFIX_WORDS.finditer(scan.text):
        ratios.append(round(_SHARES[" ".join(match["share"].lower().split())], 3))
        notes.assume(f"`{scan.words(match.span())}` read as a prefix hit ratio of {ratios[-1]:g}")
        scan.eat(match.span("share"))
    for pattern in _PREFIX:
        for match in scan.take(pattern):
            number = float(match["n"])
            ratios.append(number / 100 if match["p"] or number > 1 else number)
    for match in () if ratios else scan.take(_PREFIX_LOOSE):
        ratios.append(float(match["n"]) / 100)
        notes.assume(f"`{scan.words(match.span())}` read as a prefix hit ratio of {ratios[-1]:g}")
    ratio = notes.one_of("prefix hit ratio", ratios)
    if ratio is not None and ratio > 0.99:
        notes.ask(
            "prefix hit ratio",
            "the prefix hit ratio must be below 0.99: what share of prompt tokens is served from cache?",
        )
        return {}
    return {} if ratio is None else {"prefix_hit_ratio": ratio}
