"""Plan = artifact: deploy files start what the plan says, and an edited file does not go unseen."""

import random
from collections import Counter
from itertools import islice
from typing import Any

import pytest

from knowledge.catalogue import models
from knowledge.resolve import resolve
from strategy.build import build
from strategy.capabilities import TABLE, Target, capabilities
from strategy.engine_limits import LIMITS, engine_illegal
from strategy.errors import InputError
from strategy.export import FORMATS, Artifact, Plan
from strategy.export.express import obstacles
from strategy.export.readback import degrees_of, read_back
from strategy.request import Problem, Request
from strategy.search.space import pools
from strategy.strategy import AttentionMesh, ExpertMesh, Pool, Strategy
from validators.artifacts import check_artifacts
from validators.registry import catalogue

TARGETS: tuple[Target, ...] = ("vllm", "sglang", "trtllm", "ray", "dynamo", "llm-d")
GPUS = ("h100-sxm", "b200-sxm", "mi300x", "gb200-nvl72", "l40s")
SEED = 20261101


def problem(model: str, gpu: str, hosts: int, engine: str | None) -> Problem | None:
    asked = {
        "model": model,
        "cluster": {"gpu": gpu, "hosts": hosts},
        "workload": {"isl": 2048, "osl": 512},
        "engine": engine,
    }
    try:
        return resolve(Request.model_validate(asked)).problem
    except InputError:  # a length that the model lacks
        return None


def strategies(asked: Problem, rng: random.Random) -> list[Strategy]:
    """A few colocated strategies of the space, and one of two pools where they fit."""
    space = list(islice(pools(asked), 2000))
    found = []
    for pool in rng.sample(space, min(2, len(space))):
        fit = asked.cluster.gpus // pool.ranks_per_replica
        found.append(Strategy(pools=(pool.model_copy(update={"replicas": rng.randint(1, fit)}),)))
    small = [pool for pool in space if pool.ranks_per_replica * 2 <= asked.cluster.gpus]
    if len(small) > 1:
        prefill, decode = rng.sample(small, 2)
        roles = {"prefill": prefill, "decode": decode}
        found.append(
            Strategy(
                pools=tuple(pool.model_copy(update={"name": role, "phases": (role,)}) for role, pool in roles.items())
            )
        )
    return found


def distinct_models() -> list[str]:
    """One model of each config: a fine-tune is planned like what it was made of."""
    shapes = {repr(record.config): key for key, record in reversed(models().items())}
    return sorted(shapes.values())


def test_over_the_catalogue_every_file_that_is_written_starts_exactly_its_plan() -> None:
    rng = random.Random(SEED)
    written: Counter[str] = Counter()
    plans = 0
    for number, model in enumerate(distinct_models()):
        engine = ("vllm", "sglang", "trtllm", None)[number % 4]
        for hosts in (1, 4):
            asked = problem(model, GPUS[number % len(GPUS)], hosts, engine)
            for strategy in [] if asked is None else strategies(asked, rng):
                assert asked is not None
                plans += 1
                written.update(exported(Plan(build(asked.model, strategy), asked.model, asked)))

    assert plans >= 200
    assert all(written[target] >= 60 for target in TARGETS), written


def exported(plan: Plan) -> list[Target]:
    """Targets that can express the plan, each read back and compared."""
    done: list[Target] = []
    experts = plan.model.moe.num_experts if plan.model.moe else None
    for target in TARGETS:
        try:
            files = FORMATS[target].write(plan)
        except InputError:
            continue
        assert check_artifacts(target, files, plan.strategy, engine=plan.engine, num_experts=experts) == ()
        assert read_back(target, files, num_experts=experts).gpus == plan.strategy.world_size
        done.append(target)
    return done


# --- edited files -----------------------------------------------------------------------------------------------------------------------

WIDE = Pool(
    stages=((0, 61),), attention=AttentionMesh(dp_size=16), experts=ExpertMesh(ep_size=16), redundant_experts=32
)
STAGES = Pool(
    pp_size=2,
    stages=((0, 30), (30, 61)),
    attention=AttentionMesh(tp_size=8),
    experts=ExpertMesh(ep_size=8),
    ep_lowering="replicated",
)
COPIES = Pool(replicas=2, stages=((0, 61),), attention=AttentionMesh(dp_size=8), experts=ExpertMesh(ep_size=8))


def plan(*layout: Pool) -> Plan:
    asked = problem("deepseek-v3", "b200-sxm", 2, None)
    assert asked is not None
    return Plan(build(asked.model, Strategy(pools=layout)), asked.model, asked)


EDITS: list[tuple[Target, Pool, str, str, set[str]]] = [
    ("vllm", WIDE, "--data-parallel-size 16", "--data-parallel-size 8", {"EX002"}),
    ("vllm", WIDE, "--data-parallel-size-local 8", "--data-parallel-size-local 4", {"EX001"}),
    ("vllm", WIDE, "  --enable-expert-parallel \\\n", "", {"EX002"}),
    ("vllm", WIDE, '{"num_redundant_experts": 32}', '{"num_redundant_experts": 16}', {"EX002"}),
    ("vllm", STAGES, "VLLM_PP_LAYER_PARTITION=30,31 \\\n", "", {"EX003"}),
    ("vllm", STAGES, "--nnodes 2", "--nnodes 4", {"EX001"}),
    ("vllm", COPIES, "--headless", "--headless", set()),
    ("sglang", WIDE, "--attn-dp-size 16", "--attn-dp-size 8", {"EX002"}),
    ("sglang", WIDE, "--nnodes 2", "--nnodes 1", {"EX001"}),
    ("sglang", WIDE, "--tp-size 16", "--tp-size sixteen", {"EX004"}),
    ("trtllm", WIDE, "enable_attention_dp: true", "enable_attention_dp: false", {"EX002"}),
    ("trtllm", WIDE, "num_slots: 288", "num_slots: 256", {"EX002"}),
    ("trtllm", WIDE, "mpirun -n 16", "mpirun -n 8", {"EX001"}),
    ("ray", WIDE, "data_parallel_size: 16", "data_parallel_size: 0", {"EX002", "RY001", "RY009"}),
    ("ray", WIDE, "      engine_kwargs:", "      deployment_config: {num_replicas: 16}\n      engine_kwargs:", {"EX002", "RY002", "RY009"}),
    ("ray", COPIES, "num_replicas: 2", "num_replicas: 2\n        autoscaling_config: {min_replicas: 1}", {"RY003"}),
    ("ray", WIDE, "      engine_kwargs:", "      experimental_configs: {dp_size_per_node: 8}\n      engine_kwargs:", {"RY004"}),
    ("ray", COPIES, "num_replicas: 2", "num_replicas: 2\n        placement_group_strategy: SPREAD", {"RY005"}),
    ("dynamo", WIDE, "nodeCount: 2", "nodeCount: 1", {"EX001"}),
    ("dynamo", COPIES, "replicas: 2", "replicas: 3", {"EX001", "EX002"}),
    ("llm-d", WIDE, "dataLocal: 8", "dataLocal: 4", {"EX001"}),
    ("llm-d", COPIES, "data: 8", "data: eight", {"EX004"}),
]  # fmt: skip


@pytest.mark.parametrize(("target", "layout", "before", "after", "codes"), EDITS)
def test_an_edited_file_is_found_to_differ(
    target: Target, layout: Pool, before: str, after: str, codes: set[str]
) -> None:
    made = plan(layout)
    files = FORMATS[target].write(made)
    experts = {"num_experts": 256}
    assert check_artifacts(target, files, made.strategy, **experts) == ()

    edited = tuple(file._replace(content=file.text.replace(before, after)) for file in files)

    assert any(before in file.text for file in files) or not codes
    assert {finding.code for finding in check_artifacts(target, edited, made.strategy, **experts)} == codes


@pytest.mark.parametrize("target", ["vllm", "sglang", "trtllm"])
def test_stages_are_read_as_the_target_makes_them_whatever_engine_the_request_names(target: Target) -> None:
    asked = problem("deepseek-v3", "h200-sxm", 2, "sglang")
    assert asked is not None
    for cut in (30, 31):
        attention = AttentionMesh(tp_size=8)
        experts = ExpertMesh(tp_size=8)
        pool = Pool(
            pp_size=2, stages=((0, cut), (cut, 61)), attention=attention, experts=experts, ep_lowering="replicated"
        )
        made = Plan(build(asked.model, Strategy(pools=(pool,))), asked.model, asked)
        files = FORMATS[target].write(made)

        assert check_artifacts(target, files, made.strategy, engine=made.engine, num_experts=256) == ()


def test_servers_that_share_gpus_or_ports_are_found() -> None:
    small = Pool(replicas=2, stages=((0, 32),), attention=AttentionMesh(tp_size=2))
    asked = problem("llama-3.1-8b", "h100-sxm", 1, None)
    assert asked is not None
    made = Plan(build(asked.model, Strategy(pools=(small,))), asked.model, asked)

    def told(before: str, after: str) -> list[str]:
        files = [file._replace(content=file.text.replace(before, after)) for file in FORMATS["vllm"].write(made)]
        return [f"{finding.code} {finding.message}" for finding in check_artifacts("vllm", files, made.strategy)]

    assert told("", "") == []
    assert told("=2,3", "=1,2") == ["EX005 host0.sh: 2 servers take GPU 1"]
    assert told("8001", "8000") == ["EX005 host0.sh: 2 servers take port 8000"]
    assert told("=2,3", "=2") == ["EX005 host0.sh: a server sees 1 GPUs and its degrees need 2"]


def test_a_pool_that_is_missing_or_mixed_up_is_found() -> None:
    pair = [
        Pool(
            name=role,
            phases=(role,),
            stages=((0, 61),),
            attention=AttentionMesh(dp_size=size),
            experts=ExpertMesh(ep_size=size),
        )
        for role, size in (("prefill", 4), ("decode", 8))
    ]
    made = plan(*pair)
    files = FORMATS["ray"].write(made)
    swapped = [file._replace(content=swap(file.text, "prefill_config", "decode_config")) for file in files]

    assert {f.code for f in check_artifacts("ray", swapped, made.strategy)} == {"EX002", "RY009"}
    unset = [file._replace(content=file.text.replace("kv_transfer_config", "other")) for file in files]
    assert "RY008" in {f.code for f in check_artifacts("ray", unset, made.strategy)}
    script = [
        file._replace(content=file.text.replace("kv_producer", "kv_consumer")) for file in FORMATS["vllm"].write(made)
    ]
    assert {f.code for f in check_artifacts("vllm", script, made.strategy)} == {"EX001"}


def swap(text: str, one: str, other: str) -> str:
    return text.replace(one, "\0").replace(other, one).replace("\0", other)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("junk", ["", "{", "applications: 3", "vllm serve x --tensor-parallel-size y", "a: [1"])
def test_files_that_are_no_files_of_ours_are_a_finding(target: Target, junk: str) -> None:
    names = ("host0.sh", "serve.yaml", "dynamo.yaml", "values.yaml")

    found: Any = check_artifacts(
        target, [Artifact(name, junk, "text/plain") for name in names], Strategy(pools=(WIDE,))
    )

    assert found[0].code in {"EX001", "EX004"}


def test_degrees_of_a_dense_plan_count_as_cut_over_the_stage() -> None:
    dense = Pool(stages=((0, 32),), attention=AttentionMesh(tp_size=4))

    assert (degrees_of(Strategy(pools=(dense,)))[0].ep_size, degrees_of(Strategy(pools=(dense,)))[0].moe_tp_size) == (
        1,
        4,
    )


def test_what_a_rule_about_an_engine_refuses_is_not_exported_to_it() -> None:
    rng = random.Random(SEED)
    refused = Counter[str]()
    for model in ("deepseek-v3", "qwen3-30b-a3b", "qwen3-32b"):
        asked = problem(model, "h200-sxm", 2, None)
        assert asked is not None
        space = list(islice(pools(asked), 3000))
        for pool in rng.sample(space, min(120, len(space))):
            for engine in ("vllm", "sglang", "trtllm"):
                code = engine_illegal(asked.model, pool, engine)
                if code is not None:
                    refused[engine] += 1
                    assert obstacles(capabilities(engine), asked.model, pool), (engine, code, pool)

    assert all(refused[engine] >= 20 for engine in ("vllm", "sglang", "trtllm")), refused


def test_what_is_known_of_engines_stands_behind_the_rules_about_them() -> None:
    spoken = {code for row in TABLE.values() for code in row.rules}
    about_engines = {code for code in catalogue() if code.startswith("EN")} - {
        "EN006",
        "EN023",
    }  # about flags of Ray files, and about plans of no engine

    assert about_engines | {"RL010"} == spoken
    assert set(LIMITS) <= spoken
