"""Work spread over a Ray cluster of several processes on this machine; skipped where Ray is not installed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from agent.fanout import imported_ray, in_order
from strategy.errors import InputError

REQUEST = {"model": "llama-3.1-8b", "cluster": {"gpu": "l40s", "gpus_per_host": 1}, "workload": {"isl": 128, "osl": 16}}
WHO = """
import json, os, sys
from agent.fanout import fan_out
found = sorted(fan_out(lambda number: (number * number, os.getpid()), range(20)))
json.dump([[value for _, (value, _) in found], len({pid for _, (_, pid) in found} - {os.getpid()})], sys.stdout)
"""
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


def test_values_come_in_their_order_as_soon_as_those_before_are_there() -> None:
    taken = []

    def arriving() -> Iterator[tuple[int, str]]:
        for index in (1, 0, 3, 2):
            taken.append(index)
            yield index, f"v{index}"

    found = [(value, len(taken)) for value in in_order(arriving())]

    assert found == [("v0", 2), ("v1", 2), ("v2", 4), ("v3", 4)]


def test_ray_is_asked_for_clearly() -> None:
    if find_spec("ray") is not None:
        pytest.skip("Ray is installed here")

    with pytest.raises(InputError, match="not installed") as caught:
        imported_ray()
    assert "pip install" in caught.value.hint


@needs_ray
def test_work_is_done_by_several_processes() -> None:
    done = subprocess.run([sys.executable, "-c", WHO], capture_output=True, text=True, check=True, timeout=300)

    squares, processes = json.loads(done.stdout)
    assert squares == [number * number for number in range(20)]
    assert processes >= min(2, os.cpu_count() or 1)


@needs_ray
def test_a_batch_on_a_cluster_says_what_one_machine_says(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text("\n".join([json.dumps(REQUEST), "{not json", json.dumps(REQUEST)]))
    command = [sys.executable, "-m", "api.cli", "plan", "--batch", "requests.jsonl"]

    here, there = (
        subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
        for more in ([], ["--ray"])
    )

    def told(text: str) -> list[object]:
        lines = [json.loads(line) for line in text.splitlines()]
        return [line.get("strategy") or line["line"] for line in lines]

    assert told(here.stdout) == told(there.stdout)
    assert len(told(there.stdout)) == 3
