"""What a text chooses from a short list: engine, objective, precision, colocated or disaggregated serving."""

import re
from collections.abc import Mapping

from agent.understand.notes import Notes
from agent.understand.scan import COUNT, Scan, compiled
from strategy.model import Dtype

_ENGINES = {
    "vllm": compiled(r"\bv-?llm\b(?:\s+v?\d{1,3}(?:\.\d{1,3})+\w{0,8})?"),
    "sglang": compiled(r"\bsg-?l(?:ang)?\b(?:\s+v?\d{1,3}(?:\.\d{1,3})+\w{0,8})?"),
    "trtllm": compiled(r"\b(?:tensor-?\s?rt(?:[- ]?llm)?|trt(?:[- ]?llm)?)\b(?:\s+v?\d{1,3}(?:\.\d{1,3})+\w{0,8})?"),
}  # fmt: skip
_REFUSED = compiled(
    r"\b(?:not|no|never|don'?t|without|avoid\w*|except|(?:anything|everything|any\s+engine)\s+but|instead\s+of|rather\s+than|other\s+than|(?:scrap|forget|ignore|drop)\b[^.;,\n]{0,40}\babout|leav\w+|left|ditch\w*|abandon\w*|quit\w*|drop\w*|moved?\s+off|moving\s+off|gave\s+up(?:\s+on)?|given\s+up(?:\s+on)?|away\s+from|from|sick\s+of|tired\s+of|nicht|kein\w*|pas|sans|non|sin|senza|sem|geen|niet)\s+(?:(?:use|using|bother\s+with|want|on|with|run|running|touch|the|any|mit|auf|avec|con)\s+)*$"
)
"""Before an engine that is not wanted."""
_SO_FAR = compiled(
    r"\b(?:currently|presently|at\s+the\s+moment|so\s+far|until\s+now|right\s+now)(?:\s+\w+)?\s+(?:(?:use|using|on|with|run|running|launch|serve|the)\s+)*$"
)
"""Before an engine that is used until there is a plan: it stays, unless another one is named."""
_PORTUGUESE = compiled(r"\b(?:não|são|qual|preciso|precisamos|queremos|requisiç\w+|máximo|divisão|pessoal|servidor)\b")
"""Where `no` means `in the`."""
_OBJECTIVES = {
    "min_gpus": compiled(
        r"\b(?:keep\s+(?:it|this|that|things?|everything|the\s+(?:thing|whole\s+thing|setup))\s+cheap|cheapest(?!\s+(?:thing|one|option|box|machine|gpus?|cards?|hardware|vm|instance|server)s?\s+(?:\w+\s+){0,2}?(?:would|could|had|approved?|got|have|found|available|offered)\b)|cheaper(?!\s+than)|(?:the\s+)?fewer\s+(?:(?:gpus?|cards?)\s+)?(?:is|are|the)\s+better|costs?\s+(?:\w+\s+){0,2}?as\s+little\s+as\s+possible|(?:spend|pay)\w*\s+as\s+little|(?:occupy|use|take|need|spend|touch|block)\s+as\s+few\s+(?:of\s+(?:them|those|these|the\s+\w+)\s+)?(?:gpus?\s+|cards?\s+)?as|as\s+(?:cheap|cheaply|inexpensive|economical)\s+as\s+(?:possible|we\s+can|you\s+can)|price\s+per\s+token|(?:tight|small|low)\s+budget|smallest\s+(?:possible\s+)?(?:footprint|deployment|setup)|(?:least|fewest|minimal|minimum)\s+(?:possible\s+)?(?:gpus?|cards?)|(?:least|fewest|minimal|minimum|smallest|lowest)\s+(?:possible\s+)?(?=(?:[a-z]{1,3}\d{2,3}\w{0,5}|gpu|card|node|host|server)\s+(?:count|number)\b)|keep\s+the\s+(?:bill|costs?)\s+(?:low|down|small)|(?:use|using|take|need)\s+as\s+few\s+as\s+(?:you|we|possible)\w*|free\s+up\s+as\s+many\s+(?:gpus?|cards?)|smallest\s+(?:slice|part|share|subset|fraction|portion)|m[íi]nim[oa]\s+(?:n[úu]mero\s+)?(?:de\s+)?gpus?|minimum\s+(?:de\s+)?gpus?|minimo\s+(?:di\s+)?gpus?|leanest|thriftiest|fewest|how\s+few\b|min_gpus|smallest\s+cluster|low(?:est)?\s+cost|cost[- ](?:optimal|optimi[sz]ed|efficient)|"
        r"(?:least|smallest|minimum|minimal|min|lowest)(?:\s+possible)?\s+(?:(?:number|count)\s+of\b|gpus?\b|cards?\b|hardware\b|cost\b)|"
        r"as\s+few\b(?=\s+\S{1,12}\s+(?:gpus?\s+|cards?\s+)?as\s+(?:possible|(?:you|we|i)\s+can))|"
        r"minimi[sz](?:e|ing)\s+(?:the\s+)?(?:number\s+of\b|gpus?\b|costs?\b|spend\b))"
    ),
    "latency": compiled(
        r"\b(?:(?:lowest|smallest|shortest|minimal|minimum|min|best|low|least)(?:[\s-]+(?:possible|end[- ]to[- ]end|e2e|overall|total|average|avg|mean|median|tail|p\d\d|request|response|per[- ]request|single[- ]stream|user|interactive)){0,3}[\s-]+latency|(?:keep|make|get|have)\s+(?:the\s+)?latency\s+(?:as\s+)?(?:minimal|minimum|low|lowest|small)(?:\s+as\s+possible)?|as\s+low\s+(?:a\s+|an\s+)?(?:as\s+possible\s+latency|latency\s+as\s+possible)|latency\s+(?:as\s+low\s+as\s+(?:possible|it\s+gets)|to\s+a\s+minimum)|minimi[sz](?:e|ing)\s+(?:the\s+)?(?:[\w-]{1,12}\s+){0,4}?latency|latency[- ]?wise|latency[- ](?:optimi[sz]ed|optimal|first|sensitive|critical)|"
        r"(?:optimi[sz]e|objective|goal|tune)[sd]?\s*(?:for|is|:|=)\s*(?:the\s+)?(?:lowest\s+)?latency|(?:must|needs?\s+to|has\s+to|have\s+to|should)\s+(?:be|feel)\s+(?:super|very|really|extremely|lightning|blazing\w*|insanely)[\s-]*(?:quick|fast|snappy|responsive)|(?:lowest|smallest|shortest|best|minimal|least)\s+(?:possible\s+)?(?:time[- ](?:per|between)[- ](?:output[- ])?tokens?|tpot|itl|ttft|time[- ]to[- ](?:the[- ])?first[- ]token|inter-?token\s+latency)|(?:get|push|bring|drive|have|want|keep)\s+(?:that|it|this|ttft|tpot|the\s+latency)\s+as\s+low\s+as\s+(?:it\s+(?:goes|gets)|possible|(?:you|we)\s+can)|(?:max(?:imum|imal)?|top|highest|full)\s+speed(?!\s+(?:of|in)\b)|as\s+(?:fast|snappy|quick|quickly|responsive|swiftly|rapidly)\s+as\s+(?:possible|it\s+gets|(?:you|we|it)\s+can)|(?:snappiest|quickest|most\s+responsive)|best\s+(?:per[- ]user|single[- ](?:user|stream))\s+(?:speed|rate)|(?:snappy|snappiness|responsiveness)\s+is\s+(?:the\s+whole\s+point|everything|what\s+(?:counts|matters))|(?:fast|quick)\s+(?:single[- ]stream|first\s+token|answers?|responses?)\s+(?:matters?|counts?)\s+(?:more|most)|fastest(?!\s+(?:throughput|gpus?|cards?|batch|total))(?:\s+possible)?(?:\s+(?:responses?|answers?|tokens?))?)\b"
    ),
    "throughput": compiled(
        r"\b(?:(?:squeez\w{1,3}|wring\w{0,4}|get\w{0,4}|push\w{0,4})\s+(?:out\s+)?(?:every|as\s+many|the\s+most)\s+(?:possible\s+)?tokens?(?:\s+(?:per|/|a)\s*s(?:ec(?:ond)?)?)?(?:\s+(?:out|as\s+possible))?|(?:offline|overnight|nightly)\s+batch\w*|batch\s+(?:inference|processing|job)|latency\s+(?:is\s+)?(?:irrelevant|unimportant|does\s*n[o']t\s+matter)|(?:max(?:imum|imal)?|highest|best|most|high|peak)(?:\s+possible)?\s+(?:total\s+|aggregate\s+)?(?:throughput|tokens?(?:\s*/\s*s(?:ec)?|\s+per\s+second)?(?:\s*(?:/|per)\s*gpu)?)|"
        r"maximi[sz](?:e|ing)\s+(?:the\s+)?(?:total\s+)?(?:throughput|tokens?(?:\s*/\s*s(?:ec)?|\s+per\s+second)?(?:\s*(?:/|per)\s*gpu)?)|throughput[- ](?:optimi[sz]ed|optimal|first|oriented)|"
        r"(?:optimi[sz]e|objective|goal|tune)[sd]?\s*(?:for|is|:|=)\s*(?:the\s+)?(?:highest\s+)?throughput)\b"
    ),
}  # fmt: skip
_RATE = r"(?:(?:output\s+|total\s+|aggregate\s+)?(?:tok(?:en)?s?\s*(?:/|per|a)\s*s(?:ec(?:ond)?)?|tps|tgs)(?:\s*(?:/|per|a)\s*(?:gpu|card|device|chip))?|(?:throughput|tput|token\s+rate|goodput)(?:\s*(?:/|per)\s*gpu)?|tok(?:en)?s?\s*(?:/|per)\s*gpu(?:\s*(?:/|per)\s*s(?:ec(?:ond)?)?)?)"
_GOAL_RATE = compiled(
    rf"\b(?:max(?:imi[sz](?:e|es|ed|ing|ed)|imum|imal\w{{0,2}}|imaal|imo|ima|imale)?|m[áa]xim[oa]|massim[oa]|maximi(?:ere|eren|ser)|maximi[zs]ar|massimizza(?:re|ndo)?|optimi[sz](?:e|es|ed|ing)(?:\s+for)?|optimi(?:ere|eren|ser)(?:\s+auf)?|best|highest|most|peak|top|höchste\w?|maks\w*|higher|as\s+(?:much|many|high)|максимальн\w+|наибольш\w+|najwyższ\w+|en\s+yüksek)[- ]+(?:possible\s+)?(?:(?:the|for|den|le|la|el|o|il|l'|overall|system|cluster|number\s+of)\s+)*{_RATE}(?![\w/])"
    rf"|\b(?:throughput|tput|{_RATE})\s+(?:is\s+)?(?:max(?:im\w{{1,5}})?|m[áa]xim[oa]|massim[oa]|above\s+all|orient\w+|-?bound)\b|\b(?:goal|objective|objetivo|objectif|obiettivo|ziel|aim|target|priorit(?:y|é|à|ät|eit)|doel|цель)\s*(?:is|=|:|ist|est|es|è|é|à|au|al|the)?\s*(?:the\s+|pure\s+|raw\s+)?{_RATE}(?![\w/])"
    r"|\bthroughput\s+under(?=\s*(?:[.,;)\n]|$))|最\s*[大高]\s*化?\s*的?\s*throughput|throughput\s*(?:を|要|が|를|을|은)?\s*(?:最\s*[大高]|최대|극대)(?:\s*[぀-ヿ一-鿿가-힣]){0,6}"
    r"|\b(?:for|on)\s+(?:pure\s+|raw\s+)?throughput(?=\s*(?:[.,;)\n]|$))|(?:^|(?<=[,;.\n(]))\s*(?:pure\s+|raw\s+|best\s+)?throughput\s*(?=[,;)\n.!]|$)"
)
"""A rate of tokens as what the plan shall be best at: `maximise tok/s/gpu`, `massimo throughput`, `tput` alone."""
_MORE = r"(?:(?:counts|matters)(?=\s*(?:[.,;)!\n]|$))|(?:counts?|matters?)\s+(?:(?:way|much|far|a\s+lot)\s+)?(?:more|most)|is\s+(?:more|most)\s+important|(?:comes?|goes)\s+first|is\s+what\s+(?:counts|matters|(?:we|i)\s+(?:optimi[sz]e|care|want|need|tune)\w*(?:\s+(?:for|about))?)|(?:matters?\s+)?(?:over|above|before)\s+(?:everything|all|anything)(?:\s+else)?|is\s+(?:king|key|critical|everything)|is\s+(?:the|our|my)\s+(?!least|last|lowest)(?:\w+\s+)?(?:concern|priority|goal|objective|focus|aim|target))"
_PRIORITY = r"(?:prioriti[sz]e|favou?r|prefer|focus\s+on|care\s+(?:more\s+)?about|optimi[sz]e\s+for|tune\s+for)"
_GOAL = r"(?:(?:goals?|priorit(?:y|ies)|objectives?|optimi[sz]ation\s+target|optimi[sz]e(?:d)?|focus|aim)\s*(?:is|are|:|=|->|for|on|at|,)?\s*(?:the\s+|on\s+|for\s+|to\s+)*(?:(?:low|lowest|minimal|minimum|min|high|highest|max|maximum|best)\s+)?)"
_EMPHASIS = {
    name: compiled(
        rf"\b(?:(?:{words})\s+{_MORE}|{_PRIORITY}\s+(?:the\s+)?(?:{words})|{_GOAL}(?:{words})|(?:{words})\s+(?:is\s+)?(?:the\s+|our\s+|my\s+|a\s+)?(?:main\s+|top\s+|first\s+|highest\s+|primary\s+|#1\s+)?(?:goal|priority|objective|target|focus|concern)(?!\s*(?::|=|of|is\s+\d|\d|\x1f)))\b"
    )
    for name, words in (
        (
            "latency",
            r"ttft|tpot|itl|latency|latencies|response\s+times?|responsiveness|(?:single[- ])?(?:user|stream)\s+speed|speed(?:\s+(?:per|for\s+(?:each|every|the|a\s+single))\s+(?:single\s+)?(?:user|stream|request))?|first\s+token|interactivity",
        ),
        ("throughput", r"throughput|tput|tokens?\s*(?:/|per)\s*s(?:ec(?:ond)?)?|batch\w*|total\s+tokens?"),
        ("min_gpus", r"costs?|price|money|budget|gpu\s+count|hardware"),
    )
}
_SERVING = {
    "colocated": compiled(
        r"(?:\b(?:no|not|without)\s+(?:any\s+|a\s+)?(?:split|separation|division)\s+(?:between|of)\s+(?:the\s+)?prefill\s+and\s+(?:the\s+)?decode\b)|(?:\b(?:no|not|without|don'?t|do\s+not|never|avoid)\s+(?:any\s+|a\s+|want\s+|use\s+)?(?:p\s?/?\s?d|prefill[-/ ]+decode)[-\s]+(?:split\w*|separat\w+|disagg\w*))|(?:\b(?:no|not|never|don'?t|do\s+not|without|avoid)\s+(?:\w+\s+)?(?:split|separat\w{1,4})\s+(?:the\s+)?prefill\s*(?:and|/|from)\s*(?:the\s+)?decode\b)|(?:\bprefill\s+and\s+decode\s+(?:\w+\s+){0,3}(?:together|on\s+the\s+same)\b)|(?:\b(?:p/d\s+|pd[- ])?disagg\w{0,11}(?:\s+serving)?\s*(?:=|:)?\s*(?:is\s+)?(?:also\s+|likewise\s+|as\s+well\s+)?(?:off|out\b|excluded|ruled\s+out|forbidden|disabled|not\s+(?:wanted|allowed|needed))\b)|\b(?:co-?located|aggregated|monolithic|(?:no|not|without|don'?t|do\s+not|never|avoid)\s+(?:use\s+|want\s+|any\s+|a\s+)?(?:p/?d\s+|pd[- ]|prefill[-/ ]decode\s+)?"
        r"disagg(?:regat\w{1,5})?(?:\s+serving)?)\b"
    ),
    "disaggregated": compiled(
        r"\bp/?d\s+(?:is\s+|are\s+|to\s+be\s+)?(?:separat\w+|split|apart|disjoint)\b|\b(?:prefill|decode)\s+(?:pools?|workers?|side|cluster)\b|\b(?:(?:p/d|pd|prefill[-/ ]*(?:and\s+)?decode)[- ]+)?disagg(?:regat\w{1,5})?(?:[- ]+(?:prefill(?:\s*(?:and|/|-)\s*decode)?|serving|pools?|p/d))?\b|"
        r"\bseparate\s+(?:pools?\s+(?:for|of)\s+)?prefill\s+(?:and|from)\s+decode(?:\s+pools?)?\b|\bp/d\s+split\b|"
        r"\b(?:split|separat(?:ed?|ing|e[drs]?))\s+(?:the\s+)?prefill\s*(?:and|/|from|y|et|e|und)\s*(?:the\s+)?decode\b(?:\s+(?:onto|on|into|to)\s+(?:separate|different)\s+\w{1,10})?|\bprefill\s*(?:and|/)\s*decode\s+(?:\w+\s+){0,3}(?:on|in|into|onto)\s+(?:separate|different|distinct|dedicated|their\s+own)\s+\w{1,10}\b|"
        r"\b(?:split|divided|separated)\s+into\s+(?:a\s+)?prefill\s+and\s+(?:a\s+)?decode(?:\s+(?:pools?|groups?|clusters?))?\b|\bprefill\s*(?:and|/|&|from)\s*(?:the\s+)?decode\s+(?:should\s+|to\s+|must\s+|will\s+)?(?:be\s+|live\s+|run\s+|are\s+|sit\s+|go\s+|kept\s+)*(?:separated?|apart|split|disjoint|in\s+different|on\s+(?:different|separate|distinct|their\s+own)\s+\w{1,10})\b|\b(?:separate|dedicated|distinct)\s+prefill\s+(?:and|/)\s+decode(?:\s+\w{1,10})?\b"
    ),
}  # fmt: skip
_PD = r"(?:the\s+)?prefill(?:ing|s)?\s*(?:and|/|&|or|from|with|und|et|y|e|en|和|与|と|и|와|과)\s*(?:the\s+)?decod(?:e|es|ing)(?:\s+(?:work|phases?|stages?|workers?|requests?))?"
_SHARED = r"(?:on|in|by|over|across|auf|sur|en|nas?|sugli|sulle)\s+(?:the\s+|an?\s+|one\s+|any\s+|den|der|les|las?|los)?\s*(?:same|single|one|shared|common|selben|denselben|gleichen|mêmes?|mismas?|mismos?|mesmas?|stess[ei])\s*(?:set\s+of\s+)?\w{0,12}"
_MIX = r"(?:mix(?:ed|ing)?|combin(?:e|ed|ing)|shar(?:e|ed|ing)|co-?locat(?:e|ed|ing)|interleav(?:e|ed|ing)|blend(?:ed|ing)?|run(?:ning)?|put(?:ting)?|plac(?:e|ed|ing)|hav(?:e|ing)|keep(?:ing)?|serv(?:e|ed|ing)|do|merge|mischen|mélanger|mezclar|misturar|mescolare|mengen)"
_NEVER = r"(?:not|no|never|don'?t|do\s+not|without|avoid|can'?t|cannot|mustn'?t|shouldn'?t|won'?t|refuse\s+to|nicht|kein\w*|ne\s+pas|pas|não|non)"
_APART = compiled(
    rf"\b{_NEVER}\s+(?:(?:want\s+to|ever|be|allowed\s+to|to|use|any|a|you)\s+)*{_MIX}\s+{_PD}(?:\s+(?:together|jobs?))?(?:\s+{_SHARED})?"
    rf"|\b{_PD}\s+(?:(?:must|may|should|can|shall|do|are|is|will|to|have)\s*)*(?:not|n'?t|never|nicht|pas|no|non)\s+(?:(?:be|to|ever|allowed|run|share|live|sit|work|happen|execute)\s+)*(?:{_MIX}|together|{_SHARED}|(?:the\s+same\s+|any\s+)?(?:gpus?|cards?|devices?|nodes?|hosts?))\b(?:\s+{_SHARED})?"
    rf"|\b(?:keep|hold|have|run|put|place|want|leave)\s+{_PD}\s+(?:strictly\s+|fully\s+|completely\s+|well\s+)?(?:apart|separate(?:d|ly)?|isolated|disjoint|away\s+from\s+each\s+other|on\s+(?:separate|different|distinct|dedicated|their\s+own)\s+\w{{1,10}})"
    rf"|\b(?:no|not|without|avoid|never)\s+(?:any\s+|a\s+)?(?:co-?locat\w+|aggregated|mixed|shared|combined)(?:\s+(?:{_PD}|prefill|decode|serving|pools?))?\b"
    rf"|\b(?:separate|different|distinct|dedicated|disjoint)\s+(?:gpus?|cards?|nodes?|hosts?|machines?|servers?|pools?|groups?|instances?)\s+for\s+{_PD}"
    rf"|\bprefill\s+(?:must\s+|should\s+|to\s+)?(?:not\s+share|never\s+shares?|be\s+separated?\s+from|be\s+isolated\s+from|isolated\s+from|separate\s+from|apart\s+from)\s+(?:(?:gpus?|cards?|nodes?)\s+with\s+)?decod(?:e|ing)\b"
    rf"|\b{_PD}\s+(?:\w+\s+){{0,3}}?(?:getrennt|séparés?|separad[oa]s?|separat[ei]|gescheiden|раздельно|rozdělen\w*|oddziel\w*)\b(?:\s+(?:halten|lassen|houden))?"
    rf"|(?:\bwithout|不\s*能|禁\s*止|避\s*免|别)\s*(?:把|将)?\s*{_PD}\s*(?:混|放\s*在|共\s*享)(?:\s*[一-鿿]){{0,8}}|{_PD}\s*(?:\bwithout|不\s*能|不\s*可|禁\s*止|别)\s*(?:混|放\s*在|共\s*享)(?:\s*[一-鿿]){{0,8}}"
    rf"|{_PD}\s*(?:要|必\s*须|需\s*要?|は|を|를|은|는)?\s*(?:分\s*开|分\s*離|隔\s*离|別\s*々?|分\s*け|분\s*리|따\s*로|다\s*른)(?:\s*[぀-ヿ一-鿿가-힣]){{0,8}}"
)
"""Prefill and decode are not to share GPUs, whatever the words."""
_TOGETHER = compiled(
    rf"\b(?:{_NEVER}|no\s+need\s+to)\s+(?:\w+\s+){{0,2}}?(?:keep|hold|have|run|put|place|separate|split)\s+{_PD}\s+(?:apart|separate(?:d|ly)?|on\s+(?:separate|different|distinct|dedicated)\s+\w{{1,10}})"
    rf"|\b(?:no|not|without)\s+(?:separate|different|dedicated)\s+(?:gpus?|cards?|nodes?|hosts?|machines?|servers?|pools?)\s+for\s+{_PD}"
)
"""Prefill and decode are not to be parted."""
_UNITS = r"nodes?|hosts?|gpus?|servers?|machines?|boxes|instances?"
_SPLIT = compiled(
    rf"(?<![\w.])(?<!parallelism )(?<!parallel )(?<!degree )(?<!size ){COUNT}\s*x?\s*(?:{_UNITS})?\s*(?:for|to|do|does|run|doing)\s+(?:the\s+)?(?:prefill|decode)(?:ing|s)?\b"
    rf"|\bprefill\s+(?:on|gets?|takes?|uses?)\s+{COUNT}\s*(?:{_UNITS})?\s*(?:,|and|\+)+\s*decode\s+(?:on|gets?|takes?|uses?)?\s*(?:the\s+(?:other|remaining)\s+)?{COUNT}"
    rf"|\b(?:prefill|decode)\s+(?:pools?|workers?|side|cluster|group)\s*(?:of|with|has|gets|on|:|=)?\s*{COUNT}\s*(?:x\s*)?(?:{_UNITS})\b"
    rf"|\b(?:prefill|decode)(?:ing)?\s*(?:on|over|in|gets?|uses?|takes?|with|:|=)\s*(?:the\s+)?(?:(?:other|remaining)\s+(?:{COUNT}\b(?:\s*(?:{_UNITS})\b)?|(?:{_UNITS})\b)|{COUNT}\s*(?:other\s+)?(?:{_UNITS})\b)"
    r"|\b\d{1,3}p\d{1,3}d\b|\bp/?d\s*(?:ratio\s*)?\d{1,2}\s*:\s*\d{1,2}\b"
)
_DTYPES: dict[str, Dtype] = {
    "fp32": "fp32", "float32": "fp32", "bf16": "bf16", "bfloat16": "bf16", "fp16": "fp16", "float16": "fp16", "fp8": "fp8",
    "float8": "fp8", "e4m3": "fp8", "int8": "int8", "mxfp4": "mxfp4", "nvfp4": "nvfp4", "fp4": "nvfp4", "int4": "int4",
    "awq": "int4", "gptq": "int4", "w4a16": "int4", "w8a8": "int8", "4bit": "int4", "8bit": "fp8", "4bits": "int4", "8bits": "fp8", "16bit": "bf16", "16bits": "bf16",
    "halfprecision": "bf16",
}  # fmt: skip
_LOOSE = frozenset(
    {"fp4", "awq", "gptq", "w4a16", "w8a8", "4bit", "8bit", "4bits", "8bits", "16bit", "16bits", "halfprecision"}
)
_METHODS = frozenset({"awq", "gptq"})
"""Ways to quantise: they say 4 bits only where no precision is named beside them."""
_PAIRED: dict[str, Dtype] = {"w4a16": "bf16", "w8a8": "int8", "w8a16": "bf16"}
"""What such a name says of the activations."""
_D = r"(?P<d>bfloat16|float(?:8|16|32)|(?:mx|nv)fp4|[bf]p?f?(?:4|8|16|32)(?:[-_ ]?e4m3)?|int[48]|e4m3|awq|gptq|w4a16|w8a8|half[- ]precision|(?:4|8|16)[- ]?bits?)"
_NOUN = {
    "kv": r"(?:dtype[-_ ]kv|cache\s+kv|kv(?:[-_ ]?cache)?(?:[-_ ]?dtype)?|key[-/ ]value\s+cache|(?<!prefix )(?<!prefix-)cache(?=\s+(?:in|at|as|stays?|to)\s))",
    "activations": r"(?:activations?(?:[-_ ]?dtype)?|compute)",
    "weights": r"(?:weights?(?:[-_ ]?dtype)?|checkpoint|quanti[sz]ation|quanti[sz]ed|precision)",
}
_JOIN = r"\s*(?:=|:|\bin\b|\bв\b|\bна\b|\ben\b|\bem\b|\bals\b|\bauf\b|\bis\b|\bare\b|\bto\b|\bas\b|\bat\b|\bof\b|\bwith\b|\bdtype\b|\bbe\b|\bstays?\b|\bkept\b|\bremains?\b|\bmust\b|\bshould\b|\bmay\b|\bcan\b|\bcould\b|\bwell\b|\balso\b|\b(?:auch|ebenfalls|ebenso|gleichfalls|aussi|également|también|igualmente|também|anche|pure|ook|eveneens|też|także|również|också|også|taky|také|тоже|также)\b|\bstay\b|\bback\b|\bgo\b|\bhave\b|\bhas\b|\bset\b|\busing\b|\buses?\b|用|使用|\s)*\s*"
_NAMED = {
    field: (
        compiled(
            rf"\b{_D}(?:\s+(?:for|in|pour|für|para|per)\s+(?:the\s+|le\s+|la\s+|den\s+|el\s+|o\s+|il\s+)?|[- ]*){noun}\b"
        ),
        compiled(rf"\b{noun}{_JOIN}{_D}\b"),
    )
    for field, noun in _NOUN.items()
}
_BARE = compiled(rf"\b{_D}\b(?:[- ](?:block|checkpoint|quanti[sz]ed|quanti[sz]ation|model|mode))*")


ENGINES = tuple(_ENGINES.values())
SERVINGS = (_SPLIT, _TOGETHER, _APART, *_SERVING.values())
DTYPES = (*(pattern for patterns in _NAMED.values() for pattern in patterns), _BARE)
"""Ways to name an engine, a way of serving, a precision."""


def find_choices(scan: Scan, notes: Notes) -> dict[str, object]:
    """Engine, objective and serving as fields of a `Request` document."""
    found: dict[str, object] = {}
    for match in scan.take(_SPLIT):
        found["serving"] = "disaggregated"
        notes.assume(f"ignored: `{scan.words(match.span())}` (the plan sizes the pools of prefill and decode itself)")
    if scan.take(_TOGETHER):
        found["serving"] = "colocated"
    if scan.take(_APART):
        found["serving"] = "disaggregated"
    for name, pattern in _ENGINES.items():
        others = any(other.search(scan.text) for key, other in _ENGINES.items() if key != name)
        for match in pattern.finditer(scan.text):
            before = scan.text[max(0, match.start() - 40) : match.start()]
            refused = _REFUSED.search(before) or (_SO_FAR.search(before) if others else None)
            if refused is not None and not (refused.group().strip().lower() == "no" and _PORTUGUESE.search(scan.text)):
                notes.assume(f"`{scan.words(match.span())}` is not wanted: the text says no to it")
                scan.eat(match.span())
    if "serving" not in found and (serving := _by_phases(scan, notes, _BOTH_NAMED)) is not None:
        found["serving"] = serving
    for field, options in (("engine", _ENGINES), ("serving", _SERVING)):
        value = _choice(scan, field, options, notes)
        if value is not None and found.setdefault(field, value) != value:
            notes.assume(f"{field} {found[field]}; {value} was also given")
    if "serving" not in found and (serving := _by_phases(scan, notes, _PHASES)) is not None:
        found["serving"] = serving
    return found


_PHASES = compiled(
    r"\bprefill\w*\b(?=[^.;!?\n]{0,60}\bdecod)|\bdecod\w*\b(?=[^.;!?\n]{0,60}\bprefill)|\b(?:both|the\s+two)\s+phases\b|\bdisagg\w*"
)
_JOINED_WORDS = compiled(
    r"\b(?:together|same|shar(?:e[sd]?|ing)|shared|co-?locat\w*|aggregated|one\s+(?:pool|place)|single\s+pool|mixed|denselben|gleichen|zusammen|ensemble|m[êe]mes?|juntos?|mism[oa]s?|insieme|stess[ie]|samen|zelfde|dezelfde)\b|同\s*一|一\s*起|同\s*じ|같은|함께"
)
_PARTED_WORDS = compiled(
    r"\b(?:apart|separat\w*|split\w*|disagg\w*|different|distinct|dedicated|own\s+(?:pools?|nodes?|gpus?)|aparte?|gescheiden|getrennt\w*|eigene[nr]?|verschiedene[nr]?|s[ée]par\w+|distinct[eis]*|différent\w*|separad\w+|distint\w+|diferent\w+|separat[ie]|divers[ie]|отдельн\w+|раздел\w+)\b|分\s*开|分\s*离|分\s*離|別\s*々|분\s*리|따\s*로"
)
_AGAINST_IT = compiled(
    r"\b(?:not|n't|no|never|without|avoid|against|nicht|kein\w*|ohne|pas|sans|sin|non|senza|geen|niet|не|без)\b|n't\b|不|别|ない|않|말|decided\s+against"
)


_BOTH_NAMED = compiled(r"\bprefill\w*\b(?=[^.;!?\n]{0,60}\bdecod)")


def _by_phases(scan: Scan, notes: Notes, phases: re.Pattern[str]) -> str | None:
    """Whether prefill and decode are to share their GPUs, by the words of the clauses that speak of them; the last one counts."""
    said = None
    for sentence in _CLAUSES.finditer(scan.text):
        words = sentence.group()
        joined, parted = _JOINED_WORDS.search(words) is not None, _PARTED_WORDS.search(words) is not None
        if words.rstrip().endswith("?") or phases.search(words) is None or joined == parted:
            continue
        against = _AGAINST_IT.search(words) is not None
        said = "colocated" if joined != against else "disaggregated"
        notes.assume(f"`{scan.words(sentence.span())[:80].strip()}` read as serving {said}")
    return said


_CLAUSES = re.compile(r"[^.;:,!?\n]++[?]?")


_UNWANTED = compiled(
    r"\b(?:not|n't|never|no\s+need\s+(?:for|of)|without|instead\s+of|rather\s+than)\s+(?:(?:want|need|after|looking\s+for|about|interested\s+in|care\s+about|for|the|a|an|any|to|aim(?:ing)?|optimi[sz]e)\s+)*$"
)


def find_objective(scan: Scan, notes: Notes) -> str | None:
    """What the plan shall be best at, or None when the text does not say."""
    for pattern in _OBJECTIVES.values():
        for match in pattern.finditer(scan.text):
            if _UNWANTED.search(scan.text[max(0, match.start() - 48) : match.start()]):
                notes.assume(f"`{scan.words(match.span())}` is not wanted: the text says no to it")
                scan.eat(match.span())
    said = _choice(scan, "objective", _OBJECTIVES, notes) or _emphasis(scan, notes)
    if said is None and "objective" not in notes.questions and scan.take(_GOAL_RATE):
        return "throughput"
    return (
        said
        or _paired_goal(scan, notes)
        or _repeated_goal(scan, notes)
        or _stressed_goal(scan, notes)
        or _how_many(scan, notes)
    )


_ALL_ABOUT = compiled(
    r"\b(?:all|only|entirely|purely|mostly|mainly)\s+about\s+(?:the\s+)?(?P<goal>latency|throughput|costs?)\b|\b(?:every|each)\s+(?P<time>ms|millisecond)s?\s+(?:counts?|matters?)\b"
)
_REPEATED = compiled(
    r"(?<![\w-])(?P<goal>latency|throughput|cost)(?:[\s,!.]{1,4}(?:and\s+|again\s+)?(?P=goal)(?![\w-])){1,6}"
)


def _repeated_goal(scan: Scan, notes: Notes) -> str | None:
    """A goal that is said twice and more, or is what all is about: `latency latency latency`."""
    found = _REPEATED.search(scan.text) or _ALL_ABOUT.search(scan.text)
    if found is None:
        return None
    word = (found["goal"] or "latency").lower().removesuffix("s")
    goal = {"cost": "min_gpus"}.get(word, word)
    notes.assume(f"`{scan.words(found.span())}` read as objective {goal}")
    return goal


_HARDWARE = r"(?:gpus?|cards?|accelerators?|chips?|devices?|nodes?|hosts?|servers?|machines?|box(?:es)?|trays?|racks?|[abghlv]\d{2,3}\w{0,4}|mi\d{3}\w{0,2}|gb\d{3}|rtx)"
_HOW_MANY = compiled(
    rf"\bhow\s+many\b(?!-|\.\.)(?=\s+(?:[\w-]+\s+){{0,2}}?{_HARDWARE}\b|\s*(?:[?.,;]|$|[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3])|\s+(?:of\s+(?:them|those|these|the|our|my)|do|does|would|should|will|shall|are|is|we|i|must|needed|required|at\s+least|brauch\w*|benötig\w*|faut|nécessair\w*|hacen|necesit\w*|precis\w*|potrzeb\w*|nodig|нужно)\b)"
    r"(?![^\n.;,]{0,30}\b(?:did|do|have)\s+you\b)(?![^\n.;?]{0,40}\b(?:prefill|decode)\b)(?!\s+(?:gpus?|cards?|nodes?)\s+(?:(?:should|shall|must|do\s+we|to)\s+(?:go|be\s+given|give|put|assign|use\s+for)|(?:for|per|on|in|to|make)\s+(?:each|every|either|an?|one|the|instance|replica|server|engine|copy|model|group|stage))\b)"
    r"(?!\s+(?:of\s+(?:them|those)\s+)?(?:\w+\s+){0,2}?(?:we|they|i)(?:'ll|\s+will|\s+can|\s+are|\s+do|\s+would)?\s+(?:get|getting|have|own|receive|be\s+given|end\s+up|give|grant|allot|assign|lend|allow))"
)
"""Asks how much hardware it takes, not how much load fits on it."""


_OF_THE_POOLS = compiled(r"\b(?:prefill|decode|workers?|pools?)\b|\bfor\s+[pd]\b")
"""Asks how hardware is parted, not how much it takes."""
_A_DEGREE = compiled(r"(?<![a-z])(?:tp|pp|ep|dp|cp|dcp|sp)(?![a-z\d])[^.;?!\n]*$")
"""What `how many` asks of: a degree (`TP how many?`)."""
_NOT_TOLD = compiled(r"\bknow\s+(?:yet\s+)?how\s+many\s*[.,;]|\balready\s+(?:know|decided|told)\b[^.;?!\n]*$")
"""A number that is not known yet, or that is known: nothing is asked."""


def _near(scan: Scan, match: re.Match[str]) -> tuple[int, int]:
    """The clause around a match, a few words wide."""
    low = max((scan.original.rfind(mark, 0, match.start()) for mark in ".;?!\n"), default=-1) + 1
    return max(low, match.start() - 48), match.end() + 24


def _how_many(scan: Scan, notes: Notes) -> str | None:
    """`how many GPUs do we need` asks for as few as will do."""
    said = [
        match
        for match in scan.take(_HOW_MANY)
        if not _OF_THE_POOLS.search(scan.original, *_near(scan, match))
        and not _A_DEGREE.search(scan.text[max(0, match.start() - 16) : match.start()])
        and not _NOT_TOLD.search(scan.original[max(0, match.start() - 24) : match.end() + 1])
    ]
    if not said:
        return None
    notes.assume(f"objective min_gpus: `{scan.words((said[0].start(), said[0].end() + 24))}` asks how many it takes")
    return "min_gpus"


_LEAST = r"(?:min\w{0,9}|least|lowest|as\s+(?:low|short|small)|smallest|little|few\w*|less|kleinst\w*|niedrigst\w*|wenig\w*|gering\w*|faible\w*|bas(?:se)?|moindre|moins|menor\w*|menos|baj[ao]\w*|baix[ao]\w*|bass[ao]|meno|laag\w*|låg\w*|lav\w*|nisk\w*|najni\w*|nízk\w*|низк\w*|миним\w*|меньш\w*)"
_MOST = r"(?:max\w{0,9}|most|highest|largest|high|as\s+much|as\s+many|höchst\w*|hoh\w*|größt\w*|viel\w*|haut\w*|élevé\w*|alt[ao]\w*|mayor\w*|maior\w*|hoog\w*|hög\w*|høy\w*|wysok\w*|najwyż\w*|vysok\w*|высок\w*|максим\w*)"
_NEAR = r"\W+(?:[^\W\d_]+\W+){0,3}?"
_PAIRED_GOALS = {
    goal: compiled(rf"\b(?:{words}){_NEAR}{degree}\b|\b{degree}{_NEAR}(?:{words})\b")
    for goal, words, degree in (
        ("latency", r"latency|latencies|delay\w*|response\s+times?|reaction\s+times?|waiting\s+times?", _LEAST),
        ("throughput", r"throughput|tokens?\s+(?:per|/|a)\s*s(?:ec(?:ond)?)?|volume|capacity", _MOST),
        ("min_gpus", r"costs?|cost[eoi]s?|co[ûu]ts?|custos?|kosten|koszt\w*|стоимост\w*|price|spend\w*|expens\w*|gpus|cards|hardware", _LEAST),
    )
}  # fmt: skip
"""What matters and which way, a few words apart, in any order."""
_BOUNDED = compiled(r"\d|\bnot?\b|\bnever\b|n't\b|\bat\s+(?:most|least)\b")


def _paired_goal(scan: Scan, notes: Notes) -> str | None:
    """An objective that no phrase says, from a goal and a degree that stand together without a number (a limit has one)."""
    found: dict[str, str] = {}
    for goal, pattern in _PAIRED_GOALS.items():
        for match in pattern.finditer(scan.text):
            before = re.split(r"[.;:,!?\n]", scan.text[max(0, match.start() - 12) : match.start()])[-1]
            behind = re.split(r"[.;:,!?\n]", scan.text[match.end() : match.end() + 16])[0]
            if _BOUNDED.search(f"{before}{match.group()}{behind}") is None:
                found.setdefault(goal, scan.words(match.span()))
    if len(found) != 1:
        return None
    goal, words = next(iter(found.items()))
    notes.assume(f"`{words}` read as objective {goal}")
    return goal


_STRESS = r"(?:matters?|counts?|king|queen|wins?|first(?!\s+(?:\w+\s+)?tokens?)|foremost|everything|priority|prioritise|prioritize|important|crucial|key|care|optimi[sz]e\w*|focus|over\s+(?:all|everything|anything)|above\s+(?:all|everything|anything)|metric|kpi|trumps?|lo\s+primero|importa|cuenta|zählt|wichtig\w*|compte|prime|conta|telt)"
_STRESSED = {
    goal: compiled(
        rf"(?<![\w-])(?:{words})(?![\w-])(?:[^.;!?,\n\d]{{0,36}}?\b{_STRESS}\b|\s+(?:over|before|beats|trumps|rather\s+than|instead\s+of)\s+(?:throughput|latency|cost)\w*)|\b{_STRESS}\b[^.;!?,\n\d]{{0,30}}?(?<![\w-])(?:{words})(?![\w-])"
    )
    for goal, words in (
        (
            "latency",
            r"latency(?!\s+(?:slo|sla|limit|target|budget|requirement)s?\b)|latencies|snappy|snappiness|response\s+times?|responses?\s+speed|answer\s+times?|speed\s+of\s+(?:each|every|a\s+single|an?|the)\s+(?:answer|reply|response|request|stream)|single[- ]stream\s+speed|per[- ]user\s+speed|responsiveness|响\s*应\s*速\s*度|応\s*答\s*速\s*度|응답\s*속도",
        ),
        (
            "throughput",
            r"throughput|tok(?:en)?s?\s*(?:/|per)\s*s(?:ec(?:ond)?)?\s*(?:/|per)\s*gpu|tokens?\s+per\s+gpu(?:[- ]hour)?",
        ),
        ("min_gpus", r"costs?|bill|price|gpu\s+count|number\s+of\s+gpus"),
    )
}
"""A goal with a word that stresses it, in any order."""


def _stressed_goal(scan: Scan, notes: Notes) -> str | None:
    """An objective that no phrase says, from a goal beside a word of stress; the first of two (`latency over throughput`)."""
    found = {goal: match for goal, pattern in _STRESSED.items() if (match := pattern.search(scan.text)) is not None}
    found = {
        goal: m for goal, m in found.items() if not _LESSER.search(scan.text, max(0, m.start() - 12), m.end() + 12)
    }
    if not found:
        return None
    goal = min(found, key=lambda name: found[name].start())
    notes.assume(f"`{scan.words(found[goal].span())}` read as objective {goal}")
    return goal


_LESSER = compiled(r"\b(?:não|nicht|pas|niet|nie|не|not|n't|no|never|less|secondary|second|irrelevant|nor)\b|n't\b")


_NONE_BEFORE = compiled(
    r"\b(?:no|without|any|not\s+an?|not|there(?:'s|\s+is)\s+no)\s+(?:(?:hard|strict|specific|particular|real|firm|fixed|explicit|formal|tight|special|given|stated|known)\s+){0,2}$"
)


def _emphasis(scan: Scan, notes: Notes) -> str | None:
    """An objective that is said as what matters."""
    for objective, pattern in _EMPHASIS.items():
        for match in scan.take(pattern):
            words = scan.words(match.span())
            if _NONE_BEFORE.search(scan.original[max(0, match.start() - 40) : match.start()]):
                continue
            if objective == "latency" and re.search(r"ttft|tpot|itl|first", words, re.IGNORECASE):
                notes.assume(
                    f"`{words}` read as objective latency (the whole request); a limit binds one of TTFT and TPOT"
                )
            return objective
    return None


def find_precision(scan: Scan, notes: Notes) -> dict[str, Dtype]:
    """Precisions as a `PrecisionRequest` document."""
    found: dict[str, Dtype] = dict(notes.precision)
    for match in scan.take(_TOGETHER_IN):
        found["weights"] = found["activations"] = _dtype(match, scan, notes, "d" if match["d"] else "e")
    for field, patterns in _NAMED.items():
        said = [m for pattern in patterns for m in scan.take(pattern)]
        value = notes.one_of(f"{field} precision", [_dtype(m, scan, notes) for m in said], [m.span() for m in said])
        if value is not None:
            found[field] = value
    found |= _everywhere(scan, notes)
    if "weights" in found and "activations" not in found and scan.take(_BOTH):
        found["activations"] = found["weights"]
    taken = scan.take(_BARE)
    named = [m for m in taken if m["d"].lower() not in _METHODS] or taken
    paired = next((_paired(m["d"].lower(), scan) for m in named if m["d"].lower() in _PAIRED), None)
    if paired is not None:
        found.setdefault("activations", paired)
    bare = notes.one_of("weights precision", [_dtype(m, scan, notes) for m in named], [m.span() for m in named])
    if bare is not None and "weights" in found and found["weights"] != bare:
        notes.assume(f"weights precision {found['weights']}; {bare} was also given")
    elif bare is not None:
        found["weights"] = bare
    if "weights" in found and "kv" not in found and scan.take(_KV_TOO):
        found["kv"] = found["weights"]
    return found


_ALL = compiled(
    rf"\b(?:everything|all(?:\s+of\s+it)?|fully|end[- ]to[- ]end|throughout)\s+(?:in\s+|is\s+|at\s+|to\s+)?{_D}\b|\b{_D.replace('?P<d>', '?P<e>')}\s+(?:for\s+)?(?:everything|throughout|end[- ]to[- ]end)\b"
)
_KV_TOO = compiled(
    r"\b(?:kv(?:[- ]?cache)?|cache)\s+(?:too|as\s+well|also|likewise|auch|ebenfalls|ebenso|genauso|aussi|[ée]galement|también|também|anche|pure|ook|też|także|również|тоже|также|(?:is\s+|stays?\s+)?the\s+same)\b|\b(?:the\s+)?same\s+(?:(?:goes|applies|holds|is\s+true)\s+)?(?:for|in|with)\s+(?:the\s+)?kv(?:[- ]?cache)?\b|\b(?:also|likewise)\s+(?:the\s+)?kv(?:[- ]?cache)?\b"
)


_WITH = r"(?:and|&|\+|/|,|y|e|et|und|en|i|и|和|と|및|와|과|ve|och|og)"
_TOGETHER_IN = compiled(
    rf"\bweights?\s*{_WITH}\s*(?:the\s+)?activations?\s+(?:(?:are|is|both|all|in|at|run|stay|as|of)\s+)*{_D}\b|\b{_D.replace('?P<d>', '?P<e>')}\s+[\s,]*(?:\(\s*)?(?:(?:for|in|on|para|pour|für|per)\s+)?(?:both\s+|the\s+)?weights?\s*{_WITH}\s*(?:the\s+)?activations?\b"
)


_BOTH = compiled(rf"(?<=\()\s*(?:for\s+)?(?:both\s+)?weights?\s*{_WITH}\s*(?:the\s+)?activations?(?=\s*\))")
"""What the precision of a model's name is about: `W8A8 int8 (both weights and activations)`."""


def _everywhere(scan: Scan, notes: Notes) -> dict[str, Dtype]:
    """`everything in fp8`: all three precisions."""
    said = scan.take(_ALL)
    values = [_dtype(m, scan, notes, "d" if m["d"] else "e") for m in said]
    value = notes.one_of("precision", values, [m.span() for m in said])
    return {} if value is None else {"weights": value, "activations": value, "kv": value}


def _choice(scan: Scan, field: str, options: Mapping[str, re.Pattern[str]], notes: Notes) -> str | None:
    said = [(name, m.span()) for name, pattern in options.items() for m in scan.take(pattern)]
    return notes.choice_of(field, [name for name, _ in said], [span for _, span in said])


_FP4 = compiled(r"\b(?:nv)?fp4\b")
_INT = compiled(r"\bint(?:eger)?s?\b")
_FP8_ALONE = compiled(r"\b(?<!kv )(?<!kv cache )fp8\b(?!\s+kv)(?![\s\S]*\bint8\b)")


def _paired(name: str, scan: Scan) -> Dtype:
    """What a pair of widths says of activations: `w8a8` is int8 unless the text says FP8."""
    return "fp8" if name == "w8a8" and _FP8_ALONE.search(scan.original) else _PAIRED[name]


def _dtype(match: re.Match[str], scan: Scan, notes: Notes, group: str = "d") -> Dtype:
    words = re.sub(r"[^a-z0-9]", "", match[group].lower())
    words = {"f8": "fp8", "f16": "fp16", "b16": "bf16", "fp8e4m3": "fp8", "f32": "fp32"}.get(words, words)
    dtype = _DTYPES.get(words, "bf16" if words.startswith("b") else "fp16")
    if words in ("8bit", "8bits") and _INT.search(scan.original) is not None:
        dtype = "int8"
    if words == "w8a8" and _FP8_ALONE.search(scan.original) is not None:
        dtype = "fp8"
    if words in ("4bit", "4bits") and _FP4.search(scan.original) is not None:
        dtype = "nvfp4"
    if words in _LOOSE:
        notes.assume(f"`{scan.words(match.span())}` read as {dtype}")
    return dtype
