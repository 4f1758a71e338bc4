"""Words that people mistype, put right: words of the trade, engines and names of model families."""

import re
from collections.abc import Sequence
from functools import cache

from agent.understand.names import slips
from agent.understand.notes import Notes
from agent.understand.scan import compiled

_TRADE = [
    "throughput",
    "latency",
    "latencies",
    "concurrency",
    "concurrent",
    "simultaneous",
    "prefill",
    "decode",
    "disaggregated",
    "disaggregate",
    "pipeline",
    "parallelism",
    "parallel",
    "tensor",
    "expert",
    "cheapest",
    "inference",
    "requests",
    "request",
    "sequence",
    "attention",
    "replicas",
    "milliseconds",
    "seconds",
    "tokens",
    "prompts",
    "nodes",
    "servers",
    "hosts",
    "minimum",
    "maximum",
    "lowest",
    "highest",
    "fastest",
    "precision",
    "weights",
    "activations",
    "quantised",
    "quantized",
    "engine",
    "sglang",
    "instance",
    "cluster",
    "optimise",
    "optimize",
    "maximise",
    "maximize",
    "minimise",
    "minimize",
    "context",
]
_ENGLISH = frozenset(
    [
        "expect",
        "expects",
        "except",
        "pipelines",
        "sequences",
        "requested",
        "parallels",
        "instances",
        "clusters",
        "experts",
        "concurrently",
        "simultaneously",
        "latent",
        "lately",
        "later",
        "token",
        "prompt",
        "seconds",
        "second",
        "hosted",
        "server",
        "node",
        "engines",
        "contexts",
        "optimised",
        "optimized",
        "maximised",
        "maximized",
        "minimised",
        "minimized",
        "tensors",
        "attentions",
        "lower",
        "higher",
        "faster",
        "slowest",
        "weight",
        "optimal",
        "optimum",
        "minimal",
        "maximal",
        "minima",
        "maxima",
        "request",
        "replica",
        "decoder",
        "decoded",
        "decodes",
        "prefills",
        "experts",
        "cheaper",
        "cheap",
        "hosting",
        "tenders",
        "tender",
        "texts",
        "contest",
        "contents",
        "content",
        "contexts",
        "seconde",
        "secondes",
        "sekunden",
        "tokens",
        "jetons",
        "latence",
        "parallele",
        "parallelism",
        "parallelisms",
        "concurrencia",
        "concurrence",
        "concurrents",
        "paralleli",
    ]
)
_FAMILY_WORD = compiled(
    r"(?<![\w/.-])(?P<word>[a-z]{4,10})(?=[- ]?(?:v|r|k)?\d|[- ](?:scout|maverick|large|nemo|coder))"
)
_LONG_WORD = compiled(r"(?<![\w/.-])[a-z]{6,16}(?![\w/])")


_SLIPS_MEANT = {
    slip: meant
    for meant, slips in {
        "input": "inut imput inpt inputt intput", "output": "ouput outut outpt outputt ouptut otuput", "token": "tokn toekn", "tokens": "tokns toekns tokes",
        "users": "usres uesrs userss usr usrs", "prompt": "promt prmopt promtp", "model": "modle modell", "vllm": "vlm vllmm", "people": "ppl poeple",
        "throughput": "tput thruput", "latency": "lat latncy", "nodes": "noeds nods", "with": "wiht wtih", "under": "undr", "request": "requst reqest",
        "requests": "reqests requsts",
    }.items()
    for slip in slips.split()
}  # fmt: skip
_SHORT_SLIPS = compiled(rf"(?<![\w/.=-])(?:{'|'.join(_SLIPS_MEANT)})(?![\w/-]|\.\w)")
"""Slips in words too short to be corrected by distance, and what the trade clips."""


def spelled(text: str, families: frozenset[str], notes: Notes) -> str:
    """The text with mistyped words of the trade and names of model families put right, one slip in each (two in long ones)."""

    def right(match: re.Match[str], words: Sequence[str]) -> str:
        word = match.group().lower()
        meant = word if word in _ENGLISH else _nearest(word, tuple(words))
        if meant == word:
            return match.group()
        notes.assume(f"`{match.group()}` read as {meant}")
        return meant

    text = _TYPED_ENGINE.sub(lambda m: _typed_engine(m, notes), text)
    text = _SHORT_SLIPS.sub(lambda m: _SLIPS_MEANT[m.group().lower()], text)
    text = _SHORT_WORD.sub(lambda m: _short(m, notes), text)
    text = _FAMILY_WORD.sub(lambda m: right(m, sorted(families)), text)
    return _LONG_WORD.sub(lambda m: right(m, _TRADE), text)


def _swapped_letters(word: str, meant: str) -> bool:
    """Whether two neighbouring letters are swapped, and nothing else."""
    if len(word) != len(meant) or word == meant:
        return False
    wrong = [i for i, (a, b) in enumerate(zip(word, meant, strict=True)) if a != b]
    return (
        len(wrong) == 2
        and wrong[1] == wrong[0] + 1
        and word[wrong[0]] == meant[wrong[1]]
        and word[wrong[1]] == meant[wrong[0]]
    )


def _left_out(word: str, meant: str) -> bool:
    """Whether one letter within a word is left out."""
    return len(word) == len(meant) - 1 and any(meant[:i] + meant[i + 1 :] == word for i in range(1, len(meant) - 1))


def _short(match: re.Match[str], notes: Notes) -> str:
    """A short word of the trade with two letters swapped (any) or one left out (those that are no words then)."""
    word = match.group().lower()
    found = [w for w in _SHORT_TRADE if _swapped_letters(word, w) or (len(w) > 5 and _left_out(word, w))]
    if word in _SHORT_TRADE or word in _ENGLISH or len(found) != 1:
        return match.group()
    notes.assume(f"`{match.group()}` read as {found[0]}")
    return found[0]


_SHORT_TRADE = (
    "first", "token", "tokens", "users", "input", "output", "flight", "prompt", "prompts", "cache", "batch", "nodes", "cards", "hosts", "under",
    "answer", "answers", "second", "seconds", "server", "servers", "model", "layer", "layers", "expert", "weight", "weights", "cheap", "engine",
    "latency", "request", "requests", "replica", "replicas", "vllm", "each", "with", "within", "below",
)  # fmt: skip
_SHORT_WORD = compiled(r"(?<![\w/.=-])[a-z]{4,8}(?![\w/=-]|\.\w)")


_TYPED_ENGINE = compiled(r"(?<![\w/.=-])(?:[vs][a-z]{3,6}|tens?[a-z]{1,4}-?[a-z]{1,2}(?:-l?l?m)?)(?![\w/=-]|\.\w)")
_ENGINES_SPELT = ("vllm", "sglang", "tensorrt-llm", "tensorrt")


def _typed_engine(match: re.Match[str], notes: Notes) -> str:
    """An engine's name with two letters swapped, or one wrong, doubled or left out."""
    word = match.group().lower()
    meant = [name for name in _ENGINES_SPELT if word[0] == name[0] and slips(word, name) == 1]
    if word in _ENGINES_SPELT or len(meant) != 1:
        return match.group()
    notes.assume(f"`{match.group()}` read as {meant[0]}")
    return meant[0]


@cache
def _nearest(word: str, words: tuple[str, ...]) -> str:
    """The one word within a slip or two, or the word itself."""
    if word in words:
        return word
    close = [other for other in words if slips(word, other) <= (2 if len(other) >= 10 else 1) and word[0] == other[0]]
    return close[0] if len(close) == 1 else word
