"""Runs a program: prefill, then decode steps, stage after stage, on the virtual ranks of each pool."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from strategy.dag import RESIDUAL, Edge, Ingress, Recv, Send
from strategy.execute.attention import cached_tensor
from strategy.execute.batch import (
    Batch,
    newest,
    newest_rows,
    own_sequences,
    prompt_tokens,
    replica_sequences,
    splits_batch,
)
from strategy.execute.context import pass_round
from strategy.execute.handoff import owned_positions, reshard_cache, reshard_tokens
from strategy.execute.nodes import run_node
from strategy.execute.program import End, Program, Routine, Step
from strategy.execute.ranks import Ranks
from strategy.execute.recall import recalled
from strategy.execute.scale import Scaled
from strategy.execute.shards import Shards
from strategy.execute.site import Site, as_tensor
from strategy.execute.values import (
    SPAN,
    Arrived,
    ContextPart,
    Copies,
    Ints,
    Ordering,
    RunError,
    Sent,
    Tensor,
    Tokens,
    Value,
    Written,
)
from strategy.model import ModelSpec
from strategy.strategy import Phase

Values = dict[str, Value]
MAX_COMPUTED = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """One execution of one block, told apart from all others."""

    phase: Phase
    step: int
    """Decode step, or chunk of the prompts."""
    index: int
    """Position in the phase's sequence of stamped blocks; boundaries share the index of the block after them."""
    block: str
    layer: int | None
    stage: int
    state: tuple[str, int | None] | None
    """The intermediate result of the reference that should leave the block."""
    is_head: bool = False


Observer = Callable[[Moment, Routine, Values], None]
"""Called after every block with the values of its nodes."""


@dataclass
class Runner:
    """One run of a program on one batch of prompts."""

    program: Program
    scaled: Scaled
    ranks: dict[Phase, Ranks]
    shards: dict[Phase, Shards]
    batch: Batch
    observe: Observer
    written: dict[tuple[End, int | None], list[Written]] = field(default_factory=dict)
    """What each kv_cache_update wrote, chunk after chunk and step after step."""
    sampled: dict[End, list[Tokens]] = field(default_factory=dict)
    writers: dict[tuple[Phase, int, int | None], End] = field(default_factory=dict)
    """Who wrote the cache of a layer in a step."""
    computed: int = 0
    moved: dict[int, Written] = field(default_factory=dict)
    """KV writes of prefill as decode holds them, by identity."""

    def run(self, steps: int) -> None:
        """Prefill, chunk after chunk, and `steps` decode steps. Raises RunError at the first node that cannot run."""
        for chunk in range(len(self.batch.chunk_ends)):
            self.forward("prefill", chunk)
        for step in range(steps):
            self.forward("decode", step)

    def forward(self, phase: Phase, step: int) -> None:
        """One pass through all stages; a chunk that does not end its prompt needs no head."""
        residual: Value | None = None
        stage = 0
        unfinished = phase == "prefill" and step + 1 < len(self.batch.chunk_ends)
        for index, use in enumerate(self.program.sequence[phase]):
            if unfinished and index == len(self.program.sequence[phase]) - 1:
                return
            while stage < use.stage:
                residual = self.cross(phase, step, index, stage, residual)
                stage += 1
            is_head = index == len(self.program.sequence[phase]) - 1
            moment = Moment(phase, step, index, use.block, use.layer, stage, use.state, is_head)
            residual = self.block(moment, self.program.routines[use.block], residual)

    def cross(self, phase: Phase, step: int, index: int, stage: int, residual: Value | None) -> Value:
        """The boundary between `stage` and the next one."""
        name = self.program.boundary[phase]
        if name is None:
            message = (
                f"{phase} has no boundary block: nothing takes the residual stream from stage {stage} to {stage + 1}"
            )
            raise RunError(message, node=f"{phase}.boundary")
        moment = Moment(phase, step, index, name, None, stage, self.program.sequence[phase][index - 1].state)
        routine = self.program.routines[name]
        if routine.output not in routine.received:
            raise RunError(
                f"the output stays on stage {stage}: it is not received", node=f"{phase}.{name}.{routine.output}"
            )
        return self.block(moment, routine, residual, crossing=True)

    def block(self, moment: Moment, routine: Routine, residual: Value | None, *, crossing: bool = False) -> Value:
        """One block: its nodes in order; what its output node yields."""
        values: Values = {} if residual is None else {RESIDUAL: residual}
        sites = [self.site(moment, moment.stage + offset) for offset in ((0, 1) if crossing else (0,))]
        for step in routine.steps:
            received = step.node.id in routine.received
            try:
                values[step.node.id] = self.node(moment, sites[-1 if received else 0], routine, step, values, crossing)
            except RunError as fault:
                stage = sites[-1 if received else 0].stage
                raise self.placed(fault, moment, stage, step.node.id) from None
        try:
            self.observe(moment, routine, values)
        except RunError as fault:
            raise self.placed(fault, moment, sites[-1].stage, routine.output) from None
        return values[routine.output]

    def placed(self, fault: RunError, moment: Moment, stage: int, node: str) -> RunError:
        """A fault with its node, layer and global ranks; without ranks of its own it concerns all ranks of the stage."""
        ranks = self.ranks[moment.phase]
        where = np.array(fault.ranks, dtype=np.int64) if fault.ranks else ranks.everyone
        reference = fault.node or f"{moment.phase}.{moment.block}.{node}"
        return RunError(str(fault), node=reference, layer=moment.layer, ranks=ranks.named(stage, where))

    def site(self, moment: Moment, stage: int) -> Site:
        """The surroundings of a block on a stage."""
        return Site(
            _sized(self.scaled.model, moment.layer),
            _sized(self.scaled.real_model, moment.layer),
            self.ranks[moment.phase],
            self.shards[moment.phase].at(moment.layer),
            newest(self.batch, moment.phase, moment.step),
            moment.phase,
            moment.step,
            stage,
            moment.layer,
        )

    def node(self, moment: Moment, site: Site, routine: Routine, step: Step, values: Values, crossing: bool) -> Value:
        """One node: gather what reaches it, run it, keep the state it leaves."""
        node, end = step.node, End(moment.phase, moment.block, step.node.id)
        if isinstance(node, Ingress):
            return self.ingress(site, node, end)
        if isinstance(node, Send | Recv):
            return self.hand_over(site, node, step.edges, values, crossing)
        if crossing and step.node.id in routine.received:
            _refuse_left_behind(step, routine)
        arrived = self.arrive(site, step.edges, values)
        if node.op == "attention":
            arrived.caches += self.linked_caches(moment, end)
            arrived.caches = list({id(written): written for written in arrived.caches}.values())
        value = run_node(site, node, arrived)
        self.spend(value)
        if isinstance(value, Written):
            value = owned_positions(value, site.ranks) if moment.phase == "decode" else value
            self.refuse_second_write(moment, end)
            self.written.setdefault((end, moment.layer), []).append(value)
        if node.op == "sample" and isinstance(value, Tokens):
            self.sampled.setdefault(end, []).append(value)
        return value

    def spend(self, value: Value) -> None:
        """Count the numbers computed so far, so that no document keeps the proof busy or fills the memory."""
        self.computed += value.data.size if isinstance(value, Tensor | Copies | ContextPart) else 0
        if self.computed > MAX_COMPUTED:
            raise RunError(f"the document computes more than {MAX_COMPUTED} numbers on the virtual ranks")

    def refuse_second_write(self, moment: Moment, end: End) -> None:
        """A token enters the cache of a layer once."""
        key = (moment.phase, moment.step, moment.layer)
        if key in self.writers:
            raise RunError(f"the cache of this layer already holds these tokens: `{self.writers[key].node}` wrote them")
        self.writers[key] = end

    def ingress(self, site: Site, node: Ingress, end: End) -> Tokens:
        """The prompts in prefill; in decode, the one token per sequence that a link brings."""
        if site.stage or site.layer is not None:
            raise RunError("token ids enter at the first stage, before the layers")
        if site.phase == "prefill":
            return prompt_tokens(self.batch, site.ranks, site.step)
        if node.tokens_per_sequence not in (None, 1):
            raise RunError(f"a decode step has one new token per sequence, not {node.tokens_per_sequence}")
        tokens = self.linked_tokens(site.step, end)
        own = own_sequences(self.batch, site.ranks, "decode", site.step)
        place, wrong = _places(tokens.rows, own)
        if wrong:
            raise RunError("each sequence needs exactly one sampled token", ranks=wrong)
        return Tokens(np.take_along_axis(tokens.ids, place, axis=1), newest_rows(self.batch, site.ranks, site.step))

    def linked_tokens(self, step: int, target: End) -> Tokens:
        """What the links bring to a decode ingress in this step."""
        found: dict[End, Tokens] = {}
        for wire in self.program.wires.get(target, []):
            if wire.kind != "data" or wire.loop != (step > 0):
                continue
            samples = self.sampled.get(wire.source)
            if samples is None:
                raise RunError(f"the link from `{'.'.join(wire.source)}` brings no sampled token")
            moves = wire.source.phase == "prefill" and not self.scaled.colocated
            found[wire.source] = self.moved_tokens(samples[-1]) if moves else samples[-1]
        if len(found) != 1:
            link = "loop link" if step else "link from prefill"
            raise RunError(f"decode step {step} needs the sampled tokens over exactly one {link}, got {len(found)}")
        tokens = next(iter(found.values()))
        ranks = self.ranks["decode"]
        return _told_by_scheduler(ranks, tokens) if step and splits_batch(ranks) else tokens

    def moved_tokens(self, tokens: Tokens) -> Tokens:
        """Sampled tokens of the prefill pool on the decode pool."""
        return reshard_tokens(tokens, own_sequences(self.batch, self.ranks["decode"], "decode", 0))

    def linked_caches(self, moment: Moment, target: End) -> list[Written]:
        """KV writes of this layer that links bring: from prefill, from earlier steps (loop), from this step."""
        found: list[Written] = []
        for wire in self.program.wires.get(target, []):
            if wire.kind != "sync":
                continue
            writes = self.written.get((wire.source, moment.layer), [])
            if wire.source.phase != moment.phase:
                found += [self.moved_cache(written, moment.layer) for written in writes]
            elif wire.loop:
                found += writes[: moment.step]
            else:
                found += writes[moment.step :]
        return found

    def moved_cache(self, written: Written, layer: int | None) -> Written:
        """A prefill write as the decode ranks hold it: what they keep of it where they wrote it themselves."""
        if id(written) not in self.moved:
            target, there = self.ranks["decode"], written
            if not self.scaled.colocated:
                model = _sized(self.scaled.model, layer)
                there = reshard_cache(model, written, target, replica_sequences(self.batch, target))
            self.moved[id(written)] = owned_positions(there, target)
        return self.moved[id(written)]

    def cache_so_far(self, site: Site, newest: Written) -> list[Written]:
        """All that a layer's cache holds once it has taken a write."""
        found: list[Written] = []
        for (end, layer), writes in self.written.items():
            if layer == site.layer:
                found += [self.moved_cache(w, layer) for w in writes] if end.phase != site.phase else writes
        return [*(written for written in found if written is not newest), newest]

    def arrive(self, site: Site, in_edges: tuple[Edge, ...], values: Values) -> Arrived:
        """What in-edges carry: data edges a value, sync edges the state of a KV cache (or only order)."""
        arrived = Arrived()
        for edge in in_edges:
            if edge.kind == "pipeline":
                raise RunError(f"a pipeline edge from `{edge.source}` leads to no recv")
            if edge.source not in values:
                raise RunError("reads `in`, but no residual stream enters this block")
            value = values[edge.source]
            if edge.kind == "sync":
                arrived.caches += [value] if isinstance(value, Written) else []
            elif isinstance(value, Ordering):
                raise RunError(f"`{edge.source}` is a {value.op}: it yields no tensor")
            elif isinstance(value, Written):
                arrived.data.append(cached_tensor(site, self.cache_so_far(site, value)))
            else:
                arrived.data.append(value)
        return arrived

    def hand_over(
        self, site: Site, node: Send | Recv, in_edges: tuple[Edge, ...], values: Values, crossing: bool
    ) -> Value:
        """A send keeps its tensor for the stage or the neighbour it names; a recv takes the tensor of its send."""
        if isinstance(node, Recv):
            return _received(in_edges, values, crossing)
        if crossing == (node.axis is not None):
            between = "between stages (`boundary`)" if node.axis is None else "inside a stage, not between stages"
            raise RunError(f"this send needs a block {between}")
        arrived = self.arrive(site, in_edges, values)
        if len(arrived.data) != 1:
            raise RunError(f"sends one tensor, got {len(arrived.data)}")
        if node.axis is None:
            return Sent("send", arrived.data[0], node.stage_offset or 1)
        if node.stage_offset is not None:
            raise RunError("a send goes round an axis, or stages ahead: not both")
        return Sent("send", pass_round(site, node.axis, as_tensor(arrived.data[0])), 0)


@recalled
def _places(rows: Ints, own: Ints) -> tuple[Ints, tuple[int, ...]]:
    """[ranks, n]: which row is of each of a rank's own sequences; and the ranks where not exactly one is."""
    matches = rows[:, None, :] // SPAN == own[:, :, None]
    wrong = (matches.sum(axis=2) != 1).any(axis=1)
    return matches.argmax(axis=2), tuple(int(rank) for rank in wrong.nonzero()[0])


def _told_by_scheduler(ranks: Ranks, tokens: Tokens) -> Tokens:
    """Tokens that any cp rank sampled: the scheduler hands a sequence and its newest token to another rank."""
    members = ranks.members("cp")[ranks.group_of("cp")]
    return Tokens(tokens.ids[members].reshape(ranks.count, -1), tokens.rows[members].reshape(ranks.count, -1))


def _refuse_left_behind(step: Step, routine: Routine) -> None:
    """A node behind a recv runs on the receiving stage and cannot read what stayed on the sending one."""
    for edge in step.edges:
        if edge.kind == "data" and edge.source not in routine.received:
            raise RunError(f"`{edge.source}` is on the sending stage; only what is received can be read here")


def _received(in_edges: tuple[Edge, ...], values: Values, crossing: bool) -> Value:
    """What the send on the other end of the pipeline edge handed over."""
    sent = [values[edge.source] for edge in in_edges if edge.kind == "pipeline"]
    if len(sent) != 1 or len(in_edges) != 1 or not isinstance(sent[0], Sent):
        raise RunError("a recv has one pipeline edge from its send, and no other input")
    if sent[0].stage_offset > 1:
        raise RunError(f"nothing arrives: the send goes {sent[0].stage_offset} stages ahead")
    assert crossing == (sent[0].stage_offset == 1)  # or the send had been refused
    return sent[0].value


def _sized(model: ModelSpec, layer: int | None) -> ModelSpec:
    """The model with the sizes of a layer."""
    return model if layer is None else model.at(layer)
