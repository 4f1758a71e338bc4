"""The calibration folder's serving points as problems and strategies, with what was measured.

Two columns of the source do not say what they seem to. A layout whose attention or expert widths multiply to the square of the real one
(tp 64, experts 8 x 8 on eight GPUs) repeats measurements that the same source lists under the real layout: it is read as the real one.
Where tp and attention dp are equal and the experts their product (4, 4, 16), vLLM's measurements up to 2026-04-03 repeat those of tp
and ep alone to 1 %, the size of the cache included; later ones, and other engines', differ from them as DP attention does.
The type of the KV cache and the lowering of expert parallelism are not stated: they are those that a request and a strategy get that leave
them open. Nor are the sequences that a launch file let run at once (`slots`): TensorRT-LLM's files for pools that decode hold powers of two,
and the largest load of a series, where it is none, is a little more than they hold.
"""

import csv
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knowledge.catalogue import find_gpu, find_model
from knowledge.completion import engine_lowering, even_stages
from knowledge.resolve import resolve
from strategy.errors import MeshwrightError
from strategy.model import Dtype, ModelSpec
from strategy.request import ClusterRequest, Engine, PrecisionRequest, Problem, Request, Workload
from strategy.strategy import AttentionMesh, ExpertMesh, Phase, Pool, Strategy

Row = Mapping[str, str]

_ENGINES: dict[str, Engine] = {"vllm": "vllm", "sglang": "sglang", "trtllm": "trtllm"}
_WEIGHTS: dict[str, Dtype] = {"fp8": "fp8", "fp4": "nvfp4", "bf16": "bf16", "int4": "int4"}
_DEGREES = ("tp_size", "pp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
WIDEST_TP = 16
"""Wider colocated layouts in the source are the GPU totals of disaggregated deployments."""
LAST_WITHOUT_DP = "2026-04-03"
"""Date up to which vLLM rows that name DP attention were measured without it."""


class UnusableRowError(Exception):
    """A row that cannot be priced; the message is the reason that is counted."""


@dataclass(frozen=True)
class Degrees:
    """One pool's layout as the source means it."""

    tp: int
    pp: int
    dp: int
    moe_tp: int
    ep: int
    corrected: bool = False


@dataclass(frozen=True)
class Point:
    """One measured serving point."""

    problem: Problem
    strategy: Strategy
    concurrency: float
    ttft_ms: float
    tpot_ms: float
    family: str
    """Models of the same shapes and weights count as one."""
    corrected: bool
    slots: float = math.inf
    """Requests that the launch file lets run at once, where it is known to be less than what is in flight."""

    @property
    def gpu(self) -> str:
        """Key of the GPU."""
        return self.problem.cluster.gpu.key

    @property
    def engine(self) -> Engine:
        """The engine that served."""
        assert self.problem.engine is not None
        return self.problem.engine

    @property
    def weights(self) -> Dtype:
        """Type of the weights."""
        return self.problem.precision.weights

    @property
    def serving(self) -> str:
        """Colocated or disaggregated."""
        return "disaggregated" if self.strategy.disaggregated else "colocated"

    @property
    def layout(self) -> str:
        """The pools' meshes, as a key."""
        pools = [
            (p.replicas, p.pp_size, p.attention.dp_size, p.attention.tp_size, p.experts) for p in self.strategy.pools
        ]
        return str(pools)

    @property
    def traffic(self) -> tuple[int, int]:
        """Prompt and output tokens."""
        return self.problem.workload.isl, self.problem.workload.osl

    @property
    def deployment(self) -> tuple[str, ...]:
        """What was served on what, layout aside."""
        return self.family, self.gpu, self.engine, self.weights, str(self.traffic)

    @property
    def group(self) -> tuple[str, ...]:
        """The configuration: rows of one group differ in concurrency alone, and are held out together."""
        return *self.deployment, self.layout

    @property
    def output_tokens_per_s(self) -> float:
        """By Little's law."""
        osl = self.problem.workload.osl
        return 1e3 * self.concurrency * osl / (self.ttft_ms + self.tpot_ms * (osl - 1))


@dataclass(frozen=True)
class Points:
    """Everything read, and why the rest was not."""

    points: tuple[Point, ...]
    left_out: Counter[str]


def read_points(folder: Path) -> Points:
    """Every usable row of `end_to_end.csv`; repeats of one measurement under several names count once."""
    points: list[Point] = []
    launches: list[tuple[str, ...]] = []
    left_out: Counter[str] = Counter()
    seen: set[tuple[str, ...]] = set()
    with (folder / "end_to_end.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                point = read_point(row)
            except UnusableRowError as reason:
                left_out[str(reason)] += 1
                continue
            key = (*point.group, f"{point.concurrency:g}", f"{point.ttft_ms:.2g}", f"{point.tpot_ms:.3g}")
            if key in seen:
                left_out["repeats a measurement"] += 1
            else:
                seen.add(key)
                points.append(point)
                launches.append((*point.group, row["measured_on"], row.get("backend_version", "")))
    return Points(tuple(with_slots(points, launches)), left_out)


def with_slots(points: Sequence[Point], launches: Sequence[tuple[str, ...]]) -> list[Point]:
    """The points with what their launch files hold; points of one launch are a series of loads on one deployment.

    Only columns that state the load are looked at, never a measurement. Where attention replicas share a decoding worker the loads of series
    end at other numbers, and nothing is said.
    """
    series: dict[tuple[str, ...], list[int]] = {}
    for row, launch in enumerate(launches):
        series.setdefault(launch, []).append(row)
    found = list(points)
    for rows in series.values():
        last = max(rows, key=lambda row: points[row].concurrency)
        workers = decoding_workers(points[last])
        if workers:
            each = points[last].concurrency / workers
            held = 2.0 ** math.floor(math.log2(max(each, 1.0)))
            found[last] = replace(points[last], slots=held * workers) if held < each else points[last]
    return found


def decoding_workers(point: Point) -> int:
    """Workers of a TensorRT-LLM pool that does nothing but decode on one attention replica each; 0 for every other deployment."""
    pool = point.strategy.pool_for("decode")
    alone = point.engine == "trtllm" and point.strategy.disaggregated and pool.attention.dp_size == 1
    return pool.replicas if alone else 0


def read_point(row: Row) -> Point:
    """One row as a point. Raises `UnusableRowError`."""
    if not row["concurrency"]:
        raise UnusableRowError("no concurrency stated")
    model, gpu = _model(row["model_path"]), find_gpu(row["system"])
    weights = _weights(row, model)
    layouts, strategy = _strategy(row, model)
    world = strategy.world_size
    per_host = min(world, gpu.gpus_per_host)
    request = Request(
        model=model.name,
        cluster=ClusterRequest(gpu=gpu.key, gpus_per_host=per_host, hosts=-(-world // per_host)),
        workload=Workload(isl=_number(row["isl"]), osl=_number(row["osl"])),
        precision=PrecisionRequest(weights=weights),
        engine=_ENGINES[row["backend"]],
    )
    return Point(
        problem=resolve(request).problem,
        strategy=strategy,
        concurrency=float(row["concurrency"]),
        ttft_ms=float(row["silicon_ttft_ms"]),
        tpot_ms=float(row["silicon_tpot_ms"]),
        family=_family(row["model_path"]),
        corrected=any(layout.corrected for layout in layouts),
    )


def _family(path: str) -> str:
    name = path.rpartition("/")[2].lower()
    return "deepseek-v3" if name.startswith("deepseek") else name.removesuffix("-fp8").removesuffix("-instruct")


def _model(path: str) -> ModelSpec:
    try:
        return find_model(path)
    except MeshwrightError:
        raise UnusableRowError(f"model {path} is not one we hold") from None


def _weights(row: Row, model: ModelSpec) -> Dtype:
    if model.checkpoint.weights == "mxfp4":
        return "mxfp4"
    return _WEIGHTS.get(row["precision"]) or ("fp8" if row["gemm_quant_mode"] == "fp8" else "bf16")


def _strategy(row: Row, model: ModelSpec) -> tuple[list[Degrees], Strategy]:
    if row["mode"] == "agg":
        degrees = read_degrees(row, "", moe=model.moe is not None)
        return [degrees], Strategy(pools=(_pool(model, degrees, "serve", ("prefill", "decode")),))
    found, pools = [], []
    phases: tuple[Phase, ...] = ("prefill", "decode")
    for phase in phases:
        workers = _number(row[f"{phase}_num_workers"])
        if not workers:
            raise UnusableRowError("disaggregated, worker counts not stated")
        found.append(read_degrees(row, f"{phase}_", moe=model.moe is not None))
        pools.append(_pool(model, found[-1], phase, (phase,), workers))
    return found, Strategy(pools=tuple(pools))


def read_degrees(row: Row, prefix: str, *, moe: bool) -> Degrees:
    """The layout that a row means."""
    tp, pp, dp, moe_tp, ep = (_number(row[prefix + name]) for name in _DEGREES)
    tp, pp = max(tp, 1), max(pp, 1)
    if not moe:
        return Degrees(tp, pp, max(dp, 1), 1, 1)
    moe_tp, ep = max(moe_tp, 1), max(ep, 1)
    dp = dp or max(1, moe_tp * ep // tp)
    if moe_tp == ep > 1 and (tp, dp) == (ep * ep, 1):
        return Degrees(ep, pp, 1, 1, ep, corrected=True)
    if moe_tp == ep > 1 and (tp, dp) == (1, ep * ep):
        return Degrees(1, pp, ep, 1, ep, corrected=True)
    if tp == dp > 1 and ep == tp * dp:
        shared = row["backend"] == "vllm" and row["measured_on"] <= LAST_WITHOUT_DP
        return Degrees(tp, pp, 1, 1, tp, corrected=True) if shared else Degrees(1, pp, dp, 1, dp, corrected=True)
    return Degrees(tp, pp, dp, tp * dp if moe_tp * ep == 1 else moe_tp, ep)


def _pool(model: ModelSpec, degrees: Degrees, name: str, phases: tuple[Phase, ...], replicas: int = 1) -> Pool:
    if model.attention.num_heads % degrees.tp or (len(phases) > 1 and degrees.tp > WIDEST_TP):
        raise UnusableRowError("layout cannot be that of one worker")
    stages = even_stages(model.num_layers, degrees.pp)
    if model.moe is None:
        mesh = AttentionMesh(tp_size=degrees.tp)
        return Pool(
            name=name, phases=phases, replicas=degrees.dp * replicas, pp_size=degrees.pp, stages=stages, attention=mesh
        )
    if degrees.moe_tp * degrees.ep != degrees.tp * degrees.dp:
        raise UnusableRowError("expert and attention widths differ")
    return Pool(
        name=name,
        phases=phases,
        replicas=replicas,
        pp_size=degrees.pp,
        stages=stages,
        attention=AttentionMesh(dp_size=degrees.dp, tp_size=degrees.tp),
        experts=ExpertMesh(ep_size=degrees.ep, tp_size=degrees.moe_tp),
        ep_lowering=engine_lowering(model, degrees.dp, degrees.ep, degrees.moe_tp),
    )


def _number(text: str) -> int:
    return int(float(text)) if text else 0


def by_group(points: tuple[Point, ...]) -> Iterator[tuple[tuple[str, ...], list[Point]]]:
    """Points of each configuration, in order of the configurations' first rows."""
    found: dict[tuple[str, ...], list[Point]] = {}
    for point in points:
        found.setdefault(point.group, []).append(point)
    yield from found.items()


def layout_pairs(points: Sequence[Point]) -> NDArray[np.int64]:
    """Pairs of points of one deployment with the same GPUs and load but another layout, [pairs, 2]."""
    found: dict[tuple[object, ...], list[int]] = {}
    for row, point in enumerate(points):
        found.setdefault((*point.deployment, point.strategy.world_size, point.concurrency), []).append(row)
    pairs = [
        (one, other)
        for rows in found.values()
        for one, other in combinations(rows, 2)
        if points[one].layout != points[other].layout
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
