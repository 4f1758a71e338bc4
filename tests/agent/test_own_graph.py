"""`MESHWRIGHT_LLM__GRAPH=own`: the model writes the graph itself, and the loop takes, corrects or replaces it."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonpatch
from agent_support import TEXT, Step, serving

from agent.deps import default_deps
from agent.graph import run_sync
from agent.settings import LlmSettings


def renamed(answer: dict[str, Any], to: str = "mine") -> dict[str, Any]:
    """The same graph with one node under a name that the canonical builder does not give."""
    changed = copy.deepcopy(answer)
    nodes = changed["graph"]["blocks"][0]["nodes"]
    old = next(node["id"] for node in nodes if node["op"] == "embedding")
    for node in nodes:
        node["id"] = to if node["id"] == old else node["id"]
    reread(changed["graph"]["blocks"][0], old, to)
    return changed


def reread(block: dict[str, Any], old: str, new: str) -> None:
    """Who read `old` reads `new`."""
    for node in block["nodes"]:
        if "inputs" in node:
            node["inputs"] = [new if name == old else name for name in node["inputs"]]


def without_a_collective(answer: dict[str, Any]) -> dict[str, Any]:
    """The graph with its first all-reduce bypassed: partial sums go where whole values belong."""
    changed = copy.deepcopy(answer)
    for block in changed["graph"]["blocks"]:
        reduce = next((node for node in block["nodes"] if node["op"] == "all_reduce"), None)
        if reduce is not None and block["output"] != reduce["id"]:
            block["nodes"] = [node for node in block["nodes"] if node is not reduce]
            reread(block, reduce["id"], reduce["inputs"][0])
            return changed
    raise AssertionError("no all_reduce in the graph")


def mending(broken: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """The patch that a re-ask wants."""
    operations = jsonpatch.make_patch(broken, whole)
    return {
        "patch": [
            {"op": one["op"], "path": one["path"], "value_json": json.dumps(one["value"]) if "value" in one else None}
            for one in operations
        ]
    }


def names_in(dag: dict[str, Any]) -> set[str]:
    return {node["id"] for block in dag["blocks"] for node in block["nodes"]}


def test_a_graph_of_the_models_own_is_corrected_by_findings_and_kept(graph_answer: dict[str, Any]) -> None:
    mine = renamed(graph_answer)
    broken = without_a_collective(mine)
    with serving(Step(json.dumps(broken)), Step(json.dumps(mending(broken, mine)))) as server:
        llm = LlmSettings(base_url=server.url, model="scripted", max_retries=0, graph="own")
        result = run_sync(TEXT, default_deps(llm))

    assert (result.status, result.origin) == ("valid", "llm")
    assert result.dag is not None
    assert "mine" in names_in(result.dag.model_dump(mode="json"))
    assert result.proof is not None
    assert result.proof.passed
    assert len(server.asked) == 2
    assert "<findings>" in server.asked[1]["messages"][1]["content"]


def test_the_command_asks_for_a_graph_and_prints_it(graph_answer: dict[str, Any], tmp_path: Path) -> None:
    with serving(Step(json.dumps(renamed(graph_answer)))) as server:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MESHWRIGHT_")}
        endpoint = {"BASE_URL": server.url, "MODEL": "scripted", "GRAPH": "own", "MAX_RETRIES": "0"}
        told = subprocess.run(
            [
                sys.executable,
                "-c",
                "from api.cli import main; main()",
                "plan",
                TEXT,
                "--proposer",
                "llm",
                "--format",
                "json",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=kept | {f"MESHWRIGHT_LLM__{name}": value for name, value in endpoint.items()},
            timeout=120,
        )

    assert told.returncode == 0, told.stderr
    result = json.loads(told.stdout)
    assert (result["status"], result["origin"]) == ("valid", "llm")
    assert "mine" in names_in(result["dag"])
