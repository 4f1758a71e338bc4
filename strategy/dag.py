"""The strategy DAG: blocks stamped onto layers by two branches, prefill and decode, and links across phases and steps.

A document is a program, not a dump: it names no rank. Groups follow from the strategy (`strategy.mesh`), and `strategy.expand`
unrolls it to layers, stages, microbatches and ranks.
"""

from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from strategy.mesh import Axis
from strategy.model import ModelSpec
from strategy.ops import Dim, Op, Role
from strategy.strategy import LayerRange, Phase, Strategy
from strategy.values import Degree, Frozen

MAX_NODES = 5_000
NODE_ID = r"^[A-Za-z_][A-Za-z0-9_]*$"
Name = Annotated[str, Field(pattern=NODE_ID, max_length=64)]
Input = Annotated[str, Field(pattern=r"^((sync|pipeline):)?[A-Za-z_][A-Za-z0-9_]*$", max_length=80)]
EdgeKind = Literal["data", "sync", "pipeline"]
RESIDUAL = "in"
"""The name under which a block's nodes read the residual stream that enters it."""


class Node(Frozen):
    """What every node has. An input `x` is a data edge from node x; `sync:x` and `pipeline:x` are the other kinds."""

    id: Name
    op: Op
    inputs: tuple[Input, ...] = Field(default=(), max_length=16)


class Ingress(Node):
    """Token ids enter: the prompt in prefill, the token just sampled in decode."""

    op: Literal["ingress"]
    tokens_per_sequence: Degree | None = None
    """New tokens a sequence brings into one decode step; one unless stated."""


class StepSync(Node):
    """Ranks of `axis` agree on token counts, so that all of them enter the step's collectives (idle ones with a dummy batch)."""

    op: Literal["step_sync"]
    axis: Axis


class Chunk(Node):
    """Keep this rank's slice of a replicated tensor; no communication."""

    op: Literal["chunk"]
    axis: Axis
    dim: Literal["tokens"]


class Embedding(Node):
    """Look token ids up; a vocabulary shard yields zero rows for ids it does not hold (Partial)."""

    op: Literal["embedding"]
    split: Literal["vocab", "replicated"]


class Linear(Node):
    """Multiply by a weight that is split by columns, by rows, or not at all."""

    op: Literal["linear"]
    weight: Name
    split: Literal["column", "row", "replicated"]


class Norm(Node):
    """RMS norm over the hidden dimension."""

    op: Literal["norm"]
    weight: Name


class Activation(Node):
    """SwiGLU: the first half of the features gates the second (none after `up`)."""

    op: Literal["activation"]


class Add(Node):
    """Sum of tensors of one placement."""

    op: Literal["add"]


class AttentionNode(Node):
    """Attention of the new tokens over the cache (a sync edge), or over the K and V of a data edge.

    `form` says which of MLA's two equal forms runs, or that the layer's recurrence does: the cache is then its state.
    """

    op: Literal["attention"]
    form: Literal["expanded", "absorbed", "recurrent"] | None = None
    partial: Literal[True] | None = None
    """Sees part of the context: yields an output with its log-sum-exp, which `attention_merge` completes."""


class AttentionMerge(Node):
    """Rescale partial attention outputs by their log-sum-exp.

    Several of them into their whole, or one by the gathered log-sum-exp of all (then they are summands).
    """

    op: Literal["attention_merge"]


class KvCacheUpdate(Node):
    """Append the new tokens' K and V (or latent) of this layer to the cache, or take them into the state of its recurrence."""

    op: Literal["kv_cache_update"]


class Routing(Node):
    """The router: top-k experts and their weights for each token."""

    op: Literal["routing"]


class Expert(Node):
    """The routed experts that this rank holds, on the tokens that reached it."""

    op: Literal["expert"]
    apply_router_weight: bool


class AllReduce(Node):
    """Sum Partial values over `axis`."""

    op: Literal["all_reduce"]
    axis: Axis


class AllGather(Node):
    """Concatenate shards of `dim` over `axis`.

    A `role` says what it carries: tokens to or from experts (dispatch, combine), only K and V or only Q of its input (kv, q), or the
    log-sum-exp of partial attention (lse).
    """

    op: Literal["all_gather"]
    axis: Axis
    dim: Dim
    role: Literal["dispatch", "combine", "kv", "q", "lse"] | None = None


class ReduceScatter(Node):
    """Sum Partial values over `axis` and keep this rank's slice of `dim`."""

    op: Literal["reduce_scatter"]
    axis: Axis
    dim: Dim
    role: Literal["dispatch", "combine"] | None = None


class AllToAll(Node):
    """Exchange slices over `axis`: tokens to their experts, back again, or between token and head shards."""

    op: Literal["all_to_all"]
    axis: Axis
    role: Role
    apply_router_weight: Literal[True] | None = None
    """Of a combine: it weights what the experts left unweighted."""


class Broadcast(Node):
    """One rank of `axis` sends to the others."""

    op: Literal["broadcast"]
    axis: Axis


class Send(Node):
    """Hand a tensor to the same place of a later stage; with an `axis`, to the next rank of this group, the last one to the first."""

    op: Literal["send"]
    axis: Literal["cp"] | None = None
    stage_offset: Degree | None = None
    """Stages ahead; the next one unless stated."""


class Recv(Node):
    """Receive what the matching send of an earlier stage handed over."""

    op: Literal["recv"]


class SelectLast(Node):
    """Keep the last position of every sequence."""

    op: Literal["select_last"]


class Sample(Node):
    """Choose the next token of every sequence from complete logits."""

    op: Literal["sample"]


AnyNode = Annotated[
    Ingress | StepSync | Chunk | Embedding | Linear | Norm | Activation | Add | AttentionNode | AttentionMerge | KvCacheUpdate | Routing
    | Expert | AllReduce | AllGather | ReduceScatter | AllToAll | Broadcast | Send | Recv | SelectLast | Sample,
    Field(discriminator="op"),
]  # fmt: skip


class Block(Frozen):
    """A small graph. `in` is the residual stream entering it; `output` is the node whose value leaves it."""

    name: Name
    nodes: tuple[AnyNode, ...] = Field(min_length=1, max_length=MAX_NODES)
    output: Name


class LayerStamp(Frozen):
    """Layers `range[0]` to `range[1] - 1`, each of which is these blocks in order; none where the model has nothing in them."""

    range: LayerRange
    blocks: tuple[Name, ...] = Field(max_length=64)


class Branch(Frozen):
    """One phase: the embedding block, the layers, the block between stages, the head."""

    embed: Name
    layers: tuple[LayerStamp, ...] = Field(min_length=1, max_length=4096)
    boundary: Name | None = None
    head: Name


class Branches(Frozen):
    """The two phases; top-level branches that share no stamped node."""

    prefill: Branch
    decode: Branch


class Link(Frozen):
    """An edge between branches or steps; `source` and `target` are `branch.block.node`, per layer where they lie in one."""

    source: str = Field(max_length=200)
    target: str = Field(max_length=200)
    kind: EdgeKind
    loop: bool = False
    """Carries state from decode step t to t + 1."""


class Dag(Frozen):
    """A strategy DAG document (format version 1)."""

    version: Literal[1] = 1
    model: str | dict[str, Any]
    """Catalogue name, or the model itself (spec or `config.json`)."""
    strategy: Strategy
    blocks: tuple[Block, ...] = Field(min_length=1, max_length=256)
    branches: Branches
    links: tuple[Link, ...] = Field(default=(), max_length=MAX_NODES)

    def block(self, name: str) -> Block | None:
        """The first block of that name."""
        return next((block for block in self.blocks if block.name == name), None)

    def branch(self, phase: Phase) -> Branch:
        """The branch of a phase."""
        return self.branches.prefill if phase == "prefill" else self.branches.decode

    @property
    def num_nodes(self) -> int:
        """Template nodes."""
        return sum(len(block.nodes) for block in self.blocks)


class Edge(NamedTuple):
    """An input as an edge: the node it comes from (`in` is the residual stream) and what it means."""

    source: str
    kind: EdgeKind


def edges(node: Node) -> list[Edge]:
    """The in-edges of a node, in the order in which it names them."""
    return list(_parsed(node.inputs))


@lru_cache(maxsize=65_536)
def data_sources(inputs: tuple[str, ...]) -> tuple[str, ...]:
    """What the inputs of a node carry data from; all of them where they only order it."""
    found = _parsed(inputs)
    return tuple(edge.source for edge in found if edge.kind != "sync") or tuple(edge.source for edge in found)


@lru_cache(maxsize=65_536)
def _parsed(inputs: tuple[str, ...]) -> tuple[Edge, ...]:
    found = []
    for text in inputs:
        prefix, _, source = text.rpartition(":")
        kind: EdgeKind = "sync" if prefix == "sync" else "pipeline" if prefix == "pipeline" else "data"
        found.append(Edge(source, kind))
    return tuple(found)


class Stamp(NamedTuple):
    """One use of a block: `embed`, a block of a layer, or `head`. `layer` is None outside layers."""

    block: str
    layer: int | None


def stamps(branch: Branch) -> list[Stamp]:
    """Every use of a block in execution order, the boundary left out (it is stamped between stages, not between layers)."""
    found = [Stamp(branch.embed, None)]
    for stamp in branch.layers:
        found += [Stamp(block, layer) for layer in range(*stamp.range) for block in stamp.blocks]
    return [*found, Stamp(branch.head, None)]


def stage_of_layer(dag: Dag, phase: Phase, layer: int) -> int | None:
    """The pipeline stage that holds `layer` in the pool of `phase`, or None when no stage claims it."""
    for stage, (start, end) in enumerate(dag.strategy.pool_for(phase).stages):
        if start <= layer < end:
            return stage
    return None


def model_name(model: ModelSpec | str) -> str:
    """How a document names its model."""
    return model if isinstance(model, str) else model.name
