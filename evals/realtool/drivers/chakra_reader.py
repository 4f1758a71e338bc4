"""Chakra's own jsonizer over traces, run in an environment where MLCommons' package is installed."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from chakra.src.jsonizer import jsonizer

from evals.realtool.drivers import protocol


def judge(task: protocol.Task) -> dict[str, Any]:
    """Some ranks of a set; each node has to come out with its name."""
    named = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in task["files"]:
            out = Path(folder, "rank.json")
            with mock.patch.object(
                sys, "argv", ["chakra_jsonizer", "--input_filename", name, "--output_filename", str(out)]
            ):
                jsonizer.main()
            named += out.read_text(encoding="utf-8").count('"name"')
    assert named, json.dumps(task["files"])
    return {"names": named}


if __name__ == "__main__":
    protocol.serve(judge)
