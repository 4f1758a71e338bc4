"""API and worker processes as an operator starts them, and the ways in which they end."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

READY_S = 120.0
LOOK_EVERY_S = 0.02
SOURCES = Path(__file__).parents[2]
"""The processes run the same files as the one that starts them."""


class Process:
    """One `meshwright serve` or `meshwright worker`, its settings its whole environment."""

    def __init__(self, command: Literal["serve", "worker"], settings: Mapping[str, str], folder: Path) -> None:
        self._command = command
        self._settings = {**settings, "MESHWRIGHT_LOG_JSON": "true", "LANG": "C.UTF-8", "PYTHONPATH": str(SOURCES)}
        self._folder = folder
        self._port = "0"
        self._restarts = 0
        self.log = folder / f"{command}-{time.monotonic_ns()}.log"
        self._started = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "api.cli", self._command],
                cwd=self._folder,
                env={**self._settings, "MESHWRIGHT_PORT": self._port},
                stdout=log,
                stderr=log,
            )

    def ready(self) -> "Process":
        """Wait until it has said that it serves or works."""
        event = {"serve": "serving", "worker": "worker_started"}[self._command]
        until = time.monotonic() + READY_S
        while time.monotonic() < until and self.is_alive:
            told = [line for line in self.events() if line["event"] == event]
            if told and len(told) > self._restarts:
                self._port = told[-1].get("url", ":0").rpartition(":")[2]
                return self
            time.sleep(LOOK_EVERY_S)
        raise RuntimeError(f"`{self._command}` did not start: {self.log.read_text(encoding='utf-8')[-2000:]}")

    @property
    def url(self) -> str:
        """Where it serves, the same after a restart."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._started.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._started.poll() is None

    def events(self) -> list[dict[str, str]]:
        """What it has logged, as far as it is JSON."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def kill(self) -> None:
        """`kill -9`."""
        self._started.kill()
        self._started.wait()

    def terminate(self, wait_s: float = 60.0) -> int:
        """SIGTERM; its exit status."""
        self._started.send_signal(signal.SIGTERM)
        return self._started.wait(wait_s)

    def restart(self) -> None:
        """Start it again, on the same port; does not wait."""
        self._restarts += 1
        self._started = self._start()

    def resident_mb(self) -> float:
        """Memory it holds, by /proc; 0 where there is none."""
        return _status(self.pid, "VmRSS:") / 1024

    def descriptors(self) -> int:
        """Files and sockets it holds open."""
        folder = Path(f"/proc/{self.pid}/fd")
        return len(list(folder.iterdir())) if folder.exists() else 0


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Wait until all are ready; end them afterwards, whatever happened."""
    try:
        for process in processes:
            process.ready()
        yield
    finally:
        for process in processes:
            process.kill()


def _status(pid: int, name: str) -> float:
    path = Path(f"/proc/{pid}/status")
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return next((float(line.split()[1]) for line in lines if line.startswith(name)), 0.0)
