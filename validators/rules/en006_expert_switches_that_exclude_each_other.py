"""EN006."""

from collections.abc import Iterator

from validators.deployments import configs, flag, hit
from validators.examples_claims import ray_engine
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject

NEEDS = {
    "enable_eplb": "set enable_expert_parallel, over more than one rank",
    "enable_elastic_ep": "set enable_eplb, and one pipeline stage",
    "enable_dbo": "use one pipeline stage and no context parallelism",
}


@rule(
    code="EN006",
    stage="strategy",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("vllm: config/parallel.py:563-592,974-981", "vllm: config/vllm.py:3243-3249"),
    knowledge="vllm.md#expert-balancing-and-overlap",
    passes=lambda: named("balanced and spread", lambda: ray_engine(enable_eplb=True)),
    fails=lambda: named("balanced, not spread", lambda: ray_engine(enable_eplb=True, enable_expert_parallel=False)),
)
def expert_switches_that_exclude_each_other(subject: Subject) -> Iterator[Hit]:
    """VLLM balances experts where they are spread, scales them where they are balanced, and overlaps batches in one stage only."""
    for config in configs(subject):
        ranks = config.dp_size * config.degree("tensor_parallel_size") * config.degree("prefill_context_parallel_size")
        staged = config.degree("pipeline_parallel_size") > 1
        wrong = {
            "enable_eplb": flag(config, "enable_eplb") and (not flag(config, "enable_expert_parallel") or ranks == 1),
            "enable_elastic_ep": flag(config, "enable_elastic_ep") and (not flag(config, "enable_eplb") or staged),
            "enable_dbo": flag(config, "enable_dbo") and (staged or config.degree("prefill_context_parallel_size") > 1),
        }
        for key, broken in wrong.items():
            if broken:
                yield hit(config, f"engine_kwargs/{key}", f"vLLM refuses {key} here", NEEDS[key])
