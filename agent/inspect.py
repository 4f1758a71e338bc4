"""Questions about a plan that its own document answers: the DAG, who holds what, memory, where time goes."""

import re
from collections.abc import Callable, Iterable

from strategy.dag import Branch, Dag, edges
from strategy.mesh import coordinates
from strategy.result import Result
from strategy.strategy import Pool, Strategy, describe

MOST_OPS = 8
MOST_RANKS = 24
Answer = str | None


def inspect(text: str, result: Result) -> Answer:
    """The answer to a question about `result`'s plan, or None when it is no such question."""
    asked = text.lower()
    return next((answer for look in _LOOKS if (answer := look(asked, result)) is not None), None)


def outline(dag: Dag, phases: Iterable[str] = ("prefill", "decode")) -> str:
    """The DAG as people read it: what each branch stamps, then each block's nodes with their edges and axes."""
    lines: list[str] = []
    used: list[str] = []
    for phase in phases:
        branch = dag.branches.prefill if phase == "prefill" else dag.branches.decode
        lines.append(f"{phase}: {_stamped(branch)}")
        used += [
            branch.embed,
            *(b for stamp in branch.layers for b in stamp.blocks),
            *filter(None, [branch.boundary]),
            branch.head,
        ]
    for name in dict.fromkeys(used):
        block = dag.block(name)
        if block is None:
            continue
        lines.append(f"\n{name} -> {block.output}")
        for node in block.nodes:
            inputs = ", ".join(e.source if e.kind == "data" else f"{e.kind}:{e.source}" for e in edges(node))
            fields = {k: v for k, v in node.model_dump(exclude_none=True).items() if k not in ("id", "op", "inputs")}
            told = "".join(f" {k}={v}" for k, v in fields.items())
            lines.append(f"  {node.id} = {node.op}({inputs}){told}")
    return "\n".join(lines)


def _stamped(branch: Branch) -> str:
    parts = [branch.embed]
    for stamp in branch.layers:
        start, end = stamp.range
        parts.append(f"layers {start}-{end - 1} [{', '.join(stamp.blocks)}]")
    boundary = f" (between stages: {branch.boundary})" if branch.boundary else ""
    return " -> ".join([*parts, branch.head]) + boundary


def _dag(asked: str, result: Result) -> Answer:
    if result.dag is None or not re.search(r"\b(dag|graph|nodes?|blocks?)\b", asked) or "graphml" in asked:
        return None
    phases = [phase for phase in ("prefill", "decode") if phase in asked]
    return outline(result.dag, phases or ("prefill", "decode"))


def _holder_of_layer(asked: str, result: Result) -> Answer:
    match = re.search(r"\blayers?\s+#?(\d{1,5})\b", asked)
    if match is None or result.strategy is None:
        return None
    layer = int(match[1])
    lines = [_layer_in_pool(layer, pool, result.strategy) for pool in result.strategy.pools]
    if not any(lines):
        last = max(end for pool in result.strategy.pools for _, end in pool.stages) - 1
        return f"No rank holds layer {layer}: the model has layers 0 to {last}."
    return "\n".join(line for line in lines if line)


def _layer_in_pool(layer: int, pool: Pool, strategy: Strategy) -> str:
    stage = next((i for i, (start, end) in enumerate(pool.stages) if start <= layer < end), None)
    if stage is None:
        return ""
    ranks = [c.rank for c in coordinates(pool, first_rank=strategy.first_rank(pool)) if c.pp == stage]
    start, end = pool.stages[stage]
    each = "" if pool.replicas == 1 else f", in each of {pool.replicas} replicas"
    return (
        f"Pool `{pool.name}`: layer {layer} is in stage {stage} (layers {start} to {end - 1}), on ranks {_ranks(ranks)}{each}; "
        f"a stage is {pool.width} ranks ({describe(pool)})."
    )


def _holder_of_expert(asked: str, result: Result) -> Answer:
    match = re.search(r"\bexperts?\s+#?(\d{1,5})\b", asked)
    if match is None or result.strategy is None or result.dag is None:
        return None
    from knowledge.resolve import resolve_model

    expert, model = int(match[1]), resolve_model(result.dag.model)
    of = re.search(r"\blayers?\s+#?(\d{1,5})\b", asked)
    layer = None if of is None else int(of[1])
    if model.moe is None or any(pool.experts is None for pool in result.strategy.pools):
        return f"`{model.name}` is dense: it has no experts."
    if expert >= model.moe.num_experts:
        return f"No rank holds expert {expert}: `{model.name}` has experts 0 to {model.moe.num_experts - 1}."
    experts_in = [one for one in range(model.num_layers) if model.ffn_kind(one) == "moe"]
    if layer is not None and layer not in experts_in:
        return f"Layer {layer} of `{model.name}` has no experts; {len(experts_in)} of its {model.num_layers} layers have, the first is layer {experts_in[0]}."
    pools = result.strategy.pools
    return "\n".join(
        _expert_in_pool(expert, layer, pool, model.moe.num_experts, result.strategy.first_rank(pool)) for pool in pools
    )


def _expert_in_pool(expert: int, layer: int | None, pool: Pool, num_experts: int, first_rank: int) -> str:
    """Who holds an expert of one layer, or of every layer: each stage has the experts of its own layers."""
    assert pool.experts is not None
    each = (num_experts + pool.redundant_experts) // pool.experts.ep_size
    slots = [expert, *([num_experts + expert] if expert < pool.redundant_experts else [])]
    groups = sorted({slot // each for slot in slots})
    told = []
    for stage, (start, end) in enumerate(pool.stages):
        if layer is None or start <= layer < end:
            held = [c.rank for c in coordinates(pool, first_rank=first_rank) if c.ep in groups and c.pp == stage]
            of = f" of layers {start} to {end - 1}" if layer is None and pool.pp_size > 1 else ""
            told.append(f"ranks {_ranks(held)}{of}")
    which = "every MoE layer" if layer is None else f"layer {layer}"
    split = f", each 1/{pool.experts.tp_size} of its width" if pool.experts.tp_size > 1 else ""
    copies = ", where engines put its second copy by load" if len(slots) > 1 else ""
    return (
        f"Pool `{pool.name}`: expert {expert} of {which} is on ep rank {' and '.join(map(str, groups))}, that is "
        f"{', '.join(told)}{split} ({each} experts a rank{copies})."
    )


def _stage(asked: str, result: Result) -> Answer:
    match = re.search(r"\bstage\s+#?(\d{1,4})\b", asked)
    if match is None or result.strategy is None:
        return None
    stage, lines = int(match[1]), []
    for pool in result.strategy.pools:
        if stage < pool.pp_size:
            start, end = pool.stages[stage]
            held = [c.rank for c in coordinates(pool, first_rank=result.strategy.first_rank(pool)) if c.pp == stage]
            lines.append(f"Pool `{pool.name}`: stage {stage} (layers {start} to {end - 1}) is on ranks {_ranks(held)}.")
    most = max(pool.pp_size for pool in result.strategy.pools)
    return (
        "\n".join(lines)
        or f"There is no stage {stage}: the plan has {most} stage{'s, 0 to ' + str(most - 1) if most > 1 else ''}."
    )


def _rank(asked: str, result: Result) -> Answer:
    match = re.search(r"\b(?:rank|gpu)\s+#?(\d{1,6})\b", asked)
    if match is None or result.strategy is None:
        return None
    number = int(match[1])
    for pool in result.strategy.pools:
        place = next(
            (c for c in coordinates(pool, first_rank=result.strategy.first_rank(pool)) if c.rank == number), None
        )
        if place is not None:
            start, end = pool.stages[place.pp]
            experts = (
                f"; experts dp {place.moe_dp}, ep {place.ep}, tp {place.moe_tp}" if pool.experts is not None else ""
            )
            return (
                f"Rank {number}: pool `{pool.name}`, replica {place.replica}, stage {place.pp} (layers {start} to {end - 1}); attention "
                f"dp {place.dp}, cp {place.cp}, tp {place.tp}{experts}."
            )
    return f"There is no rank {number}: the plan has ranks 0 to {result.strategy.world_size - 1}."


def _memory(asked: str, result: Result) -> Answer:
    if result.estimate is None or not re.search(
        r"\bmemory|\bvram\b|\bkv (?:cache )?(?:room|size)\b|\bfit\b|\bhow many (?:\w+ ){0,2}?(?:users|requests|sessions|chats|people)\b|\bmax(?:imum)? (?:concurrency|users|load)\b",
        asked,
    ):
        return None
    m = result.estimate.memory_gb
    return (
        f"The fullest GPU: weights {m.weights:.1f} GB, KV {m.kv:.1f}, activations {m.activations:.1f}, other {m.other:.1f}: "
        f"{m.total:.1f} of {m.capacity:.1f} GB. KV room for {result.estimate.max_concurrency:,} requests at once."
    )


def _time(asked: str, result: Result) -> Answer:
    if result.estimate is None or not re.search(
        r"\b(breakdown|bottleneck|where (?:does|is) the time|timeline|slow|slowest|expensive)\b", asked
    ):
        return None
    phases = [phase for phase in ("prefill", "decode") if phase in asked] or ["prefill", "decode"]
    lines = [f"Bottleneck: {result.estimate.bottleneck}."]
    for phase in phases:
        shares = sorted((s for s in result.estimate.breakdown if s.phase == phase), key=lambda s: -s.ms)[:MOST_OPS]
        lines += [f"{phase}: " + ", ".join(f"{s.op} {s.ms:.2f} ms ({s.kind})" for s in shares)] if shares else []
    return "\n".join(lines)


def _numbers(asked: str, result: Result) -> Answer:
    if result.estimate is None or not re.search(
        r"\b(ttft|tpot|throughput|latency|numbers|estimate|performance)\b", asked
    ):
        return None
    e = result.estimate
    return (
        f"TTFT {e.ttft_ms:.0f} ms, TPOT {e.tpot_ms:.1f} ms, {e.tokens_per_s_per_gpu:.0f} tokens/s/GPU, {e.requests_per_s:.2f} requests/s "
        f"with {e.concurrency} in flight on {e.gpus} GPUs; bottleneck: {e.bottleneck}."
    )


def _alternatives(asked: str, result: Result) -> Answer:
    if not re.search(r"\b(alternatives?|other options?|what else|pareto|runner[- ]?ups?)\b", asked):
        return None
    lines = [
        f"{n}. {a.summary}: TTFT {a.estimate.ttft_ms:.0f} ms, TPOT {a.estimate.tpot_ms:.1f} ms, {a.estimate.tokens_per_s_per_gpu:.0f} "
        f"tokens/s/GPU; lost: {a.reason}"
        for n, a in enumerate(result.alternatives, 1)
    ]
    return "\n".join(lines) or "No alternative was worth keeping."


def _lists(asked: str, result: Result) -> Answer:
    """Assumptions, findings, the proof, the request, the strategy."""
    if re.search(r"\bassum", asked):
        return "\n".join(f"- {a}" for a in result.assumptions) or "Nothing was assumed."
    if re.search(r"\b(findings?|warnings?|violations?|errors?)\b", asked):
        return (
            "\n".join(f"{f.severity} {f.code} {f.path}: {f.message} ({f.hint})" for f in result.report.findings)
            or "No findings."
        )
    if re.search(r"\bpro(?:of|ved|ven)\b", asked) and result.proof is not None:
        p = result.proof
        return f"The DAG ran on {p.ranks} virtual ranks, {p.sequences} sequences, prefill and {p.steps} decode steps; largest difference from one device {p.max_abs_error:.1e}."
    if re.search(r"\b(strategy|degrees|layout|pools?|plan)\b", asked) and result.strategy is not None:
        return "\n".join(
            f"{pool.name}: {describe(pool)}, stages {[list(s) for s in pool.stages]}" for pool in result.strategy.pools
        )
    if re.search(r"\brequest\b", asked) and result.request is not None:
        return result.request.model_dump_json(exclude_unset=True, indent=1)
    return None


def _ranks(ranks: list[int]) -> str:
    """Ranks as runs: `0-7, 16-23`."""
    runs: list[list[int]] = []
    for rank in sorted(ranks):
        if runs and rank == runs[-1][1] + 1:
            runs[-1][1] = rank
        else:
            runs.append([rank, rank])
    told = [f"{a}-{b}" if a != b else f"{a}" for a, b in runs]
    return ", ".join(told[:MOST_RANKS]) + (", ..." if len(told) > MOST_RANKS else "")


_LOOKS: tuple[Callable[[str, Result], Answer], ...] = (
    _dag, _holder_of_expert, _holder_of_layer, _stage, _rank, _memory, _time, _alternatives, _numbers, _lists,
)  # fmt: skip
