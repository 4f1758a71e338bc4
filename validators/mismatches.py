"""Which rule speaks of which mismatch of the typing pass: each mismatch belongs to exactly one code, so it is told once.

`code_of` is total: what no narrower rule claims is DG010 (the tensor means something else than the op needs) or DG011 (it lies
elsewhere than the op needs).
"""

from collections.abc import Container, Iterator

from strategy.ops import DENSE_FFN_FIRST, SHARED_FFN_FIRST, model_weights
from validators.registry import Hit
from validators.subject import Subject
from validators.typing_pass import CONTENT_WORDS, Mismatch

_BY_KIND = {
    "all_rows": "PH013",
    "duplicate": "EP010",
    "router_weight": "EP012",
    "ffn_kind": "EP014",
    "mixer": "AT010",
    "not_partial": "CM006",
    "order": "DG011",
}
_BY_PRODUCER = {
    "embedding": "TP008",
    "attention_out": "TP006",
    "linear_out": "TP006",
    "down": "TP007",
    "shared_down": "EP015",
    "expert": "EP003",
}
_MLA_LATENT_WEIGHTS = frozenset({"qkv_a", "kv_a"})
_EXPERT_OPS = frozenset({"expert", "all_to_all"})
_AT_THEIR_EXPERTS = frozenset({CONTENT_WORDS["dispatched"], CONTENT_WORDS["pair"]})
_EXPANDED = frozenset({CONTENT_WORDS["expanded_kv"], CONTENT_WORDS["expanded_shard"]})
_REPLICA_AXES = frozenset({"dp", "stage"})


def owned(subject: Subject, code: str) -> list[Mismatch]:
    """The mismatches that belong to `code`, in the order in which they were met."""
    return subject.mismatches_by_code.get(code, [])


def by_code(subject: Subject) -> dict[str, list[Mismatch]]:
    """Every mismatch under the code it belongs to."""
    found: dict[str, list[Mismatch]] = {}
    weights = model_weights(subject.model) if subject.typing.mismatches else {}
    for m in subject.typing.mismatches:
        found.setdefault(code_of(m, weights), []).append(m)
    return found


def typed(subject: Subject, code: str) -> Iterator[Hit]:
    """The mismatches that belong to `code` as hits, for rules whose templates need no more than their facts."""
    yield from map(hit, owned(subject, code))


def hit(m: Mismatch) -> Hit:
    """A mismatch as a hit: templates may use kind, node, op, block, phase, source, axis, needed, found, repair, producer and weight."""
    return Hit(
        m.path,
        kind=m.kind,
        node=m.node,
        op=m.op,
        block=m.block,
        phase=m.phase,
        source=m.source,
        axis=m.axis,
        needed=m.needed,
        found=m.found,
        repair=m.repair,
        producer=m.producer_node,
        weight=m.weight,
    )


def code_of(m: Mismatch, weights: Container[str]) -> str:
    """The rule that a mismatch breaks; `weights` are those that the model has."""
    if m.kind == "weight":
        return "TP014" if m.found in weights else "DG014"
    if m.kind in _BY_KIND:
        return _BY_KIND[m.kind]
    if m.kind == "split":
        return "AT003" if m.weight in _MLA_LATENT_WEIGHTS else "TP015"
    if m.kind == "partial":
        return _code_of_partial(m)
    if m.kind == "sharded":
        return _code_of_shard(m)
    if m.kind == "placements":
        return _code_of_addends(m) if m.op == "add" else "EP003" if m.op in _EXPERT_OPS else "DG011"
    if m.kind == "not_sharded":
        return "CM003" if m.letter == "R" else "DG011"
    if _is_context_parallel(m):
        return "SP004"
    if m.kind == "owners":
        return "SP008" if m.axis == "cp" else "DP005"
    return _code_of_stream(m) if m.kind == "stream" else _code_of_content(m)


def _is_context_parallel(m: Mismatch) -> bool:
    """Whether attention over the shards of several cp ranks lacks one of them, or the exchange before or after it does."""
    if m.op == "attention":
        return m.kind in ("placements", "sharded") and "cp" in f"{m.axis} {m.needed} {m.found}".split()
    if m.needed.startswith("sp_kind"):
        return True
    if m.op == "send":
        return m.kind in ("content", "sharded") and m.axis != "" and m.axis == "cp"
    return m.op == "attention_merge" and "cp rank" in m.needed


def _code_of_addends(m: Mismatch) -> str:
    """Addends that lie differently: in an MoE block the tokens that came back from their experts are still a shard."""
    restored = m.layer_kind == "moe" and "Shard(tokens)" in m.needed + m.found
    return "SP006" if restored else "TP016"


def _code_of_partial(m: Mismatch) -> str:
    if m.op == "send":
        return "PP015"
    if m.op == "routing":
        return "EP009"
    if m.producer == "down" and m.axis in _REPLICA_AXES:
        return "DA007"
    return _BY_PRODUCER.get(m.producer, "DG011")


def _code_of_shard(m: Mismatch) -> str:
    """A shard where the whole is needed, or the whole where a shard is."""
    by_op = {"expert": "EP003", "sample": "TP009", "select_last": "SP012"}
    if m.op in by_op:
        return by_op[m.op]
    if m.op == "kv_cache_update":
        return "SP013" if m.axis == "cp" else "AT004"
    return _code_of_shard_at_linear(m) if m.op == "linear" else "DG011"


def _code_of_shard_at_linear(m: Mismatch) -> str:
    if m.letter == "R":
        return "TP010"
    if m.letter != "T":
        return "DG011"
    if m.axis in _REPLICA_AXES and m.weight in {*DENSE_FFN_FIRST, "lm_head"}:
        return "DA008" if m.weight == "lm_head" else "DA007"
    return "SP012" if m.weight == "lm_head" else "SP003"


def _code_of_content(m: Mismatch) -> str:
    if m.op in _EXPERT_OPS:
        return "EP002"
    if m.op == "sample" and m.phase == "prefill" and "position" in m.needed:
        return "PH013"
    if m.found == CONTENT_WORDS["expert_out"]:
        return "EP003"
    if m.weight in SHARED_FFN_FIRST and m.found in _AT_THEIR_EXPERTS:
        return "EP015"
    if m.op == "kv_cache_update" and m.found in _EXPANDED:
        return "AT004"
    return "DG010"


def _code_of_stream(m: Mismatch) -> str:
    if m.op == "recv":
        return "PP015"
    if "shared experts added" in m.needed:
        return "EP015"
    return "EP002" if "experts added" in m.needed else "DG010"
