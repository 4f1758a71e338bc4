"""AIConfigurator's answer as ours: the same quantities in the same units, and which of its times come from measured tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from knowledge.aiconfigurator.package import NAME, Package, ask, engine_version, model_path
from knowledge.aiconfigurator.question import Question, question
from strategy.hardware import GpuSpec
from strategy.request import Problem
from strategy.result import PeerEstimate, PeerOp
from strategy.strategy import Phase, Strategy

_GIB = 1.073741824
"""10^9 bytes: its memory is in powers of two."""
_PASSES: Mapping[str, Phase] = {
    "prefill": "prefill",
    "decode": "decode",
    "mix_step": "prefill",
    "genonly_step": "decode",
}
"""Its kinds of passes: with one pool, prompts are computed in passes that decode as well."""
_UNMEASURED = 0.05
"""Share of a phase's time from formulas that is worth saying."""


def priced(
    package: Package,
    problem: Problem,
    strategy: Strategy,
    gpu: GpuSpec,
    concurrency: int,
    *,
    names: Sequence[str],
    config: Mapping[str, Any] | None,
    version: str | None = None,
) -> PeerEstimate:
    """What AIConfigurator says of `strategy` with `concurrency` requests in flight.

    `gpu` is the catalogue's record, `names` and `config` the model's ids and config.json, `version` one of the engine. Raises `InputError`
    that names what it does not know.
    """
    asked = question(problem, strategy, gpu, concurrency)
    chosen = engine_version(package, asked.system, asked.engine, version)
    path = model_path(package, names, config)
    return read(ask(package, path, asked.system, asked.engine, chosen, asked.fields), asked, package, chosen)


def read(said: Any, asked: Question, package: Package, version: str) -> PeerEstimate:
    """Its result object in our words; requests and rates are those of all replicas."""
    raw = said.raw
    ops = tuple(_ops(said, int(asked.fields["osl"])))
    warned = (said.kv_cache_warning,) if said.kv_cache_warning else ()
    return PeerEstimate(
        cost_backend=NAME,
        version=package.version,
        tables=f"{asked.system}, {asked.engine} {version}",
        ttft_ms=float(said.ttft),
        tpot_ms=float(said.tpot),
        tokens_per_s_per_gpu=float(raw["tokens/s/gpu"]),
        requests_per_s=float(raw["seq/s"]) * asked.replicas,
        gpus=int(raw["num_total_gpus"]) * asked.replicas,
        concurrency=int(raw["concurrency"]) * asked.replicas,
        memory_gb=_memory(raw),
        breakdown=ops,
        notes=(*asked.notes, *_modes(raw), *_unmeasured(ops), *warned),
    )


def _memory(raw: Mapping[str, Any]) -> float:
    """10^9 bytes on the fullest GPU."""
    return _GIB * max(float(raw[name]) for name in ("memory", "(p)memory", "(d)memory") if name in raw)


def _ops(said: Any, osl: int) -> Iterator[PeerOp]:
    """Milliseconds of every op in one pass; two pools tell decode over the whole output."""
    steps = max(osl - 1, 1) if said.mode == "disagg" else 1
    for kind, phase in _PASSES.items():
        sources = (said.per_ops_source or {}).get(kind, {})
        for op, ms in ((said.per_ops_data or {}).get(kind) or {}).items():
            share = float(ms) / (steps if phase == "decode" else 1)
            if share > 0:
                yield PeerOp(phase=phase, op=op, ms=share, source=str(sources.get(op, "unknown")))


def _modes(raw: Mapping[str, Any]) -> Iterator[str]:
    """Precisions that it computed in."""
    sides = ("",) if "gemm" in raw else ("(p)", "(d)")
    told = dict.fromkeys(
        f"matrices {raw[f'{side}gemm']}, experts {raw[f'{side}moe']}, cache {raw[f'{side}kvcache']}, attention {raw[f'{side}fmha']}"
        for side in sides
    )
    yield f"priced with {' and '.join(told)}"


def _unmeasured(ops: Sequence[PeerOp]) -> Iterator[str]:
    """How much of a phase comes from formulas rather than from tables."""
    phases: tuple[Literal["prefill", "decode"], ...] = ("prefill", "decode")
    for phase in phases:
        total = sum(op.ms for op in ops if op.phase == phase)
        formulas = sum(op.ms for op in ops if op.phase == phase and op.source in ("empirical", "sol", "estimated"))
        if total and formulas / total > _UNMEASURED:
            yield f"{formulas / total:.0%} of its {phase} time comes from formulas, not from measured tables"
