"""Which sharding wins at full load: the cost model's choice against the published per-instance throughputs of TensorRT-LLM."""

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

from knowledge.catalogue import find_gpu, find_model
from knowledge.completion import even_stages
from knowledge.resolve import resolve
from strategy.build import build
from strategy.calibration import Calibration
from strategy.cost import Server
from strategy.errors import MeshwrightError
from strategy.model import Dtype
from strategy.request import ClusterRequest, PrecisionRequest, Problem, Request, Workload
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy

TIE = 0.9
"""A choice within this share of the best per GPU is as good."""
_WEIGHTS: dict[str, Dtype] = {"FP8": "fp8", "FP4": "nvfp4", "FP16": "bf16"}
_GPUS = {"A100-SXM4-80GB": "a100-80g-sxm", "RTX6000Pro": "rtx-pro-6000"}


@dataclass(frozen=True)
class Choice:
    """One row of the table."""

    model: str
    gpu: str
    traffic: tuple[int, int]
    measured_per_gpu: dict[str, float]
    chosen: str

    @property
    def right(self) -> bool:
        """Whether the choice is the best per GPU, ties counted."""
        return self.measured_per_gpu[self.chosen] >= TIE * max(self.measured_per_gpu.values())


def choices(folder: Path, calibration: Calibration) -> tuple[list[Choice], int]:
    """Choices for every row with two layouts or more of a model and a GPU that we hold, and how many rows were left out."""
    found, left_out = [], 0
    with (folder / "full_load_tp_choice.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rates = dict(part.split(":") for part in row["strategies_instance_tok_s"].split())
            measured = {name: float(rate) / gpus_of(name) for name, rate in rates.items()}
            problem = _problem(row)
            if problem is None or len(measured) < 2:
                left_out += 1
                continue
            chosen = max(measured, key=lambda name: _best_per_gpu(problem, name, calibration))
            traffic = problem.workload.isl, problem.workload.osl
            found.append(Choice(problem.model.name, problem.cluster.gpu.key, traffic, measured, chosen))
    return found, left_out


def gpus_of(name: str) -> int:
    """GPUs of an instance."""
    return math.prod(degrees(name))


def degrees(name: str) -> tuple[int, int, int]:
    """tp, pp and attention-and-expert parallel ranks of a layout's name: `TP4`, `TP1xPP2`, `DEP8`, `DEP2xPP2`."""
    found = {kind: int(size) for kind, size in re.findall(r"(TP|PP|DEP)(\d+)", name)}
    return found.get("TP", 1), found.get("PP", 1), found.get("DEP", 1)


def _problem(row: dict[str, str]) -> Problem | None:
    gpu = next((key for name, key in _GPUS.items() if row["gpu"].startswith(name)), row["gpu"].split()[0])
    name = row["model"].replace("LLaMA v", "llama-").replace(" ", "-").lower()
    try:
        request = Request(
            model=find_model(name).name,
            cluster=ClusterRequest(gpu=find_gpu(gpu).key, gpus_per_host=8),
            workload=Workload(isl=int(row["isl"]), osl=int(row["osl"])),
            precision=PrecisionRequest(weights=_WEIGHTS[row["precision"]]),
            engine="trtllm",
        )
        return resolve(request).problem
    except MeshwrightError:
        return None


def _best_per_gpu(problem: Problem, name: str, calibration: Calibration) -> float:
    tp, pp, dep = degrees(name)
    moe = problem.model.moe is not None
    pool = Pool(
        pp_size=pp,
        stages=even_stages(problem.model.num_layers, pp),
        attention=AttentionMesh(dp_size=dep, tp_size=tp),
        experts=ExpertMesh(ep_size=dep, tp_size=tp) if moe else None,
        ep_lowering="replicated" if dep == 1 else "all_gather",
    )
    server = Server(build(problem.model, Strategy(pools=(pool,))), problem, calibration)
    return float(server.curve().tokens_per_s_per_gpu.max()) if server.max_concurrency > 0 else 0.0
