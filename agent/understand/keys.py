"""Keys, units and turns of phrase that have a usual name in sentences, said by it: `requests_in_flight: 256`, `2 000 ms`, `tokens going in`."""

import re

from agent.understand.scan import compiled

_IS = r"[\"']?\s*[:=]\s*[\"']?(?=\d)"
_GAP = r"[ \u00a0\u2009\u202f]"
_RATED = r"(?<!\d)(?<!\d[,.])(?P<n>\d[\d,.]*\d|\d)\s*(?:requests?|calls?|queries|prompts?)"
_OF_CACHE = (
    r"(?=[^.;,\n]{0,60}(?:cach|pr[ée]fi|zwischengespeichert|en\s+común|geteilt|shared|кэш|缓存|キャッシュ|캐시))"
)
_ENGINE = r"(?:v-?llm|sg-?lang|tensor-?rt(?:-llm)?|trt-?llm)"
_RULES = (
    (
        compiled(r"\b(?:inte|ikke|nicht|niet|nie|não|non|no)\s+(?:separer\w{0,3}|skilja|separar|séparer|separare|scheiden|rozdziela\w*)\s+(?:el\s+|le\s+|o\s+|il\s+)?prefill\s+(?:och|og|und|et|y|e|en|i)\s+(?:el\s+|le\s+|o\s+|il\s+)?decode\b"),
        "no disaggregation",
    ),
    (compiled(r"\b(?P<name>ttft|tpot|itl)_(?:p\d\d|mean|avg|median)(?=\s*[:=])"), r"\g<name>"),
    (compiled(r"\(\s*n\s*=\s*[\d,. ]+\)"), ""),
    (compiled(r"(?m)^(?P<key>[ \t]*-?[ \t]*[a-z][\w.-]{1,30}[ \t]*[:=][ \t]*)(?P<q>[\"'])(?P<value>[^\"'\n]{1,80})(?P=q)(?=[ \t]*[,;]?[ \t]*$)"), r"\g<key>\g<value>"),
    (compiled(r"\b(?:mean|avg|average|typical|median|p50)_(?=(?:isl|osl|input|output|prompt|completion)\b)"), ""),
    (compiled(r"\b(?:(?:num|number)_(?:of_)?)?(?:instances?|vms?|machines?|workers?|nodes?|hosts?|servers?)(?:_(?:count|num|number|qty))\s*[:=]\s*(?=\d)|\bnum_(?:instances|vms|machines|workers|nodes|hosts|servers)\s*[:=]\s*(?=\d)"), "nodes: "),
    (compiled(r"\((?:we|i|they)\s+(?:had\s+)?(?:looked\s+(?:at|into)|considered|tried|evaluated|discussed|thought\s+(?:about|of))\s+[^()\n]{1,80}\)"), ""),
    (
        compiled(r"\b(?P<name>ttft|tpot|itl)\s+(?:is\s+)?(?:currently|now|today)\s+(?:at\s+)?\d[\d.]{0,6}\s*(?P<u>ms|s)(?:\s*,)?\s+(?:and|but)\s+(?:we\s+|it\s+)?(?:need|want|must|should)\w*\s+(?:it\s+)?(?:to\s+)?(?:be\s+)?(?:at\s+|under\s+)?(?P<n>\d[\d.]{0,6})(?![\w.]|\s*m?s\b)"),
        r"\g<name> under \g<n> \g<u>",
    ),
    (
        compiled(r"\b(?P<name>ttft|tpot|itl)\s+(?:is\s+)?(?:currently|now|today)\s+(?:at\s+)?\d[\d.]{0,6}\s*(?:ms|s)(?:\s*,)?\s+(?:and|but)\s+(?:we\s+|it\s+)?(?:need|want|must|should)\w*\s+(?:it\s+)?(?:to\s+)?(?:be\s+)?(?:at\s+|under\s+)?(?P<n>\d[\d.]{0,6})\s*(?P<v>ms|s)\b"),
        r"\g<name> under \g<n> \g<v>",
    ),
    (compiled(r"--gpu-memory-utilization[= ]+[\d.]+|(?<!\S)-p\s+\d{2,5}:\d{2,5}(?!\S)"), ""),
    (compiled(rf"\b(?:(?:num|max|avg|mean)_)?(?:(?:requests?|reqs?|sessions?|calls?|queries)_)?in_?flight{_IS}"), "concurrency: "),
    (compiled(rf"\b(?:requests?|reqs?|calls?|queries)(?:_per_|[ ]per[ ]|\s?/\s?)s(?:ec(?:ond)?)?{_IS}"), "request rate: "),
    (compiled(rf"\b(?:avg|mean|average)_in(?:put)?(?:_tok(?:en)?s?)?{_IS}"), "input_tokens: "),
    (compiled(rf"\b(?:avg|mean|average)_out(?:put)?(?:_tok(?:en)?s?)?{_IS}"), "output_tokens: "),
    (compiled(r"\b(?P<name>ttft|tpot|itl)_(?:target|limit|max|slo|budget)_(?P<unit>ms|s)\b"), r"\g<name>_\g<unit>"),
    (compiled(rf"(?<![\w.,])(?<!\w )(?P<a>\d{{1,3}}){_GAP}(?P<b>\d{{3}})(?=\s?(?:ms\b|ut\b|tok|requests?\b))"), r"\g<a>\g<b>"),
    (compiled(rf"(?<![\w.,])(?P<a>\d{{1,3}})(?:[\u00a0\u2009\u202f](?P<b>\d{{3}})|{_GAP}(?P<c>000))(?=\s?ms\b)"), r"\g<a>\g<b>\g<c>"),
    (compiled(r"(?<=\d)\s+ut(?=\s*(?:[.,;)\n]|$))"), " out"),
    (compiled(rf"(?<!\w)(?:la\s+moiti[ée]|die\s+hälfte|la\s+mitad|la\s+metà|(?:a\s+)?metade|de\s+helft|hälften|połow[aęy]|половин[ау]|一半|半分|절반){_OF_CACHE}"), "half"),
    (compiled(rf"(?<!\w)(?:un\s+tiers|ein\s+drittel|un\s+tercio|un\s+terzo|um\s+terço|een\s+derde|en\s+tredjedel){_OF_CACHE}"), "a third"),
    (compiled(rf"(?<!\w)(?:deux\s+tiers|zwei\s+drittel|dos\s+tercios|due\s+terzi|dois\s+terços|twee\s+derde){_OF_CACHE}"), "two thirds"),
    (compiled(rf"(?<!\w)(?:trois\s+quarts|drei\s+viertel|tres\s+cuartos|tre\s+quarti|três\s+quartos|driekwart){_OF_CACHE}"), "three quarters"),
    (compiled(r"\btok(?:en)?s?\s+(?:going|coming)\s+in\b"), "tokens in"),
    (compiled(r"(?<=[\w])\s+(?:coming|going)\s+(?:back\s+)?out\b|(?<=[\w])\s+(?:coming|going)\s+back\b"), " out"),
    (
        compiled(rf"{_RATED}\s+(?:in|during|within)\s+(?:the|our|a|its)\s+(?:peak|busiest|worst|busy|rush)\s+(?P<unit>hour|minute|second)\b"),
        r"\g<n> requests per \g<unit>",
    ),
    (
        compiled(rf"\b(?:peak|busiest|worst|busy)\s+(?P<unit>hour|minute|second)\b[^.;\n\d]{{0,40}}?\b(?:had|has|saw|sees|brought|brings|counts|counted|reached|is|was)\s+{_RATED}(?!\w|\s*(?:per|/|an?|each)\s*(?:s|min|h|day))"),
        r"we have \g<n> requests per \g<unit>",
    ),
    (compiled(r"\b(?P<n>\d{2,3})\s*(?:Гбит/с|Гбит/сек)\s+на\s+(?:кажд\w+\s+|один\s+|одну\s+)?(?:gpu|карту)"), r"NIC \g<n> Gb/s per GPU"),
    (
        compiled(r"每\s*[张块个]?\s*(?:卡|GPU)\s*[都各]?\s*(?:配|有|带|接)?\s*(?:一|1)?\s*[块张个]?\s*(?P<n>\d{2,3})\s*G(?:b/s|bps|bit/s)?\s*的?\s*(?:IB|RoCE|InfiniBand|网)\s*(?:网卡|卡)?"),
        r"NIC \g<n> Gb/s per GPU",
    ),
    (
        compiled(r"(?<![\w.])(?P<n>\d{2,3})\s*(?P<u>Gb/s|Gbps|Gbit/s)[- ]*(?:ports?|poort|hca|nic|links?|adapters?|uplink)\s*(?:per|pro|por|par|for\s+each|for\s+every)\s*GPU\b"),
        r"NIC \g<n> Gb/s per GPU",
    ),
    (
        compiled(r"\b\d{1,2}\s*(?:hcas?|nics?|ports?)\s+(?:of|with|at)\s+(?P<n>\d{2,3})\s*(?:Gb/s|Gbps|Gbit/s)\s+(?:per|in\s+each|a)\s+(?:host|node|server)\s*[,(]?\s*(?:so\s+|i\.e\.\s+)?one\s+(?:per|for\s+each)\s+GPU\b"),
        r"NIC \g<n> Gb/s per GPU",
    ),
    (compiled(r"每\s*[天日]\s*(?:约|大约|平均)?\s*(?P<n>\d[\d.,]*\s*[万千]?)\s*[次个条笔]?\s*(?:请求|调用|查询)"), r" \g<n> requests per day "),
    (compiled(r"每\s*(?:个)?小时\s*(?:约|大约|平均)?\s*(?P<n>\d[\d.,]*\s*[万千]?)\s*[次个条笔]?\s*(?:请求|调用|查询)"), r" \g<n> requests per hour "),
    (compiled(r"每\s*分钟?\s*(?:约|大约|平均)?\s*(?P<n>\d[\d.,]*\s*[万千]?)\s*[次个条笔]?\s*(?:请求|调用|查询)"), r" \g<n> requests per minute "),
    (compiled(r"zapyta(?:ń|nia|nie)\s*(?:na|/)\s*(?:minutę|min)(?!\w)"), "requests per minute"),
    (compiled(r"zapyta(?:ń|nia|nie)\s*(?:na|/)\s*(?:sekundę|sek|s)(?!\w)"), "requests per second"),
    (compiled(r"yêu\s+cầu\s*(?:/|mỗi|một)\s*giây"), "requests per second"),
    (compiled(r"yêu\s+cầu\s*(?:/|mỗi|một)\s*phút"), "requests per minute"),
    (
        compiled(r"(?:sonraki\s+)?(?<!\w)her\s+(?:bir\s+)?token|mỗi\s+token(?:\s+(?:sau|tiếp\s+theo))?|każdy\s+(?:kolejny|następny)\s+token|jede[rs]?\s+weitere\s+token|chaque\s+(?:token|jeton)\s+suivant|cada\s+token\s+(?:siguiente|seguinte|adicional)|ogni\s+token\s+successivo|varje\s+(?:ytterligare\s+|efterföljande\s+)?token"),
        "each token",
    ),
    (compiled(r"(?<!\w)(?:devuelve|devuelven|devolve|renvoie|restituisce)(?=\s+(?:unos\s+|cerca\s+de\s+|environ\s+|circa\s+)?\d)"), "output"),
    (compiled(r"(?<!\w)(?:peticiones|solicitudes|requ[êe]tes|pedidos|richieste)\s+(?:en\s+vuelo|en\s+vol|em\s+voo|in\s+volo)(?:\s+a\s+la\s+vez)?"), "requests in flight"),
    (compiled(r"\bkv(?:[- ]cache)?\s+(?:is\s+|was\s+)?(?:left|kept|stays?|remains?)\s+(?:at|in|as|on)\s+(?=(?:bf16|fp16|fp8|int8))"), "kv cache "),
    (
        compiled(rf"\b(?P<engine>{_ENGINE})\s+(?:is\s+not|isn't|isn’t)\s+(?:on\s+(?:it|the\s+(?:\w+\s+)?list|there)|an\s+option|allowed|approved|possible|available|permitted)\b"),
        r"not \g<engine>",
    ),
)  # fmt: skip
_SECONDS = compiled(
    r"\b(?P<name>ttft|tpot|itl)_s(?:ec(?:onds?)?)?[\"']?\s*[:=]\s*[\"']?(?P<n>\d{1,3}(?:\.\d{1,4})?)(?![\w.]*\d)"
)


_NAME = (
    r"(?:isl|osl|conc(?:urrency)?|rate|rps|qps|ttft|tpot|itl|gpus|nodes|hosts|inputs?|outputs?|in|out|tp|pp|ep|dp|bs)"
)
_NAMED = rf"{_NAME}[ ]{{1,2}}\d(?:[\d.]{{0,8}}\d)?(?:k|ms|s)?(?!\w|\.\d)"
_TELEGRAM = compiled(rf"(?<![\w.,:=/-]){_NAMED}(?:[ ,;/]{{1,3}}{_NAMED}){{2,12}}+(?![ ,;/]{{1,3}}{_NAME}\b)")
_PAIR = compiled(rf"(?P<name>{_NAME})[ ]{{1,2}}(?P<value>\d(?:[\d.]*\d)?(?:k|ms|s)?)[ ,;/]*")
_NUMBER_FIRST = rf"\d(?:[\d.]{{0,8}}\d)?(?:k|ms|s)?[ ]{{1,2}}{_NAME}\b"
_TELEGRAM_BACKWARDS = compiled(rf"(?<![\w.,:=/-]){_NUMBER_FIRST}(?:[ ]{{1,2}}{_NUMBER_FIRST}){{2,12}}+(?![ ]{{1,2}}\d)")
_PAIR_BACKWARDS = compiled(rf"(?P<value>\d[\d.]*(?:k|ms|s)?)[ ]{{1,2}}(?P<name>{_NAME})[ ]*")
_FULL_NAMES = {"in": "input", "out": "output", "rate": "request rate", "rps": "request rate", "qps": "request rate"}


def _pairs_told(match: re.Match[str]) -> str:
    """Three and more names that each stand before (or behind) their number: `isl 8192 osl 1024 conc 256`."""
    return (
        (_PAIR if match.re is _TELEGRAM else _PAIR_BACKWARDS)
        .sub(lambda m: f"{_FULL_NAMES.get(m['name'].lower(), m['name'])}: {m['value']}, ", match.group())
        .rstrip(", ")
    )


_CAMEL = re.compile(r"(?m)(?:(?<=^)|(?<=[\s\"'{,]))[a-z]{2,15}(?:[A-Z][a-z]{1,15}){1,4}(?=[\"']?\s?[:=])")
"""A key of a values.yaml or a JSON document: `ttftMs`, `gpusPerNode`."""


def _snake(match: re.Match[str]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", match.group()).lower()


def with_plain_keys(text: str) -> str:
    """The text with the usual names, units and turns of phrase."""
    text = _CAMEL.sub(_snake, text)
    text = _TELEGRAM_BACKWARDS.sub(_pairs_told, _TELEGRAM.sub(_pairs_told, text))
    text = _SECONDS.sub(lambda m: f"{m['name']}_ms: {float(m['n']) * 1000:g}", text)
    for pattern, plain in _RULES:
        text = pattern.sub(plain, text)
    return text
