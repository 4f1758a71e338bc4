"""vLLM's own `serve` command for every recorded call, up to where it would start processes.

The model is a folder with nothing but its `config.json`. Kernels and weights are never touched, so what only they would refuse
(memory, block sizes) stays unsaid.
"""

import os
from types import SimpleNamespace
from typing import Any

from evals.realtool.drivers import absent

absent.stand_in()

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.cli import serve
from vllm.entrypoints.common.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

from evals.realtool.drivers import protocol
from evals.realtool.drivers.vllm_engine import facts, in_process

OFFLINE = ("--load-format", "dummy", "--skip-tokenizer-init")


class Started(Exception):  # noqa: N818 (no error: it ends the command where processes would start)
    """The configuration with which vLLM would now start."""

    def __init__(self, config: Any) -> None:
        super().__init__("started")
        self.config = config


def judge(task: protocol.Task) -> dict[str, Any]:
    """One call of `vllm serve`."""
    with protocol.environment(task["env"], os.environ):
        return facts(_served(task))


def _served(task: protocol.Task) -> Any:
    assert task["argv"][:2] == ["vllm", "serve"], task["argv"][:2]
    args = PARSER.parse_args([task["model"], *task["argv"][3:], *OFFLINE])
    serve.validate_parsed_serve_args(args)
    try:
        serve.ServeSubcommand.cmd(args)
    except Started as started:
        return started.config
    raise RuntimeError("vllm serve started nothing")


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
    in_process()
    protocol.serve(judge)
