"""What every template node costs, for traces: sizes from the model, times from the cost model."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from strategy.calibration import Calibration
from strategy.cost import Server
from strategy.dag import Branch, Dag
from strategy.export.artifacts import Costs, NodeCost, NodeKey
from strategy.model import ModelSpec
from strategy.passes import PassTime, Pricer
from strategy.request import Precision, Problem
from strategy.strategy import Phase
from strategy.work import Flow, Load, Work, WorkContext, entry_flow, kv_elements, walk, work_context

PHASES: tuple[Phase, ...] = ("prefill", "decode")
DEFAULT_PROMPT_TOKENS = 1024
"""Length of the prompt in a trace of a plan that comes without a request."""


class Seen(NamedTuple):
    """A node of some equal layers, and what leaves it."""

    key: NodeKey
    op: str
    work: Work
    layers: int
    ctx: WorkContext


def node_sizes(dag: Dag, model: ModelSpec) -> Costs:
    """Bytes and FLOPs of every node for one prompt, and for a decode step of one sequence behind it; no times."""
    dtype = "bf16" if model.checkpoint.weights in ("fp32", "bf16") else model.checkpoint.weights
    precision = Precision(weights=dtype, activations="bf16", kv="bf16")
    loads = _loads(1.0, 1.0, DEFAULT_PROMPT_TOKENS, DEFAULT_PROMPT_TOKENS + 1)
    return {key: cost for phase in PHASES for key, cost in _sizes(dag, model, precision, phase, loads[phase]).items()}


def node_costs(dag: Dag, problem: Problem, calibration: Calibration) -> Costs:
    """The same with times, at the problem's operating point: one prompt, and one decode step of the sequences in flight."""
    server, work = Server(dag, problem, calibration), problem.workload
    pool = dag.strategy.pool_for("decode")
    point = server.curve(np.array([float(server.operating_point())]))
    batch = max(1.0, float(point.decode_batch[0]) / pool.microbatches)
    loads = _loads(1.0, batch, work.isl, work.isl + work.osl / 2)
    costs: dict[NodeKey, NodeCost] = {}
    for phase in PHASES:
        sizes = _sizes(dag, problem.model, problem.precision, phase, loads[phase])
        times = _micros(Pricer(dag, phase, problem, calibration).price(loads[phase]), dag, phase)
        costs |= {key: size._replace(micros=times.get(key, 0.0)) for key, size in sizes.items()}
    return costs


def _loads(prompts: float, batch: float, prompt_tokens: float, kv_tokens: float) -> dict[Phase, Load]:
    return {"prefill": Load(prompts, prompt_tokens, prompt_tokens), "decode": Load(batch, 1.0, kv_tokens)}


def _sizes(dag: Dag, model: ModelSpec, precision: Precision, phase: Phase, load: Load) -> Costs:
    ctx = work_context(model, precision, dag.strategy.pool_for(phase), phase, load)
    found: dict[NodeKey, list[Seen]] = {}
    for seen in _walked(dag, phase, ctx):
        found.setdefault(seen.key, []).append(seen)
    return {key: _mean(seens) for key, seens in found.items()}


def _walked(dag: Dag, phase: Phase, ctx: WorkContext) -> Iterator[Seen]:
    """Nodes of every block in the order of use, equal layers once."""
    flow = entry_flow(ctx)
    for names, layers, own in _stretches(dag.branch(phase), ctx):
        for name in names:
            block = dag.block(name)
            if block is None:
                continue
            after: Flow = flow
            for node, work in walk(block, flow, own):
                yield Seen(NodeKey(phase, name, node.id), node.op, work, layers, own)
                after = work.output if node.id == block.output else after
            flow = flow if layers == 0 else after


def _stretches(branch: Branch, ctx: WorkContext) -> Iterator[tuple[tuple[str, ...], int, WorkContext]]:
    """Blocks with the number of layers they stand for, by the sizes of these; 0 for the boundary, which leaves the stream as it is."""
    yield (branch.embed,), 1, ctx
    for stamp in branch.layers:
        for view, layers in ctx.model.by_size(range(*stamp.range)).items():
            yield stamp.blocks, len(layers), ctx.sized(view)
    if branch.boundary is not None:
        yield (branch.boundary,), 0, ctx
    yield (branch.head,), 1, ctx


def _mean(seens: list[Seen]) -> NodeCost:
    weights = [max(1, seen.layers) for seen in seens]

    def mean(values: list[float]) -> float:
        return float(np.average(values, weights=weights))

    return NodeCost(
        message_bytes=mean([float(seen.work.message_bytes) for seen in seens]),
        flops=mean([float(seen.work.flops) for seen in seens]),
        moved_bytes=mean([float(seen.work.weight_bytes + seen.work.io_bytes) for seen in seens]),
        output_bytes=mean([_output_bytes(seen) for seen in seens]),
    )


def _output_bytes(seen: Seen) -> float:
    """What leaves a node on one rank: the new entries of the cache, the state of a recurrence, or the tensor."""
    flow, ctx = seen.work.output, seen.ctx
    if seen.op == "kv_cache_update" and flow.rows != "sequence":
        return float(ctx.rows(flow) * kv_elements(ctx.model, ctx.tp_size) * ctx.kv_bytes)
    return float(ctx.bytes_of(flow))


def _micros(times: PassTime, dag: Dag, phase: Phase) -> dict[NodeKey, float]:
    """Mean microseconds of each node over the layers it stands for; a hand-over between stages is on its send."""
    totals: dict[NodeKey, tuple[float, float]] = {}
    for row, priced in enumerate(times.priced):
        key, count = NodeKey(phase, priced.block.name, priced.node.id), float(times.counts[row].sum())
        total, seen = totals.get(key, (0.0, 0.0))
        totals[key] = (total + count * 1e3 * float(times.node_ms[row, 0]), seen + count)
    micros = {key: total / seen for key, (total, seen) in totals.items() if seen}
    boundary = dag.branch(phase).boundary
    block = dag.block(boundary) if boundary is not None else None
    if block is not None:
        sends = [node.id for node in block.nodes if node.op == "send"]
        micros |= {NodeKey(phase, block.name, node): 1e3 * float(times.boundary_ms[0]) / len(sends) for node in sends}
    return micros
