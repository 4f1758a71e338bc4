"""Values of the typing pass: what a node yields, and where need and fact differ."""

from dataclasses import dataclass, field
from typing import Literal

from strategy.layers import FfnKind
from strategy.placement import Letter, Placement
from strategy.strategy import Phase

MismatchKind = Literal[
    "partial", "sharded", "placements", "not_partial", "not_sharded", "order", "content", "split", "weight", "ffn_kind", "mixer",
    "router_weight", "duplicate", "all_rows", "stream", "owners",
]  # fmt: skip


@dataclass(frozen=True)
class Mismatch:
    """One edge on which need and fact differ."""

    kind: MismatchKind
    phase: Phase
    block: str
    node: str
    op: str
    path: str
    """JSON pointer of the node."""
    axis: str = ""
    letter: Letter | None = None
    producer: str = ""
    """For `partial`: what left the sum: a weight name, `embedding` or `expert`."""
    producer_node: str = ""
    weight: str = ""
    """Weight of the consuming linear or norm."""
    source: str = ""
    """The input on which it happened."""
    needed: str = ""
    found: str = ""
    repair: str = ""
    layer_kind: FfnKind | None = None


Content = str
"""One of: ids, normed:<weight>, qkv, qkv_a, kv_a, latent, query, absorbed_query, expanded_kv, kv_state, context, latent_context,
linear_in, linear_context, partial_linear_context, squares,
gate_up, up, activated, shared_gate_up, shared_up, shared_activated, latent_tokens, latent_delta, routing, dispatched, pair, expert_out, last, logits, token; `residual` and
`delta` carry their parts beside."""


@dataclass(frozen=True)
class Tensor:
    """What a node yields."""

    content: Content
    placement: Placement
    parts: frozenset[str] = frozenset()
    """Sub-layers that a residual or delta already contains, of the current layer."""
    producer: str = ""
    producer_node: str = ""
    home: Placement | None = None
    """For tokens at their experts: how they lay before dispatch."""
    weighted: bool = True
    """Whether router weights are in."""
    shards: frozenset[int] = frozenset({0})
    """For K and V on their way round the cp ranks, and for partial attention over them: how many hops away their tokens were."""
    last_only: bool = False
    """One row a sequence."""

    def words(self) -> str:
        """The content as people say it."""
        if self.content in ("residual", "delta"):
            done = ", ".join(sorted(self.parts)) or "nothing yet"
            return (
                f"the residual stream (with {done} of this layer)"
                if self.content == "residual"
                else f"the output of {done}"
            )
        return CONTENT_WORDS.get(self.content.partition(":")[0], self.content).format(self.content.partition(":")[2])


CONTENT_WORDS = {
    "ids": "token ids",
    "normed": "hidden states normalised by `{}`",
    "qkv": "Q, K and V",
    "qkv_a": "the low-rank query and latent",
    "kv_a": "the latent before its norm",
    "latent": "the normalised latent",
    "q_latent": "the normalised low-rank query",
    "query": "Q",
    "absorbed_query": "Q in latent space",
    "expanded_kv": "K and V expanded from the latent",
    "kv_new": "new K and V",
    "kv_shard": "K and V of another cp rank",
    "latent_shard": "the latent of another cp rank",
    "cached_latent": "the latents in the cache",
    "expanded_shard": "K and V expanded from new latents",
    "in_transit": "a tensor on its way to another rank",
    "kv_state": "the KV cache",
    "partial_context": "attention over part of the context",
    "partial_latent_context": "attention in latent space over part of the context",
    "lse": "the log-sum-exp of every part",
    "context": "the attention output per head",
    "latent_context": "the attention output in latent space",
    "linear_in": "the projection of a recurrence",
    "linear_context": "the output of the recurrence per head",
    "partial_linear_context": "the output of the state space per head, not normed yet",
    "squares": "the squares that a norm over all heads divides by",
    "gate_up": "gate and up",
    "up": "the up projection",
    "activated": "activated features",
    "shared_gate_up": "gate and up of the shared experts",
    "shared_up": "the up projection of the shared experts",
    "latent_tokens": "tokens in the latent space of the experts",
    "latent_delta": "the output of the experts in their latent space",
    "shared_activated": "activated features of the shared experts",
    "routing": "the router's choice",
    "dispatched": "tokens at their experts",
    "pair": "hidden states with the router's choice",
    "expert_out": "expert outputs that have not come back to their tokens",
    "logits": "logits",
    "token": "sampled tokens",
}


@dataclass(frozen=True)
class Typing:
    """Outcome of the pass."""

    mismatches: tuple[Mismatch, ...] = ()
    outputs: dict[tuple[Phase, str], Placement] = field(default_factory=dict)
    """Placement that leaves each block."""
    nodes: dict[tuple[Phase, str, str], Placement] = field(default_factory=dict)
    """Placement of what each node yields, by phase, block and node (of its last use where layers differ)."""

    def of(self, *kinds: MismatchKind) -> list[Mismatch]:
        """Mismatches of these kinds, in document order of discovery."""
        return [m for m in self.mismatches if m.kind in kinds]
