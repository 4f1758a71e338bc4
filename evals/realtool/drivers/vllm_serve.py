"""vLLM's own `serve` command for every recorded call, up to where it would start processes.

The model is a folder with nothing but its `config.json`. Kernels and weights are never touched, so what only they would refuse
(memory, block sizes) stays unsaid.
"""

import os
from types import SimpleNamespace
from typing import Any

from evals.realtool.drivers import absent

absent.stand_in()

from vllm.distributed.utils import get_pp_indices
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.cli import serve
from vllm.entrypoints.common.cli_args import make_arg_parser
from vllm.model_executor.models import registry
from vllm.utils.argparse_utils import FlexibleArgumentParser

from evals.realtool.drivers import protocol

OFFLINE = ("--load-format", "dummy", "--skip-tokenizer-init")


class Started(Exception):  # noqa: N818 (no error: it ends the command where processes would start)
    """The configuration with which vLLM would now start."""

    def __init__(self, config: Any) -> None:
        super().__init__("started")
        self.config = config


def judge(task: protocol.Task) -> dict[str, Any]:
    """One call of `vllm serve`, or the keyword arguments of an engine."""
    with protocol.environment(task["env"], os.environ):
        config = _served(task) if "argv" in task else _engine(task)
        return _facts(config)


def _served(task: protocol.Task) -> Any:
    assert task["argv"][:2] == ["vllm", "serve"], task["argv"][:2]
    args = PARSER.parse_args([task["model"], *task["argv"][3:], *OFFLINE])
    serve.validate_parsed_serve_args(args)
    try:
        serve.ServeSubcommand.cmd(args)
    except Started as started:
        return started.config
    raise RuntimeError("vllm serve started nothing")


def _engine(task: protocol.Task) -> Any:
    kwargs = {**task["kwargs"], "model": task["model"], "load_format": "dummy", "skip_tokenizer_init": True}
    return AsyncEngineArgs(**kwargs).create_engine_config()


def _facts(config: Any) -> dict[str, Any]:
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
        "first_engine": parallel.data_parallel_rank,
        "hosts": parallel.nnodes,
        "host": parallel.node_rank,
    }


def _gpus(parallel: Any) -> int:
    """GPUs that this process takes on its host; `world_size` is one engine, attention replicas aside."""
    if parallel.nnodes > 1:
        return int(parallel.world_size * parallel.data_parallel_size // parallel.nnodes)
    return int(parallel.world_size * parallel.data_parallel_size_local)


def _role(config: Any) -> str:
    transfer = config.kv_transfer_config
    return {"kv_producer": "prefill", "kv_consumer": "decode"}[transfer.kv_role] if transfer else "serve"


def _start(args: Any) -> None:
    raise Started(AsyncEngineArgs.from_cli_args(args).create_engine_config())


def _start_with(*_: Any, vllm_config: Any, **__: Any) -> None:
    raise Started(vllm_config)


def _start_workers(config: Any, **_: Any) -> None:
    raise Started(config)


PARSER = make_arg_parser(FlexibleArgumentParser())

if __name__ == "__main__":
    serve.run_multi_api_server = _start
    serve.run_server = _start
    serve.CoreEngineProcManager = _start_with
    serve.MultiprocExecutor = _start_workers
    serve.Executor = SimpleNamespace(get_class=lambda _: None)
    # vLLM looks at each architecture in a fresh process, so as to keep CUDA out of this one; there is none here.
    registry._run_in_subprocess = lambda look: look()  # noqa: SLF001
    protocol.serve(judge)
