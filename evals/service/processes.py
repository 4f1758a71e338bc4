"""API and worker processes as an operator starts them, and the ways in which they end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

READY_S = 120.0
READY = {"serve": "serving", "worker": "worker_started"}
"""What each logs once it is ready."""
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
        self._since = 0
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
        until = time.monotonic() + READY_S
        while time.monotonic() < until and self.is_alive:
            told = [line for line in self.events(self._since) if line["event"] == READY[self._command]]
            if told:
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

    def events(self, since: int = 0) -> list[dict[str, str]]:
        """What it has logged, as far as it is JSON, from a byte of the log on."""
        if not self.log.exists():
            return []
        with self.log.open(encoding="utf-8") as log:
            log.seek(since)
            return [found for line in log.read().splitlines() if (found := _parsed(line)) is not None]

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
        self._since = self.log.stat().st_size
        self._started = self._start()

    def waited_s(self) -> float:
        """Seconds for which its main thread could have run and other programs had the processors; 0 where the kernel does not say."""
        with suppress(OSError):
            return int(Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
        return 0.0

    def cpu_s(self) -> float:
        """Processor seconds that it has used; 0 where there is no /proc."""
        path = Path(f"/proc/{self.pid}/stat")
        if not path.exists():
            return 0.0
        fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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


def _parsed(line: str) -> dict[str, str] | None:
    """None for what is no event, or the torn end of one that a killed process was writing."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "event" in found else None


def _status(pid: int, name: str) -> float:
    path = Path(f"/proc/{pid}/status")
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return next((float(line.split()[1]) for line in lines if line.startswith(name)), 0.0)
