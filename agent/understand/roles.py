"""A second reader of quantities: every number is typed by its unit, and goes to the role whose word stands nearest.

Numbers and the words that name roles are two rows in the order of the text. They are paired without crossing so that the pairs stand as near
as they can (an alignment, as of two strings), which reads `input 2000 output 300`, `2000 in, 300 out`, `in/out: 2000/300` and a table's
header and row alike. Nothing here knows phrases: how a role is called is a list of words, and what a number can be follows from its unit.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal

from agent.understand.scan import EATEN, SPAN, compiled, number_of, thousand

Role = Literal[
    "isl", "osl", "concurrency", "request_rate", "ttft_ms", "tpot_ms", "gpus", "hosts", "per_host", "prefix", "degree", "whole", "other"
]  # fmt: skip
Kind = Literal["plain", "thousands", "time", "tokens", "speed", "rate", "percent", "pace", "other"]

NAMED = "\ue001"
"""Stands for letters of a GPU's name."""

_LENGTHS = frozenset({"isl", "osl"})
_TIMES = frozenset({"ttft_ms", "tpot_ms"})
_COUNTS = frozenset({"concurrency", "gpus", "hosts", "per_host", "degree", "other"})
_FITS: dict[Kind, frozenset[str]] = {
    "plain": frozenset({*_LENGTHS, *_TIMES, *_COUNTS, "request_rate"}),
    "thousands": frozenset({*_LENGTHS, "concurrency", "request_rate", "other"}),
    "time": frozenset({*_TIMES, "whole"}),
    "tokens": frozenset({*_LENGTHS, "other"}),
    "percent": frozenset({"prefix", "other"}),
    "speed": frozenset(),
    "pace": frozenset(),
    "rate": frozenset(),
    "other": frozenset(),
}
"""Roles that a number of each kind can play; a speed and a rate say by themselves what they are."""

_WORDS: tuple[tuple[Role, str], ...] = (
    (
        "other",
        r"(?:daily|monthly|weekly|yearly|registered|potential|total|licensed)[- ](?:active[- ])?\w+|dau|mau|(?:users?|people|customers|visitors)[- ](?:an?|per|each|every)[- ](?:day|month|week|year)|version|v(?=\d)|port|rooms?|ticket|budget|price|cost|team|employees|staff|years?|months?|weeks?|days?|hours?|minutes?|layers?|pages|(?:words|characters|chars)(?!\s+(?:\w+\s+)?(?:start|begin|appear|show|com|arriv))|chunks?|driver|cuda|python|ubuntu|kernel|turns|shops?|customers|age[ds]?|floor|rack(?:[- ]unit)?s?|invoice|contract[- ]no|phone|tel|id|uptime|availability|window|regions?|zones?|languages?",
    ),
    (
        "ttft_ms",
        (
            r"time[- ]to[- ](?:the[- ])?first(?:[- ]token)?|ttft|first[- ](?:tokens?|words?|answer|byte|chunk|char(?:acter)?s?|output|reply|response|letters?|sign)|(?:(?:words?|text|output|letters?|characters?|something|streaming|it)\s+(?:\w+\s+){0,2}?(?:start|begin|appear|show|come|arriv)\w*|tokens?\s+(?:\w+\s+){0,2}?(?:start|begin)\w*)(?:\s+to\s+(?:show(?:\s+up)?|appear|come(?:\s+in)?|arrive|stream|flow))?(?:\s+up)?(?=\W+(?:\w+\W+){0,3}?(?:[\d.]+|a|one)\s?m?s(?:ec\w*)?\b)|"
            r"(?:start|begin)s?[- ](?:to[- ])?(?:answer|reply|respond|stream|typ|writ|generat|speak|talk)\w*|(?:answer|respon[sd]|repl|stream|output|generat)\w*[- ](?:\w+[- ]){0,2}(?:start|begin)\w*|prefill(?=\W+(?:\w+\W+){0,2}?[\d.]+\s?m?s(?:ec\w*)?\b)|prefill[- ](?:latency|time)|(?:start|begin)s?(?=\W+(?:\w+\W+){0,3}?(?:[\d.]+|a|one)\s?m?s(?:ec\w*)?\b)|(?:something|anything)\s+(?:appears|shows|happens|arrives)|(?:answers?|respon[ds]\w*|repl(?:y|ies)|reacts?)(?=\W+(?:in|within|after|under|by)\W+(?:\w+\W+){0,2}?[\d.]+\s?m?s(?:ec\w*)?\b)|(?:blank|empty)\s+(?:screen|page|window)|initial[- ](?:delay|latency|response|wait)|(?:until|till|before|to|for)\s+the\s+first(?:\s+one)?(?=\s*(?:[.,;)\n]|$|and\b|then\b))"
        ),
    ),
    (
        "tpot_ms",
        r"an?[- ](?:new[- ])?(?:token|word)\s+every|time[- ](?:per|between)[- ](?:output[- ])?tokens?|inter[- ]?token(?:[- ]latency|[- ]delay)?|tpot|itl|tbt|tbot|(?:per|each|every|between|a)[- ](?:successive[- ]|consecutive[- ]|two[- ]|the[- ]|generated[- ]|new[- ]|further[- ]|output[- ]|subsequent[- ])*tokens?|decode(?=\W+(?:\w+\W+){0,2}?[\d.]+\s?m?s(?:ec\w*)?\b)|decode[- ](?:latency|step)|(?:each|every|the)[- ](?:following|further|next|subsequent|other|later)(?:[- ]one)?|(?:each|every)[- ](?:one|token|word)[- ](?:after\w*|behind|following)|(?:after|from)[- ](?:that|then|there)|afterwards?|thereafter|(?:subsequent|following|later|next)[- ]tokens?|tokens?\s+(?:[^\W\d_]+\s+){0,5}every|token[- ](?:interval|gap|latency|cadence)|apart",
    ),
    (
        "degree",
        r"(?:tensor|pipeline|expert|data|context|sequence)[-_ ]+parallel\w*|(?:tp|pp|ep|dp|cp|dcp|etp|sp)(?=[\W\d_]|$)|stages?|replicas?|copies|way(?=\W)|attention[- ]dp|ranks?",
    ),
    (
        "concurrency",
        (
            r"[^\W\d_]+(?=[ \t]+(?:[^\W\d_]+[ \t]+){0,2}?(?:at\s+(?:once|a\s+time|the\s+same\s+time|any\s+\w+)|in[- ]parallel|in[- ]flight|concurrently|simultaneously|together)\b)|"
            r"zeitgleich|gleichzeitig\w*|contempor[âa]ne\w*|gelijktijdig\w*|tegelijk\w*|samtidig\w*|jednocze\w*|równocze\w*|naraz|současn\w*|одновременн\w*|eşzamanl\w*|sitzung\w*|sesion\w*|session[ie]|sessies|sesj\w*|сесси\w*|сеанс\w*|concurren\w*|conc|simult\w*|parallel(?:ism)?(?!ism)|in[- ]?flight|inflight|at[- ](?:once|(?:the[- ]same|a|one|any)[- ](?:\w+[- ])?(?:time|moment|instant))|active|users?|people|persons?|sessions?|streams?|"
            r"clients?|chats|conversations|seqs|sequences|num[-_ ]?seqs|batch(?:[-_ ]?size)?|bs|developers|devs|colleagues|folks|callers|connections?|threads|c(?=\s*[=:]?\s*\d)|readers|agents|analysts|students|engineers|testers|seats|operators|ppl|open[- ]requests|cc|load"
        ),
    ),
    ("request_rate", r"(?:request|arrival|query)[-_ ]?rate|rps|qps|reqs?[-_ ]?per[-_ ]?s(?:ec(?:ond)?)?"),
    (
        "osl",
        r"cots?|chains?[- ]of[- ]thoughts?|(?:reasoning|thinking)(?:[- ]traces?)?|thoughts?|osl|out(?:put)?s?|down|ausgab\w*|antwort\w*|zusammenfassung\w*|sortie\w*|r[ée]ponse\w*|r[ée]sum[ée]\w*|salida\w*|respuesta\w*|resumen\w*|uscit\w*|rispost\w*|riassunt\w*|sa[íi]da\w*|respost\w*|uitvoer|antwoord\w*|samenvatting\w*|utdata|svar\w*|wyjści\w*|odpowied\w*|streszcz\w*|výstup\w*|odpověd\w*|выход\w*|ответ\w*|вихід\w*|відповід\w*|çıktı\w*|cevap\w*|yanıt\w*|answers?|repl(?:y|ies)|respon[sc]es?|completions?|generat\w+|summar(?:y|ies)|returns?|returned|returning|back|gens?|receiv\w+|gets?|getting|yields?|labels?|answered|(?:answer|repl|respond|summari[sz]|classif|translat)\w*[- ](?:in|with|by|within|into)|decode[sd]?|produc(?:e[sd]?|ing)|writes?|written|emits?|translations?|verdicts?|abstracts?|drafts?|patch(?:es)?|snippets?|max[-_ ]?tokens",
    ),
    (
        "isl",
        r"isl|in(?:put|coming)?s?|up(?!\s+to)|eingab\w*|anfrage\w*|dokument\w*|frage[n]?|texte?n?|entr[ée]e\w*|requ[êe]te\w*|entrada\w*|pregunta\w*|consulta\w*|peticion\w*|ingress\w*|entrata|domand\w*|richiest\w*|pergunt\w*|pedido\w*|invoer|vraag|vragen|indata|fråg\w+|spørsm\w+|spørgsm\w+|wejści\w*|zapyta\w*|pyta(?:nie|nia|ń)|vstup\w*|dotaz\w*|вход\w*|запрос\w*|вопрос\w*|вхід\w*|запит\w*|girdi\w*|giriş\w*|soru\w*|prompts?|contexts?|ctx|documents?|docs?|prefill|questions?|articles?|messages?|reads?|reading|(?:sees?|carr(?:y|ies))(?=\s+(?:about\s+|around\s+|roughly\s+|some\s+)?\d)|sends?|sent|ingest\w*|feeds?|feeding|fed|submits?|submitted|submitting|passages?|transcripts?|emails?|mails|tickets|contracts?|reports?|papers?|pages?|histor(?:y|ies)|queries|query|chapters?|files?|notes|logs?|repo\w*|codebase|requests?|each|(?:answer|repl|respond)\w*(?=\W+to\b)",
    ),
    (
        "prefix",
        r"cach\w*|prefix\w*|shar(?:ed?|ing)|reus\w+|hits?|hit[- ]rate|repeat\w*|identical|overlap\w*|the[- ]same|common",
    ),
    (
        "per_host",
        r"(?:gpus?|cards?|accelerators?|devices?)?[-_ ]*(?:per|/|in[- ]each|in[- ]every|on[- ]each)[-_ ]*(?:node|host|server|machine|box|chassis|system|instance)s?|[-_ ]gpu[- ](?=node|host|server|machine|box)|(?:gpus?|cards?|accelerators?)[- ](?:each|apiece)",
    ),
    ("hosts", r"nodes?|hosts?|servers?|machines?|box(?:es)?|chassis|systems?|instances?|nnodes|trays?"),
    (
        "gpus",
        r"num[-_ ]?gpus?|#[- ]?gpus?|gpus?(?:[-_ .]?(?:count|num(?:ber)?|qty|total))?(?![-_ ]+(?:mem\w*|util\w*|types?|models?|kinds?|budget|hours?|vendor|driver))|cards?|accelerators?|graphics[- ]cards?|boards?|chips?|devices?|qty|quantity|count|(?:num(?:ber)?|anzahl|nombre|cantidad|numero|número|antal|liczba|количество)(?=\s*[:=])|stück|stk|pcs?|pieces?|sztuk\w*|штук\w*",
    ),
    (
        "whole",
        r"e2e|end[- ]to[- ]end|total[- ](?:time|latency)|whole[- ](?:answer|response|request)|(?:full|entire|complete)[- ](?:answer|response|reply)|timeout|round[- ]?trip",
    ),
)
"""How roles are called. Where two words overlap the longer one counts, and of equals the first in this order."""

_NUMBER = compiled(
    r"(?<![\w.,$€£-])(?<!\d:)(?:[$€£]\s?|x)?(?P<n>\d{1,3}(?:[,_]\d{3})+|\d{1,12}(?:[.,]\d{1,6})?)(?P<unit>"
    r"\s?(?:(?:req(?:uest)?s?|quer(?:y|ies)|calls?|prompts?|messages?|questions?|jobs?|hits|transactions?|generations?|documents?|docs|chats?|conversations?|completions?|emails?)\s*(?:/|per|an?|each|every)\s*(?:s(?:ec(?:ond)?)?|min(?:ute)?|h(?:ou)?r?|d(?:ay)?)s?(?!\w)|(?:rps|qps|rpm|qpm|reqs?/s|r/s)(?!\s*[=:]\s*\d))"
    r"|\s?(?:ms|milli\w*)\s*(?:/|per|each|a)\s*(?:output\s*|generated\s*|decoded\s*)?tok(?:en)?s?(?!\w)"
    r"|\s?k\s?(?:(?:output|input|generated|total)\s+)?tok(?:en)?s?\s*(?:/|per|a)\s*s(?:ec(?:ond)?)?s?(?!\w)"
    r"|\s?(?:(?:output\s+|generated\s+|new\s+)?(?:tok(?:en)?s?|t)\s*(?:/|per|a|every|each)\s*s(?:ec(?:ond)?)?s?|tps)(?!\w)"
    r"|\s?(?:[km]?[- ]?|kilo[- ]?)tok(?:en)?s?(?!\w)|/s(?:ec)?(?!\w)|\s?(?:ms|msecs?|milli\w*|secs?|seconds?|s|µs|us)(?!\w)|\s?(?:%|percent)"
    r"|\s?(?:[kmgtp]i?b(?:/s)?|g(?:b(?:it|ps)?)?/s|gbps|gbit\w*|gigs?|gigabytes?|kw|w|watts?|tb/s|b|bn|usd|eur|euros?|dollars?|-?bits?|hz|ghz|°c|am|pm|th|nd|rd|st)(?!\w)"
    r"|\s?k(?!\w)|m(?!\w)|x(?=\W)|\+|[- ]?ish|:\d{1,3}(?![\d.]))?(?![\w]*\d)(?![\w])"
)
_ELSEWHERE = re.compile(
    r"[kmgtp]i?b(?:/s)?|g(?:b(?:it|ps)?)?/s|gbps|gbit\w*|gigs?|gigabytes?|kw|w|watts?|tb/s|b|bn|usd|eur|euros?|dollars?|-?bits?|hz|ghz|°c|am|pm|th|nd|rd|st|m"
)
"""Units of what no plan is about: bytes, watts, money; and `M` by itself, since millions of documents are no length."""
_TIME_OF = {"m": 60, "h": 3600, "d": 86_400}
_STOP = re.compile(
    r"[;!?]|(?<!\bpc)(?<!\bpcs)(?<!\bca)(?<!\bmax)(?<!\bmin)(?<!\bavg)(?<!approx)(?<!\bno)(?<!\bapp)(?<!\bincl)\.(?=\s|$)|\n\s*\n"
)
_WORD = re.compile(rf"[^\W_]+|[,()|\n]|(?<=\s)/(?=\s)|{NAMED}+|{EATEN}+")
_WEIGHT = {
    ",": 2.0,
    "\n": 2.0,
    "/": 1.0,
    "|": 0.6,
    "(": 0.8,
    ")": 0.8,
    "and": 1.6,
    "then": 1.6,
    "plus": 1.6,
    "with": 1.2,
    "but": 2.0,
    **dict.fromkeys(
        (
            "up",
            "to",
            "of",
            "is",
            "are",
            "at",
            "about",
            "around",
            "roughly",
            "approximately",
            "some",
            "max",
            "maximum",
            "avg",
        ),
        0.5,
    ),
}
"""What a word between a number and a role counts; a plain one counts 1, one that only ties them less."""
SKIP_NUMBER = 7.0
SKIP_STRANGER = 0.5
SKIP_WORD = 0.35
SHORTEST = 16
"""Tokens that a prompt or an answer has at least: smaller numbers count something else."""
FARTHEST = 6.5
_POWERS = {"k": 1, "m": 2}


@dataclass(frozen=True)
class Quantity:
    """A number of the text with what its unit says it is; `value` in tokens, milliseconds, per second, or as it stands."""

    value: float
    kind: Kind
    span: SPAN
    scale: int = 1
    """What a `k` or `M` behind it stands for in tokens."""
    unit: str = ""


@dataclass(frozen=True)
class Naming:
    """Words of the text that name a role."""

    role: Role
    span: SPAN


@dataclass(frozen=True)
class Reading:
    """A number with its role; `cost` says how far from its name it stands."""

    role: Role
    quantity: Quantity
    naming: Naming | None
    cost: float

    @property
    def words(self) -> SPAN:
        """Where the number and its name stand, and what is between."""
        spans = [self.quantity.span, *([self.naming.span] if self.naming else [])]
        return min(a for a, _ in spans), max(b for _, b in spans)

    @property
    def amount(self) -> float:
        """The value in the unit of the field: tokens, milliseconds, requests, requests per second."""
        quantity = self.quantity
        if quantity.kind == "speed":
            return round(1000 / quantity.value, 6) if self.role == "tpot_ms" else quantity.value
        if quantity.kind == "thousands" and self.role not in _LENGTHS:
            return quantity.value / quantity.scale * 1000
        return round(quantity.value, 6) if self.role not in _LENGTHS else float(round(quantity.value))


_GPUS = next(i for i, (role, _) in enumerate(_WORDS) if role == "gpus")


@cache
def _names() -> re.Pattern[str]:
    parts = "|".join(f"(?P<_{role}{i}>(?<![^\\W_])(?:{words})(?![^\\W\\d_]))" for i, (role, words) in enumerate(_WORDS))
    return re.compile(rf"(?P<gpus{_GPUS}>{NAMED}+s?)|{parts}", re.IGNORECASE)


def quantities(text: str) -> list[Quantity]:
    """Every number of a text, typed."""
    return [_typed(match) for match in _NUMBER.finditer(text)]


def _typed(match: re.Match[str]) -> Quantity:
    number, unit, span = number_of(match["n"]), (match["unit"] or "").strip().lower(), match.span()
    if re.match(r"(?:ms|milli\w*)\W*(?:per|each|a|/)", unit) and "tok" in unit:
        return Quantity(number, "pace", span, unit=unit)
    if match.group()[0] in "$€£" or unit.startswith(":") or _ELSEWHERE.fullmatch(unit):
        return Quantity(number, "other", span, unit="$")
    if re.match(r"rps|qps|reqs?/s|r/s", unit):
        return Quantity(number, "rate", span, unit=unit)
    if re.match(r"rpm|qpm", unit):
        return Quantity(number / 60, "rate", span, unit=unit)
    if re.match(r"k\s?(?:\w+\s+)?tok\w*\W*(?:/|per|a)\W*s", unit):
        return Quantity(number * 1000, "speed", span, unit=unit)
    if unit == "tps" or (
        re.search(r"(?:/|per|a|every|each)\s*s(?:ec(?:ond)?)?s?$", unit) and re.match(r"(?:\w+\s+)?t", unit)
    ):
        return Quantity(number, "speed", span, unit=unit)
    if unit.startswith("/s"):
        spoken = re.search(
            r"tok(?:en)?s?[^\w.;:,]+(?:(?!req|rate|load)\w+[^\w.;:,]+){0,2}$",
            match.string[max(0, match.start() - 30) : match.start()],
            re.IGNORECASE,
        )
        return Quantity(number, "rate" if spoken is None else "speed", span, unit=unit)
    per = re.search(r"(?:/|per|an?|each|every)\s*(s|m|h|d)\w*$", unit)
    if per is not None and "tok" not in unit:
        return Quantity(number / _TIME_OF.get(per[1], 1), "rate", span, unit=unit)
    if re.match(r"(?:[km]|kilo)?[- ]?tok", unit):
        scale = thousand(number) ** _POWERS.get(unit[0], 0)
        return Quantity(number * scale, "tokens", span, scale=scale, unit=unit)
    if re.match(r"ms|msec|milli", unit):
        return Quantity(number, "time", span, unit=unit)
    if re.match(r"µs|us$", unit):
        return Quantity(number / 1000, "time", span, unit=unit)
    if re.fullmatch(r"s|secs?|seconds?", unit):
        return Quantity(round(number * 1000, 6), "time", span, unit=unit)
    if unit in ("%", "percent"):
        return Quantity(number / 100, "percent", span, unit=unit)
    if unit == "k":
        return Quantity(number * thousand(number), "thousands", span, scale=thousand(number), unit=unit)
    return Quantity(number, "plain" if unit in ("", "x", "+", "ish", "-ish") else "other", span, unit=unit)


def namings(text: str) -> list[Naming]:
    """Words of a text that name a role, in order."""
    found = [Naming(_role(m), m.span()) for m in _names().finditer(text) if not _idle(m)]
    return [_turned(text, naming, found[:index]) for index, naming in enumerate(found)]


_READ = compiled(r"reads?|reading")
_SENT = compiled(r"sen[dt]s?|sending|feeds?|feeding|fed|submit\w*")


def _turned(text: str, naming: Naming, before: Sequence[Naming]) -> Naming:
    """What is read by those who send something is the answer: `they send 45k tokens and read 900`."""
    if _READ.fullmatch(text[slice(*naming.span)]) is None:
        return naming
    near = [n for n in before[-2:] if naming.span[0] - n.span[1] <= 60]
    sent = any(_SENT.fullmatch(text[slice(*n.span)]) for n in near)
    return Naming("osl", naming.span) if sent else naming


def _role(match: re.Match[str]) -> Role:
    assert match.lastgroup is not None
    return _WORDS[int(re.findall(r"\d+$", match.lastgroup)[0])][0]


_PLACE = re.compile(
    r"\s+(?:the|a|an|our|my|one|two|this|that|each|every|all|total|parallel|flight|order|production|house|mind|case|[A-Z]\w+|german\w*|english)\b"
)


def _idle(match: re.Match[str]) -> bool:
    """Whether a small word is used for something else: `in the rack`, `back in May`."""
    return match.group().lower() in ("in", "a token", "back") and _PLACE.match(match.string, match.end()) is not None


def read_roles(text: str) -> list[Reading]:
    """Every number of a text that has a role, sentence by sentence. Names of GPUs are `NAMED`, what is no quantity is `EATEN`."""
    pairs = list(_pairs(text))
    taken = [reading.quantity.span for pair in pairs for reading in pair]
    found = [q for q in quantities(text) if not any(a <= q.span[0] < b for a, b in taken)]
    names = namings(text)
    readings = [reading for pair in pairs for reading in pair]
    readings += [_by_itself(text, q) for q in found if q.kind in ("speed", "rate", "pace")]
    for low, high in _sentences(text):
        inside = [q for q in found if low <= q.span[0] < high and _FITS[q.kind]]
        words = [n for n in names if low <= n.span[0] < high and not any(_covers(q, n) for q in found)]
        readings += _aligned(text, inside, words)
    return readings


_EACH = compiled(
    r"(?:\W+(?:for|to))?\W*(?:(?:per|each|every|an?|/|for\s+each|for\s+every)\W*(?:user|reader|stream|request|session|sequence|client|person|conversation|u|head|query|call)\b|each\b|apiece\b)"
)
_ALL = compiled(r"\b(?:total|aggregate|overall|altogether|in\s+all|combined|system|cluster|gpu|sum)\b")
FASTEST_READER = 300.0
"""Tokens per second above which a bare speed cannot be one user's."""


def _by_itself(text: str, quantity: Quantity) -> Reading:
    """A rate, or a speed: one user's unless the words around it say the sum, or nobody reads that fast."""
    if quantity.kind == "rate":
        return Reading("request_rate", quantity, None, 0.0)
    if quantity.kind == "pace":
        return Reading("tpot_ms", quantity, None, 0.0)
    start, end = quantity.span
    each = _EACH.match(text, end) is not None
    summed = _ALL.search(text[max(0, start - 30) : end + 30]) is not None
    own = quantity.value > 0 and (each or (not summed and quantity.value <= FASTEST_READER))
    return Reading("tpot_ms" if own else "other", quantity, None, 0.0)


_PAIR = compiled(
    r"(?<![\w.,/:-])(?P<a>\d{1,3}(?:[,_]\d{3})+|\d{1,7}(?:\.\d{1,3})?)\s?(?P<ak>k)?(?:\s?tok(?:en)?s?)?\s*(?:/|:|-+>|→|=>|\+|>|x(?=\d+k)|(?<=k)(?=\d))\s*"
    r"(?P<b>\d{1,3}(?:[,_]\d{3})+|\d{1,7}(?:\.\d{1,3})?)\s?(?P<bk>k)?(?:\s?tok(?:en)?s?)?(?![\w/:]|\s*(?:ms|s|sec\w*|gb|h|days?)\b|[.,]\d)"
)
"""A prompt and an answer with a mark between: `4k/1k`, `2048->256`, `8k1k`."""


def _pairs(text: str) -> Iterator[tuple[Reading, Reading]]:
    for match in _PAIR.finditer(text):
        both = [_half(match, name) for name in ("a", "b")]
        if "+" in match.group() and not (match["ak"] and match["bk"]):
            continue
        if not (match["ak"] or match["bk"]) and 2015 <= both[0].value <= 2035:
            continue  # a year and a number
        if _in_a_list(text, match):
            continue
        if min(q.value for q in both) >= SHORTEST and max(q.value for q in both) >= 4 * SHORTEST:
            yield Reading("isl", both[0], None, 1.0), Reading("osl", both[1], None, 1.0)


_LISTED = compiled(
    r"(?:out(?:put)?|osl|answers?|completions?|replies|generated|concurrency|conc|users|rate|ttft|tpot|itl)\W{0,3}$"
)
_COUNTED = compiled(
    r"\s*(?:concurr\w*|conc\b|users?|sessions?|streams?|requests?|reqs?|in[- ]flight|parallel|simultaneous|clients?|chats?|people|agents?|gpus?|nodes?|hosts?|rps|qps|at\s+(?:once|a\s+time))"
)


def _in_a_list(text: str, match: re.Match[str]) -> bool:
    """Whether the mark between two numbers parts items of a list: `out 1.5k / 24 concurrent`."""
    spaced = re.search(r"\s/\s", match.group()) is not None
    before = _LISTED.search(text[max(0, match.start() - 16) : match.start()]) is not None
    return spaced and (before or _COUNTED.match(text, match.end()) is not None)


def _half(match: re.Match[str], name: str) -> Quantity:
    number = number_of(match[name])
    scale = thousand(number) if match[f"{name}k"] else 1
    return Quantity(number * scale, "tokens", match.span(name), scale=scale)


def _covers(quantity: Quantity, naming: Naming) -> bool:
    return quantity.span[0] <= naming.span[0] < quantity.span[1]


FARTHEST_CHARACTERS = 120
"""Between a number and the name of its role."""
LONGEST_SENTENCE = 1000
"""Characters; what goes on without a stop is read in pieces of that length."""


def _sentences(text: str) -> Iterator[SPAN]:
    ends = [0, *(m.end() for m in _STOP.finditer(text)), len(text)]
    for a, b in pairwise(ends):
        yield from ((start, min(b, start + LONGEST_SENTENCE)) for start in range(a, b, LONGEST_SENTENCE))


def _aligned(text: str, numbers: Sequence[Quantity], names: Sequence[Naming]) -> list[Reading]:
    """Pair numbers with names in order, at the least sum of distances; what is left unpaired costs as well."""
    rows, columns = len(numbers), len(names)
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    pairs = [[_distance(text, q, n) for n in names] for q in numbers]
    skips = [SKIP_STRANGER if _has_own_name(text, q, names) else SKIP_NUMBER for q in numbers]
    for i in range(rows + 1):
        for j in range(columns + 1):
            if i or j:
                best[i][j] = min(
                    best[i - 1][j] + skips[i - 1] if i else float("inf"),
                    best[i][j - 1] + SKIP_WORD if j else float("inf"),
                    best[i - 1][j - 1] + pairs[i - 1][j - 1] if i and j else float("inf"),
                )
    found = []
    i, j = rows, columns
    while i and j:
        if best[i][j] == best[i - 1][j - 1] + pairs[i - 1][j - 1]:
            if pairs[i - 1][j - 1] <= FARTHEST:
                found.append(Reading(names[j - 1].role, numbers[i - 1], names[j - 1], pairs[i - 1][j - 1]))
            i, j = i - 1, j - 1
        elif best[i][j] == best[i][j - 1] + SKIP_WORD:
            j -= 1
        else:
            i -= 1
    return found[::-1]


_STRANGER = compiled(r"[a-z][a-z_-]{2,}[a-z]?\s*(?:(?:of|is|was|at|set\s+to|up\s+to|about|around|~)\s*|[:=]\s*){0,2}$")
_LINKS = compiled(
    r"\b(?:is|are|at|with|about|around|roughly|some|the|and|for|max|maximum|min|minimum|avg|average|mean|typical|typically|each|per|only|just|than|under|below|within|between|from|plus|then|say|approx\w*|has|have|get|gets|need|needs|want|give|gives|exactly|nearly|almost|over|into|out|limit|long|length)\W*$"
)


def _has_own_name(text: str, quantity: Quantity, names: Sequence[Naming]) -> bool:
    """Whether a number has a name that no role has, in a list of names with their numbers (`max model len 32768, prompts 6k`)."""
    start = max((text.rfind(mark, 0, quantity.span[0]) for mark in ",;()\n|"), default=-1) + 1
    ahead = text[start : quantity.span[0]]
    end = min((i for i in (text.find(mark, quantity.span[1]) for mark in ",;()\n|") if i >= 0), default=len(text))
    named = any(start <= n.span[0] < end for n in names)
    return (
        not named
        and text[quantity.span[1] : end].strip(" .") == ""
        and _STRANGER.search(ahead) is not None
        and _LINKS.search(ahead) is None
    )


def _distance(text: str, quantity: Quantity, naming: Naming) -> float:
    """Words between a number and a name, each as heavy as it parts; infinite where the number cannot play the role."""
    if (
        naming.span[0] - quantity.span[1] > FARTHEST_CHARACTERS
        or quantity.span[0] - naming.span[1] > FARTHEST_CHARACTERS
    ):
        return float("inf")
    if naming.role not in _FITS[quantity.kind] or not _plausible(quantity, naming.role, text[slice(*naming.span)]):
        return float("inf")
    if _other_noun(text, quantity, naming):
        return float("inf")
    ahead = naming.span[1] <= quantity.span[0]
    gap = text[naming.span[1] : quantity.span[0]] if ahead else text[quantity.span[1] : naming.span[0]]
    steps = sum(_weight(word) for word in _WORD.findall(gap))
    if quantity.kind == "thousands" and naming.role not in _LENGTHS and steps > 1:
        return float("inf")
    if ahead and quantity.kind == "plain" and naming.role in _COUNTS and not _LABELS.fullmatch(gap):
        steps += float("inf") if _NOUN_BEHIND.match(text, quantity.span[1]) else 0.0
    if ahead and re.fullmatch(
        r"(?:[-_](?:len(?:gth)?s?|tokens?|toks?|size|count|avg|max|ms|s))*\s*[:=]\s*(?:~|about|max)?\s*", gap
    ):
        return -0.5
    label = not ahead and quantity.kind == "plain" and _LABEL.fullmatch(text[slice(*naming.span)]) is not None
    return steps + (1.0 if label else 0.1 if ahead else 0.0)


_LABELS = compiled(
    r"\W*(?:(?:is|are|of|was|about|around|approx\w*|max\w*|up\s+to|at|set\s+to|count|number|total|level|limit)\b\W*){0,3}"
)
_NOUN_BEHIND = compiled(r"\s+(?!(?:is|was|has|as|this|its|users|always|plus|hours|minutes|seconds)\b)[a-z]{2,}s\b")
"""A noun right behind a number is what it counts, and not what stood before (`people to run 2 pools`)."""
_EACH_SO_LONG = compiled(r"\s*(?:,\s*)?(?:(?:of|with|having|each)\s+(?:of\s+|about\s+|around\s+|some\s+)*)+\d")
"""Behind a number of texts: how long each is (`2,000 abstracts of 300 tokens`)."""
_HOSTS_BEHIND = compiled(r"s?[- ]?(?:nodes|hosts|servers|machines|boxes|trays|systems|instances)\b")


def _other_noun(text: str, quantity: Quantity, naming: Naming) -> bool:
    """Whether a number counts another noun of a compound: `2 H100 nodes` are nodes, `8xH100 node` and `x4 box` are GPUs."""
    words, behind = text[slice(*naming.span)], naming.span[0] >= quantity.span[1]
    if naming.role == "gpus" and behind and words[0] == NAMED:
        return _HOSTS_BEHIND.match(text, naming.span[1]) is not None
    if naming.role in _LENGTHS and behind and quantity.kind == "plain" and words[-1].lower() == "s":
        return _EACH_SO_LONG.match(text, naming.span[1]) is not None
    if naming.role == "hosts" and behind and quantity.value > 1 and words[-1].lower() != "s":
        return text[quantity.span[0]] in "xX" or text[quantity.span[1] : naming.span[0]] not in ("-", " ")
    return False


def _weight(word: str) -> float:
    return _WEIGHT.get(word.lower(), 1.5 if word[0].isdigit() else 1.0)


_VAGUE = compiled(
    r"requests?|each|back|gets?|getting|up|down|anfrage\w*|requ[êe]te\w*|peticion\w*|richiest\w*|pedido\w*|zapyta\w*|запрос\w*|запит\w*"
)
"""Words that name a length only where the number says that it counts tokens."""
_PHASE = compiled(r"prefills?|decode[sd]?")
"""Phases, which people also give machines to (`decode on 24`)."""
_WHOLE_ANSWER = compiled(r"answers?|respon[ds]\w*|repl(?:y|ies)|reacts?")
LONGEST_START = 3000.0
"""Milliseconds in which nobody expects a whole answer: `answer within 300 ms` speaks of its start."""
_LABEL = compiled(r"ttft|tpot|itl|tbt|isl|osl|cc?|bs")
"""Names that stand before their numbers as a rule."""
_LIMIT = compiled(r"ttft|tpot|itl|tbt|tbot|time|latency")
"""Names of limits whose numbers need no unit."""


def _plausible(quantity: Quantity, role: str, words: str) -> bool:
    """Whether a number has a size and a form that the role can have."""
    whole = quantity.value == round(quantity.value)
    if role in _COUNTS:
        return whole or role == "other"
    if role == "ttft_ms" and _WHOLE_ANSWER.fullmatch(words):
        return quantity.kind == "time" and quantity.value <= LONGEST_START
    if role in _TIMES:
        return quantity.kind == "time" or _LIMIT.search(words) is not None
    if _VAGUE.fullmatch(words):
        return quantity.kind in ("tokens", "thousands") and bool(quantity.unit)
    if role in _LENGTHS:
        return quantity.kind == "tokens" or quantity.value >= SHORTEST * (4 if _PHASE.fullmatch(words) else 1)
    return True
