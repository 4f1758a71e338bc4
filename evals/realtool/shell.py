"""Launch scripts run by a real shell, with every program replaced by one that only writes down how it was called."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

RECORDER = """#!/bin/sh
name=$(mktemp "$CALLS/XXXXXXXX")
{ printf '%s\\0' "$(basename "$0")" "$@"; printf '\\n\\0'; env -0; } > "$name"
"""
PROGRAMS = ("vllm", "python3", "trtllm-serve", "mpirun")
SHELL = "/bin/bash"
SECONDS = 60


class Call(NamedTuple):
    """One process as the shell started it."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    """What the script set."""


def calls(script: str, hosts: Iterable[int], given: Mapping[str, str] = MappingProxyType({})) -> list[Call]:
    """What `script` starts once `HOST0`, `HOST1`, ... and `given` are set. Raises `CalledProcessError` when the shell gives up."""
    with tempfile.TemporaryDirectory() as folder:
        called = Path(folder, "calls")
        called.mkdir()
        for program in PROGRAMS:
            path = Path(folder, program)
            path.write_text(RECORDER)
            path.chmod(0o755)
        told = {"PATH": f"{folder}:{os.defpath}", "CALLS": str(called), **given}
        told |= {f"HOST{host}": f"10.0.0.{host + 1}" for host in hosts}
        subprocess.run([SHELL, "-c", script], env=told, check=True, capture_output=True, timeout=SECONDS)
        return [
            _call(path.read_bytes(), told)
            for path in sorted(called.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        ]


def _call(recorded: bytes, given: Mapping[str, str]) -> Call:
    argv, _, env = recorded.decode().partition("\0\n\0")
    assigned = dict(line.split("=", 1) for line in env.split("\0") if line)
    kept = {
        name: value
        for name, value in assigned.items()
        if name not in given and name not in {"PWD", "SHLVL", "_", "OLDPWD"}
    }
    return Call(tuple(argv.split("\0")), kept)
