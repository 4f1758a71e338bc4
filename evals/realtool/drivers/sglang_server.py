"""SGLang's own argument parser and checks for every recorded call, on the CPU platform with a model of which only `config.json` is there."""

import os
from typing import Any

from evals.realtool.drivers import absent, protocol

OFFLINE = ("--load-format", "dummy", "--skip-tokenizer-init", "--device", "cpu", "--log-level", "error")
LAUNCH = ["python3", "-m", "sglang.launch_server"]


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
        "server": resolved.dist_init_addr if resolved.nnodes > 1 else None,
        "servers": resolved.dp_size,
        "part": resolved.node_rank,
        "many": 1,
        "parts": resolved.nnodes,
        "role": "serve" if resolved.disaggregation_mode == "null" else resolved.disaggregation_mode,
    }


if __name__ == "__main__":
    absent.stand_in()
    import argparse

    import torch
    from sglang.srt import server_args
    from sglang.srt.arg_groups import mamba_hook
    from sglang.srt.arg_groups.overrides import model_config_of, resolving_view
    from sglang.srt.distributed.utils import get_pp_indices
    from sglang.srt.layers import quantization
    from sglang.srt.runtime_context import derive_attn_tp_size

    # What SGLang asks of the GPU while it resolves: a Hopper one, with the formats that CUDA builds register.
    torch.cuda.get_device_capability = lambda *_: (9, 0)
    mamba_hook._platform_supports_mamba_cache_extra_buffer = lambda: True  # noqa: SLF001 - as on CUDA and ROCm
    for methods in (quantization.BASE_QUANTIZATION_METHODS, quantization.QUANTIZATION_METHODS):
        methods.setdefault("mxfp4", quantization.Mxfp4Config)
    PARSER = argparse.ArgumentParser()
    server_args.ServerArgs.add_cli_args(PARSER)
    protocol.serve(judge)
