"""Ray Serve LLM's own builders for every file: the application that would be deployed."""

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


if __name__ == "__main__":
    protocol.serve(judge)
