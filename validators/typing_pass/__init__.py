"""The typing pass: one walk over the blocks decides most TP, SP, EP, DA and CM rules.

Every tensor has a *content* (what it means: the residual stream, normalised hidden states, a delta to be added, ...) and a
*placement* (how it lies over the ranks, `strategy.placement`). Each op states what it needs and what it yields, in the tables
below. Where need and fact differ there is a `Mismatch`: it names the edge, both sides and the repair, so a rule only has to choose
which mismatches are its own (`Typing.of(kind)`), and says nothing more about placement.

Kinds of mismatch
    partial      an op met an unreduced sum (facts: `producer`, the node that left it; `axis`; `consumer_role` of what met it)
    sharded      an op needs what a shard does not have: `letter` T (tokens) or F (features) on `axis`
    placements   the inputs of an add or a dispatch lie differently
    not_partial  all_reduce or reduce_scatter over `axis` of a tensor that is complete there, or whose tokens differ there
    not_sharded  all_gather or combine over `axis` of a tensor that is not sharded so
    order        slices of `axis` would not be the rows that the ranks own
    content      the tensor means something else than the op needs (`needed`, `found`)
    split        the weight cannot be split that way
    weight       the weight does not exist in this model
    ffn_kind     dense FFN weights in an MoE layer, or the reverse
    mixer        weights or a form of attention in a layer with a recurrence, or the reverse
    router_weight  router weights applied twice, or never
    duplicate    (warning) tokens replicated over part of an EP group are dispatched more than once
    all_rows     (warning) the LM head runs on every prompt position
    stream       what leaves a block is not what the next one reads
    owners       ranks sample other sequences than those they own

A node that follows a mismatch is not typed again (its inputs are unknown), and the next block starts from what it should read, so one
mistake is told once and two mistakes are told both.
"""

from validators.typing_pass.tensors import CONTENT_WORDS, Mismatch, MismatchKind, Tensor, Typing
from validators.typing_pass.walk import type_dag

__all__ = ["CONTENT_WORDS", "Mismatch", "MismatchKind", "Tensor", "Typing", "type_dag"]
