"""Ray Serve LLM's own builders for every file: the application that would be deployed."""

import os
from typing import Any

import yaml

from evals.realtool.drivers import absent, protocol

absent.stand_in()


def judge(task: protocol.Task) -> dict[str, Any]:
    """One Serve file."""
    from ray.serve import llm

    application = yaml.safe_load(task["text"])["applications"][0]
    module, _, builder = application["import_path"].partition(":")
    assert module == llm.__name__, module
    built = getattr(llm, builder)(application["args"])
    return {"built": type(built).__name__}


def start_ray() -> None:
    """One small cluster for all files, given its time on a busy machine; the builders would start one each by themselves."""
    os.environ["RAY_raylet_start_wait_time_s"] = "300"  # noqa: SIM112 (its name)
    import ray

    ray.init(include_dashboard=False, num_cpus=1, log_to_driver=False, configure_logging=False)


if __name__ == "__main__":
    start_ray()
    protocol.serve(judge)
