"""The field's words as search terms: one term for all spellings of a thing, in pages and in questions alike."""

import re
from collections.abc import Iterator
from functools import cache

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
    "pp": ("pipeline parallelism", "pipeline parallel", "pipeline parallel size", "pp size"),
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
    "ttft": ("time to first token", "first token latency", "ttft ms"),
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
    "same": ("identical", "duplicate", "duplicates", "duplicated", "copies", "copy", "twice"),
    "chunk": ("slice", "slices", "sliced"),
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
"""Words of plain English that our pages happen to hold here and there: rare, so that they would weigh, and about nothing."""
AXES = "dcp|dep|tep|etp|tp|pp|ep|dp|sp|cp"

_SEPARATORS = re.compile(r"[_\-/–\s]+")
_AXIS_SIZE = re.compile(rf"\b({AXES})\s*[=:]?\s*(\d{{1,5}})\b")
_TIMES = re.compile(r"\b(\d+)x(?=[a-z])")
_WORD = re.compile(r"[a-z0-9µαβη]+")
_SMALL_NUMBER = re.compile(r"\d{1,2}")
"""Alone it says nothing: `tp8` is a term of its own."""
_SUFFIXES = ("ations", "ation", "ings", "ing", "ed", "es", "s", "e")
_SHORTEST_STEM = 4


def terms(text: str) -> list[str]:
    """Search terms of `text` in order: `TP8` gives `tp` and `tp8`, `KV-cache` gives `kvcache`, stop words give nothing."""
    plain = _TIMES.sub(r"\1 ", _SEPARATORS.sub(" ", text.lower()))
    plain = _phrases().sub(lambda match: _term_of()[match[0]], plain)
    plain = _AXIS_SIZE.sub(r"\1 \1\2", plain)
    return [
        _stem(word)
        for word in _WORD.findall(plain)
        if word not in STOP_WORDS and word not in PLAIN_WORDS and not _SMALL_NUMBER.fullmatch(word)
    ]


@cache
def _term_of() -> dict[str, str]:
    return {_SEPARATORS.sub(" ", phrase): term for term, phrases in SPELLINGS.items() for phrase in phrases}


@cache
def _phrases() -> re.Pattern[str]:
    longest_first = sorted(_term_of(), key=lambda phrase: (-len(phrase), phrase))
    return re.compile(rf"\b(?:{'|'.join(re.escape(phrase) for phrase in longest_first)})(?![a-z])")


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
