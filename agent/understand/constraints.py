"""What a text says the plan must and must not do: fixed degrees and forbidden kinds of parallelism."""

import re
from itertools import pairwise

from agent.understand.notes import Notes
from agent.understand.scan import COUNT, SPAN, Scan, compiled, count_of

_PARALLEL = r"(?:[- ]*(?:parallel(?:ism|i[sz]ation)?|sharding|size|degree|width|groups?|ranks?|way|_size))*"
_KINDS: dict[str, str] = {
    "dp_attention": r"(?:dp[- _]attention|attention[- _]dp(?:_size)?|data[- ]parallel(?:ism)?[- ]attention|attention[- ]data[- ]parallel(?:ism)?|dp[- ]attn|dpa|attention\s+(?:should|must|may|shall|is|can|to)(?:\s+not|n't)?\s+(?:be\s+)?data[- ]parallel(?:ism)?)",
    "dcp": r"(?:dcp(?:_size)?|decode[- ]context[- ]parallel(?:ism)?)",
    "moe_tp": r"(?:moe[-_ ]tp(?:_size)?|expert[- ]tensor[- ]parallel(?:ism)?|etp)",
    "tp": r"(?:tp(?:_size)?|tensor[-_ ]parallel(?:ism)?(?:_size)?)",
    "pp": r"(?:pp(?:_size)?|pipeline[-_ ](?:depth|stage[-_ ]count)|pipeline[-_ ]parallel(?:ism)?(?:_size)?|pipelining|pipeline[- ]stages|pipeline(?=\s*(?:stages\b|(?:,|nor|or|and|und|et|y|e|ni|og|och|en|noch)\s|[.;)]|$|off\b|disabled\b|please\b|pls\b|bitte\b|svp\b|por\s+favor\b|per\s+favore\b|thanks\b|thx\b|at\s+all\b|this\s+time\b)))",
    "ep": r"(?:ep(?:_size)?|expert[-_ ](?:parallel(?:ism)?(?:_size)?|sharding))",
    "cp": r"(?:cp(?:_size)?|context[- ]parallel(?:ism)?)",
    "sp": r"(?:sp|sequence[- ]parallel(?:ism)?)",
    "dp": r"(?:dp(?:_size)?|data[-_ ]parallel(?:ism)?(?:_size)?)",
}
_FIELDS = {
    "dp_attention": "dp_size", "dcp": "dcp_size", "moe_tp": "moe_tp_size", "tp": "tp_size", "pp": "pp_size", "ep": "ep_size",
    "cp": "cp_size", "dp": "replicas",
}  # fmt: skip
_FORBID = {"cp": "sp", "moe_tp": "tp"}
"""Kinds that `forbid` knows under another name."""

_ANY = "|".join(f"(?P<{kind}>{words})" for kind, words in _KINDS.items())
_NAMELESS = "|".join(_KINDS.values())
_OWN = r"\w|[-_ ]*(?:=|:(?=\s*\d)|\d|(?:must|should|shall|is|are|(?:seems|sounds)|has|of|at|needs?)\b)"
"""Behind a kind: what follows is about this kind alone, so that it ends a list."""
_LIST = rf"(?:{_NAMELESS}){_PARALLEL}(?:\s*(?:,|/|or|and|nor|\+|&|和|与|及|と|과|와)+\s*(?:any\s+)?(?:{_NAMELESS})(?!{_OWN}){_PARALLEL}(?!{_OWN}))*"
_NO = compiled(
    r"\b(?:no|without|w/o|don'?t\s+(?:use|want|do)|do\s+not\s+(?:use|want|do)|never\s+use|not\s+using|avoid(?:ing)?|disable|disabled|exclud(?:e|ing)|"
    r"forbid|skip|turn\s+off|rule\s+out|can(?:'?t|not)\s+use|neither|not\s+(?:allowed|permitted|able)\s+to\s+use|must\s+not\s+use|stay\s+(?:away|clear)\s+from|refrain\s+from|rather\s+not\s+(?:use|have|do)|(?:with\s+the\s+)?exception\s+of|apart\s+from|all\s+but|save\s+for|außer|sauf|salvo|excepto|tranne|кроме|除了|would\s+not\s+(?:use|like)|wouldn'?t\s+(?:use|like)|(?:any|all|everything)\s+but|except(?:\s+for)?|not|nothing\s+with)(?:\s+|(?=[:=]))(?:any\s+|the\s+|use\s+|both\s+|either\s+|[:=]\s*)?"
    rf"(?P<list>{_LIST})(?![a-z])(?![-_ ]*(?:=|:|\d)|\s+(?:bigger|larger|greater|more|above|over|beyond|wider|higher)\b|\s+(?:across|between|over)\s+(?:all(?:\s+(?:the\s+)?\d+)?\b|them|nodes|hosts|servers|machines|(?:the|both|two)\s+(?:nodes|hosts|servers|machines))\b)"
)
_OFF = compiled(
    rf"(?P<rather>{_LIST})[^.;\n]{{0,24}}\b(?:rather|better|preferably)\s+not\b|\b(?:leave|keep|turn|switch)\s+(?P<out>{_LIST})\s+(?:out|off|away)\b|\bso\s+(?:is|are)\s+(?P<so>{_LIST})(?!{_OWN})|\b(?:tried|had|used|did)\s+(?P<tried>{_LIST})[^.;\n]{{0,30}}\b(?:never\s+again|no\s+more|not\s+again)\b|(?<![a-z])(?P<list>{_LIST})\s*(?:=|:)?\s*(?:is\s+|are\s+|was\s+|to\s+be\s+|must\s+be\s+|should\s+be\s+|ist\s+|est\s+|est[áa]\s+|es\s+|è\s+|é\s+)?(?:disabled|(?:turned\s+|switched\s+)?off(?:\s+the\s+table)?|forbidden|banned|excluded|prohibited|ruled\s+out|undesired|unwanted|not\s+to\s+be\s+used|not\s+used|(?:shall|must|should|may|can|will|is|are)\s+not\s+(?:be\s+)?(?:used|applied|enabled|employed|allowed)|unterwünscht|verboten|nicht\s+(?:erlaubt|erwünscht|gewünscht)|bitte\s+nicht|interdite?s?|proibid[oa]s?|prohibid[oa]s?|vietat[oa]|est\s+exclue?|excluid[oa]s?|esclus[oa]|verboden|запрещ\w+|out\s+of\s+(?:the\s+)?question|(?<=is )out(?=\s*(?:[.,;)\n]|$))|(?<=are )out(?=\s*(?:[.,;)\n]|$))|a\s+no[- ]go|a\s+no\b|no[- ]go|no(?=\s*(?:[.,;)\n]|$))|none\b|false|0(?=\s*(?:[.,;)\n]|$))|not\s+(?:allowed|wanted|acceptable|ok(?:ay)?|an\s+option|possible|desired|permitted|fine|welcome|on\s+the\s+table)|isn'?t\s+(?:allowed|wanted|an\s+option|acceptable|ok(?:ay)?)|(?:is\s+)?not(?=\s*(?:[.,;)\n]|$))|nicht(?=\s*(?:[.,;)\n]|$)))(?!\w)"
)
_ONLY = compiled(
    rf"\b(?:only|pure|purely|just|nothing\s+but)\s+(?:use\s+)?(?:{_ANY})(?![a-z]){_PARALLEL}(?![-_ =:]*\d)"
    rf"|\b(?:{_ANY.replace('?P<', '?P<b_')})(?![a-z]){_PARALLEL}[- ]only\b(?!\s+(?:within|inside|in|on|up|across|over|per|for|if|when|where|between|as)\b)"
)
_BOUND = compiled(
    rf"\b(?:{_NAMELESS}){_PARALLEL}\s*(?:<=?|>=?|≤|≥|at\s+most|at\s+least|up\s+to|no\s+more\s+than|max(?:imum)?|min(?:imum)?|below|under|above|(?:must\s+not|should\s+not|may\s+not|cannot|can'?t|never)\s+(?:exceed|be\s+(?:more|greater|higher|larger|over|above)(?:\s+than)?))\s*\d{{1,6}}"
    rf"|\b(?:at\s+least|minimum(?:\s+of)?|no\s+fewer\s+than|not\s+less\s+than|>=|≥)\s*{COUNT}\s+(?:(?:independent|separate|full|identical)\s+)?(?:replicas?|copies)\b|(?<![\w.,]){COUNT}\s+(?:(?:independent|separate|full|identical)\s+)?(?:replicas?|copies)\s+(?:at\s+least|at\s+minimum|minimum|or\s+more)\b"
    rf"|(?:\b(?:at\s+(?:least|most)|up\s+to|(?:no|not)\s+more\s+than|max(?:imum|imal)?|min(?:imum|imal)?|more\s+than|less\s+than|(?:wider|bigger|larger|higher|smaller)\s+than|over|above|below|under|(?:not|never|n't)\s+(?:to\s+)?exceed(?:ing)?|mindestens|höchstens|au\s+moins|au\s+plus|al\s+menos|como\s+máximo)|[<>≤≥]=?)\s*(?:an?\s+|of\s+)?(?<![a-z])(?:{_NAMELESS}){_PARALLEL}[\s=:]*(?:of\s+)?\d{{1,6}}(?!\w)"
)
_CHOICE = compiled(rf"\b(?:{_NAMELESS}){_PARALLEL}[\s=:]*(?:of\s+)?\d{{1,6}}(?:\s+or\s+|/)\d{{1,6}}\b")
_SET = r"(?:\s|=|:|-|_|\b(?:tem|hay|rester|reste|restare|quedar|bleiben|blijven|ficar|remain|must|should|has|have|needs?|shall|is|be|to|of|fixed|held|pinned|locked|nailed|frozen|imposed|limited|kept|keep|set|at|exactly|required|mandatory|equal|equals|with|stays?|the|down|est|ist|es|è|é|imposée?|fix[ée]e?|fij[ao]d?[ao]?|fijado|fixado|fissat[oa]|fest|fixiert|festgelegt|auf|à|a|en|em|zu|gleich|tiene|que|ser|debe|doit|être|muss|sein|deve|essere|vast|vastzetten|vastgezet|vastgepind|op|égale?|igual|uguale|olmalı|sabit|na|wynosić|musi|ska|skall|vara|skal|være|obligatorio|obligatoire|de|soit|sea|seja|sia|van|moet|zijn|powinno|być|должен|быть|равен)\b){0,12}?"
_FIX = compiled(
    rf"(?:(?<![a-z])|(?<=\dx))(?:{_ANY}){_PARALLEL}{_SET}(?P<n>\d{{1,6}}|(?!an?\b){COUNT})(?!(?!x?(?:tp|pp|ep|dp|cp|dcp)\d)\w|%|\.\d)"
)
_APART = compiled(
    rf"(?<![a-z])(?:{_ANY})(?![a-z]){_PARALLEL}[^.;\n\d]{{0,40}}?\b(?:degree|size|width|depth|grade?|grad|tamaño)\s*(?:of\s+|=\s*|:\s*|is\s+|de\s+)?(?P<n>{COUNT})(?!\s*(?:tok|k\b|ms|%|gpus?|nodes?))"
)
"""`tensor parallelism inside the node only, degree eight`."""
_LEFT_OPEN = compiled(rf"\b(?:leave|keep|make)\s+(?:{_ANY})(?![a-z]){_PARALLEL}\s+(?:open|free|unset|up\s+to\s+you)\b")
"""A degree that is taken back: `TP 4, no wait, leave TP open`."""
_WAY = compiled(rf"(?P<n>{COUNT})[- ]way\s+(?:{_ANY}){_PARALLEL}")
_STAGES = compiled(
    rf"(?!(?:one|an?|1)\s+stages?\b)(?P<n>{COUNT})\s+(?:pipeline[- ]|pp[- ])?stages?\b(?!\s+(?:per|on\s+each|in\s+each|for\s+each|each|a)\b)"
)
_STAGED = compiled(
    rf"\b(?:cut|split|divide|partition)\s+(?:the\s+)?(?:layers|model)\s+(?:in|into|over)\s+(?P<n>{COUNT})\s+(?:pipeline\s+|pp\s+)?(?:stages?|parts?)\b"
)
_SPREAD = compiled(
    rf"\bexperts\s+(?:are\s+|to\s+be\s+)?(?:spread\s+|split\s+|sharded\s+|distributed\s+)?(?:over|across|on)\s+(?:all\s+)?(?:the\s+)?(?P<n>{COUNT})\s+(?:gpus?|cards?|ranks?|devices?)\b"
)
PER_HOST = compiled(
    rf"(?P<n>{COUNT})\s+(?:model\s+)?(?:replicas?|copies|copy|instances?\s+of\s+the\s+model)\s+(?:per|on\s+each|on\s+every|in\s+each|for\s+each|/)\s*(?:node|host|server|machine|box)\b"
)
"""`one replica per node`."""
_ACROSS = compiled(
    rf"(?<![a-z])(?:{_ANY}){_PARALLEL}\s+(?:(?:must|should|has\s+to|to|shall)\s+)?(?:across|over|on|span(?:s|ning)?|covers?|sur|über|en)\s+(?:all\s+)?(?:of\s+)?(?:the\s+|our\s+|those\s+|these\s+)?(?P<n>{COUNT})(?:\s+(?:gpus|cards|accelerators|devices|ranks)\b|(?<=all \d)(?=\s*(?:[.,;)!]|$|please\b|of\s+them))|(?<=all \d\d)(?=\s*(?:[.,;)!]|$|please\b|of\s+them)))"
)
"""`expert parallel across all 16 GPUs`."""
_REPLICAS = compiled(
    rf"(?!an?\b)(?P<n>{COUNT})\s+(?:independent\s+)?(?:(?:model\s+)?replicas?|copies)\b|\breplicas?\s*(?:=|:|of|is|\s)\s*(?P<m>{COUNT})"
)
_DEGREE = rf"(?:{_NAMELESS}){_PARALLEL}[\s=:]*(?:of\s+)?\d{{1,6}}"
_REJECTED = compiled(
    rf"(?<![a-z]){_DEGREE}\s*,?\s*(?:no\s+thanks|no\s+way|nope|is\s+(?:out|too\s+\w+|not\s+\w+)|is\s+a\s+no|won'?t\s+\w+|doesn'?t\s+\w+|not\s+wanted|nein\s+danke|non\s+merci)\b"
    rf"|(?<![a-z]){_DEGREE}(?:\s+(?:over|across|on|between|via|with|within)\s+[^.;,\n\d]{{1,24}}?)?\s+(?:is|seems|looks|feels|was|performs|would\s+be)\s+(?:\w+\s+){{0,2}}?(?:bad|slow\w*|terrible|awful|poor\w*|sub-?optimal|wasteful|inefficient|overkill|unstable|a\s+(?:mistake|waste|bottleneck|problem)|worse|not\s+(?:great|ideal|good|efficient|optimal|so\s+good))\b"
    rf"|\b(?:not|no|never|instead\s+of|rather\s+than|anything\s+but|nicht|kein|pas\s+de|nunca)\s+(?:use\s+|with\s+|the\s+)?{_DEGREE}(?!\w)"
)
"""A degree that is refused: `EP=72 no thanks`, `TP4, not TP8`."""
_CRASHED = compiled(
    rf"(?<![a-z]){_DEGREE}\s*,?\s*(?:crash\w*|fail\w*|breaks?|hangs?|errors?\s+out|ooms?)\b(?:\s+(?:here|for\s+us|on\s+us))?(?:\s+with\s+(?:the\s+(?:error|message)\s+)?['\"`][^'\"`\n]{{0,160}}['\"`])?"
)
"""A degree that does not run, with what it said: neither a wish nor a ban of its kind."""
_DP_ATTENTION = compiled(rf"(?<!no )(?<!not )(?<!without )(?<![a-z]){_KINDS['dp_attention']}")
DEGREES = (_FIX, _WAY, _APART, _ACROSS, PER_HOST, _STAGES, _STAGED, _SPREAD, _REPLICAS)
"""Ways to state a degree."""
BANS = (_NO, _OFF, _ONLY)
"""Ways to forbid a kind of parallelism."""
OPEN_DEGREES = (_CHOICE, _BOUND)
"""Ways to speak of a degree without saying which."""
_THINGS = r"(?:gpus?|cards?|accelerators?|devices?)"
_GPUS = compiled(
    rf"\b(?:use|using|take|occupy|on)?\s*(?:exactly|only|just)\s+(?P<n>{COUNT})\s+(?:(?:of|out\s+of)\s+(?:the|them|those)|gpus?)\b(?!\s+(?:(?:{COUNT}\s+)?(?:{_THINGS}\s+)?(?:are|is)\s+(?:mine|ours|yours|free|available|usable)\b))"
)
_ALL_GPUS = compiled(
    rf"(?<!can )(?<!may )(?<!could )(?<!might )(?<!not )(?<!n't )(?<!need to )(?<!have to )(?<!allowed to )(?<!without )\b(?:use|using|occupy|utili[sz]e|employ|load|fill)\s+(?:up\s+)?(?:all|every\s+one)\s+(?:of\s+)?(?:(?:the|our|my|these|those)\s+)?(?P<n>{COUNT})(?:\s+of\s+(?:the\s+|those\s+)?{_THINGS}|\s+{_THINGS}|\s+of\s+them)\b(?:\s+exactly)?"
    rf"|(?<!can )(?<!may )(?<!could )(?<!might )(?<!not )(?<!n't )\b(?:(?:must|should|shall|have\s+to|need\s+to|want\s+to|please|to|and)\s+|^|(?<=[.;,\n]\s))(?:exactly\s+)?(?:use|occupy|utili[sz]e|employ|load|fill)\s+(?:exactly\s+)?all\s+(?:of\s+)?(?:(?:the|our|my|these|those)\s+)?(?P<k>{COUNT})(?=\s*(?:,?\s*exactly\b|[,.;)!]|$|-\s))(?:\s*,?\s*exactly\b)?"
    rf"|\ball\s+(?:of\s+)?(?:(?:the|our|my|these|those)\s+)?(?P<m>{COUNT})\s+{_THINGS}\s+(?:must|should|shall|have\s+to|need\s+to|are\s+to)\s+(?:be\s+)?(?:used?|busy|in\s+use|work(?:ing)?|occupied|utili[sz]ed|loaded|filled)\b"
)
"""`use all 16 GPUs`: no smaller plan is wanted."""


_OF_THEM = compiled(
    rf"(?<!if )(?<!whether )(?<!get )(?<!gets )(?<!got )(?<!have )(?<!given )(?<!granted )(?<!assigned )(?<!allocated )(?<!left with )(?<!may )(?<!can )(?<!may use )(?<!can use )(?<!may only use )(?<!can only use )(?<!can only )(?<!may only )(?:\b(?:use|using|take|only|just|dedicate|spare|up\s+to|at\s+most|no\s+more\s+than|not\s+more\s+than)\s+)*(?<![\w.-])(?P<n>{COUNT})\s+(?:out\s+)?of\s+(?:the|our|my|its|their|these|those)\s+"
    r"(?=\d{1,5}\s+(?:x\s*)?(?:gpus?|cards?|accelerators?|(?:nvidia\s+|amd\s+)?[a-z]{1,3}\d{1,3}\w{0,3})s?\b(?!\s*(?:-\w+\s*)?(?:nodes?|servers?|hosts?|box|machines?|systems?))(?!\s+(?:are|is|were|have|has|belong|go|run)\b))"
)
"""`3 of the 8 GPUs`: the cluster has 8, the plan uses 3."""


def find_constraints(scan: Scan, notes: Notes) -> dict[str, object]:
    """Constraints as a `Constraints` document; a degree that is fixed and forbidden is asked about."""
    for match in scan.take(_CRASHED):
        notes.assume(f"ignored: `{scan.words(match.span())[:80]}` (told of, not asked for)")
    for match in scan.take(_BOUND):
        notes.assume(f"ignored: `{scan.words(match.span())}` (a degree can be fixed or forbidden, not bounded)")
    for match in scan.take(_POSSIBLE):
        notes.assume(f"ignored: `{scan.words(match.span())[:80]}` (what could be, not what shall be)")
    for match in scan.take(_CHOICE):
        notes.leave_open("constraints", f"`{scan.words(match.span())}` leaves a choice of degree")
    forbidden = _forbidden(scan, notes)
    fixed = _fixed(scan, notes)
    for kind in list(forbidden):
        field = "dp_size" if kind == "dp_attention" else f"{kind}_size"
        if fixed.get(field, 1) > 1 and _insisted(scan, kind):
            forbidden = [other for other in forbidden if other != kind]
            notes.assume(f"{field} {fixed[field]}: what the text says last, not a ban of {kind.upper()}")
        elif fixed.get(field, 1) > 1:
            notes.ask(
                "constraints", f"the text forbids {kind.upper()} and asks for {field}={fixed[field]}: which one holds?"
            )
    for match in scan.take(_ONE_ENGINE):
        fixed["replicas"] = 1
        if match["n"]:
            fixed["gpus"] = count_of(match["n"])
    document: dict[str, object] = {}
    if fixed:
        document["fix"] = fixed
    if forbidden:
        document["forbid"] = forbidden
    return document


_INSISTS = compiled(
    r"\b(?:ok(?:ay)?|actually|well|hm+|sorry|no\s+wait|wait|so|then|but)?[\s,]*(?:actually\s+|then\s+|please\s+|just\s+)*(?:make\s+(?:it|that)|let'?s\s+(?:make\s+it|say|use|go\s+with)|fix(?:\s+it)?\s+(?:at|to)|set(?:\s+it)?\s+to|use|must\s+be|it'?s)\s+(?:exactly\s+)?(?P<kind>tp|pp|ep|dp|cp)[\s=-]*\d"
)


def _insisted(scan: Scan, kind: str) -> bool:
    """Whether the text ends with a degree of a kind that it said no to before: `OK actually make it exactly TP4`."""
    return any(match["kind"].lower() == kind for match in _INSISTS.finditer(scan.original))


_POSSIBLE = compiled(
    rf"\b(?:can|could|might|may|peut|peuvent|können|könnten|puede[ns]?|podemos|podr[íi]amos|pode[mn]?|podemos|possiamo|kunnen)\s+(?:[^\W\d]{{2,10}}\s+){{0,2}}?{COUNT}\s+(?:model\s+)?(?:replicas?|copies)\b"
)
_ONE_ENGINE = compiled(
    rf"\b(?:must|has\s+to|have\s+to|should|needs?\s+to)\s+be\s+(?:one|an?|1)\s+(?:single\s+)?(?:instance|replica|copy|engine)(?:\s+(?:over|across|on|spanning|using)\s+(?:all\s+)?(?:the\s+)?(?P<n>{COUNT})\s*(?:gpus?|cards?)?)?"
)
"""`it has to be one instance over all 8 GPUs`."""


def find_gpu_limit(scan: Scan, notes: Notes) -> dict[str, int]:
    """`use only 4 of the GPUs`, read before the cluster is, so that 4 is not taken for its size."""
    said = [count_of(m["n"]) for pattern in (_OF_THEM, _GPUS) for m in scan.take(pattern)]
    said += [count_of(m["n"] or m["m"] or m["k"]) for m in scan.take(_ALL_GPUS)]
    used = notes.one_of("gpus", said)
    return {} if used is None else {"gpus": used}


_UNCUT = compiled(
    r"\b(?:no|not|never|don'?t|do\s+not|without|avoid|rather\s+not|won'?t|shouldn'?t)\s+(?:to\s+|be\s+|want\s+(?:to\s+)?)?(?:cut|cutting|split|splitting|divide|dividing)\s+(?:the\s+|any\s+)?(?P<what>layers|experts|matrices|tensors|heads|sequences?)\b(?:\s+(?:into|in|over|across)\s+(?:several\s+)?(?:pipeline\s+)?\w{3,10})?"
)
_UNCUT_KINDS = {
    "layers": "pp",
    "experts": "ep",
    "matrices": "tp",
    "tensors": "tp",
    "heads": "tp",
    "sequence": "sp",
    "sequences": "sp",
}


_CROSS = compiled(
    r"\b(?:across|between|over|beyond|outside(?:\s+of)?|span(?:s|ning)?|leav(?:e|es|ing)|cross(?:es|ing)?|entre|zwischen|über|tussen|tra|fra|между|mellan|między|pomiędzy)\s+(?:(?:the|an?|one|two|both|several|different|multiple|our|any|its|den|die|les|los|las|os|de|i|le)\s+){0,2}(?:nodes?|hosts?|servers?|machines?|box(?:es)?|chassis|knoten\w*|rechner\w*)"
    r"|\b(?:cross|inter|multi)[- ]?(?:node|host|server|machine)\b|跨\s*(?:机|台|nodes?|hosts?|servers?)|(?:nodes?|hosts?|servers?|机)\s*(?:间|間|간|之\s*间)|(?:를|を)\s*(?:넘|ま\s*た)"
)
"""Speaks of what goes from one host to another."""


def _kept_inside(scan: Scan, notes: Notes) -> None:
    """`no TP across nodes` forbids no kind: such a limit is said back."""
    for clause in list(_PIECE.finditer(scan.text)):
        if _CROSS.search(clause.group()) is None or _DENIES.search(clause.group()) is None:
            continue
        kinds = [m for m in _KIND_ALONE.finditer(scan.text, *clause.span()) if _kind(m) in ("tp", "ep", "cp", "sp")]
        if kinds:
            notes.assume(
                f"ignored: `{scan.words(clause.span())[:80]}` (a kind can be forbidden, not only across hosts)"
            )
        for match in kinds:
            scan.eat(match.span())


_PIECE = re.compile(r"(?:[^,;.!?\n]|\.(?=\w))++")


def _forbidden(scan: Scan, notes: Notes) -> list[str]:
    _kept_inside(scan, notes)
    kinds = [_UNCUT_KINDS[m["what"].lower()] for m in scan.take(_UNCUT)]
    for match in scan.take(_ONLY):
        kept = next(name.removeprefix("b_") for name, words in match.groupdict().items() if words)
        kinds += [
            k
            for k in ("tp", "pp", "ep", "sp", "dp", "dp_attention", "dcp")
            if k != kept and (k, kept) != ("dp", "dp_attention")
        ]
    lists = [m["list"] for m in scan.take(_NO)] + [
        m["rather"] or m["list"] or m["out"] or m["tried"] or m["so"] for m in scan.take(_OFF)
    ]
    for words in lists:
        kinds += [_FORBID.get(kind, kind) for kind in _kinds_in(words)]
    return list(dict.fromkeys([*kinds, *_let_go(scan, notes), *_denied(scan, notes)]))


_CLAUSE = re.compile(
    r"(?:[^.;!?\n]|\.(?=\w)|\?(?=\s*(?:no|nope|nein|non|nah)\b(?=\s*[.,;:!]|\s*$|\s+(?:tp|pp|ep|dp|pipeline|tensor|expert|thanks)\b)))++[?]?",
    re.IGNORECASE,
)
_TURN = compiled(
    r",\s*(?=(?:but|and\s+(?:we|i)|we|i|so|the|our|my|it|please|prompts?|model|with|then)\b)|\b(?:but|however|whereas|while|aber|mais|pero)\b|,\s+(?=\d)"
)
_DENIES = compiled(
    r"(?<![a-z])(?:no(?!\s+wait)|not|cannot|exception|except|nope|never|neither|nor|without|avoid\w*|forbid(?:s|den)?|disallow\w*|ban(?:s|ned)?|prohibit\w*|exclud\w+|disabl\w+|refus\w+|reject\w*|rul\w+\s+out|leav\w+\s+out|steer\w*\s+clear|stay\w*\s+away|keep\w*\s+(?:it\s+|them\s+)?(?:out|away|off)|get\s+rid|turn(?:ed)?\s+off|switch(?:ed)?\s+off|off(?!\s+the\s+shelf)|crash\w*|unsupported|unavailable|broken|buggy|lacks?|lacking|missing|hates?|dislikes?|veto\w*|taboo|"
    r"nein|nicht|kein\w*|weder|noch|ohne|vermeid\w+|verbot\w+|verzicht\w+|nada|niente|nessun\w*|ning[uú]n\w*|nenhum\w*|rien|olmasın|istemi\w+|kullanma\w+|kullanılmasın|hariç|żadn\w+|tabu|scheidet\s+aus|ausgeschlossen|non|ni|sans|aucune?|pas|[ée]vit\w+|interdit\w*|exclu[es]?|exclure|sin|prohibid\w+|prohibir|excluid\w+|senza|né|n[ée]|evit\w+|vietat\w*|esclus\w*|sem|nem|proibid\w*|geen|zonder|nie|bez|без|не|нет|исключ\w+|запрещ\w+)(?![a-z])|n't(?![a-z])|不|别|勿|禁|免|ない|なし|無し|禁\s*止|避|금\s*지|말|마\s*세\s*요|않|안\s*씀|없\s*이"
)
_PERMITS = compiled(
    r"(?:(?:\bnot|n't|\bno)\s+(?:\w+\s+){0,2}?(?:sure|know|ask|worry|bother|laugh|blame|necessar\w*|mind|care|insist|opposed|against|appl(?:y|ies)|applicable|relevant|only|required|requirement|mandatory|must|needed|need|preference|opinion|idea|problem|issue|restrict\w*|limit\w*|limited|forbidden|banned|excluded|tested|tried|decided|fixed|certain|matter|help\w*|more|bigger|beyond|above|over|exceed\w*)|\b(?:no|without)\s+(?:any\s+)?(?:limits?|matter|idea|need|preference|problem|restrictions?)|\bwhy\s+not|\bwhether|\bif\b|\bunless|\bnothing\s+against|\b(?:leave|keep|is|are|stays?)\s+(?:\w+\s+)?(?:open|free)\b|"
    r"\b(?:is|are|would\s+be|seems?)\s+(?:fine|ok(?:ay)?|allowed|welcome|possible|an\s+option)|(?<!not )allowed|\b(?:is|are)\s+(?:on|enabled)|\b(?:last|was|were|had|did|gave|ran|tried|used\s+to|blog|claims?|colleague|vendor|they))\b|不\s*知|不\s*确|没\s*关|可\s*以|都\s*行"
)
"""Words that turn a denial into leave, or tell of others."""


def _denied(scan: Scan, notes: Notes) -> list[str]:
    """Kinds that a clause says no to, whatever its words."""
    found = []
    for sentence in list(_CLAUSE.finditer(scan.text)):
        if sentence.group().endswith("?"):
            continue
        ends = [sentence.start(), *(m.start() for m in _TURN.finditer(scan.text, *sentence.span())), sentence.end()]
        for low, high in pairwise(ends):
            kinds = list(_KIND_ALONE.finditer(scan.text, low, high))
            if not kinds or not _DENIES.search(scan.text, low, high) or _PERMITS.search(scan.text, low, high):
                continue
            words = scan.words((low, high)).strip(" ,:")
            notes.assume(f"`{words[:80]}` read as a ban of {', '.join(dict.fromkeys(_kind(m) for m in kinds))}")
            found += [_FORBID.get(_kind(m), _kind(m)) for m in kinds]
            for match in kinds:
                scan.eat(match.span())
    return found


_KIND_ALONE = compiled(
    rf"(?<![a-z])(?:{_ANY})(?![a-z]){_PARALLEL}(?![-_ =:]*\d|\s+(?:of\s+)?\d|\s+(?:must|should|shall|has\s+to|have\s+to|needs\s+to|is|are)\s+(?:be\s+|set\s+to\s+|fixed\s+(?:at|to)\s+|exactly\s+|kept\s+at\s+){{0,3}}\d)"
)


_LET_GO = compiled(
    r"(?<!not )(?<!n't )(?<!to )\b(?:(?:leave|keep|turn|switch|rule|take)\s+(?P<it>it|that|this|them|those|these|both)\s+(?:out|off|away|aside|alone)|(?:skip|avoid|drop|omit|disable|exclude|forbid)\s+(?:it|that|this|them|those|both)\b(?!\s+\w+ing)"
    r"|(?:do\s+not|don'?t|never|rather\s+not|please\s+not)\s+(?:use|touch|want|enable|plan|do|propose|suggest|bother\s+with|go\s+near)\s+(?:it|that|this|them|those)\b|(?:stay|steer)\s+(?:away|clear)\s+(?:from|of)\s+(?:it|that|them)\b|(?:plan|do|go|live)\s+without\s+(?:it|that|them)\b)"
    r"|\b(?:bitte|lieber|also)\s+weglassen\b|\b(?:à\s+éviter|mieux\s+vaut\s+(?:l'\s*)?éviter|mejor\s+evitarl[oa]|meglio\s+evitarl[oa]|melhor\s+evitar)\b"
)
"""Says no to what was named just before: `DP attention was unstable, leave it out`."""
LET_GO_REACH = 120
"""Characters before such words within which the kind stands, with no number between."""


def _let_go(scan: Scan, notes: Notes) -> list[str]:
    """The kind that the words before `leave it out` speak of."""
    found = []
    for match in list(_LET_GO.finditer(scan.text)):
        low = max(0, match.start() - LET_GO_REACH)
        named = [m for pattern in (_KIND_ALONE, _FIX) for m in pattern.finditer(scan.original, low, match.start())]
        last = max(named, key=lambda m: m.start(), default=None)
        between = "?" if last is None else scan.original[last.end() : match.start()]
        if last is None or _ELSE_MEANT.search(between) or len(_CLAUSE.findall(between)) > 2:
            continue
        words, span = scan.words((last.start(), match.end()))[:80], (last.start(), match.end())
        if last.re is _KIND_ALONE:
            notes.assume(f"`{words}` read as a ban of {_kind(last)}")
            found.append(_FORBID.get(_kind(last), _kind(last)))
        else:
            notes.assume(f"ignored: `{words}` (the text says no to it)")
        scan.eat(span)
    return found


_ELSE_MEANT = compiled(r"[\d?]|\b(?:gpus?|cards?|nodes?|hosts?|servers?|machines?|box|model|engine|rack|tray)\b")
"""Between a kind and such words: something else is left out."""


def _kinds_in(words: str) -> list[str]:
    found = []
    for match in re.finditer(rf"(?<![a-z])(?:{_ANY})(?![a-z])", words, re.IGNORECASE):
        found.append(_kind(match))
    return found


def _kind(match: re.Match[str]) -> str:
    return next(kind for kind in _KINDS if match.group(kind))


def _fixed(scan: Scan, notes: Notes) -> dict[str, int]:
    """Degrees that are stated, by field of `FixedDegrees`."""
    stated: dict[str, list[tuple[int, SPAN]]] = {}
    for match in scan.take(_REJECTED):
        notes.assume(f"ignored: `{scan.words(match.span())}` (the text says no to it)")
    for match in list(_LEFT_OPEN.finditer(scan.text)):
        for stated_one in [m for m in _FIX.finditer(scan.text, 0, match.start()) if _kind(m) == _kind(match)]:
            notes.assume(f"ignored: `{scan.words(stated_one.span())}` (left open later)")
            scan.eat(stated_one.span())
        scan.eat(match.span())
    matches = [*scan.take(_WAY), *scan.take(_ACROSS), *scan.take(_FIX), *scan.take(_APART)]
    attention = _DP_ATTENTION.search(scan.original) is not None and not any(_kind(m) == "dp_attention" for m in matches)
    for match in matches:
        kind, degree = _kind(match), count_of(match["n"])
        if kind == "dp" and attention:
            notes.assume(f"`{scan.words(match.span())}` read as DP attention, which the text speaks of")
            kind = "dp_attention"
        if kind == "sp":
            notes.assume(
                f"ignored: `{scan.words(match.span())}` (sequence parallelism follows tp_size; or fix cp_size)"
            )
            continue
        if kind == "dp":
            notes.assume(
                f"`{scan.words(match.span())}` read as independent replicas; say `attention dp {degree}` for DP attention"
            )
        stated.setdefault(_FIELDS[kind], []).append((degree, match.span()))
    for match in scan.take(_SPREAD):
        stated.setdefault("ep_size", []).append((count_of(match["n"]), match.span()))
    for match in scan.take(_STAGED):
        stated.setdefault("pp_size", []).append((count_of(match["n"]), match.span()))
    for match in scan.take(_STAGES):
        stated.setdefault("pp_size", []).append((count_of(match["n"]), match.span()))
    for match in scan.take(_REPLICAS):
        stated.setdefault("replicas", []).append((count_of(match["n"] or match["m"]), match.span()))
    fixed = {
        field: notes.choice_of(field, [n for n, _ in said], [span for _, span in said])
        for field, said in stated.items()
    }
    return {field: value for field, value in fixed.items() if value is not None}
