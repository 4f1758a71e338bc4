"""Which model a text is about."""

import re
from collections.abc import Sequence
from functools import cache

from agent.understand.names import EVERYDAY, Mention, Vocabulary, pieces, simplest
from agent.understand.notes import Notes
from agent.understand.scan import EATEN, SPAN, Scan, compiled
from knowledge import catalogue
from strategy.model import Dtype

NICKNAMES = {
    "r1": "deepseek-r1", "dsr1": "deepseek-r1", "v3": "deepseek-v3", "dsv3": "deepseek-v3", "ds-v3": "deepseek-v3",
    "ds-r1": "deepseek-r1", "k2": "kimi-k2", "maverick": "llama-4-maverick", "scout": "llama-4-scout",
    "k2.5": "kimi-k2.5", "l4 maverick": "llama-4-maverick", "l4 scout": "llama-4-scout",
    "l3.3-70b": "llama-3.3-70b", "l3.1-70b": "llama-3.1-70b", "l3.1-8b": "llama-3.1-8b", "l3.1-405b": "llama-3.1-405b",
    "gptoss 120b": "gpt-oss-120b", "gptoss 20b": "gpt-oss-20b", "oss 120b": "gpt-oss-120b",
}  # fmt: skip
"""What people say for short, and the catalogue name (or the start of it) that they mean."""

_SUFFIX = compiled(
    r"(?:(?:[-_]| \(?)(?:v0\.\d|instruct|chat|base|it|thinking|hf|reasoning|model|0528|0324|2507|1120|w4a16|w8a8|dynamic|"
    r"awq|gptq|(?:fp8|int4|int8|bf16|fp16|nvfp4|mxfp4|fp4)(?!\s*(?:kv|key|cache|activations?|weights?))|\d{4})\b\)?)+"
)
_SUFFIX_DTYPES: dict[str, Dtype] = {
    "awq": "int4", "gptq": "int4", "int4": "int4", "w4a16": "int4", "int8": "int8", "w8a8": "int8", "fp8": "fp8",
    "bf16": "bf16", "fp16": "fp16", "nvfp4": "nvfp4", "fp4": "nvfp4", "mxfp4": "mxfp4",
}  # fmt: skip
_ORGANISATION = compiled(r"[\w.-]{2,40}/$")
_UNKNOWN = (
    compiled(
        r"(?<![\w/.])(?!(?:in|out|input|output|isl|osl|tok|tokens|req|requests)/)[A-Za-z][\w.-]{1,60}/[A-Za-z][\w.-]{2,80}"
    ),
    compiled(
        r"(?<![\w.])(?:[A-Za-z][A-Za-z.]{1,20}[- ]?){1,2}(?:v?\d{1,2}(?:\.\d{1,2})?[- ])?(?:\d{1,2}x)?\d{1,4}(?:\.\d{1,2})?b\b"
    ),
    re.compile(r"(?<![\w.])[A-Z][\w.-]{1,20}(?:[ -][A-Z0-9][\w.-]{0,12}){0,3}(?=\s*\(\s*\d{1,4}(?:\.\d)?[Bb]\b)"),
    compiled(r"(?<![\w.])\d{1,4}(?:\.\d)?b\b(?:[- ]parameters?)?"),
    compiled(
        r"(?<![\w.])(?:llama|qwen|deepseek|mistral|mixtral|ministral|gemma|gemini|gpt|glm|kimi|minimax|phi|falcon|claude|grok|"
        r"nemotron|command|yi|opt|bloom|dbrx|jamba|olmo|granite|ernie|hunyuan|step)(?:[- ][\w.]{1,12})?\b"
    ),
)
_SIZE_BEFORE = compiled(r"(?P<n>(?:\d{1,2}x)?\d{1,4}b)[ -]$")
_LEADING = compiled(
    r"^(?:(?:plan|serve|run|deploy|host|for|the|my|our|a|an|with|of|model|want|to|on|and|or|in)\b[- ]*)+"
)


def find_model(scan: Scan, models: Vocabulary, notes: Notes) -> str | None:
    """The catalogue name of the one model that the text names; otherwise a question is noted."""
    mentions = named_models(scan, models)
    for mention in mentions:
        _eat(scan, mention, notes)
    choices = {m.keys for m in mentions}
    if len({keys[0] for keys in choices if len(keys) == 1}) > 1:
        named = sorted({keys[0] for keys in choices if len(keys) == 1})
        notes.ask("model", f"the text names {len(named)} models ({', '.join(f'`{n}`' for n in named)}): which one?")
        return None
    single = next((keys[0] for keys in choices if len(keys) == 1), None)
    twin = f"{single}-{notes.precision.get('weights')}"
    if twin in models.names:
        notes.assume(f"{twin}: the checkpoint of {single} in that precision")
        single = twin
    said = _CHECKPOINT.search(single or "")
    if said is not None:
        notes.precision.setdefault("weights", _SUFFIX_DTYPES[said[1]])
    if single is not None:
        _other_sizes(scan, models, single, notes)
    if single is None and choices:
        mention = mentions[0]
        notes.ask("model", f"model `{scan.words(mention.span)}` may be {_listed(mention.keys)}: which one?")
    elif single is None:
        single = _by_size(scan, models, notes)
    if single is None and not choices and not _unplannable(scan, notes):
        _unknown(scan, models, notes)
    return single


def named_models(scan: Scan, models: Vocabulary) -> list[Mention]:
    """Places that name models of the catalogue, families told apart by the words around them."""
    barred = [mention.span for mention in unplannable_mentions(scan.text)]
    found = [m for m in models.mentions(scan.text) if not any(_within(m.span, span) for span in barred)]
    return [_narrowed(m, scan) for m in found if m.exact or _sure(m, scan)]


def _within(span: SPAN, other: SPAN) -> bool:
    return other[0] <= span[0] and span[1] <= other[1]


@cache
def _unplannable_names() -> Vocabulary:
    """Names of models that cannot be planned; a bare word and an everyday one with a number (`step 3`) say other things too."""
    forms = {
        key: {form for name in (one.title, *one.aliases) for form in (name, name.rpartition("/")[2])}
        for key, one in catalogue.unplannable().items()
    }
    return Vocabulary({key: (form for form in some if _is_name(pieces(form))) for key, some in forms.items()})


def _is_name(parts: Sequence[str]) -> bool:
    return len(parts) > 2 or (len(parts) == 2 and parts[0] not in EVERYDAY)


def unplannable_mentions(text: str) -> list[Mention]:
    """Places that name a model that cannot be planned, in full."""
    return [mention for mention in _unplannable_names().mentions(text) if mention.exact]


def _unplannable(scan: Scan, notes: Notes) -> bool:
    """Say why the model that the text names cannot be planned."""
    for mention in unplannable_mentions(scan.text)[:1]:
        name = scan.words(mention.span)
        _eat(scan, mention, notes)
        why = catalogue.unplannable()[mention.keys[0]].reason
        notes.ask("model", f"model `{name}` is not in the catalogue and cannot be planned: {why}. Give another model")
        return True
    return False


_CHECKPOINT = compiled(r"-(fp8|nvfp4|mxfp4|int4|int8|awq|gptq)$")
"""The precision that a catalogue name says."""
_BARE_SIZE = compiled(r"(?<![\w.-])(?P<size>\d{3,4}b)\b")


def _by_size(scan: Scan, models: Vocabulary, notes: Notes) -> str | None:
    """`405b`: a size that only one model of the catalogue has says which one it is; small ones are everybody's."""
    for match in _BARE_SIZE.finditer(scan.text):
        having = tuple(key for key in models.names if match["size"].lower() in pieces(key))
        keys = simplest(tuple(key for key in having if not _is_fine_tune(key)))
        if len(keys) == 1 and _LEADING.sub("", scan.text[max(0, match.start() - 12) : match.start()]).strip() == "":
            scan.eat(match.span())
            notes.assume(f"`{match['size']}` read as {keys[0]}: no other model of the catalogue has that size")
            return keys[0]
    return None


def _is_fine_tune(key: str) -> bool:
    return key in catalogue.model_names() and catalogue.record(key).like is not None


_ANOTHER_SIZE = compiled(r"(?:\bor|\bvs\.?|\bversus|/|\band|\bto|,)\s*(?:the\s+)?(?P<size>\d{1,4}b)\b")


def _other_sizes(scan: Scan, models: Vocabulary, single: str, notes: Notes) -> None:
    """`70B or 405B`: a size of the same family beside the one that was read is another model."""
    for match in scan.take(_ANOTHER_SIZE):
        sibling = re.sub(r"\d{1,4}b\b", match["size"].lower(), single, count=1)
        if sibling in models.names and sibling != single:
            notes.ask("model", f"the text names 2 models (`{single}`, `{sibling}`): which one?")


def _sure(mention: Mention, scan: Scan) -> bool:
    """A shortened name must not be followed by a version or size that no such model has (`llama 2 70b`)."""
    rest = scan.text[mention.span[1] : mention.span[1] + 24]
    return (
        re.match(
            r"[-_ ]?(?:\d+x)?\d+(?:\.\d+)?[bB]\b|\.\d|[-_ ]?[vVrRkK]\d|[-_ ]\d\.\d\b|[-_ ]?[vV]?\d(?:\.\d)?[-_ ]\d+[bB]\b|_\d|(?i:[-_ ](?:ultra|super|nano)\b)",
            rest,
        )
        is None
    )


def _narrowed(mention: Mention, scan: Scan) -> Mention:
    """A size before the name (`32B Qwen3`) tells its family apart."""
    start, end = mention.span
    size = _SIZE_BEFORE.search(scan.text[max(0, start - 12) : start])
    if len(mention.keys) == 1:
        return mention
    if size is not None:
        keys = tuple(k for k in mention.keys if size["n"].lower() in pieces(k))
        return Mention(simplest(keys), (start - len(size.group()), end), exact=False) if keys else mention
    return _told_apart(mention, scan)


_APART = 28
"""Characters around a family's name in which its other words may stand (`v3.2 deepseek`, `nemo 12B from Mistral`)."""
_NEIGHBOUR = compiled(r"(?<![\w.])(?:[a-z]{1,9}[\d.]*\d[a-z]?|[a-z]{4,9}|\d{1,3}(?:\.\d)?b|\d\.\d)(?![\w.]*\w)")


def _told_apart(mention: Mention, scan: Scan) -> Mention:
    """A family's name with the words that tell its models apart, wherever they stand beside it."""
    start, end = mention.span
    low, high = max(0, start - _APART), end + _APART
    keys, reach = mention.keys, [start, end]
    for word in [*[*_NEIGHBOUR.finditer(scan.text, low, start)][::-1], *_NEIGHBOUR.finditer(scan.text, end, high)]:
        fewer = tuple(k for k in keys if word.group().lower() in pieces(k))
        if fewer and len(fewer) < len(keys):
            keys, reach = fewer, [min(reach[0], word.start()), max(reach[1], word.end())]
    if len(simplest(keys)) != 1:
        return mention
    return Mention(simplest(keys), (reach[0], reach[1]), exact=False)


def _eat(scan: Scan, mention: Mention, notes: Notes) -> None:
    """Mark a mention as read, with the organisation before it and the variant after it."""
    start, end = mention.span
    before = _ORGANISATION.search(scan.text[max(0, start - 42) : start])
    after = _SUFFIX.match(scan.text, end)
    if after is not None:
        end = after.end()
        for word in re.split(r"[-_ ()]+", after.group().lower()):
            if word in _SUFFIX_DTYPES:
                notes.precision.setdefault("weights", _SUFFIX_DTYPES[word])
                if not after.group().startswith(" "):
                    notes.assume(
                        f"weights {_SUFFIX_DTYPES[word]}: `{scan.words((start, end))}` names such a checkpoint"
                    )
    if not mention.exact and len(mention.keys) == 1:
        notes.assume(f"`{scan.words(mention.span)}` read as {mention.keys[0]}")
    scan.eat((start - (len(before.group()) if before else 0), end))


def _unknown(scan: Scan, models: Vocabulary, notes: Notes) -> None:
    """Ask about words that look like a model nobody here knows."""
    for pattern in _UNKNOWN:
        match = next((m for m in pattern.finditer(scan.text) if _LEADING.sub("", m.group())), None)
        if match is None:
            continue
        name = _LEADING.sub("", " ".join(match.group().replace(EATEN, " ").split())).strip(" -.")
        scan.eat(match.span())
        near = models.nearest(name) or tuple(models.names)[:3]
        notes.ask(
            "model",
            f"model `{name[:80]}` is not in the catalogue; nearest names: {_listed(near)}. "
            "Give one of them, or the model's config.json in a request file",
        )
        return


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{n}`" for n in names[:6])
