"""vLLM's engine configuration for keyword arguments, as an orchestrator hands them over; and what a configuration says of its degrees."""

import os
from typing import Any

from evals.realtool.drivers import absent, protocol

absent.stand_in()

import vllm.config.vllm as engine_config
from vllm.distributed.utils import get_pp_indices
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.model_executor.models import registry

engine_config.HAS_TRITON = (
    True  # as where GPUs are: Model Runner V2 is chosen, which alone has prefill context parallelism
)


def judge(task: protocol.Task) -> dict[str, Any]:
    """The keyword arguments of an engine."""
    kwargs = {**task["kwargs"], "model": task["model"], "load_format": "dummy", "skip_tokenizer_init": True}
    with protocol.environment(task["env"], os.environ):
        return facts(AsyncEngineArgs(**kwargs).create_engine_config())


def facts(config: Any) -> dict[str, Any]:
    """Degrees, stages and GPUs of one process, and its place among those of its server."""
    parallel, layers = config.parallel_config, config.model_config.hf_text_config.num_hidden_layers
    stages = parallel.pipeline_parallel_size
    bounds = [get_pp_indices(layers, rank, stages) for rank in range(stages)]
    width = parallel.tensor_parallel_size * parallel.prefill_context_parallel_size * parallel.data_parallel_size
    return {
        "role": _role(config),
        "pp_size": stages,
        "dp_size": parallel.data_parallel_size,
        "cp_size": parallel.prefill_context_parallel_size,
        "tp_size": parallel.tensor_parallel_size,
        "ep_size": width if parallel.enable_expert_parallel else 1,
        "dcp_size": parallel.decode_context_parallel_size,
        "redundant_experts": parallel.eplb_config.num_redundant_experts,
        "layers": [end - start for start, end in bounds],
        "gpus": _gpus(parallel),
        **_place(parallel),
    }


def _place(parallel: Any) -> dict[str, Any]:
    """Which part of a server over several hosts this process is."""
    if parallel.nnodes > 1:
        met = f"{parallel.master_addr}:{parallel.master_port}"
        return {"server": met, "part": parallel.node_rank, "many": 1, "parts": parallel.nnodes}
    local, engines = parallel.data_parallel_size_local, parallel.data_parallel_size
    if local in (0, engines):
        return {"server": None}
    met = f"{parallel.data_parallel_master_ip}:{parallel.data_parallel_rpc_port}"
    return {"server": met, "part": parallel.data_parallel_rank, "many": local, "parts": engines}


def _gpus(parallel: Any) -> int:
    """GPUs that this process takes on its host; `world_size` is one engine, attention replicas aside."""
    if parallel.nnodes > 1:
        return int(parallel.world_size * parallel.data_parallel_size // parallel.nnodes)
    return int(parallel.world_size * parallel.data_parallel_size_local)


def _role(config: Any) -> str:
    transfer = config.kv_transfer_config
    return {"kv_producer": "prefill", "kv_consumer": "decode"}[transfer.kv_role] if transfer else "serve"


def in_process() -> None:
    """Let vLLM look at each architecture here; it would take a fresh process, so as to keep CUDA out of this one, which has none."""
    registry._run_in_subprocess = lambda look: look()  # noqa: SLF001


if __name__ == "__main__":
    in_process()
    protocol.serve(judge)
