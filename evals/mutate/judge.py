"""Two verdicts on one mutant: what the rules say, and what execution says. They agree, or there is something to mend."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from evals.mutate.mutations import Document, Mutation
from evals.mutate.strategies import canonical
from strategy.dag import Dag
from strategy.execute import prove
from strategy.legality import even_stages, illegal
from strategy.model import ModelSpec
from strategy.result import Proof
from strategy.strategy import ExpertMesh, Pool, Strategy
from validators.validate import validate

Agreement = Literal["caught", "harmless", "refused", "missed", "unexplained"]
"""caught: the numbers change and rules say so. harmless: neither objects. refused: rules object for a reason that is not in the
numbers. missed: the numbers change and no rule objects. unexplained: rules object, the numbers do not change, and no reason is known."""
DISAGREEMENTS: frozenset[str] = frozenset({"missed", "unexplained"})


class Reason(NamedTuple):
    """Why a rule may refuse a DAG that computes the right numbers."""

    text: str
    kinds: frozenset[str] | None = None
    """Mutations for which it holds; None for all."""


_STATE = Reason("order: a link or loop that no step reads, which an engine would have to keep or wait for")
_DECLARED = frozenset({"pool-field", "degree", "stages", "phases"})
_MESH = Reason("layout: the declared meshes contradict each other or the engines' groups", _DECLARED)
REASONS: dict[str, Reason] = {
    "AT007": _MESH,
    "AT008": Reason("layout: a boundary that no stage uses holds attention", frozenset({"branch-block"})),
    "CH004": _MESH,
    "CM003": Reason("waste: rows gathered that every rank has"),
    "CM004": Reason("hang: a send without its recv, or two"),
    "DA006": Reason("hang: replicas that meet in a collective did not agree on token counts"),
    "DG002": Reason("layout: reads a residual stream where none enters", frozenset({"add-edge", "retarget-edge"})),
    "DG004": Reason("waste: a node whose value nobody reads"),
    "DG007": Reason("waste: the same edge twice"),
    "DG009": Reason("layout: two pools serve one phase, and none may be chosen", frozenset({"phases"})),
    "DG011": Reason(
        "layout: a broadcast replaces the shards of other ranks, by chance with the rows that are needed",
        frozenset({"insert", "wrong-op"}),
    ),
    "DG012": Reason("order: the kind of an edge says what an engine may reorder"),
    "DP005": Reason("waste: a replica samples the sequences of others as well"),
    "DP011": Reason("layout: a boundary that no stage uses holds an MoE layer", frozenset({"branch-block"})),
    "EP002": Reason(
        "order: combine waits for the routes by which tokens go back", frozenset({"cut-edge", "edge-kind"})
    ),
    "EP003": Reason(
        "layout: lowered otherwise than the strategy declares, or a role that says something else",
        _DECLARED | {"wrong-role"},
    ),
    "EP016": _MESH,
    "PH001": _STATE,
    "PH002": _STATE,
    "PH005": _STATE,
    "PH008": Reason("waste: a layer attends twice", frozenset({"duplicate-beside"})),
    "PH010": Reason(_STATE.text, frozenset({"extra-link", "link-kind", "wrong-kv-source"})),
    "PH011": _MESH,
    "PH009": Reason("order: attention reads the cache through another node", frozenset({"insert"})),
    "PP003": Reason("waste: a stage without layers", frozenset({"stage-border"})),
    "PP008": Reason("waste: positions are selected where every sequence has one", frozenset({"insert"})),
    "TP015": Reason("waste: every tp rank computes all heads and keeps all of their cache", frozenset({"resplit"})),
    "SP001": _MESH,
    "SP002": _MESH,
    "SP003": _MESH,
    "SP004": Reason("layout: exchanges heads, and the strategy declares another sp_kind", _DECLARED),
    "SP008": Reason("waste: a cp rank samples the sequences of others as well"),
    "SP013": Reason("order: the cache is complete on one cp rank only, and sequences move between them"),
    "SP011": _MESH,
    "SP014": _MESH,
    "SP015": _MESH,
}
"""By code. A refusal of right numbers for any other code, or by another mutation, is a disagreement."""


@dataclass(frozen=True)
class Outcome:
    """A mutant and both verdicts on it."""

    kind: str
    where: str
    agreement: Agreement
    codes: tuple[str, ...]
    """Codes of the error findings."""
    findings: int = 0
    """Error findings."""
    detail: str = ""
    """Where execution departs, if it does."""

    @property
    def disagrees(self) -> bool:
        """Whether somebody has to look at it."""
        return self.agreement in DISAGREEMENTS


def judged(dag: Dag, model: ModelSpec, mutation: Mutation) -> Outcome:
    """Both verdicts on a mutant."""
    errors = validate(dag, model, prove=False).errors
    codes = tuple(sorted({finding.code for finding in errors}))
    proof = prove(dag, model)
    return Outcome(
        mutation.kind, mutation.where, _agreement(mutation.kinds, codes, proof), codes, len(errors), _departure(proof)
    )


def _agreement(kinds: tuple[str, ...], codes: tuple[str, ...], proof: Proof) -> Agreement:
    if not proof.passed:
        return "caught" if codes else "missed"
    if not codes:
        return "harmless"
    return "refused" if any(reason_of(code, *kinds) for code in codes) else "unexplained"


def reason_of(code: str, *kinds: str) -> str:
    """Why `code` may refuse mutations of these kinds that compute the right numbers; empty when it may not."""
    reason = REASONS.get(code)
    return "" if reason is None or (reason.kinds is not None and reason.kinds.isdisjoint(kinds)) else reason.text


def _departure(proof: Proof) -> str:
    if proof.departure is None:
        return ""
    return f"{proof.departure.node}: {proof.departure.detail or f'off by {proof.departure.max_abs_error:.3g}'}"


@lru_cache(maxsize=4096)
def sound(model: ModelSpec, strategy: Strategy) -> str:
    """Why a canonical DAG is not accepted or not proved; empty when it is, as it must be."""
    dag = canonical(model, strategy)
    return "no canonical DAG" if dag is None else unsound(dag, model)


def unsound(dag: Dag, model: ModelSpec) -> str:
    """Why a DAG is not accepted or not proved; empty when it is."""
    verdict = validate(dag, model)
    if verdict.errors:
        return "; ".join(f"{finding.code} {finding.message}" for finding in verdict.errors)
    return "" if verdict.proof is not None and verdict.proof.passed else "the proof failed"


def smallest(model: ModelSpec, strategy: Strategy, mutation: Mutation) -> tuple[Strategy, Outcome] | None:
    """The smallest strategy in which the same mutation gives the same disagreement; None when it gives none here."""
    current = _outcome_in(model, strategy, mutation)
    if current is None or not current.disagrees:
        return None
    found = (strategy, current)
    while (step := _smaller(model, found, mutation)) is not None:
        found = step
    return found


def _smaller(model: ModelSpec, found: tuple[Strategy, Outcome], mutation: Mutation) -> tuple[Strategy, Outcome] | None:
    for strategy in simpler(model, found[0]):
        outcome = _outcome_in(model, strategy, mutation)
        if outcome is not None and outcome.agreement == found[1].agreement:
            return strategy, outcome
    return None


def _outcome_in(model: ModelSpec, strategy: Strategy, mutation: Mutation) -> Outcome | None:
    dag = canonical(model, strategy)
    mutant = None if dag is None or sound(model, strategy) else mutation.applied(document_of(dag))
    return None if mutant is None else judged(mutant, model, mutation)


def document_of(dag: Dag) -> Document:
    """The DAG as plain data."""
    return dag.model_dump(mode="json")


def simpler(model: ModelSpec, strategy: Strategy) -> Iterator[Strategy]:
    """Legal strategies with one thing less."""
    for index, pool in enumerate(strategy.pools):
        for smaller in _simpler_pools(model, pool):
            pools = (*strategy.pools[:index], smaller, *strategy.pools[index + 1 :])
            if smaller != pool and all(illegal(model, one) is None for one in pools):
                yield Strategy(pools=pools)
    if strategy.disaggregated:
        for pool in strategy.pools:
            yield Strategy(pools=(pool.model_copy(update={"phases": ("prefill", "decode")}),))


def _simpler_pools(model: ModelSpec, pool: Pool) -> Iterable[Pool]:
    defaults = {
        name: Pool.model_fields[name].default
        for name in (
            "replicas", "sp_kind", "ep_lowering", "dcp_size", "redundant_experts", "dense_ffn", "lm_head", "moe_layout", "cp_order",
            "microbatches", "chunk_tokens", "dp_layout",
        )
    }  # fmt: skip
    yield pool.model_copy(update={"pp_size": 1, "stages": even_stages(model.num_layers, 1)})
    for name, value in defaults.items():
        yield pool.model_copy(update={name: value})
    yield from _smaller_meshes(pool)


def _smaller_meshes(pool: Pool) -> Iterator[Pool]:
    for axis in ("dp_size", "cp_size", "tp_size"):
        size = getattr(pool.attention, axis)
        if size == 1:
            continue
        attention = pool.attention.model_copy(update={axis: size // 2 if size % 2 == 0 else 1})
        kept = {
            "attention": attention,
            **({"sp_kind": "none", "cp_decode_use": None} if attention.cp_size == 1 else {}),
        }
        if pool.experts is None:
            yield pool.model_copy(update=kept)
            continue
        for ep in range(1, attention.width + 1):
            for tp in range(1, attention.width // ep + 1):
                if attention.width % (ep * tp) == 0:
                    experts = ExpertMesh(dp_size=attention.width // (ep * tp), ep_size=ep, tp_size=tp)
                    yield pool.model_copy(update={**kept, "experts": experts})
