"""Ray Serve's own schema for every file."""

from typing import Any

import yaml
from ray.serve.schema import ServeDeploySchema

from evals.realtool.drivers import protocol


def judge(task: protocol.Task) -> dict[str, Any]:
    """One Serve file."""
    schema = ServeDeploySchema.model_validate(yaml.safe_load(task["text"]))
    assert len(schema.applications) == 1, schema.applications
    return {"import_path": schema.applications[0].import_path}


if __name__ == "__main__":
    protocol.serve(judge)
