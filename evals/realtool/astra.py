"""ASTRA-sim replays a Chakra export: every rank has to say that it finished, since one whose peers never come ends without an error."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

from strategy.export import Artifact, Plan
from strategy.export.chakra import RankWriter

NETWORK = "topology: [ Switch ]\nnpus_count: [ {ranks} ]\nbandwidth: [ 400.0 ]\nlatency: [ 500.0 ]\n"
SYSTEM = {
    "scheduling-policy": "FIFO",
    "endpoint-delay": 10,
    "active-chunks-per-dimension": 1,
    "preferred-dataset-splits": 1,
    "all-reduce-implementation": ["ring"],
    "all-gather-implementation": ["ring"],
    "reduce-scatter-implementation": ["ring"],
    "all-to-all-implementation": ["ring"],
    "collective-optimization": "localBWAware",
    "local-mem-bw": 1600,
    "boost-mode": 0,
}
MEMORY = {"memory-type": "NO_MEMORY_EXPANSION"}
FINISHED = re.compile(r"sys\[(\d+)\] finished, (\d+) cycles")
SECONDS = 300
FEWEST = 2
"""Nodes of the smallest network that the simulator takes; a plan on one GPU gets an idle neighbour."""


def replay(binary: str, plan: Plan, files: tuple[Artifact, ...]) -> str:
    """Empty when every rank finished, else who did not or what went wrong."""
    ranks = plan.strategy.world_size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in files:
            (folder / file.name).write_bytes(file.data)
        for rank in range(ranks, FEWEST):
            (folder / f"trace.{rank}.et").write_bytes(RankWriter().out)
        (folder / "network.yml").write_text(NETWORK.format(ranks=max(ranks, FEWEST)))
        (folder / "system.json").write_text(json.dumps(SYSTEM))
        (folder / "memory.json").write_text(json.dumps(MEMORY))
        return _run(binary, folder, ranks)


def _run(binary: str, folder: Path, ranks: int) -> str:
    command = [
        binary,
        f"--workload-configuration={folder}/trace",
        f"--comm-group-configuration={folder}/comm_groups.json",
        f"--system-configuration={folder}/system.json",
        f"--remote-memory-configuration={folder}/memory.json",
        f"--network-configuration={folder}/network.yml",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=folder, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS} s"
    finished = {int(rank) for rank, _ in FINISHED.findall(done.stdout)}
    if set(range(ranks)) <= finished:
        return ""
    missing = sorted(set(range(ranks)) - finished)
    return f"{len(missing)} of {ranks} ranks did not finish, first {missing[:3]}; exit {done.returncode}; {done.stderr[-300:]}"
