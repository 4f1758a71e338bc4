"""Where blocks are written for, and the pieces that blocks share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from strategy.dag import AnyNode, Block
from strategy.mesh import Axis, axis_size
from strategy.model import ModelSpec
from strategy.strategy import CpDecodeUse, Phase, Pool

_NODE: TypeAdapter[AnyNode] = TypeAdapter(AnyNode)


class Writer:
    """Appends nodes to a block."""

    def __init__(self) -> None:
        self.nodes: list[AnyNode] = []

    def add(self, node_id: str, op: str, inputs: Sequence[str] = (), **fields: Any) -> str:
        """Append a node and return its id."""
        self.nodes.append(_NODE.validate_python({"id": node_id, "op": op, "inputs": tuple(inputs), **fields}))
        return node_id

    def linear(self, node_id: str, source: str, weight: str, split: str) -> str:
        """Append a linear."""
        return self.add(node_id, "linear", [source], weight=weight, split=split)

    def block(self, name: str, output: str) -> Block:
        """The finished block."""
        return Block(name=name, nodes=tuple(self.nodes), output=output)


@dataclass(frozen=True)
class Site:
    """A model, a pool and a phase."""

    model: ModelSpec
    pool: Pool
    phase: Phase

    def size(self, axis: Axis) -> int:
        """Ranks of one group of `axis`."""
        return axis_size(self.pool, axis)

    @property
    def megatron(self) -> bool:
        """Whether activations between matrix pairs are split by tokens over the tp ranks."""
        return self.pool.sp_kind == "megatron" and self.phase == "prefill" and self.size("tp") > 1

    @property
    def context(self) -> str:
        """The cp kind at work in this phase, or empty."""
        active = self.phase == "prefill" and self.size("cp") > 1 and self.pool.sp_kind.startswith("cp_")
        return self.pool.sp_kind if active else ""

    @property
    def decode_use(self) -> CpDecodeUse | None:
        """What the cp ranks do in decode; `replicate` when the strategy is silent."""
        return (self.pool.cp_decode_use or "replicate") if self.phase == "decode" and self.size("cp") > 1 else None

    @property
    def coordinated(self) -> bool:
        """Whether attention replicas of one stage meet in collectives."""
        return self.pool.attention.dp_size > 1

    @property
    def repeated_axes(self) -> list[Axis]:
        """Axes over which every rank has the same tokens, slowest first."""
        sharded = self.context or self.decode_use == "batch_shard"
        axes: list[Axis] = [] if sharded or self.size("cp") == 1 else ["cp"]
        return axes if self.size("tp") == 1 or self.megatron else [*axes, "tp"]


def complete(w: Writer, site: Site, source: str) -> str:
    """Complete a tensor that is Partial over tp, as this phase keeps its residual stream."""
    if site.size("tp") == 1:
        return source
    if site.megatron:
        return w.add("reduce", "reduce_scatter", [source], axis="tp", dim="tokens")
    return w.add("reduce", "all_reduce", [source], axis="tp")


def normed(w: Writer, site: Site, weight: str) -> str:
    """The norm that opens a block, followed by the gather that column-parallel weights need under token shards."""
    return spread(w, site, w.add("norm", "norm", ["in"], weight=weight))


def spread(w: Writer, site: Site, source: str) -> str:
    """All tokens, where the residual stream is split by tokens over tp."""
    return w.add("spread", "all_gather", [source], axis="tp", dim="tokens") if site.megatron else source


def own_tokens(w: Writer, site: Site, source: str) -> str:
    """Split tokens that several ranks have, so that no token is processed twice (EP010)."""
    axes = site.repeated_axes
    for axis in axes:
        source = w.add("chunk" if len(axes) == 1 else f"chunk_{axis}", "chunk", [source], axis=axis, dim="tokens")
    return source


def all_tokens(w: Writer, site: Site, source: str) -> str:
    """Undo `own_tokens`."""
    axes = site.repeated_axes
    for axis in reversed(axes):
        name = "regather" if len(axes) == 1 else f"regather_{axis}"
        source = w.add(name, "all_gather", [source], axis=axis, dim="tokens")
    return source
