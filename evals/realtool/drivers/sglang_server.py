"""SGLang's own argument parser and checks for every recorded call, on the CPU platform with a model of which only `config.json` is there."""

import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from evals.realtool.drivers import protocol

OFFLINE = ("--load-format", "dummy", "--skip-tokenizer-init", "--device", "cpu", "--log-level", "error")
LAUNCH = ["python3", "-m", "sglang.launch_server"]


def without_torchvision() -> None:
    """A stand-in for torchvision, whose published wheels do not load with a CPU build of torch."""

    class Anything(ModuleType):
        """A module in which everything asked for is there, and nothing works."""

        __path__: list[str] = []  # noqa: RUF012 (what makes it a package)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return Anything(f"{self.__name__}.{name}")

    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.io"):
        sys.modules[name] = Anything(name)
        sys.modules[name].__spec__ = ModuleSpec(name, None)


def judge(task: protocol.Task) -> dict[str, Any]:
    """One call of `sglang.launch_server`."""
    argv = list(task["argv"])
    assert argv[:3] == LAUNCH, argv[:3]
    known = PARSER._option_string_actions  # noqa: SLF001 (argparse takes abbreviations; ours must be whole names)
    unknown = [word for word in argv[3:] if word.startswith("--") and word not in known]
    assert not unknown, f"no flags of SGLang: {unknown}"
    argv[argv.index("--model-path") + 1] = task["model"]
    with protocol.environment(task["env"], os.environ):
        args = server_args.prepare_server_args([*argv[3:], *OFFLINE])
        args.resolve_once()
        args.check_server_args()
        return _facts(resolving_view(args), model_config_of(args).num_hidden_layers)


def _facts(resolved: Any, layers: int) -> dict[str, Any]:
    stages = [get_pp_indices(layers, rank, resolved.pp_size) for rank in range(resolved.pp_size)]
    return {
        "pp_size": resolved.pp_size,
        "dp_size": resolved.attn_dp_size,
        "cp_size": resolved.attn_cp_size,
        "tp_size": derive_attn_tp_size(
            tp_size=resolved.tp_size, attn_cp_size=resolved.attn_cp_size, attn_dp_size=resolved.attn_dp_size
        ),
        "ep_size": resolved.ep_size,
        "moe_dp_size": resolved.moe_dp_size,
        "dcp_size": resolved.dcp_size,
        "redundant_experts": resolved.ep_num_redundant_experts,
        "layers": [end - start for start, end in stages],
        "gpus": resolved.dp_size * resolved.tp_size * resolved.pp_size // resolved.nnodes,
        "hosts": resolved.nnodes,
        "host": resolved.node_rank,
        "mode": resolved.disaggregation_mode,
    }


if __name__ == "__main__":
    without_torchvision()
    import argparse

    from sglang.srt import server_args
    from sglang.srt.arg_groups.overrides import model_config_of, resolving_view
    from sglang.srt.distributed.utils import get_pp_indices
    from sglang.srt.runtime_context import derive_attn_tp_size

    PARSER = argparse.ArgumentParser()
    server_args.ServerArgs.add_cli_args(PARSER)
    protocol.serve(judge)
