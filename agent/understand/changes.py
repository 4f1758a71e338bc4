"""What a follow-up changes of a request that is known: `what if I only have 4?`, `make it fp8`, `TTFT matters more`."""

import copy
import re
from typing import Any

from pydantic import ValidationError

from agent.understand.asides import pass_over
from agent.understand.assemble import Names, catalogue_names, named_places
from agent.understand.choices import find_choices, find_objective, find_precision
from agent.understand.clusters import find_cluster_change
from agent.understand.constraints import find_constraints
from agent.understand.latency import find_slo
from agent.understand.models import find_model
from agent.understand.names import pieces, simplest
from agent.understand.notes import Notes
from agent.understand.scan import COUNT, EATEN, Scan, compiled, count_of, number_of
from agent.understand.settle import second_look, settle
from agent.understand.shape import GPU_WORDS, HOST_WORDS
from agent.understand.traffic import find_traffic
from agent.understand.wording import scanned
from strategy.errors import plainly
from strategy.request import Request
from strategy.values import Frozen

Json = dict[str, Any]

_FREE = r"(?:drop|remove|forget|ignore|relax|lift|free|release|unfix|unpin|unset|unlock|clear|delete|loosen|allow|permit|let\s+go\s+of|take\s+(?:away|out|back)|get\s+rid\s+of|no\s+longer\s+(?:fix|need|require)|stop\s+fixing|quita\w*|elimina\w*|enlève\w*|supprime\w*|retire\w*|streich\w*|entfern\w*|lass\w*|hebe?|togli\w*|rimuovi\w*|remov[ea]\w*|tira\w*|verwijder\w*|убери\w*|сними\w*)"
_LIMIT = r"(?:limits?|slo|sla|targets?|constraints?|bounds?|requirements?|budgets?|límites?|limites?|grenzen?|limit\w*)"
_DROP_LIMIT = compiled(
    rf"\b(?:{_FREE}|without|no)\s+(?:(?:the|any|all|both|each|my|our|that|this|el|la|le|los|das|die|den|o|il)\s+)*(?P<which>ttft|tpot|itl|latency|slo)(?:\s+and\s+(?:the\s+)?(?P<also>ttft|tpot|itl))?s?(?:\s+{_LIMIT})?\b"
    rf"|\b{_FREE}\s+(?:(?:the|that|my|our|both|all|el|la|le|los|das|die|den|o|il)\s+)*{_LIMIT}\s+(?:of|on|for|de|von|di|du)\s+(?:(?:the|el|la|o|il)\s+)?(?:(?P<of>ttft|tpot|itl|latency|first\s+token)|(?P<n>\d+(?:[.,]\d+)?)\s*(?P<u>ms|milliseconds|s|seconds))"
    rf"|\b{_FREE}\s+(?:(?:the|both|all|my|our)\s+)*(?P<both>limits|slos?|slas?|latency\s+{_LIMIT})\b"
)
_KIND = r"(?:tp|pp|ep|sp|dp[- ]?attention|attention[- ]dp|dp|dcp|cp|tensor\s+parallelism|pipeline\s+parallelism|pipelines?|expert\s+parallelism|context\s+parallelism|data\s+parallelism|replicas?)"
_KINDS_OF = {
    "tensor": "tp",
    "pipeline": "pp",
    "pipelines": "pp",
    "expert": "ep",
    "context": "cp",
    "data": "dp",
    "replica": "dp",
    "replicas": "dp",
}
_LISTED = rf"(?:(?:the|using|use\s+of)\s+)?{_KIND}\b(?:\s*(?:,|and|or|&|\+|/)+\s*(?:the\s+)?{_KIND}\b)*"
_SETTING = r"(?:\s+(?:again|constraints?|limits?|restrictions?|bans?|settings?|degrees?|sizes?|fix|pin|value|back))*"
_RELEASE = compiled(
    rf"\b{_FREE}\s+(?P<a>{_LISTED}){_SETTING}(?!\s*(?:to|at|[=:])?\s*\d)"
    rf"|(?<![\w-])(?P<b>{_LISTED})\s+(?:is|are|can\s+be|may\s+be|would\s+be)\s+(?:ok(?:ay)?|fine|allowed|permitted|possible|welcome|free|up\s+to\s+you|acceptable|back\s+on\s+the\s+table)\b(?:\s+(?:again|after\s+all|now|with\s+me))*"
    rf"|\blet\s+(?:the\s+)?(?:planner|search|plan|tool|you)\s+(?:choose|pick|decide(?:\s+on)?|find|select)\s+(?:the\s+)?(?P<c>{_LISTED}){_SETTING}"
    rf"|\b(?:you|planner)\s+(?:can\s+|may\s+)?(?:choose|pick|decide(?:\s+on)?)\s+(?:the\s+)?(?P<d>{_LISTED}){_SETTING}"
    rf"|\blet\s+(?P<e>{_LISTED})\s+be\s+(?:whatever|anything|free|what\s+it)\b[^.;,\n]{{0,24}}|(?<![\w-])(?P<f>{_LISTED})\s*(?:can\s+be\s+)?(?:=|:)?\s*(?:whatever|anything|any|auto|free)\b"
    rf"|(?<![\w-])(?P<g>{_KIND})\s*(?:[のをは的은는을를의])?\s*(?:固\s*定|pin|fix\w*|고\s*정)?\s*(?:[をは은는을를])?\s*(?:外\s*し|解\s*除|取\s*消|不\s*用\s*固\s*定|放\s*开|不\s*限|해\s*제)(?:\s*[぀-ヿ一-鿿가-힣])*"
    rf"|\b(?:don'?t|do\s+not|no\s+need\s+to|stop)\s+(?:fix|pin|force|hold)\w*\s+(?P<h>{_LISTED})"
)
_ANY_ENGINE = compiled(
    r"\b(?:any|no(?:\s+particular)?|forget\s+the|drop\s+the|whatever)\s+engine\b|\bengine\s+(?:does\s*n[o']t\s+matter|is\s+open)\b"
)
_SIZE = compiled(r"(?<![\w.])(?P<size>(?:\d{1,2}x)?\d{1,4}b)\b(?:\s+(?:instead|model|version|variant|one))?")
_FIELDS: dict[str, str] = {
    "isl": r"isl|contexts?|prompts?(?:\s+lengths?)?|inputs?(?:\s+lengths?)?|documents?|prompt\s*(?:长\s*度|長)?",
    "osl": r"osl|answers?(?:\s+lengths?)?|outputs?(?:\s+lengths?)?|repl(?:y|ies)|responses?|completions?|generations?",
    "load": r"concurrency|load|traffic|users|people|sessions|chats|streams|clients|requests(?:\s+per\s+second)?|(?:request\s+)?(?<!hit )(?<!hit-)rate|carga|charge|nutzer|rps|qps|volume|demand|last|verkehr|trafic|tráfico|traffico|taxa|tasa|tasso",
    "gpus": r"gpus?|cards?|accelerators?",
    "hosts": r"nodes|hosts|servers|machines|boxes",
    "ttft_ms": r"ttft|time\s+to\s+first\s+token|first\s+token",
    "tpot_ms": r"tpot|itl|time\s+per\s+token|inter[- ]token\s+latency",
}
_FIELD = "|".join(f"(?P<{name}>{words})" for name, words in _FIELDS.items())
_BY = {
    2.0: r"doubl(?:es?|ed|ing)|twice|two\s*fold|2x|two\s+times|2\s+times|doppelt(?:\s+so\s+(?:viele?|lang\w*|groß\w*|hoch))?|verdopp\w+|deux\s+fois|le\s+double|doble|duplica\w*|doppio|raddoppi\w+|dobro|dobra\w*|dubbel|вдвое|удво\w+|翻\s*(?:一\s*)?倍|加\s*倍|(?<!\d)(?:2|二|两)\s*倍|倍\s*增|두\s*배",
    0.5: r"half|halv(?:es?|ed|ing)|halb\w*|hälfte|moitié|mitad|metà|metade|pela\s+metade|dimezz\w+|reduz\w*\s+(?:à|pela)\s+metade|helft|вдвое\s+меньше|减\s*半|一\s*半|半\s*分|절반",
    3.0: r"tripl(?:es?|ed|ing)|three\s*fold|3x|three\s+times|3\s+times|thrice|dreifach\w*|verdreifach\w*|trois\s+fois|triple\w*|triplo|三\s*倍|3\s*倍",
    4.0: r"quadrupl(?:es?|ed|ing)|4x|four\s+times|4\s+times|vierfach\w*|quatre\s+fois|cuádruple",
    10.0: r"10x|ten\s+times|10\s+times|ten\s*fold|zehnfach\w*",
    5.0: r"5x|five\s+times|5\s+times|five\s*fold",
    0.25: r"a\s+quarter|one\s+quarter|quarter",
    1 / 3: r"a\s+third|one\s+third",
    0.75: r"three\s+quarters",
    2 / 3: r"two\s+thirds",
}
_FACTOR = "|".join(f"(?P<f{i}>{words})" for i, words in enumerate(_BY.values()))
_LOAD_FACTOR = compiled(
    rf"(?<!\w)(?:{_FACTOR})(?:\s+(?:so\s+(?:viele?|many)|as\s+(?:many|much|long|high|large|big)|(?:the\s+)?(?:number|amount|count)|of|the|our|my|those|these|that|many|(?:le|la|les|el|los|de|die|der|den|das|o|a|os|as|il|gli|nombre|número|number)))*\s+(?:{_FIELD})(?!\w)"
    rf"|(?<!\w)(?:{_FIELD.replace('?P<', '?P<x')})(?:\s*(?:长\s*度|長\s*さ?|数|量|を|は|が|을|를|이|가))?(?:\s+(?:will|are|is|be|being|get|gets|grows?|goes|go|up|down|now|then|to|by|only|about|roughly|just|falls?|drops?|rises?|cai(?:r|a)?|cae|sinkt|steigt|becomes?|have|has|should|would|may|might|sich|se))*\s*(?:{_FACTOR.replace('?P<', '?P<x')})(?:\s+(?:as\s+(?:long|many|much|high|big|large)|that|of\s+(?:that|it|those|them)|the\s+(?:size|length|number)|from\s+there|longer|so\s+(?:lang|viele|hoch)))*(?!\w)"
)
_PERCENT = compiled(
    rf"(?<!\w)(?:{_FIELD})(?:\s+(?!hits?\b|like\b)[a-z]+){{0,3}}?\s+(?:by\s+)?(?P<sign>[+-])?(?P<n>\d{{1,3}}(?:\.\d)?)\s*%(?:\s+(?P<how>more|higher|larger|longer|less|fewer|lower|smaller|shorter))?"
    rf"|(?P<sign2>[+-])?(?P<n2>\d{{1,3}}(?:\.\d)?)\s*%\s+(?P<how2>more|higher|larger|longer|less|fewer|lower|smaller|shorter)\s+(?:{_FIELD.replace('?P<', '?P<y')})"
)
_DOWNWARDS = compiled(
    r"\b(?:less|fewer|lower|smaller|shorter|falls?|fell|drops?|dropped|shrinks?|sinks?|decreas\w+|reduc\w+|cuts?|down|declin\w+)\b"
)
_CHANGES = compiled(r"\b(?:grow\w*|increas\w+|ris\w+|rose|up|more|higher|longer|larger)\b|[+-]")
_MORE_OF = compiled(
    rf"\b(?:add|plus|and|get|buy|with|have|use)?\s*(?P<n>{COUNT}|another|an\s+extra|an\s+additional|a\s+(?:second|third|fourth|fifth|further))\s+(?:more|extra|additional|further|other)?\s*(?P<what>{HOST_WORDS}|{GPU_WORDS})(?:\s+more|\s+on\s+top|\s+extra)?"
)
_GONE = compiled(
    rf"(?P<n>{COUNT})\s+of\s+(?:the\s+|our\s+|my\s+|those\s+)?(?:{COUNT}\s+)?(?P<what>{HOST_WORDS}|{GPU_WORDS})\s+(?:are|is|were|was|got|have|has)\s+(?:\w+\s+)?(?:gone|lost|broken|dead|down|away|taken|missing|defect\w*|unavailable|removed|needed\s+elsewhere)\b"
    rf"|(?P<k>{COUNT})\s+(?P<ones>{HOST_WORDS}|{GPU_WORDS})\s+(?:dies?|died|fails?|failed|breaks?|broke|crash(?:es|ed)?|goes\s+(?:down|away)|drops?\s+out|is\s+(?:gone|lost|down|broken|dead))\b"
    rf"|\b(?:lose|lost|losing|remove|take\s+away|give\s+up|without)\s+(?P<m>{COUNT})\s+(?:of\s+the\s+|of\s+our\s+)?(?P<things>{HOST_WORDS}|{GPU_WORDS})"
)
_HALF_OF = compiled(
    rf"\b(?:only\s+|just\s+)?half\s+(?:of\s+)?(?:those|these|the|them|our|my|it)\b(?:\s+(?:{GPU_WORDS}|{HOST_WORDS}|racks?))?(?:\s+(?:are|is)\s+(?:mine|ours|free|left|available|there))?"
)
_SO_MANY_MORE = compiled(
    rf"(?P<n>{COUNT})\s+(?P<how>more|fewer|less|additional|extra)\s+(?:concurrent\s+|simultaneous\s+)?(?:{_FIELDS['load']})\b"
)
_RATE_ALONE = compiled(
    r"(?<![\w.,])(?P<n>\d+(?:[.,]\d+)?)\s*(?:per|a|/)\s*(?P<unit>s(?:ec(?:ond)?)?|min(?:ute)?|h(?:our)?)\b"
)
"""A rate without its noun, where the load is one."""
_NIC_ALONE = compiled(
    r"(?P<n>\d{1,4})\s*(?P<u>G(?:b/s|bps|bit/s|bit)|GB/s|GBps)\s*(?:per|/|for\s+(?:each|every))\s*(?:gpu|card)\b"
)
_SPLIT_AGAIN = compiled(
    r"\b(?:split|separate|part)\s+(?:them|it|those|the\s+two|both|the\s+phases)\b|\bback\s+to\s+(?:p/?d|disagg\w*|two\s+pools)\b"
)
_JOIN_AGAIN = compiled(
    r"\b(?:keep|put|run|have)\s+(?:them|both|it)\s+(?:together|in\s+one\s+pool|on\s+the\s+same)\b|\b(?:merge|join|unite)\s+(?:them|it|both|the\s+pools)\b"
)
_LOOSE_TP = {
    "tp": "tp_size",
    "pp": "pp_size",
    "ep": "ep_size",
    "dp": "replicas",
    "cp": "cp_size",
    "dcp": "dcp_size",
    "dp_attention": "dp_size",
}
_ORDINALS = {"second": 1, "third": 1, "fourth": 1, "fifth": 1}
_HYPOTHETICAL = compiled(
    r"\b(?:what\s+(?:if|about)|how\s+about|what\s+happens?\s+(?:if|when|with)|and\s+(?:if|with|on|in|for|at)|(?:so\s+)?if\s+(?:we|i|you|it|the|there)|suppose|assume|imagine|say|same\b|could\s+you|can\s+you|would\s+you|please|(?:und\s+)?wenn|(?:et\s+)?si\b|(?:y|e)\s+(?:si|se)\b|e\s+se\b|was\s+wäre|if\s+i|with\s+\d)|^\W*(?:and|und|et|y|e)\s|(?:たら|れば|なら|如果|要是|换成|改成|的话|怎么办|只有|假如|もし|면|呢)"
)
"""A question that proposes a change."""


def asks_only(text: str) -> bool:
    """Whether a text is a question about the plan, or about another choice, that changes nothing (`would fp8 help?`)."""
    words = text.strip()
    return words.endswith(("?", "？", "吗")) and _HYPOTHETICAL.search(words) is None


class ChangedRequest(Frozen):
    """The changed request (None when the text changes nothing that is understood), what was assumed, and what has to be asked."""

    request: Request | None
    question: str | None = None
    assumptions: tuple[str, ...] = ()
    same: bool = False
    """Whether the text was understood and says what the request says already."""


def understand_change(
    text: str, request: Request, names: Names | None = None, last: tuple[str, ...] = ()
) -> ChangedRequest:
    """Read a follow-up against the request that it changes. What the text does not speak of stays as it was.

    `last` names the fields that the message before changed: a bare number (`no wait, 120`) speaks of the one of them.
    """
    names = names or catalogue_names()
    notes = Notes(asks_choices=True)
    scan = scanned(text, names.models, names.gpus, notes, followed=True)
    before = request.model_dump(mode="json", exclude_defaults=True)
    changed = copy.deepcopy(before)
    if asks_only(text):
        return ChangedRequest(request=None)
    _released(scan, changed)
    _scaled(scan, changed, notes)
    _resized(scan, changed, notes)
    _new_model(scan, names, notes, changed)
    _new_values(scan, names, notes, changed)
    if changed == before and not notes.questions:
        _bare_number(scan, changed, last, notes)
    told = tuple(note for note in notes.assumptions if ": no limit" not in note)
    if notes.questions:
        question = "; ".join(notes.questions.values())
        return ChangedRequest(request=None, question=question[0].upper() + question[1:], assumptions=told)
    if changed == before:
        return ChangedRequest(request=None, assumptions=told, same=scan.text.count(EATEN) > 0)
    try:
        return ChangedRequest(request=Request.model_validate(changed), assumptions=told)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return ChangedRequest(
            request=None, question=f"`{place}` cannot be that: {plainly(first['msg']).lower()}. What shall it be?"
        )


def _released(scan: Scan, request: Json) -> None:
    """Limits and constraints that are taken back."""
    slo = request.get("slo", {})
    for match in scan.take(_DROP_LIMIT):
        for name in _limits_of(match, slo):
            slo.pop(name, None)
    for match in scan.take(_RELEASE):
        words = next(words for words in match.groupdict().values() if words)
        constraints = request.get("constraints", {})
        for kind in _kinds(words):
            constraints["forbid"] = [k for k in constraints.get("forbid", []) if k != ("sp" if kind == "cp" else kind)]
            fixed = constraints.get("fix", {})
            field = _LOOSE_TP.get(kind, "")
            fixed.pop("dp_size" if kind == "dp" and "replicas" not in fixed else field, None)
        request["constraints"] = constraints
    if scan.take(_ANY_ENGINE):
        request.pop("engine", None)


def _limits_of(match: re.Match[str], slo: Json) -> list[str]:
    """Which limits are dropped: those named, the one of that size, or both."""
    if match["n"]:
        value = number_of(match["n"]) * (1 if match["u"].startswith("m") else 1000)
        return [name for name, limit in slo.items() if abs(limit - value) < 1e-6]
    said = {(match[group] or "").lower() for group in ("which", "also", "of")} - {""}
    if match["both"] or said & {"latency", "slo"}:
        return ["ttft_ms", "tpot_ms"]
    return [{"ttft": "ttft_ms", "first token": "ttft_ms"}.get(" ".join(word.split()), "tpot_ms") for word in said]


def _kinds(words: str) -> list[str]:
    """Kinds of parallelism in a list of them."""
    found = []
    for match in re.finditer(rf"\b{_KIND}\b", words, re.IGNORECASE):
        word = re.sub(r"[\s-]+", " ", match.group().lower())
        attention = "attention" in word
        found.append("dp_attention" if attention else _KINDS_OF.get(word.split()[0], word))
    return found


def _scaled(scan: Scan, request: Json, notes: Notes) -> None:
    """`double the concurrency`, `prompts are twice as long`, `traffic grows by 40 %`."""
    for match in scan.take(_LOAD_FACTOR):
        groups = {name.removeprefix("x"): words for name, words in match.groupdict().items() if words}
        factor = next(by for i, by in enumerate(_BY) if f"f{i}" in groups)
        _multiply(request, next(name for name in _FIELDS if name in groups), factor, notes, scan.words(match.span()))
    for match in list(_PERCENT.finditer(scan.text)):
        words = match.group()
        if not _CHANGES.search(words) and not _DOWNWARDS.search(words):
            continue
        share = float(match["n"] or match["n2"]) / 100
        down = _DOWNWARDS.search(words) is not None or "-" in (match["sign"], match["sign2"])
        groups = {name.removeprefix("y"): found for name, found in match.groupdict().items() if found}
        field = next(name for name in _FIELDS if name in groups)
        _multiply(request, field, 1 - share if down else 1 + share, notes, scan.words(match.span()))
        scan.eat(match.span())


def _multiply(request: Json, field: str, factor: float, notes: Notes, words: str) -> None:
    """One field times a factor; what is not given cannot be scaled."""
    load, slo, cluster = request["workload"], request.get("slo", {}), request["cluster"]
    if field in ("gpus", "hosts"):
        _resize(cluster, round(_total(cluster) * factor), notes, words)
        return
    place, name = (slo, field) if field.endswith("_ms") else (load, field)
    if field == "load":
        name = "request_rate" if load.get("request_rate") else "concurrency"
    if place.get(name) is None:
        what = "load" if field == "load" else name
        notes.ask(what, f"`{words}`: of how many? The request gives no {name.replace('_', ' ')}")
        return
    value = place[name] * factor
    place[name] = round(value, 6) if name in ("request_rate", "ttft_ms", "tpot_ms") else max(1, round(value))


def _total(cluster: Json) -> int:
    return int(cluster.get("gpus_per_host") or 8) * int(cluster.get("hosts", 1))


def _resized(scan: Scan, request: Json, notes: Notes) -> None:
    """`add a third host`, `two of the four nodes are gone`, `half of those GPUs`; serving and network that words alone change."""
    cluster = request["cluster"]
    each = int(cluster.get("gpus_per_host") or 8)
    for match in scan.take(_GONE):
        count = count_of(match["n"] or match["m"] or match["k"])
        lost = count * (
            each if re.fullmatch(HOST_WORDS, match["what"] or match["things"] or match["ones"], re.IGNORECASE) else 1
        )
        _resize(cluster, _total(cluster) - lost, notes, scan.words(match.span()))
    for match in list(_MORE_OF.finditer(scan.text)):
        said = match["n"].lower().split()
        more = re.search(r"\b(?:more|extra|additional|further|another|on\s+top)\b", match.group(), re.IGNORECASE)
        if not more and said[-1] not in _ORDINALS:
            continue
        count = 1 if said[0] in ("another", "an", "a") else count_of(match["n"])
        hosts = re.fullmatch(HOST_WORDS, match["what"], re.IGNORECASE) is not None
        _resize(cluster, _total(cluster) + count * (each if hosts else 1), notes, scan.words(match.span()))
        scan.eat(match.span())
    for match in scan.take(_SO_MANY_MORE):
        load, less = request["workload"], match["how"].lower() in ("fewer", "less")
        name = "request_rate" if load.get("request_rate") else "concurrency"
        value = (load.get(name) or 0) + count_of(match["n"]) * (-1 if less else 1)
        if load.get(name) is None or value <= 0:
            notes.ask("load", f"`{scan.words(match.span())}`: how many shall there be in all?")
        else:
            load[name] = value
    for match in scan.take(_RATE_ALONE) if request["workload"].get("request_rate") else ():
        seconds = {"s": 1, "m": 60, "h": 3600}[match["unit"][0].lower()]
        request["workload"]["request_rate"] = round(number_of(match["n"]) / seconds, 6)
    for match in scan.take(_HALF_OF):
        _resize(cluster, _total(cluster) // 2, notes, scan.words(match.span()))
    for match in scan.take(_NIC_ALONE):
        cluster["nic_gb_per_s"] = float(match["n"]) / (1 if match["u"].startswith("GB") else 8)
    if scan.take(_SPLIT_AGAIN):
        request["serving"] = "disaggregated"
    if scan.take(_JOIN_AGAIN):
        request["serving"] = "colocated"


def _resize(cluster: Json, total: int, notes: Notes, words: str) -> None:
    """So many GPUs in hosts as they are; part of one host when there are fewer."""
    each = int(cluster.get("gpus_per_host") or 8)
    if total < 1 or (total > each and total % each):
        notes.ask("cluster", f"`{words}`: how many hosts, and how many GPUs in each?")
        return
    cluster["hosts"], cluster["gpus_per_host"] = max(1, total // each), min(each, total)
    notes.assume(f"`{words}`: {cluster['hosts']} x {cluster['gpus_per_host']} {cluster['gpu']}")


_BARE = compiled(
    r"^\W*(?:(?:no|wait|sorry|oops|hm+|rather|actually|i\s+mean|i\s+meant|make\s+(?:it|that)|better|let'?s\s+say|say|only|just|ok|then|but|and|please|nein|lieber|non|plutôt|mejor|or|it'?s|about|instead|doch|eher)\W+)*(?P<n>\d[\d,]*(?:\.\d+)?)(?P<k>k)?\W*(?:then|instead|please|it\s+is|bitte|por\s+favor)?\W*$"
)


def _bare_number(scan: Scan, request: Json, last: tuple[str, ...], notes: Notes) -> None:
    """A number alone is the one number that the message before changed."""
    match = _BARE.match(scan.original)
    places = {
        "isl": "workload",
        "osl": "workload",
        "concurrency": "workload",
        "request_rate": "workload",
        "ttft_ms": "slo",
        "tpot_ms": "slo",
    }
    numbers = [name for name in last if name in places]
    if match is None or len(numbers) != 1:
        return
    value = number_of(match["n"]) * (1000 if match["k"] else 1)
    name = numbers[0]
    request.setdefault(places[name], {})[name] = value if name in ("request_rate", "ttft_ms", "tpot_ms") else int(value)
    notes.assume(f"`{scan.words(match.span())}` read as {name} {value:g}: what was changed before")


def _new_model(scan: Scan, names: Names, notes: Notes, request: Json) -> None:
    """Another model by its name, or by its size within the family (`the 8B instead`)."""
    if isinstance(request["model"], str):
        for match in _SIZE.finditer(scan.text):
            sibling = re.sub(r"(?:\d{1,2}x)?\d{1,4}b\b", match["size"].lower(), request["model"], count=1)
            if sibling in names.models.names and not _named(scan, match.start()):
                scan.eat(match.span())
                request["model"] = sibling
                notes.assume(f"`{match.group().strip()}` read as {sibling}")
                return
            family = pieces(request["model"])[0]
            same = [k for k in names.models.names if pieces(k)[0] == family and match["size"].lower() in pieces(k)]
            near = simplest(tuple(same)) if not _named(scan, match.start()) else ()
            if len(near) == 1:
                scan.eat(match.span())
                request["model"] = near[0]
                notes.assume(f"`{match.group().strip()}` read as {near[0]}")
                return
    found = find_model(scan, names.models, notes)
    if found is not None and found != request["model"]:
        request["model"] = found
        request.pop("precision", None)
        notes.assume("precision as the new checkpoint ships")


def _named(scan: Scan, start: int) -> bool:
    """Whether a name stands right before a size (`Qwen3 8B` is a model by itself)."""
    return re.search(r"[A-Za-z]\w*[\d.]+[- ]?$|(?:llama|qwen|gemma|mistral|glm|deepseek)\w*[- ]?$", scan.text[:start], re.IGNORECASE) is not None  # fmt: skip


def _new_values(scan: Scan, names: Names, notes: Notes, request: Json) -> None:
    """Everything else, by the two readers of first requests."""
    look = second_look(scan, names.gpus)
    if _HYPOTHETICAL.search(scan.original) is None:
        pass_over(scan, named_places(scan, names), notes, alternatives=False)
    request.update(find_choices(scan, notes))
    precision = find_precision(scan, notes)
    slo = find_slo(scan, notes)
    objective = find_objective(scan, notes)
    constraints = find_constraints(scan, notes)
    cluster = {"gpus_per_host": names.gpus_per_host.get(request["cluster"]["gpu"], 8), "hosts": 1, **request["cluster"]}
    moved = find_cluster_change(scan, names.gpus, names.gpus_per_host, notes, cluster)
    found: Json = {"workload": find_traffic(scan, notes), "slo": slo}
    settle(found, look, scan, notes)
    traffic = found["workload"]
    if moved is not None:
        request["cluster"] = {**{k: v for k, v in request["cluster"].items() if k == "nic_gb_per_s"}, **moved}
    if objective is not None:
        request["objective"] = objective
    if "concurrency" in traffic or "request_rate" in traffic:
        request["workload"] = {k: v for k, v in request["workload"].items() if k not in ("concurrency", "request_rate")}
    _merge(request, {"precision": precision, "slo": found["slo"], "workload": traffic})
    _constrain(request, constraints)


def _constrain(request: Json, constraints: Json) -> None:
    """New constraints beside the old ones; a new degree replaces an old one and its ban."""
    if not constraints:
        return
    old = request.get("constraints", {})
    fix = {**old.get("fix", {}), **constraints.get("fix", {})}
    newly = {name.removesuffix("_size") for name in constraints.get("fix", {})}
    forbid = [*(k for k in old.get("forbid", []) if k not in newly), *constraints.get("forbid", [])]
    banned = {_LOOSE_TP.get(kind, "") for kind in constraints.get("forbid", [])}
    request["constraints"] = {
        "fix": {k: v for k, v in fix.items() if k not in banned},
        "forbid": list(dict.fromkeys(forbid)),
    }


def _merge(request: Json, parts: Json) -> None:
    for name, values in parts.items():
        if values:
            request[name] = {**request.get(name, {}), **values}
