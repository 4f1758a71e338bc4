"""What traffic a text describes: lengths of prompt and answer, load, shared prefixes."""

import re
from collections.abc import Mapping
from typing import TypeVar

from agent.understand.notes import Notes
from agent.understand.roles import SHORTEST
from agent.understand.scan import COUNT, EATEN, SPAN, Scan, compiled, count_of, number_of, thousand

N = TypeVar("N", int, float, str)
DEFAULT_ISL = 4096
DEFAULT_OSL = 512
"""A retrieval-augmented chat turn: what is planned for when the text gives no lengths."""


def _length(group: str, *, alone: bool = True) -> str:
    """A pattern for a number of tokens (`4096`, `4,096`, `4k`, `1.5k`); `alone` refuses the first half of a pair."""
    end = (
        r"(?![\w.,/]*\d)(?!\w)" if alone else r"(?![\w.,]*\d)(?!\w)"
    ) + r"(?!\s*(?:ms|msecs?|milli\w*|secs?|seconds?)\b)"
    return rf"(?<![\w.,])(?P<{group}>\d{{1,3}}(?:[,_]\d{{3}})+|\d{{1,9}}(?:[.,]\d{{1,3}})?)[ ]?(?P<{group}k>k|m)?{end}"


_N = _length("n")
_TOK = r"(?:[- ]*(?:tokens?|toks?|jetons?|token))?"
_IS = r"(?:\s*(?:tokens?|length|len|size|lengths)\b)?\s*(?:=|:|-|\bof\b|\bis\b|\bare\b|\bwith\b|\baround\b|\babout\b|\bsomething\s+like\b|\broughly\b|\bnearer\b|\bcloser?\s+to\b|\bup\s+to\b|~|≈|\bde\b|von|\(|\bmaybe\b|\bperhaps\b|\bsay\b|\bcirca\b|\bapprox(?:imately)?\b|\bavg\b|\baverage(?:s)?\b|\bbeing\b|\s)*\s*"
_IN_ALONE = r"ins?(?=\s*(?:[-,;:./&+|)=>]|$|\n|and\b|out\b|tokens?\b|~|≈|avg\b|average\b|about\b|up\b|is\b|\d))"
"""`in` is a length's name only where no place follows (`12 in Zurich`)."""
_INPUT = (
    rf"(?:inputs?|{_IN_ALONE}|prompts?|prefills?|contexts?|ctx|documents?|docs?|isl|requests?\s+of|questions?|contracts?|reports?|papers?|emails?|tickets?|texts?|"
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
_TOTALS = compiled(
    r"(?<![\w.,])(?:\d{1,3}(?:[,_]\d{3})+|\d{1,12}(?:\.\d{1,3})?)\s*(?:k|m|b|bn|million|billion)?\s*(?:(?:output|input|total|generated|prompt|prefill|decode|aggregate)\s+)?(?:tokens?|toks?)\s*(?:of\s+\w{3,12}\s+|in\s+total\s+)?(?:(?:per|an?|every|each)\s+|/\s*)(?:hours?|days?|minutes?|min|months?|weeks?|h|d)\b"
)
"""A volume of tokens over time is no length of anything."""
_SO_LONG = compiled(
    r"(?P<n>\d{1,3}(?:[,_]\d{3})+|\d{1,9}(?:\.\d{1,3})?)\s?(?P<nk>k|m)?[- ]tok(?:en)?s?\s+(?:(?!of\b|in\b|out\b|per\b|and\b|for\b|each\b)[a-z]{3,12}\s+)?(?P<what>(?!of\b|in\b|out\b|per\b|and\b|for\b|each\b|or\b|back\b)[a-z]{3,16})"
)
_OF_LENGTH = compiled(
    r"\b(?P<what>[a-z]{4,16})\s+(?:(?:that\s+)?(?:are|is|have|has|average|averaging|take|contain|run\s+to|of|with|at|around|about|roughly|typically|usually|on\s+average|up\s+to|some|approximately|~)\s+){1,4}(?P<n>\d{1,3}(?:[,_]\d{3})+|\d{1,9}(?:\.\d{1,3})?)\s?(?P<nk>k|m)?[- ]?tok(?:en)?s?\b"
)
_OUTPUT_WORD = compiled(
    r"(?:out(?:put)?s?|generat\w*|completions?|responses?|answers?|repl(?:y|ies)|summar(?:y|ies)|decod\w+|abstracts?|translations?|labels?|verdicts?|drafts?|results?|extracts?|captions?|comments?|reviews?|letters?|stories|story|code|functions?|patch(?:es)?|snippets?|minutes|recommendations?|explanations?|headlines?|clauses?|entities|findings?|bullets?|fields?|extractions?|classifications?|suggestions?|thoughts?|reasoning|digests?)$"
)
NO_TEXT = compiled(
    r"(?:batch(?:es)?|budgets?|windows?|blocks?|pages?|chunks?|limits?|throughput|rates?|speeds?|caches?|seconds?|users?|tokens?|level|size|parallel\w*|gpus?|nodes?)$"
)
"""Words whose size is no prompt's and no answer's."""
_GLUED = compiled(r"(?<![\w.])(?P<a>\d{1,3})k(?P<b>\d{1,3})k(?![\w])")
_ISL = (
    compiled(rf"\b(?:isl|(?:input|prompt|context|ctx|prefill)(?:[-_ ](?:sequence\s+)?(?:len(?:gth)?|tokens?|size))?s?){_IS}{_N}{_TOK}"),
    compiled(rf"{_N}{_TOK}[- ]*(?:(?:long|average|avg|mean|of|en|de)[- ]+)?{_INPUT}(?:\s+tokens?|\s+length)?\b"),
    compiled(rf"\b{_INPUT}{_IS}{_N}{_TOK}"),
    compiled(rf"\beach\s+(?:(?:of|with|around|about|having|has|some|being)\s+|~\s*)*{_N}[- ]*tokens?\b|\b{_N.replace('<n', '<e')}[- ]*tokens?\s+(?:each|apiece)\b"),
    compiled(rf"\b(?:carr(?:y|ies)|sees?)\s+(?:about\s+|around\s+|roughly\s+|some\s+)?{_N}[- ]*tok(?:en)?s?\b"),
)  # fmt: skip
_OSL = (
    compiled(rf"\b(?:osl|(?:output|completion|generation|response)(?:[-_ ](?:sequence\s+)?(?:len(?:gth)?|tokens?|size))?s?){_IS}{_N}{_TOK}"),
    compiled(rf"{_N}{_TOK}[- ]*(?:(?:long|average|avg|mean|of|en|de|reasoning|thinking|generated)[- ]+)?(?:{_OUTPUT}|(?<=tokens )(?:come\s+back|back|(?:are\s+)?(?:returned|generated|produced)))(?:\s+tokens?|\s+length)?\b"),
    compiled(rf"{_N}{_TOK}\s+back\b"),
    compiled(rf"\b(?:{_OUTPUT}{_IS}|into\s+|(?:and\s+)?(?:gets?|getting|receiv(?:es?|ing)|returns?|returning|producing|produces?|yields?|yielding|answered\s+(?:in|with|by)(?:\s+some)?)\s+(?:back\s+)?(?:about\s+)?){_N}{_TOK}(?:\s+back\b)?"),
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
    compiled(rf"\bat\s+any\s+(?:given\s+|one\s+)?(?:time|moment|point)\b[^.;\n\d]{{0,40}}?(?P<n>{COUNT})\s+(?:requests?|sessions?|users?|chats?|conversations?|sequences?|calls?|queries|streams?)\b(?:\s+(?:are\s+)?being\s+\w+)?"),
    compiled(rf"(?P<n>{COUNT})\s+(?:requests?|sessions?|chats?|conversations?|sequences?|calls?|queries|streams?)\s+(?:are\s+)?(?:being\s+(?:processed|served|handled|answered|worked\s+on)|in\s+process(?:ing)?)\b"),
    compiled(rf"\bat\s+once\s+(?:[^\W\d_]{{2,12}}\s+){{0,3}}?(?:(?:under|about|around|roughly|some|max)\s+)?(?P<n>{COUNT})\s+(?:concurrent\s+)?(?:requests?|sessions?|users?|chats?|people|queries)\b"),
    compiled(rf"(?P<n>{COUNT})\s+[a-z]{{3,14}}\s+(?:(?:are|is|will\s+be|sit|may\s+be)\s+)?(?:(?!\d)[a-z]{{2,14}}\s+){{0,5}}at\s+(?:the\s+same|any\s+one|any\s+given|any|one)\s+(?:moment|time|instant)\b"),
    compiled(
        rf"(?<!osl )(?<!isl )(?P<n>(?<![\w.,])\d{{1,6}}(?:\.\d{{1,3}})?k|{COUNT})\s*(?:x\s*)?(?:concurrent|conc\b|parallel\b|simultaneous|in[- ]?flight|active)(?!\s*[=:])\s*(?:requests?|users?|sessions?|"
        r"streams?|sequences?|connections?|clients?|chats?|queries)?"
    ),
    compiled(rf"\b(?:max\s+)?(?:concurrency|concurrent\s+(?:users|requests)|concurrent(?=\s*[:=]\s*\d)|conc|c(?=\s*=))(?:\s+level)?\s*(?:=|:|of|is|at|\s)*\s*(?P<n>{COUNT})"),
    compiled(rf"(?P<n>{COUNT})\s*(?:req(?:uest)?s?|sequences?|users?|sessions?)\s*(?:in[- ]?flight|at\s+(?:once|a\s+time|the\s+same\s+time)|in\s+parallel|concurrently|simultaneously)"),
    compiled(rf"(?P<n>(?<![\w.,])\d{{1,6}}(?:\.\d{{1,3}})?k|{COUNT})\s*(?:people|users?|sessions?|streams?|seqs|sequences|clients|chats|conversations)\b(?:\s+(?:online|active|chatting|connected))?(?:\s+(?:at\s+(?:once|a\s+time|the\s+same\s+time)|simultaneously|concurrently))?"),
    compiled(rf"(?P<n>{COUNT})\s+(?:[a-z]{{3,12}}\s+)?(?:people|persons|users?|developers|engineers|employees|customers|colleagues|callers|agents|analysts|students)\b[^.;,\n\d]{{0,40}}?\b(?:at\s+(?:once|a\s+time|the\s+same\s+time)|simultaneously|concurrently|in\s+parallel)"),
    compiled(rf"(?P<n>{COUNT})\s+(?:[^\W\d_]{{3,16}}\s+){{0,4}}(?:at\s+(?:once|(?:a|the\s+same|any|any\s+(?:one|given)|one)\s+(?:time|moment|instant|point))|simultaneously|concurrently|in\s+parallel|in[- ]flight)\b"),
    compiled(r"(?<![\w.])(?:cc|c|mns|max[-_ ]?(?:num[-_ ]seqs|running[-_ ]requests|batch(?:[-_ ]size)?|inflight|in[-_ ]flight|concurren\w{1,4}|requests|users))\s*[=: ]?\s*(?P<n>\d{1,6})(?![\w.]*\d|\s*(?:tok|k\b|/))"),
    compiled(rf"(?P<n>{COUNT})\s+(?:(?:running|open|pending|outstanding|ongoing|live)\s+(?:requests?|sequences?|sessions?|chats?|calls?|conversations?|streams?)\b|(?:requests?|sequences?|sessions?|chats?|calls?|conversations?|streams?)\s+(?:are\s+)?(?:open|running|pending|outstanding|ongoing|in\s+progress|live|going\s+on)\b)"),
    compiled(rf"\b(?:in[- ]flight|open|running|concurrent|simultaneous)\s+(?:requests?|sequences?|sessions?|users?)\s+(?:(?:is|are|average|averages|averaging|number|count|of|about|around|roughly)\s+){{1,4}}(?P<n>{COUNT})"),
    compiled(rf"\b(?:class|group|team|pool|crowd|classroom)\s+of\s+(?P<n>{COUNT})\b(?=[^.;\n\d]{{0,40}}\b(?:at\s+once|at\s+the\s+same\s+time|simultaneously|in\s+parallel|together)\b)"),
    compiled(rf"(?P<n>{COUNT})\s+of\s+(?:them|those|these|whom)\s+(?:have|has|keep|are|will\s+have)\s+(?:an?\s+|their\s+)?(?:(?:generation|request|session|chat|stream|conversation|prompt)s?\s+)?(?:running|open|active|in\s+flight|going|pending|at\s+once|generating|typing|chatting|online)\b"),
    compiled(rf"\busers\s*[:=]?\s*(?P<n>{COUNT})(?!\s*(?:x|tok|[a-z%]))"),
    compiled(r"(?<=[-, \d])(?P<n>(?<=\D)\d{1,6})[- ]?concurrency\b"),
)  # fmt: skip
_PEOPLE = compiled(
    rf"(?P<n>{COUNT})\s+(?:[^\W\d_]{{3,14}}\s+)?(?P<who>people|persons|folks|developers|devs|engineers|traders|analysts|agents|researchers|testers|operators|writers|colleagues|clinicians|doctors|lawyers|readers|seats|clients|workers|coders|programmers|scientists|teammates|callers|players)\b(?!,?\s*(?:about\s+|roughly\s+|some\s+|only\s+)?(?:of\s+(?:whom|which)|\d+\s+of\s+(?:them|whom)))"
)
_CAP = compiled(r"[-\s]*(?:max[-_](?:num[-_]seqs|running[-_]requests|batch[-_]size))\b")
"""A setting of a server that caps what it takes at once."""
_BATCH = compiled(rf"\b(?:batch(?:[- _]?size)?|bs)\s*(?:=|:|of|is|\s)*\s*(?P<n>{COUNT})\b")
_RATE = compiled(
    rf"(?P<n>(?<![\w.,])\d{{1,3}}(?:,\d{{3}})+|(?<![\w.,])\d{{1,9}}(?:\.\d{{1,6}})?|{COUNT})\s*(?P<k>k|m(?:io|illion)?\b)?\s*(?:"
    r"(?:req(?:uest)?s?|quer(?:y|ies)|prompts?|calls?|messages?|questions?|documents?|docs?|jobs?|emails?|chats?|conversations?|completions?|generations?|transactions?|searches|lookups?)\s*(?:/|per|a|an|each|every)\s*(?P<unit>s(?:ec(?:ond)?)?|min(?:ute)?|h(?:our|r)?|day)\b"
    r"|(?P<short>rps|qps|reqs?/s|r/s|q/s|rpm|qpm|r/m(?:in)?)\b)"
)
_ARRIVING = compiled(
    r"\b(?:there\s+(?:are|will\s+be)\s+(?=\d)|arrivals?\s+(?=\d)|(?:requests?|queries|calls?|prompts?|they|traffic|load|arrivals?)\s+(?:will\s+)?(?:arrives?|comes?(?:\s+in)?|flows?(?:\s+in)?|hits?\s+us|is|are|runs?|peaks?)\s+(?:in\s+)?(?:at|with)\s+|(?:\bso|i\.e\.|\bthat'?s|\bthat\s+is|\bmakes|\bwhich\s+is|\bhence|\bsay)\s+(?=(?:about\s+|around\s+|roughly\s+|~\s*)?\d[\d.]*\s*(?:per|a|/)\s*(?:s(?:ec(?:ond)?)?|min(?:ute)?)\b(?!\s*(?:per|for\s+each|/)\s*(?:user|stream))))(?:a\s+rate\s+of\s+)?(?:about\s+|around\s+|roughly\s+|~\s*)?(?P<n>\d{1,6}(?:\.\d{1,3})?)(?P<k>k)?\s*(?:per|a|/|every|each)\s*(?P<unit>s(?:ec(?:ond)?)?|min(?:ute)?|h(?:ou)?r?|day)\b"
)
"""`requests arrive at 18 per second`."""
_OTHER_NOUN = compiled(
    r"(?<![\w.,])(?P<n>\d{1,3}(?:,\d{3})+|\d{1,9}(?:\.\d{1,3})?)\s*(?P<k>k)?\s+(?!image|frame|photo|picture|video|tok|word|page|char|time|euro|dollar|user|people|visitor|customer|employee|hour|day|minute|second|step|layer|ms\b|gb|tb|mb|kw|watt|gpu|card|node|server|host|replica|concurr|session|stream|x\b|in\b|out\b|per\b|on\b|at\b|or\b|and\b|to\b|of\b|is\b|as\b)(?:[a-z]{3,14}\s+)?(?!image|frame|photo|picture|video|tok|word|page|char|time|user|people|visitor|customer|session|stream|hour|day|minute|second|month|week|year|on\b|in\b)[a-z]{3,14}s\s*(?:/|per|an?|each|every)\s*(?P<unit>s(?:ec(?:ond)?)?|min(?:ute)?|h(?:ou)?r?|day)\b"
)
"""A rate of things nobody here knows: `180 contracts an hour`."""
_EVERY = compiled(
    rf"(?P<n>{COUNT})\s+(?:new\s+)?(?:[a-z]{{3,12}}(?=s?\s+(?:arrives?|comes?\s+in|is\s+sent))|req(?:uest)?|quer(?:y|ies)|prompt|call|message|question|job|document)s?\s+(?:arrives?\s+|comes?\s+(?:in\s+)?|is\s+sent\s+)?(?:every|each|per|in)\s+(?P<m>\d{{1,4}}(?:\.\d{{1,3}})?|other)\s+(?P<unit>s(?:ec(?:ond)?)?|min(?:ute)?|h(?:ou)?r?|day)s?\b"
)
"""`one request every 2 seconds`."""
_RATE_LABEL = compiled(
    r"\b(?:(?:request|arrival)[ _]rate|(?:requests?|reqs?|calls?|queries)\s?(?:/|per)\s?s(?:ec(?:ond)?)?(?=\s*[:=])|rr(?=\s*[=:])|(?<!hit )(?<!hit_)(?<!reuse )(?<![\w-])rate(?=\s*[:=])|requests?(?=\s*[:=]?\s*\d{1,6}(?:\.\d{1,6})?\s*(?:/|per)\s*s)|load)\s*(?:=|:|of|is|\s)*\s*(?P<n>\d{1,6}(?:\.\d{1,6})?)(?!\s*k?\s*(?:in|out|tok\w*|inputs?|outputs?|prompt\w*)\b)(?!k|,\d{3}|\d)(?:\s*(?:/|per)\s*s(?:ec(?:ond)?)?\b)?(?!\s*(?:users?|people|clients|sessions|streams|concurr|simultan|parallel|active\b|open\b|in[- ]flight|requests?\s+(?:at|in)))(?![\d.])"
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PREFIX = (
    compiled(r"\b(?:prefix|prompt|kv)[- _]?cach\w*\s+(?:gets?|covers?|serves?|catches|hits?|saves?|takes?|answers?|provides?|handles?|removes?)\s+(?:about\s+|around\s+|some\s+|roughly\s+|us\s+|~\s*)*(?P<n>\d{1,2}(?:\.\d{1,3})?)\s*(?P<p>%)(?:\s*of\s+(?:the\s+|all\s+)?(?:prompt\s+|input\s+)?(?:tokens?|prompts?|input))?"),
    compiled(r"(?P<n>\d{1,3}(?:\.\d{1,3})?)\s*(?P<p>%)\s*(?:of\s+(?:the\s+)?(?:prompts?|tokens?|input)\s+(?:is|are)\s+)?(?:shared|cached|common|reused|prefix)(?:[- ](?:prefix(?:es)?|cache|cached|hits?|hit|rate|ratio|reuse))*"),
    compiled(r"(?<![\w.,])(?P<n>0?\.\d{1,3})(?P<p>\b)\s*(?:(?:kv|prefix|cache)[- _]?(?:cache\s+)?(?:reuse|hits?|hit[- _](?:rate|ratio)|sharing|caching)|(?:hit|reuse)[- _](?:rate|ratio))\b"),
    compiled(r"\b(?:hit|reuse)[- _](?:rate|ratio)\s+(?:of|in|for|on)\s+(?:the\s+)?(?:prefix|kv|prompt)[- _]?(?:cache\w*)?\s*(?:=|:|of|is|at|around|about|~|\s)*(?P<n>\d{1,3}(?:\.\d{1,3})?)\s*(?P<p>%)?"),
    compiled(r"\b(?:hit|reuse)[- _]?(?:rate|ratio)\s*(?:=|:|of|is|at|around|about|~|\s)*(?P<n>\d{1,3}(?:\.\d{1,3})?)\s*(?P<p>%)?(?!\s*(?:/|req|per\b|rps|k\b|tok))"),
    compiled(r"\b(?:prefix|cache|kv)[- _]?(?:prefix|cache)?[- _]?(?:caching\s+)?(?:hits?|hit|reuse)[- _]?(?:rate|ratio)?\s*(?:=|:|of|is|around|about|~|\b(?:more|like|closer|rather|only|now|at|to|back|up|down)\b|\s)*(?P<n>\d{1,3}(?:\.\d{1,3})?)\s*(?P<p>%)?"),
)  # fmt: skip


def find_workload(scan: Scan, notes: Notes) -> dict[str, object]:
    """The workload as a `Workload` document; lengths that the text does not give are assumptions."""
    found = find_traffic(scan, notes)
    for name, default, what in (("isl", DEFAULT_ISL, "prompt"), ("osl", DEFAULT_OSL, "answer")):
        if name not in found and name not in notes.questions:
            found[name] = default
            notes.assume(f"{name} {default}: the text gives no {what} length", default=name)
    return found


_OURS_BEFORE = compiled(
    r"\b(?:last\s+(?:week|month|quarter|year|night)|yesterday|on\s+(?:mon|tues|wednes|thurs|fri|satur|sun)day|so\s+far|currently|today|measured|load\s+tests?|logs?|metrics|dashboards?|grafana|prometheus|peaked|until\s+now|at\s+the\s+moment)\b"
)
_OF_OTHERS = compiled(
    r"\b(?:vendor|supplier|competitor|colleague|blog|article|paper|they|their|someone|somebody|nvidia|amd|demo|benchmark|brochure|customer|mlperf|other\s+team)\w*\b"
)
_PAST_LINE = re.compile(r"[^.;!?\n]*(?:\.\d[^.;!?\n]*)*")


def past_traffic(scan: Scan, workload: dict[str, object], notes: Notes) -> None:
    """Traffic that is only told of before, of our own service: better that than a default, and said."""
    missing = {name for name in ("isl", "osl") if notes.comes_from("default", name)}
    if not {"concurrency", "request_rate"} & set(workload):
        missing |= {"concurrency", "request_rate"}
    if not missing:
        return
    missing |= {"prefix_hit_ratio"} - set(workload)
    for match in _PAST_LINE.finditer(scan.original):
        words = match.group()
        if EATEN not in scan.text[slice(*match.span())] or not _OURS_BEFORE.search(words) or _OF_OTHERS.search(words):
            continue
        before = Scan("")
        before.text = before.original = words
        found = {name: value for name, value in find_traffic(before, Notes()).items() if name in missing}
        for name, value in found.items():
            workload[name] = value
            notes.take_back("default", name)
        if found:
            notes.assume(
                f"`{' '.join(words.split())[:80]}`: {', '.join(found)} as they were before, for want of others"
            )
            return


def find_traffic(scan: Scan, notes: Notes) -> dict[str, object]:
    """What the text says of the workload, and nothing else."""
    load = _load(scan, notes)
    prefix = _prefix(scan, notes)
    for match in scan.take(_TOTALS):
        notes.assume(
            f"ignored: `{scan.words(match.span())}` (a total throughput is no limit here; the plan maximises it)"
        )
    pairs = [(_tokens(m, "a"), _tokens(m, "b"), m.span()) for m in scan.take(_BOTH)]
    pairs += [(_tokens(m, "a"), _tokens(m, "b"), m.span()) for m in scan.take(_IN_ORDER)]
    pairs += [(_tokens(m, "a"), _tokens(m, "b"), m.span()) for m in scan.take(_BECOMES)]
    pairs += [(_tokens(m), _tokens(m), m.span()) for m in scan.take(_EQUAL)]
    pairs += [(_tokens(m, "a"), _tokens(m, "b"), m.span()) for m in scan.take(_PAIR) if _is_pair(m)]
    pairs += [(_thousands(m["a"]), _thousands(m["b"]), m.span()) for m in scan.take(_GLUED)]
    outputs = _lengths(scan, _OSL[:3])
    scan.take(_HOW_MANY)
    inputs = _lengths(scan, (*_ISL, _LONG))
    outputs += _lengths(scan, _OSL[3:])
    if not (pairs or inputs) or not (pairs or outputs):
        more = _described(scan, notes)
        inputs, outputs = inputs or ([] if pairs else more["isl"]), outputs or ([] if pairs else more["osl"])
    isl = _one(notes, "isl", [(a, span) for a, _, span in pairs] + inputs)
    osl = _one(notes, "osl", [(b, span) for _, b, span in pairs] + outputs)
    digits = re.sub(r"[,_ ]", "", scan.original)
    if re.search(r"\d\s?k\b", scan.original, re.IGNORECASE) and any(v and str(v) not in digits for v in (isl, osl)):
        notes.assume("1k tokens are 1,024 tokens")
    lengths = {name: value for name, value in (("isl", isl), ("osl", osl)) if value is not None}
    return {**prefix, **lengths, **load}


_SHARED = r"(?:cache[ds]?|caching|prefix(?:es)?|shared|sharing|reus(?:ed?|able|ing)|repeat\w*|identical|the\s+same|in\s+common|overlap\w*|unchanged|boilerplate|system\s+prompt)"
_EACH_PART = compiled(
    rf"(?<![\w.,])(?P<n>\d{{1,6}}(?:\.\d{{1,3}})?|{COUNT})\s+(?P<what>(?:(?:concurrent|simultaneous|parallel|active)\s+)?(?:requests?|users?|sessions?|sequences?|streams?|chats|clients|in[- ]flight|concurrent|rps|qps|req/s|requests?\s*(?:/|per)\s*s(?:ec(?:ond)?)?))(?:\s+(?:in\s+(?:parallel|flight)|at\s+(?:once|a\s+time)))?\s*(?:per|on\s+(?:each|every)|for\s+(?:each|every)|/|each)\s*(?P<part>gpu|card|accelerator|node|host|server|machine|box)\b"
)
"""A load of each GPU or host: `16 concurrent requests per GPU`."""


def whole_load(scan: Scan, cluster: Mapping[str, object] | None, workload: dict[str, object], notes: Notes) -> None:
    """A load that is told for each GPU or host as that of the cluster."""
    match = _EACH_PART.search(scan.original) if cluster is not None else None
    if match is None or cluster is None:
        return
    hosts, per_host = int(str(cluster["hosts"])), int(str(cluster["gpus_per_host"]))
    parts = hosts * (per_host if match["part"].lower() in ("gpu", "card", "accelerator") else 1)
    each = number_of(match["n"]) if match["n"][0].isdigit() else float(count_of(match["n"]))
    for name in ("concurrency", "request_rate"):
        if workload.get(name) == each and parts > 1:
            workload[name] = round(each * parts) if name == "concurrency" else round(each * parts, 6)
            notes.assume(f"`{' '.join(match.group().split())}`: {name} {workload[name]:g} for {parts} of them")


_CACHED_WORDS = r"(?:(?:prefix[- ])?cached|in\s+(?:the\s+)?(?:(?:kv|prefix)[- ]?)?cache|in\s+(?:the\s+)?kv|from\s+(?:the\s+)?(?:\w+[- ])?cache|shared(?!\s+(?:by\s+)?\d)|identical|(?:exactly\s+|always\s+|the\s+|stays?\s+)+same(?!\s+(?:moment|time|instant|node|host|server|machine|gpu|model|engine|way|size|length))|(?:never|not|n't|hardly)\s+(?:ever\s+)?chang\w+|unchang\w+|constant|static|in\s+common|common\s+to|reused|re-used|repeat(?:s|ed|ing)|(?:fixed|boilerplate)|hits?\s+(?:the\s+)?cache|prefix(?![- ]cach)|overlap\w*)"
_AMOUNT = r"(?<![\w.,])(?P<n>\d{1,3}(?:,\d{3})+|\d{1,7}(?:\.\d{1,2})?)\s?(?P<nk>k)?(?![\w%.,]*\d)(?!\s*(?:%|ms\b|s\b|sec|x\b|gb|gpus?\b|are\s+\w+ing|at\s+(?:once|the\s+same)|people|users?\b|req|rps|concurr|nodes?\b|hosts?\b|sessions?\b|chats?\b))"
_CACHED_PART = compiled(
    rf"{_AMOUNT}(?:[- ]?tok(?:en)?s?)?(?:\s+or\s+so)?(?:\s+of\s+(?:those|these|them|which|that|it))?\s+(?:(?!(?:out|outputs?|answers?|repl|respon|completion|generat|with|no|without|in)\b)[a-z'-]+\s+){{0,6}}?{_CACHED_WORDS}\b"
    rf"|\b(?:of\s+(?:which|that|those|it|them)|where|whereof|incl\.?|including|with)\s+(?:(?:about|around|roughly|some|the|a|an|first|~)\s*){{0,3}}{_AMOUNT.replace('<n>', '<b>').replace('<nk>', '<bk>')}(?:[- ]?tok(?:en)?s?)?\s*(?:(?!(?:out|outputs?|answers?|repl|respon|completion|generat|no|without)\b)[a-z'-]+\s+){{0,6}}?{_CACHED_WORDS}\b"
)
"""A part of a prompt that is the same for all, or comes from a cache: `9,000 of those`, `the first 6k never change`, `5k or so is the same for everyone`."""


def cached_part(scan: Scan, workload: dict[str, object], notes: Notes) -> None:
    """The share of a prompt that such a part is, where the prompt's length is known."""
    isl = workload.get("isl")
    if "prefix_hit_ratio" in workload or not isinstance(isl, int) or notes.comes_from("default", "isl"):
        return
    for match in _CACHED_PART.finditer(scan.original):
        name = "n" if match["n"] else "b"
        part = _tokens(match, name)
        if max(4 * SHORTEST, 0.05 * isl) <= part < 0.99 * isl and part != workload.get("osl"):
            workload["prefix_hit_ratio"] = round(part / isl, 3)
            notes.assume(f"`{' '.join(match.group().split())}` read as a prefix hit ratio of {part / isl:.3g}")
            return


def _one(notes: Notes, topic: str, found: list[tuple[N, SPAN]]) -> N | None:
    """One of the values of a topic."""
    return notes.one_of(topic, [value for value, _ in found], [span for _, span in found])


def _described(scan: Scan, notes: Notes) -> dict[str, list[tuple[int, SPAN]]]:
    """Lengths of texts that have another name than prompt and answer: what is written back is an answer, all else is read."""
    found: dict[str, list[tuple[int, SPAN]]] = {"isl": [], "osl": []}
    for pattern in (_SO_LONG, _OF_LENGTH):
        for match in pattern.finditer(scan.text):
            if NO_TEXT.match(match["what"]):
                continue
            back = re.search(
                r"\b(?:into|back|returns?|returning|generat\w+|produc\w+|writes?|writing|answer\w*|repl\w+)\s+(?:\w+\s+){0,3}$",
                scan.text[max(0, match.start() - 40) : match.start()],
                re.IGNORECASE,
            )
            many = re.search(
                r"\d\s*(?:k|m|million|thousand)?\s+$", scan.text[max(0, match.start() - 12) : match.start("what")]
            )
            field = "osl" if (_OUTPUT_WORD.match(match["what"]) and many is None) or back else "isl"
            found[field].append((_tokens(match), match.span()))
            notes.assume(f"`{scan.words(match.span())}` read as {field} {found[field][-1][0]}")
            scan.eat(match.span())
    return found


def _thousands(digits: str) -> int:
    return int(digits) * thousand(float(digits))


def _tokens(match: re.Match[str], group: str = "n") -> int:
    power = {"k": 1, "m": 2}.get((match[f"{group}k"] or "").lower(), 0)
    words = match[group]
    number = number_of(words)
    return round(number * thousand(number) ** power) if power or "." in words else count_of(words)


def _is_pair(match: re.Match[str]) -> bool:
    """Two lengths, not a fraction such as 24/7."""
    dated = not match["ak"] and 2015 <= _tokens(match, "a") <= 2035
    return not dated and _tokens(match, "a") >= 32 and _tokens(match, "b") >= 1


def _lengths(scan: Scan, patterns: tuple[re.Pattern[str], ...]) -> list[tuple[int, SPAN]]:
    found: list[tuple[int, SPAN]] = []
    for pattern in patterns:
        for match in list(pattern.finditer(scan.text)):
            value = _tokens(match, "n" if match["n"] else "e")
            if value >= SHORTEST or "tok" in match.group().lower() or re.search(r"[=:]|sl", match.group().lower()):
                found.append((value, match.span()))
                scan.eat(match.span())
    return found


def _load(scan: Scan, notes: Notes) -> dict[str, object]:
    """Concurrency or request rate; of both together the better supported one, the later one of equals."""
    rates = (
        [(_every(m), m.span()) for m in scan.take(_EVERY)]
        + [(_rate(m), m.span()) for m in scan.take(_RATE)]
        + [(_rate(m), m.span()) for m in scan.take(_ARRIVING)]
        + [(float(m["n"]), m.span()) for m in scan.take(_RATE_LABEL)]
    )
    for match in () if rates else scan.take(_OTHER_NOUN):
        rates.append((_rate(match), match.span()))
        notes.assume(f"`{scan.words(match.span())}` read as {rates[-1][0]:g} requests per second")
    counts = [(_count(m["n"]), m.span()) for pattern in _LOAD for m in scan.take(pattern)]
    counts = [(n, s) for n, s in counts if scan.original[s[0] : s[0] + 3].lower().rstrip("n ") != "a"] or counts
    for match in () if counts or rates else scan.take(_PEOPLE):
        counts.append((count_of(match["n"]), match.span()))
        notes.assume(f"`{scan.words(match.span())}` read as {counts[-1][0]} concurrent requests: all of them at once")
    for match in scan.take(_BATCH):
        counts.append((count_of(match["n"]), match.span()))
        notes.assume(f"`{scan.words(match.span())}` read as {counts[-1][0]} concurrent requests")
    if rates and counts:
        said = [(f"a request rate of {v:g}/s", s) for v, s in rates] + [(f"a concurrency of {v}", s) for v, s in counts]
        held = _one(notes, "load:", said) or ""
        rates, counts = (rates, []) if held.startswith("a request") else ([], counts)
    rate, count = _one(notes, "request rate", rates), _one(notes, "concurrency", counts)
    if rate is not None:
        return {"request_rate": rate}
    if count is not None and all(_CAP.match(scan.original, *span) for value, span in counts if value == count):
        notes.assume(f"`{scan.words(counts[0][1])}` read as {count} concurrent requests: all that the server takes")
    if count is not None:
        return {"concurrency": count}
    return {}


def _count(words: str) -> int:
    return round(float(words[:-1]) * 1000) if words.lower().endswith("k") else count_of(words)


def _every(match: re.Match[str]) -> float:
    span = 2.0 if match["m"].lower() == "other" else float(match["m"])
    return count_of(match["n"]) / (span * _SECONDS[match["unit"][0].lower()])


def _rate(match: re.Match[str]) -> float:
    """Requests per second."""
    words = match["n"]
    amount = float(number_of(words)) if words[0].isdigit() else float(count_of(words))
    unit = (
        match["unit"]
        or ("min" if (match.groupdict().get("short") or "").lower() in {"rpm", "qpm", "r/m", "r/min"} else "s")
    )[0].lower()
    scale = {"": 1, "k": 1000, "m": 1_000_000}[(match["k"] or "")[:1].lower()]
    return amount * scale / _SECONDS[unit]


_PREFIX_LOOSE = compiled(
    rf"(?<![\w.,])(?P<n>\d{{1,2}}(?:\.\d{{1,3}})?)\s*%(?=[^;\n.%]{{0,60}}\b{_SHARED}\b)[^;\n.%]{{0,60}}?\b{_SHARED}\b(?:\s+(?:cache|hits?))?"
)
_THE_REST_CACHED = compiled(
    rf"(?<![\w.,])(?P<n>\d{{1,2}}(?:\.\d{{1,3}})?)\s*%[^;\n.%]{{0,60}}?\b(?:the\s+(?:rest|remainder|others?)|everything\s+else)\b[^;\n.%]{{0,40}}?\b{_SHARED}\b(?:\s+cache)?"
)
"""`15% has to be computed, the rest is in the prefix cache`."""
_HITS = compiled(r"(?<![\w.,])(?P<n>\d{1,2}(?:\.\d{1,3})?)\s*%\s*(?:(?:of|de|di|d')\s*)?hits?\b")
_CACHE = compiled(r"\b(?:cach\w{1,4}|pr[ée]fi\w{1,5})\b")
"""Speaks of a cache or of prefixes, in any language."""
_OF_WHICH = compiled(
    rf"(?<![\w.,])(?P<n>\d{{1,9}}(?:,\d{{3}}){{0,2}}(?:\.\d{{1,2}})?)(?P<nk>k)?\s*(?:(?:prompt\s+|input\s+)?tokens?|(?<=k))\s*,?\s*\(?\s*of\s+which\s+(?:about\s+|some\s+|roughly\s+|the\s+first\s+)?(?P<a>\d{{1,9}}(?:,\d{{3}}){{0,2}}(?:\.\d{{1,2}})?)(?P<ak>k)?\s*(?:tokens\s+)?(?:are|is|come|sit|stay)\s+(?:\w+\s+){{0,7}}?{_SHARED}(?:\s+(?:that\s+is\s+)?(?:always\s+)?cached?)?"
)
_PREFIX_PART = compiled(
    rf"(?<![\w.,])(?P<a>\d{{1,9}}(?:,\d{{3}}){{0,2}})(?P<ak>k)?\s*(?:tokens\s+)?(?:out\s+)?of\s+(?:the\s+|those\s+|its\s+|all\s+)?(?P<n>\d[\d,]*)(?P<nk>k)?\s*(?:prompt\s+|input\s+)?tokens?\s+(?:are|is|come|being)\s+(?:(?:always|mostly|usually|a|an|the|from|in)\s+)*(?:fixed\s+|common\s+)?(?:{_SHARED}|fixed)(?:\s+prompt)?"
)
"""`5500 of 6000 tokens are a fixed system prompt`."""
_SHARES = {
    "a fifth": 0.2,
    "one fifth": 0.2,
    "a tenth": 0.1,
    "one tenth": 0.1,
    "half": 0.5,
    "a third": 1 / 3,
    "one third": 1 / 3,
    "a quarter": 0.25,
    "two thirds": 2 / 3,
    "three quarters": 0.75,
}
_PREFIX_WORDS = compiled(
    rf"\b(?P<share>{'|'.join(_SHARES)})\s+(?:of\s+)?(?P<rest>[^.;,]{{0,60}}?\b(?:cach\w{{1,4}}|pr[ée]fi\w{{1,5}}|shared|reused|(?:is|are)\s+(?:a\s+)?(?:common|the\s+same)))\b"
)


def _prefix(scan: Scan, notes: Notes) -> dict[str, object]:
    ratios: list[tuple[float, SPAN]] = []
    lengths: dict[str, object] = {}
    for match in _PREFIX_WORDS.finditer(scan.text):
        ratios.append((round(_SHARES[" ".join(match["share"].lower().split())], 3), match.span()))
        notes.assume(f"`{scan.words(match.span())}` read as a prefix hit ratio of {ratios[-1][0]:g}")
        scan.eat(match.span("share"))
    for match in [*scan.take(_OF_WHICH), *scan.take(_PREFIX_PART)]:
        part, whole = _tokens(match, "a"), _tokens(match, "n")
        if 0 < part < whole:
            ratios.append((round(part / whole, 3), match.span()))
            lengths["isl"] = whole
            notes.spent.append(match.span())
            notes.assume(f"`{scan.words(match.span())}` read as a prefix hit ratio of {ratios[-1][0]:g}, isl {whole}")
    for pattern in _PREFIX:
        for match in scan.take(pattern):
            number = float(match["n"])
            ratios.append((round(number / 100, 6) if match["p"] == "%" or number > 1 else number, match.span()))
    for match in () if ratios or _CACHE.search(scan.original) is None else scan.take(_HITS):
        ratios.append((float(match["n"]) / 100, match.span()))
    for match in () if ratios else scan.take(_THE_REST_CACHED):
        ratios.append((round(1 - float(match["n"]) / 100, 5), match.span()))
        notes.assume(f"`{scan.words(match.span())}` read as a prefix hit ratio of {ratios[-1][0]:g}")
    for match in () if ratios else scan.take(_PREFIX_LOOSE):
        ratios.append((float(match["n"]) / 100, match.span()))
        notes.assume(f"`{scan.words(match.span())}` read as a prefix hit ratio of {ratios[-1][0]:g}")
    ratio = _one(notes, "prefix hit ratio", ratios)
    if ratio is not None and ratio > 0.99:
        notes.ask(
            "prefix hit ratio",
            "the prefix hit ratio must be below 0.99: what share of prompt tokens is served from cache?",
        )
        return {}
    return {} if ratio is None else {"prefix_hit_ratio": ratio, **lengths}
