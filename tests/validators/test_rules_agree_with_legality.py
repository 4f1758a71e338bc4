"""The search prunes with `strategy.legality.illegal`, the rules explain: over a grid of strategies they refuse the same ones."""

from itertools import product

import pytest

from knowledge.catalogue import find_gpu, find_model
from strategy.build import build
from strategy.hardware import Cluster
from strategy.legality import even_stages, illegal
from strategy.request import Engine, Precision, Problem, Workload
from strategy.strategy import AttentionMesh, EpLowering, ExpertMesh, Pool, Strategy
from validators.registry import catalogue, run
from validators.subject import Subject

LOWERINGS: tuple[EpLowering, ...] = ("all_to_all", "all_gather", "replicated")
ARITHMETIC = [rule for rule in catalogue().values() if rule.stage in ("strategy", "layout")]
DECIDED_ON_THE_GRAPH = {"EP003"}
"""Arithmetic that the search asks, told by the rules when they see the graph."""


def pools(model: str) -> list[Pool]:
    """Every way to put up to 16 ranks of a stage on both meshes, and two pipeline sizes."""
    spec = find_model(model)
    widths = (1, 2, 3, 6, 8, 16)
    found = []
    for width, pp_size in product(widths, (1, 2)):
        for tp, dp in product(widths, widths):
            if tp * dp != width:
                continue
            base = Pool(
                pp_size=pp_size,
                stages=even_stages(spec.num_layers, pp_size),
                attention=AttentionMesh(dp_size=dp, tp_size=tp),
            )
            if spec.moe is None:
                found.append(base)
                continue
            meshes = [
                ExpertMesh(dp_size=z, ep_size=x, tp_size=m)
                for z, x, m in product(widths, repeat=3)
                if z * x * m in (width, 2 * width)
            ]
            found += [
                base.model_copy(update={"experts": mesh, "ep_lowering": lowering})
                for mesh, lowering in product(meshes, LOWERINGS)
            ]
    return found


@pytest.mark.parametrize("engine", [None, "vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("model", ["llama-3.1-70b", "qwen3-30b-a3b", "deepseek-v3"])
def test_the_search_prunes_what_the_rules_refuse_and_nothing_else(model: str, engine: Engine | None) -> None:
    spec, gpu = find_model(model), find_gpu("h200-sxm")
    problem = Problem(
        model=spec,
        cluster=Cluster(gpu=gpu, gpus_per_host=8, hosts=4),
        workload=Workload(isl=1024, osl=128),
        precision=Precision(weights=spec.checkpoint.weights, activations="bf16", kv="bf16"),
        engine=engine,
        max_model_len=2048,
    )

    for pool in pools(model)[::7]:
        pruned = illegal(spec, pool, problem.precision, problem.cluster, engine=engine)
        dag = build(spec, Strategy(pools=(pool,)))
        refused = {f.code for f in run(Subject(dag, spec, problem), ARITHMETIC) if f.severity == "error"}

        assert pruned in refused | DECIDED_ON_THE_GRAPH if pruned else not refused, (pool, pruned, refused)
