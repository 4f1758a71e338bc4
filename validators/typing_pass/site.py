"""The site of a typing step: reports, and the needs that ops share."""

from collections.abc import Iterable

from strategy.dag import AnyNode, Block, Linear, Norm
from strategy.layers import FfnKind, MixerKind
from strategy.mesh import Axis
from strategy.model import ModelSpec
from strategy.ops import DENSE_FFN, WeightSpec, has_latent_experts, model_weights
from strategy.placement import WORDS, Digits, Letter, Placement
from strategy.strategy import Phase, Pool
from validators.subject import Subject
from validators.typing_pass.tables import SLICED_OVER_CP
from validators.typing_pass.tensors import Mismatch, MismatchKind, Tensor

PARTIAL_ATTENTION = frozenset({"partial_context", "partial_latent_context"})
UNNORMED = "partial_linear_context"
"""What a state space gives where its norm goes over the heads of all ranks."""
NO_TENSOR = (
    frozenset({"ids", "token", "sync", "kv", "routing", "pair", "lse", "squares", UNNORMED, "dispatched", "expert_out"})
    | PARTIAL_ATTENTION
)
"""What is not an array of activations."""
Data = list[tuple[str, Tensor]]
"""Data inputs of a node: the name of each and what it is."""


MIXER_WORDS: dict[MixerKind, str] = {
    "attention": "attention over the context",
    "linear": "a recurrence (linear attention)",
    "none": "nothing that mixes tokens",
}


class StopNode(Exception):  # noqa: N818 (a signal, not an error)
    """The node at hand has been reported; what follows from it is unknown."""


class Site:
    """Where a node is typed: its branch, pool, block and layer kind, and what it may need of its inputs."""

    def __init__(self, subject: Subject, phase: Phase, pool: Pool, digits: Digits) -> None:
        self.subject = subject
        self.model: ModelSpec = subject.model
        self.phase: Phase = phase
        self.pool = pool
        self.digits = digits
        self.weights = model_weights(subject.model)
        self.paths = {(place.block.name, place.node.id): place.path for place in subject.places}
        self.mismatches: list[Mismatch] = []
        self.outputs: dict[tuple[Phase, str], Placement] = {}
        self.nodes: dict[tuple[Phase, str, str], Placement] = {}
        self.block: Block
        self.kind: FfnKind | None = None
        self.mixer: MixerKind | None = None

    def tokens(self) -> Placement:
        """Where tokens are at first: every attention replica has its own, cp ranks have shards of a prompt."""
        letters: tuple[Letter, ...] = tuple("R" for _ in self.digits.sizes)
        placement = Placement(letters).with_letter(self.digits.of("dp"), "T")
        in_prefill = self.phase == "prefill" and self.pool.sp_kind.startswith("cp_")
        in_decode = self.phase == "decode" and self.pool.cp_decode_use == "batch_shard"
        return (placement.cut_rows(self.digits.of("cp")) or placement) if in_prefill or in_decode else placement

    def ids(self) -> Tensor:
        """Token ids as they enter."""
        return Tensor("ids", self.tokens())

    def parts_of_layer(self, kind: FfnKind) -> frozenset[str]:
        """What a finished layer has added to the residual stream."""
        mixed = frozenset() if self.mixer == "none" else frozenset({"attention"})
        if kind != "moe":
            return mixed | ({"ffn"} if kind == "dense" else set())
        shared = self.model.moe is not None and self.model.moe.shared_intermediate_size > 0
        return mixed | {"experts", *(["shared experts"] if shared else [])}

    def added_before(self, parts: frozenset[str]) -> frozenset[str]:
        """Which of `parts` the stream of this layer has by then: halves side by side read it as it came, and a layer may lack attention."""
        if self.model.parallel_block:
            return frozenset()
        return parts - {"attention"} if self.mixer == "none" else parts

    @property
    def expert_tokens(self) -> str:
        """What the routed experts read."""
        return "latent_tokens" if has_latent_experts(self.model) else "normed:ffn_norm"

    @property
    def expert_delta(self) -> str:
        """What they give back, summed or not."""
        return "latent_delta" if has_latent_experts(self.model) else "delta"

    def say(self, placement: Placement) -> str:
        """A placement in words, by axis."""
        words = []
        for letter in ("P", "T", "F", "E", "R"):
            on = tuple(d for d, found in enumerate(placement.letters) if found == letter)
            if on and (letter != "R" or len(on) == len(placement.letters)):
                words.append(f"{WORDS[letter]} over {self.digits.named(on)}")
        text = ", ".join(words) or "Replicated"
        return (
            text
            if not placement.rows
            else f"{text} (rows gathered over {self.digits.named(frozenset(placement.rows))})"
        )

    def report(self, node: AnyNode, kind: MismatchKind, **facts: object) -> None:
        path = self.paths.get((self.block.name, node.id), "/blocks")
        weight = str(getattr(node, "weight", ""))
        self.mismatches.append(
            Mismatch(kind=kind, phase=self.phase, block=self.block.name, node=node.id, op=node.op, path=path, weight=weight,
                     layer_kind=self.kind, **facts)  # type: ignore[arg-type]
        )  # fmt: skip

    def stop(self, node: AnyNode, kind: MismatchKind, **facts: object) -> StopNode:
        """Report and give up on this node."""
        self.report(node, kind, **facts)
        return StopNode()

    def need_content(self, node: AnyNode, source: str, value: Tensor, *wanted: str) -> None:
        """The input must mean one of `wanted`."""
        if value.content not in wanted:
            needed = " or ".join(Tensor(w, value.placement).words() for w in wanted)
            raise self.stop(node, "content", source=source, needed=needed, found=value.words())

    def need_complete(self, node: AnyNode, source: str, value: Tensor, digits: tuple[int, ...] | None = None) -> None:
        """No unreduced sum on `digits` (everywhere when None)."""
        letters = value.placement.letters
        on = tuple(d for d in (range(len(letters)) if digits is None else digits) if letters[d] == "P")
        if on:
            axis = self.digits.named(on)
            raise self.stop(
                node, "partial", axis=axis, source=source, producer=value.producer, producer_node=value.producer_node,
                needed="a complete value", found=self.say(value.placement), repair=f"all_reduce over {axis}",
            )  # fmt: skip

    def need_letter(
        self, node: AnyNode, source: str, value: Tensor, digits: tuple[int, ...], allowed: Iterable[Letter], repair: str
    ) -> None:
        """Only `allowed` letters on `digits`."""
        self.need_complete(node, source, value, digits)
        bad = tuple(d for d in digits if value.placement.letters[d] not in allowed)
        if bad:
            letter = value.placement.letters[bad[0]]
            axis = self.digits.named(bad)
            raise self.stop(
                node, "sharded", axis=axis, letter=letter, source=source, needed=" or ".join(WORDS[a] for a in allowed),
                found=f"{WORDS[letter]} over {axis}", repair=repair,
            )  # fmt: skip

    def need_whole_features(self, node: AnyNode, source: str, value: Tensor) -> None:
        """Complete hidden vectors: neither Partial nor split by features, wherever the tokens are."""
        everywhere = tuple(range(len(value.placement.letters)))
        self.need_complete(node, source, value)
        self.need_letter(node, source, value, everywhere, ("R", "T"), "all_gather of the features")

    def single(self, node: AnyNode, data: list[tuple[str, Tensor]]) -> tuple[str, Tensor]:
        """The one data input of a node."""
        if len(data) != 1:
            raise self.stop(node, "content", needed="one data input", found=f"{len(data)}")
        return data[0]

    def tensor(self, node: AnyNode, data: Data, also: Iterable[str] = ()) -> tuple[str, Tensor]:
        """The one data input of a node that moves or cuts activations, which ids, tokens and caches are not."""
        source, value = self.single(node, data)
        if value.content in NO_TENSOR.difference(also):
            raise self.stop(node, "content", source=source, needed="activations", found=value.words())
        return source, value

    def split_digits(self, weight: str) -> tuple[int, ...]:
        """Digits over which a column or row split of `weight` goes: those of its axis, and of cp where attention is sliced over cp."""
        sliced = self.phase == "decode" and self.pool.cp_decode_use == "tp_slice" and weight in SLICED_OVER_CP
        return (*(self.digits.of("cp") if sliced else ()), *self.digits.of(self.split_axis(weight)))

    def split_axis(self, weight: str) -> Axis:
        """The axis over which a column or row split of `weight` goes."""
        gathered = self.pool.attention.dp_size > 1 and (
            (self.pool.dense_ffn == "gathered" and weight in DENSE_FFN) or (self.pool.lm_head == "gathered" and weight == "lm_head")
        )  # fmt: skip
        return "stage" if gathered else "tp"

    def named_weight(self, node: Linear | Norm) -> WeightSpec:
        """The weight a node names, if this model has it."""
        spec = self.weights.get(node.weight)
        if spec is None:
            raise self.stop(node, "weight", needed=", ".join(sorted(self.weights)), found=node.weight)
        return spec

    def need_mixer(self, node: AnyNode, wanted: MixerKind | None) -> None:
        """Attention weights stand in layers with attention, those of a recurrence in layers that have one."""
        if wanted is not None and self.mixer is not None and wanted != self.mixer:
            raise self.stop(node, "mixer", needed=MIXER_WORDS[self.mixer], found=MIXER_WORDS[wanted])

    def need_layer_kind(self, node: AnyNode, wanted: str | None) -> None:
        """FFN nodes stand in layers of their kind."""
        if wanted is not None and self.kind is not None and wanted != self.kind:
            raise self.stop(node, "ffn_kind", needed=self.kind, found=wanted)
