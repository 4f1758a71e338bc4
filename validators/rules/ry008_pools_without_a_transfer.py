"""RY008."""

from collections.abc import Iterator

from validators.deployments import configs, hit
from validators.examples import disaggregated
from validators.examples_claims import ray
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="RY008",
    stage="strategy",
    severity="error",
    message="{what}",
    hint="{repair}",
    sources=("S2 prefill/decode disaggregation", "ray: serving_patterns/prefill_decode/builder.py:82-115"),
    knowledge="ray-serve.md#disaggregated-builders",
    passes=lambda: named("both have a connector", lambda: _pools({"kv_connector": "NixlConnector"})),
    fails=lambda: named("decode has none", lambda: _pools(None)),
)
def pools_without_a_transfer(subject: Subject) -> Iterator[Hit]:
    """Disaggregated servers serve one model and say how the cache travels."""
    sides = {config.path.rpartition("/")[2]: config for config in configs(subject)}
    prefill, decode = sides.get("prefill_config"), sides.get("decode_config")
    if prefill is None or decode is None:
        return
    for config in (prefill, decode):
        if not config.engine.get("kv_transfer_config"):
            repair = "add kv_transfer_config with a kv_connector, such as NixlConnector"
            yield hit(config, "engine_kwargs", "no kv_transfer_config: the cache cannot reach decode", repair)
    names = [config.part("model_loading_config").get("model_id") for config in (prefill, decode)]
    if names[0] != names[1]:
        what = f"prefill serves {str(names[0])[:80]}, decode {str(names[1])[:80]}"
        yield hit(decode, "model_loading_config/model_id", what, "give both one model_id")


def _pools(decode_transfer: dict[str, str] | None) -> Subject:
    transfer = {"kv_connector": "NixlConnector"}
    sides = {
        "prefill_config": {"engine_kwargs": {"tensor_parallel_size": 4, "kv_transfer_config": transfer}},
        "decode_config": {"engine_kwargs": {"tensor_parallel_size": 2, "kv_transfer_config": decode_transfer}},
    }
    return ray(sides, base=disaggregated())
