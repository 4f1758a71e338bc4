"""The field's words as search terms: one term for all spellings of a thing, in pages and in questions alike."""

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import groupby, pairwise

SPELLINGS: dict[str, tuple[str, ...]] = {
    # Longer phrases win over shorter ones, whatever the order here; `-`, `_`, `/` and spaces inside a phrase are the same.
    "dcp": ("decode context parallelism", "decode context parallel", "dcp size", "helix"),
    "dpattn": (
        "data parallel attention", "data parallelism attention", "dp attention", "dp attn", "attention dp", "attn dp", "dpa",
        "attention data parallelism", "attention data parallel", "attention is data parallel", "attention is replicated", "attn dp size", "enable dp attention",
        "enable attention dp", "attention replicas", "attention replica",
    ),
    "dep": ("dp attention with ep", "dp attention + ep"),
    "tp": ("tensor parallelism", "tensor parallel", "tensor parallel size", "tp size", "attention tp", "attn tp"),
    "pp": ("pipeline parallelism", "pipeline parallel", "pipeline parallel size", "pp size", "pipeline", "pipelines", "pipelining", "pipelined"),
    "ep": ("expert parallelism", "expert parallel", "expert parallel size", "enable expert parallel", "ep size"),
    "dp": ("data parallelism", "data parallel", "data parallel size", "dp size"),
    "sp": ("sequence parallelism", "sequence parallel", "sp kind"),
    "cp": ("context parallelism", "context parallel", "pcp", "prefill context parallel", "cp size"),
    "etp": ("expert tp", "expert tensor parallelism", "moe tp", "tensor parallelism inside experts", "moe tp size"),
    "disagg": (
        "p/d", "pd", "p d", "xpyd", "disaggregated", "disaggregation", "disaggregate", "pd disaggregation",
        "prefill decode disaggregation", "disaggregated serving",
    ),
    "colocated": ("colocate", "colocation", "aggregated", "co located"),
    "alltoall": ("all to all", "a2a", "all2all"),
    "allreduce": ("all reduce", "allreduces", "all reduces", "ar"),
    "allgather": ("all gather", "allgathers", "all gathers", "ag"),
    "reducescatter": ("reduce scatter", "rs"),
    "kvhead": ("kv heads", "kv head", "num kv heads", "key value heads", "num key value heads"),
    "kvcache": ("kv cache", "key value cache", "key/value cache"),
    "ttft": ("time to first token", "first token latency", "ttft ms", "first token", "first word", "until something appears"),
    "tpot": ("time per output token", "inter token latency", "itl", "tpot ms"),
    "slo": ("service level", "service level objective", "service levels", "sla"),
    "lmhead": ("lm head", "output head", "unembedding"),
    "moe": ("mixture of experts", "sparse moe"),
    "mla": ("multi head latent attention", "latent attention"),
    "gqa": ("grouped query attention", "group query attention"),
    "mqa": ("multi query attention",),
    "mha": ("multi head attention",),
    "eplb": ("redundant experts", "redundant expert", "expert load balancing", "expert parallel load balancing"),
    "dbo": ("dual batch overlap", "two batch overlap", "tbo", "enable dbo"),
    "topk": ("top k", "experts per token"),
    "headdim": ("head dim", "head dimension", "head size"),
    "trtllm": ("tensorrt llm", "trt llm", "tensorrt"),
    "scaleup": ("scale up", "nvlink", "nvswitch", "infinity fabric"),
    "downproj": ("down proj", "down projection", "o proj", "output projection", "row parallel", "row linear"),
    "upproj": ("up proj", "gate proj", "gate up", "qkv proj", "column parallel", "column linear"),
    "microbatch": ("micro batch", "micro batches", "microbatches"),
    "lowlatency": ("low latency",),
    "lowering": ("lowerings",),
    "handoff": ("kv transfer", "kv handoff", "transfer of kv", "transfer of the kv cache", "kv cache transfer"),
    "maxlength": ("max model len", "maximum model length", "max model length", "maximum length", "max length"),
    "worldsize": ("world size", "number of gpus", "gpu count", "how many gpus"),
    "host": ("nnodes", "multi node", "multinode", "machine", "machines", "multi host", "num nodes", "nodes in the cluster"),
    "divisible": ("multiple of", "divisibility", "must divide", "does not divide", "do not divide"),
    "failure": ("died", "dies", "crashed", "crashes", "crash", "failed", "fails"),
    "proof": ("prove", "proved", "proven", "proves"),
    "pays": (
        "pay", "pay off", "pays off", "worth", "worth it", "worthwhile", "beats", "better than", "when to use",
        "when should i use", "when should we use", "should i use",
    ),
    "decode": ("generation", "generate", "generates", "generating", "decoding", "decodes"),
    "request": ("requests", "chat", "chats", "conversation", "conversations"),
    "matmul": ("matrix multiplication", "matrix multiplications", "matrix multiply", "gemm"),
    "hbm": ("memory bandwidth", "hbm bandwidth", "memory bound", "bandwidth bound"),
    "disagree": ("contradict", "contradicts", "contradiction", "contradictions", "conflict", "conflicts"),
    "oom": ("out of memory", "does not fit", "do not fit", "doesn't fit", "too large"),
    "routerweight": ("router weight", "router weights", "gate weight", "gate weights", "gating weight", "routing weight", "routing weights"),
    "deadlock": ("deadlocks", "hang", "hangs", "hung", "stuck"),
    "same": ("identical", "duplicate", "duplicates", "duplicated", "twice"),
    "replica": ("replicas", "copies", "copy", "model instance", "model instances"),
    "shard": (
        "shards", "sharded", "sharding", "cut", "cuts", "slice", "slices", "sliced", "slicing", "split", "splits", "splitting", "partition", "partitions",
        "partitioned", "divide", "divides", "divided", "dividing", "spread", "spreads", "distribute", "distributes", "distributed",
    ),
    "send": ("sends", "sent", "sending", "transfer", "transfers", "transferred", "move", "moves", "moved", "moving", "pass", "passes", "passed", "hand over", "handed over", "handing over", "travel", "travels", "leaves", "ship", "ships", "shipped"),
    "hold": ("holds", "held", "store", "stores", "stored", "own", "owns", "live", "lives", "reside", "resides", "kept", "keeps", "sits on", "sit on"),
    "stall": ("stalls", "stalled", "wait", "waits", "waiting", "stutter", "stutters", "freeze", "freezes", "lockstep", "pause", "pauses"),
    "differ": ("different", "unequal", "other", "mismatch", "mismatched", "not the same", "mixed"),
    "reduce": ("reduced", "reduces", "reduction", "reductions", "summed", "sum", "sums", "add up", "accumulate", "accumulated"),
    "active": ("activated", "activates", "activate", "used per token", "chosen", "selected"),
    "without": ("no", "non", "absent", "missing", "lacks", "lacking"),
    "network": ("ethernet", "infiniband", "roce", "rdma", "slow network", "slow link", "slow links", "interconnect", "nic", "nics", "fabric", "100g", "200g", "400g", "cable"),
    "legal": ("allowed", "permitted", "valid", "acceptable", "possible values", "must satisfy", "rules for", "constraint", "constraints", "ok to", "legitimate"),
    "forbidden": ("refused", "rejected", "invalid", "not allowed", "illegal", "prohibited", "complains", "refuses", "rejects", "error"),
    "imbalance": ("imbalanced", "unbalanced", "uneven", "unevenly", "skew", "skewed", "hot expert", "hot experts", "popular", "straggler", "stragglers", "hotspot", "more tokens than others"),
    "idle": ("no work", "without work", "nothing to do", "no tokens", "without tokens", "empty batch", "no requests", "idling", "unused", "starved"),
    "maximum": ("max", "largest", "biggest", "highest", "upper limit", "limit", "limits", "limited", "cap", "at most"),
    "minimum": ("min", "smallest", "fewest", "least", "lower limit", "lower bound", "lower bounds"),
    "users": ("user", "clients", "customers", "concurrent users", "concurrency", "concurrent requests", "sessions"),
    "traffic": ("load", "demand", "request rate", "arrivals", "qps", "rps"),
    "volume": ("how much data", "how many bytes", "amount of data", "bytes moved", "bytes sent", "data moved", "payload"),
    "overhead": ("price", "penalty", "downside", "drawback", "drawbacks", "disadvantage", "disadvantages", "cost of", "what it costs"),
    "benefit": ("advantage", "advantages", "benefits", "gain", "gains", "saves", "saving", "savings"),
    "versus": ("vs", "compared to", "difference between", "differences between", "differ", "differs", "differ from", "or rather", "instead of"),
    "autoscaling": ("autoscale", "autoscaler", "scale with traffic", "scale up and down", "scale out", "scale the number"),
    "kvpair": ("keys and values", "key and value", "k and v", "kv"),
    "weights": ("weight", "parameters", "params", "checkpoint"),
    "duration": ("how long", "time of", "time for", "takes how long", "seconds"),
    "accuracy": ("accurate", "error bars", "trust", "realistic", "precise", "not considered", "not modelled", "ignored by the model"),
    "meaning": ("stand for", "stands for", "define", "definition", "explain", "what is a"),
    "quantis": ("quantized", "quantised", "quantization", "quantisation", "quantize"),
}  # fmt: skip
"""Term -> spellings of it."""

STOP_WORDS = frozenset({
    "a", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "do", "does", "for",
    "from", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "may", "me", "my", "no", "not",
    "of", "on", "one", "or", "our", "should", "so", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "to", "too", "us", "use", "used", "using", "was", "we", "what", "when", "where", "which", "while",
    "who", "why", "will", "with", "would", "you", "your",
})  # fmt: skip
_PLAIN_WORDS = """
about above across actually after again all allowed almost also always am anyone anything around back barely because become before being
below best better between both come comes compared could did different doing done down each either else enough even every everything exactly
far few first further get gets getting give given go goes going good got happen happens here hers him his however itself just keep keeps
kind know lead leads least less let like likely live lives long look lot made make makes making many mean meaning means might more most much
must my myself need needs never new next nor nothing now off often once only onto other others otherwise out over own per please possible
probably put quite rather really right said same say says see seem seems several shall she since some someone something still straight such
sure take takes tell think those though through thus together too toward try two under until up upon usable used useful usually very via
want wants way ways well went were whatever whether whole whose within without wonder yes yet
"""
PLAIN_WORDS = frozenset(_PLAIN_WORDS.split())
_WEAK_WORDS = """
actual add additional affect allow apply avoid bad big bring bug build call care case change check choice choose clear close common complete
consider contain correct couple create deal decide deploy describe design difference different easy effect end enable entire exist expect
explain face fact fail fine fit fix force fully general great guess hard help hold hope idea imagine important increase instead issue
job larger last late learn leave left line list little main manage matter model move nice normal note number old open option
part particular pass people perform place plain plan point problem produce prove provide question quick read reason recommend reduce
relate remain require rest result run second select send serve set setup show side size skip slow smart solve speed
start stay step stop strange stuff suggest suppose switch talk team tell term test thing time total true turn understand upload user value
warn way week win wish word work world worry worse worst wrong year bit basically anyway currently default exact example existing final
forever half hit huge lower mode multiple necessary neighbour normally okay original previous proper quickly reach ready
regular report seriously similar simply specific support sure various view visible wide
"""
WEAK_TERMS_WEIGHT = 0.35
"""Everyday words that our pages use too: they count for less than the trade's own."""
AXES = "dcp|dep|tep|etp|tp|pp|ep|dp|sp|cp"
_LEGALITY = re.compile(
    r"\b\d{1,6}\s+(?:kv\s+)?(?:heads?|experts?|layers?|stages?|gpus?|ranks?|replicas?|cards?|tokens?|(?:sequence|attention|expert)\s+(?:ranks?|groups?))\b"
)
_ODD_DEGREE = re.compile(rf"\b(?:{AXES})\s*[=:]?\s*(?:3|5|6|7|9|1[0-57-9]|2[0-35-9])\b")
_BOTH_PHASES = re.compile(
    r"(?=.*\bprefill)(?=.*\bdecode)(?=.*\b(?:gpus?|nodes?|hosts?|workers?|pools?|servers?|instances?|replicas?)\b)",
    re.DOTALL,
)
_POOLS = re.compile(r"\b\d{1,3}p\d{1,3}d\b")
"""Words of plain English that our pages happen to hold here and there: rare, so that they would weigh, and about nothing."""

FUNCTION_WORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "i", "in", "is", "it", "its", "may", "my", "of", "on", "or",
    "our", "that", "the", "this", "to", "we", "with", "you", "your",
})  # fmt: skip
"""Words that say nothing even where questions are compared with questions."""
_GREEK = {ord("α"): "alpha", ord("β"): "beta", ord("η"): "eta", ord("τ"): "tau", ord("µ"): "micro"}
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")
_EXACT = re.compile(r"[a-z]+[a-z0-9]*|\d+(?:\.\d+)?[a-z%]*")
_SEPARATORS = re.compile(r"[_\-/–\s]+")
_AXIS_SIZE = re.compile(rf"\b({AXES})\s*[=:]?\s*(\d{{1,5}})\b")
_TIMES = re.compile(r"\b(\d+)x(?=[a-z])")
_WORD = re.compile(r"[a-z0-9µαβη]+")
_SMALL_NUMBER = re.compile(r"\d{1,2}")
"""Alone it says nothing: `tp8` is a term of its own."""
_SUFFIXES = ("ations", "ation", "ings", "ing", "ed", "es", "s", "e")
_SHORTEST_STEM = 4
MOST_TEXTS = 4_096
"""Remembered: more than our pages have sections and questions, which an index reads several times."""


def terms(text: str) -> list[str]:
    """Search terms of `text` in order: `TP8` gives `tp` and `tp8`, `KV-cache` gives `kvcache`, stop words give nothing."""
    return [
        _stem(word)
        for word in _WORD.findall(_AXIS_SIZE.sub(r"\1 \1\2", _spelled(text)))
        if word not in STOP_WORDS and word not in PLAIN_WORDS and not _SMALL_NUMBER.fullmatch(word)
    ]


def exact_terms(text: str, *, pairs: bool = True) -> list[str]:
    """Words and numbers as they stand (`1,024` is `1024`, `α` is `alpha`) without function words, and neighbours as pairs."""
    words = _exact_words(text)
    return [*words, *(f"{a} {b}" for a, b in pairwise(words))] if pairs else list(words)


@lru_cache(maxsize=MOST_TEXTS)
def _exact_words(text: str) -> tuple[str, ...]:
    return tuple(word for word in map(_stem, _EXACT.findall(_spelled(text))) if word not in FUNCTION_WORDS)


@lru_cache(maxsize=MOST_TEXTS)
def _spelled(text: str) -> str:
    """Lower case with one spelling of everything: what a section is read for several times."""
    plain = _SEPARATORS.sub(" ", _THOUSANDS.sub("", text.lower().translate(_GREEK)))
    return _phrases().sub(lambda match: _term_of()[match[0]], _TIMES.sub(r"\1 ", plain))


@cache
def weak_terms() -> frozenset[str]:
    """Terms of everyday words."""
    return frozenset(_stem(word) for word in _WEAK_WORDS.split()) - SPELLINGS.keys()


def asked_terms(question: str) -> dict[str, float]:
    """Search terms of a question with their weights, and those that its numbers imply.

    `24 heads on 16 GPUs` asks whether one divides the other, `3P1D` how large two pools are.
    """
    found = dict.fromkeys(terms(question), 1.0)
    for term in found.keys() & weak_terms():
        found[term] = WEAK_TERMS_WEIGHT
    plain = question.lower()
    if len(_LEGALITY.findall(plain)) > 1 or (_LEGALITY.search(plain) and _AXIS_SIZE.search(plain)):
        found |= dict.fromkeys(terms("divisible legal sizes"), 0.7)
    if _ODD_DEGREE.search(plain):
        found |= dict.fromkeys(terms("divisible heads odd legal"), 0.7)
    if _POOLS.search(plain):
        found |= dict.fromkeys(terms("disaggregated balancing pools prefill decode"), 1.0)
    elif _BOTH_PHASES.search(plain):
        found |= dict.fromkeys(terms("disaggregated pools"), 0.5)
    return found


@cache
def _term_of() -> dict[str, str]:
    return {_SEPARATORS.sub(" ", phrase): term for term, phrases in SPELLINGS.items() for phrase in phrases}


@cache
def _phrases() -> re.Pattern[str]:
    """Longest first; in groups by their first letters, since every place of a text is tried with one group instead of all phrases."""
    longest_first = sorted(_term_of(), key=lambda phrase: (phrase[:2], -len(phrase), phrase))
    groups = [
        rf"{re.escape(start)}(?:{'|'.join(re.escape(phrase.removeprefix(start)) for phrase in group)})"
        for start, group in groupby(longest_first, key=lambda phrase: phrase[:2])
    ]
    return re.compile(rf"\b(?:{'|'.join(groups)})(?![a-z])")


@lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    """Cut a plural or verb ending, so that `sharded`, `sharding` and `shards` are one term."""
    if word in SPELLINGS or not word.isalpha():
        return word
    word = word.replace("iz", "is")
    return next(_shortened(word), word)


def _shortened(word: str) -> Iterator[str]:
    for suffix in _SUFFIXES:
        stem = word.removesuffix(suffix)
        if stem != word and len(stem) >= _SHORTEST_STEM:
            yield stem[:-1] if stem[-1] == stem[-2] and stem[-1] not in "ls" else stem
