"""PP012."""

from collections.abc import Iterator

from strategy.legality import even_stages
from validators.examples import dense, example
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="PP012",
    stage="strategy",
    severity="info",
    message="{layers} layers do not divide into {pp_size} stages; engines place the rest differently: {placements}",
    hint="the plan has {sizes}: give the engine this partition explicitly (VLLM_PP_LAYER_PARTITION, SGLANG_PP_LAYER_PARTITION)",
    sources=(
        "vllm: distributed/utils.py:228-236",
        "sglang: get_pp_indices",
        "tensorrt-llm: mapping.py pp_layers",
        "megatron: arguments.py:968, 997",
    ),
    knowledge="pipeline-parallelism.md#uneven-layers",
    requires=frozenset({"PP001", "PP002", "PP003"}),
    passes=lambda: [example("4 layers on 2 stages", dense)],
    fails=lambda: [example("4 layers on 3 stages", lambda: dense(tp=1, pp=3))],
)
def uneven_stages(subject: Subject) -> Iterator[Hit]:
    """Stages of different length are legal, and their default depends on the engine."""
    layers = subject.model.num_layers
    for path, pool in subject.pools():
        if pool.pp_size > 1 and layers % pool.pp_size:
            placements = {e: _sizes(even_stages(layers, pool.pp_size, e)) for e in ("vllm", "sglang", "trtllm")}
            words = "; ".join(f"{engine} {sizes}" for engine, sizes in placements.items())
            yield Hit(
                f"{path}/stages", layers=layers, pp_size=pool.pp_size, placements=words, sizes=_sizes(pool.stages)
            )


def _sizes(stages: tuple[tuple[int, int], ...]) -> str:
    return ",".join(str(end - start) for start, end in stages[:32]) + (",..." if len(stages) > 32 else "")
