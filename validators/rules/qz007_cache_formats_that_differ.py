"""QZ007."""

from collections.abc import Iterator

from validators.deployments import configs, hit
from validators.examples import disaggregated
from validators.examples_claims import ray
from validators.examples_moe import named
from validators.registry import Hit, rule
from validators.subject import Subject


@rule(
    code="QZ007",
    stage="strategy",
    severity="warning",
    message="{what}",
    hint="{repair}",
    sources=("vllm: v1/kv_cache_interface.py:749-770",),
    knowledge="disaggregation.md#one-model-and-one-kv-format",
    passes=lambda: named("one format", lambda: _formats("fp8", "fp8")),
    fails=lambda: named("fp8 and bf16", lambda: _formats("fp8", "auto")),
)
def cache_formats_that_differ(subject: Subject) -> Iterator[Hit]:
    """Peers that hand the cache over hold it in one format."""
    sides = [config for config in configs(subject) if config.path.endswith(("prefill_config", "decode_config"))]
    formats = [(str(c.engine.get("kv_cache_dtype", "auto")), c.engine.get("block_size")) for c in sides]
    if len(sides) == 2 and formats[0] != formats[1]:
        what = f"prefill keeps the cache as {formats[0][0][:40]}, decode as {formats[1][0][:40]}, or in blocks of another size"
        yield hit(sides[1], "engine_kwargs/kv_cache_dtype", what, "use one kv_cache_dtype and block_size on both sides")


def _formats(prefill: str, decode: str) -> Subject:
    transfer = {"kv_connector": "NixlConnector"}
    sides = {
        f"{side}_config": {
            "engine_kwargs": {"tensor_parallel_size": tp, "kv_transfer_config": transfer, "kv_cache_dtype": dtype}
        }
        for side, tp, dtype in (("prefill", 4, prefill), ("decode", 2, decode))
    }
    return ray(sides, base=disaggregated())
