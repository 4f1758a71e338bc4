"""The document read as a program: blocks in execution order, links resolved, every layer accounted for on the real ranges."""

from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from strategy.dag import RESIDUAL, AnyNode, Block, Branch, Dag, Edge, Link, edges
from strategy.execute.values import RunError
from strategy.model import ModelSpec
from strategy.strategy import Phase, Pool

MAX_LAYERS = 20_000
MAX_EXECUTIONS = 60_000
"""Node executions of one proof; a document that needs more is refused."""
LAYERS_EACH = 2
"""Layers that run for each different (likeness, stage, kind) of a layer."""


@dataclass(frozen=True, slots=True)
class Step:
    """A node with its in-edges parsed."""

    node: AnyNode
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Routine:
    """A block in an order in which it can run."""

    name: str
    output: str
    steps: tuple[Step, ...]
    ids: frozenset[str]
    received: frozenset[str]
    """Nodes at or after a recv: they run on the receiving stage."""


class Stamped(NamedTuple):
    """One use of a block, with the stage that runs it."""

    block: str
    layer: int | None
    stage: int
    state: tuple[str, int | None] | None = None
    """What should leave it: the name and layer of an intermediate result of the reference, where there is one."""


class End(NamedTuple):
    """One end of a link."""

    phase: Phase
    block: str
    node: str


@dataclass(frozen=True, slots=True)
class Wire:
    """A link with both ends resolved."""

    source: End
    target: End
    kind: str
    loop: bool


@dataclass
class Program:
    """What runs: routines by block name, and per phase the sequence of stamped blocks."""

    routines: dict[str, Routine]
    sequence: dict[Phase, tuple[Stamped, ...]]
    boundary: dict[Phase, str | None]
    layers: tuple[int, ...]
    """Layers that run; they stand for all layers of the same kind."""
    wires: dict[End, list[Wire]]
    """Links by target."""


def read_program(dag: Dag, model: ModelSpec, pools: dict[Phase, Pool], steps: int) -> Program:
    """Check what can be checked without numbers and lay the program out. Raises RunError for what cannot run."""
    if model.num_layers > MAX_LAYERS:
        raise RunError(f"{model.num_layers} layers are more than the proof can account for ({MAX_LAYERS})")
    routines = _routines(dag)
    owners = {phase: _owners(pool, model.num_layers) for phase, pool in pools.items()}
    stamped = {phase: _layer_blocks(dag.branch(phase), phase, model.num_layers) for phase in pools}
    wires = _wires(dag, routines, stamped)
    layers = _chosen_layers(model, _likenesses(routines, stamped, wires), owners)
    sequence = {
        phase: _sequence(dag.branch(phase), routines, stamped[phase], layers, owners[phase], pools[phase])
        for phase in pools
    }
    _bound_work(routines, sequence, steps)
    boundary = {phase: _boundary(dag, phase, routines) for phase in pools}
    return Program(routines, sequence, boundary, layers, wires)


def _routines(dag: Dag) -> dict[str, Routine]:
    found: dict[str, Routine] = {}
    for block in dag.blocks:
        if block.name in found:
            raise RunError(f"two blocks are named `{block.name}`", node=block.name)
        found[block.name] = _routine(block)
    return found


def _routine(block: Block) -> Routine:
    """Kahn's order over all in-edges, ordering ones included."""
    parsed = {node.id: Step(node, tuple(edges(node))) for node in block.nodes}
    if len(parsed) < len(block.nodes):
        raise RunError(f"two nodes of block `{block.name}` share an id", node=block.name)
    readers: dict[str, list[str]] = {node_id: [] for node_id in parsed}
    waiting = {}
    for node_id, step in parsed.items():
        sources = {edge.source for edge in step.edges if edge.source != RESIDUAL}
        for source in sources:
            if source not in readers:
                raise RunError(f"input `{source}` is no node of block `{block.name}`", node=f"{block.name}.{node_id}")
            readers[source].append(node_id)
        waiting[node_id] = len(sources)
    ready = [node_id for node_id, count in waiting.items() if not count]
    for node_id in ready:
        for reader in readers[node_id]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if len(ready) < len(parsed):
        stuck = next(node_id for node_id in parsed if node_id not in set(ready))
        raise RunError(f"block `{block.name}` has a cycle", node=f"{block.name}.{stuck}")
    if block.output not in parsed:
        raise RunError(
            f"output `{block.output}` is no node of block `{block.name}`", node=f"{block.name}.{block.output}"
        )
    steps = tuple(parsed[node_id] for node_id in ready)
    return Routine(block.name, block.output, steps, frozenset(parsed), _received(steps))


def _received(steps: tuple[Step, ...]) -> frozenset[str]:
    after: set[str] = set()
    for step in steps:
        if step.node.op == "recv" or any(edge.source in after for edge in step.edges):
            after.add(step.node.id)
    return frozenset(after)


def _owners(pool: Pool, num_layers: int) -> list[int]:
    """The stage of every layer. Raises RunError when stages leave one out, share one, or are not pp_size many."""
    if len(pool.stages) != pool.pp_size:
        raise RunError(f"pool `{pool.name}` has pp_size={pool.pp_size} and {len(pool.stages)} stages", node="strategy")
    owners: list[int] = []
    for stage, (start, end) in enumerate(pool.stages):
        if start != len(owners) or not start <= end <= num_layers:
            said = f"stage {stage} of pool `{pool.name}` holds layers {start} to {end - 1}"
            raise RunError(
                f"{said}; it must start at layer {len(owners)} and end below {num_layers}", node="strategy", layer=start
            )
        owners += [stage] * (end - start)
    if len(owners) != num_layers:
        raise RunError(f"no stage of pool `{pool.name}` holds layer {len(owners)}", node="strategy", layer=len(owners))
    return owners


def _layer_blocks(branch: Branch, phase: Phase, num_layers: int) -> list[tuple[str, ...]]:
    """The blocks of every layer. Raises RunError unless the ranges run through 0 .. num_layers - 1 once and in order."""
    found: list[tuple[str, ...]] = []
    for stamp in branch.layers:
        start, end = stamp.range
        if start == end:
            continue
        if start != len(found) or not start < end <= num_layers:
            wanted = f"layer {len(found)}" if len(found) < num_layers else "the head"
            message = f"range [{start}, {end}] follows {len(found)} layers of {phase}: next must come {wanted}"
            raise RunError(message, node=".".join((phase, *stamp.blocks[:1])), layer=min(start, len(found)))
        found += [stamp.blocks] * (end - start)
    if len(found) != num_layers:
        raise RunError(
            f"{phase} ends after layer {len(found) - 1}, the model has {num_layers}", node=f"{phase}", layer=len(found)
        )
    return found


def _likenesses(
    routines: dict[str, Routine], stamped: dict[Phase, list[tuple[str, ...]]], wires: dict[End, list[Wire]]
) -> list[object]:
    """Per layer, what it computes: the same for two layers whose blocks and links between them differ in names alone."""
    numbers: dict[object, int] = {}
    shapes = {name: numbers.setdefault(_shape(routine), len(numbers)) for name, routine in routines.items()}
    by_source: dict[tuple[Phase, str], list[Wire]] = {}
    for wire in (wire for several in wires.values() for wire in several):
        by_source.setdefault((wire.source.phase, wire.source.block), []).append(wire)
    known: dict[object, object] = {}
    found = []
    for blocks in zip(*stamped.values(), strict=True):
        if blocks not in known:
            uses = {
                (phase, name): index
                for phase, names in zip(stamped, blocks, strict=True)
                for index, name in enumerate(names)
            }
            inside = frozenset(
                (_place(wire.source, uses, routines), _place(wire.target, uses, routines), wire.kind, wire.loop)
                for use in uses
                for wire in by_source.get(use, [])
                if wire.target[:2] in uses
            )
            known[blocks] = tuple(tuple(shapes.get(name, name) for name in names) for names in blocks), inside
        found.append(known[blocks])
    return found


def _shape(routine: Routine) -> object:
    """A block without its names."""
    places = {RESIDUAL: -1, **{step.node.id: index for index, step in enumerate(routine.steps)}}
    nodes = tuple(
        (
            tuple(value for name, value in step.node.__dict__.items() if name not in ("id", "inputs")),
            tuple((places[edge.source], edge.kind) for edge in step.edges),
        )
        for step in routine.steps
    )
    return nodes, places[routine.output]


def _place(end: End, uses: dict[tuple[Phase, str], int], routines: dict[str, Routine]) -> tuple[Phase, int, int]:
    """One end of a link without names: phase, position of the block in the layer, position of the node in the block."""
    nodes = [step.node.id for step in routines[end.block].steps]
    return end.phase, uses[end.phase, end.block], nodes.index(end.node)


def _chosen_layers(model: ModelSpec, likenesses: list[object], owners: dict[Phase, list[int]]) -> tuple[int, ...]:
    """Layers that stand for all: the first few of each (likeness, stages, kinds, window). Others are run by the same program."""
    windowed = frozenset(model.window.layers) if model.window else frozenset()
    seen: dict[object, int] = {}
    chosen = []
    for layer in range(model.num_layers):
        kind = (
            likenesses[layer],
            *(stages[layer] for stages in owners.values()),
            layer in windowed,
            *model.layer_kind(layer),
            model.at(layer) if model.layer_shapes else None,
        )
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= LAYERS_EACH:
            chosen.append(layer)
    return tuple(chosen)


def _sequence(
    branch: Branch,
    routines: dict[str, Routine],
    stamped: list[tuple[str, ...]],
    layers: tuple[int, ...],
    owners: list[int],
    pool: Pool,
) -> tuple[Stamped, ...]:
    found = [Stamped(branch.embed, None, 0, ("embedding", None))]
    for layer in layers:
        blocks = stamped[layer]
        found += [
            Stamped(name, layer, owners[layer], _state(index, len(blocks), layer)) for index, name in enumerate(blocks)
        ]
    found.append(Stamped(branch.head, None, pool.pp_size - 1))
    for use in found:
        if use.block not in routines:
            raise RunError(f"no block is named `{use.block}`", node=use.block, layer=use.layer)
    return tuple(found)


def _state(index: int, count: int, layer: int) -> tuple[str, int | None] | None:
    """The residual stream after a block of a layer, known at the end of the layer and between the usual two blocks."""
    if index == count - 1:
        return "after_ffn", layer
    return ("after_attention", layer) if count == 2 else None


def _boundary(dag: Dag, phase: Phase, routines: dict[str, Routine]) -> str | None:
    name = dag.branch(phase).boundary
    if name is not None and name not in routines:
        raise RunError(f"no block is named `{name}`", node=name)
    return name


def _bound_work(routines: dict[str, Routine], sequence: dict[Phase, tuple[Stamped, ...]], steps: int) -> None:
    nodes = {phase: sum(len(routines[use.block].steps) for use in uses) for phase, uses in sequence.items()}
    total = nodes["prefill"] + steps * nodes["decode"]
    if total > MAX_EXECUTIONS:
        raise RunError(f"the proof would execute {total} nodes, more than {MAX_EXECUTIONS}")


def _wires(
    dag: Dag, routines: dict[str, Routine], stamped: dict[Phase, list[tuple[str, ...]]]
) -> dict[End, list[Wire]]:
    """Links by target."""
    names: dict[Phase, frozenset[str]] = {}
    for phase, layers in stamped.items():
        branch = dag.branch(phase)
        names[phase] = frozenset({branch.embed, branch.head, branch.boundary or "", *chain(*layers)})
    found: dict[End, list[Wire]] = {}
    for link in dag.links:
        wire = _wire(link, routines, names)
        found.setdefault(wire.target, []).append(wire)
    return found


def _wire(link: Link, routines: dict[str, Routine], stamped: dict[Phase, frozenset[str]]) -> Wire:
    source, target = _end(link.source, routines, stamped), _end(link.target, routines, stamped)
    backwards = source.phase == "decode" and target.phase == "prefill"
    if backwards or (link.loop and source.phase != target.phase):
        raise RunError(
            f"a link from {link.source} to {link.target} (loop: {link.loop}) runs against time", node=link.source
        )
    return Wire(source, target, link.kind, link.loop)


def _end(text: str, routines: dict[str, Routine], stamped: dict[Phase, frozenset[str]]) -> End:
    """`branch.block.node`, where the branch stamps the block and the block has the node."""
    parts = text.split(".")
    if len(parts) != 3 or parts[0] not in ("prefill", "decode"):
        raise RunError(f"link end `{text[:80]}` is not prefill|decode.block.node", node=text[:80])
    phase: Phase = "prefill" if parts[0] == "prefill" else "decode"
    if parts[1] not in stamped[phase]:
        raise RunError(f"link end `{text}`: {phase} stamps no block `{parts[1]}`", node=text)
    if parts[2] not in routines[parts[1]].ids:
        raise RunError(f"link end `{text}`: block `{parts[1]}` has no node `{parts[2]}`", node=text)
    return End(phase, parts[1], parts[2])
