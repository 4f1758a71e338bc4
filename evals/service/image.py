"""The steps of the Dockerfile, run as a script in a clean folder, since no container engine can be assumed.

What an engine would do differently: the base image is this Python, `/app` and `/data` are folders below the given one, and the step
that makes a user is left out.
"""

import json
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
STEP_S = 1_800.0
LOCK = "--require-hashes -r"
PRIVILEGED = ("useradd", "install --directory")


@dataclass
class Stage:
    """A stage of the Dockerfile: its steps, and what its processes get."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def told(self, word: str) -> list[str]:
        """The arguments of every instruction of that name."""
        return [rest for name, rest in self.steps if name == word]

    @property
    def environment(self) -> dict[str, str]:
        """Its ENV."""
        pairs = [pair for rest in self.told("ENV") for pair in shlex.split(rest)]
        return dict(pair.split("=", 1) for pair in pairs)


def instructions(text: str) -> list[tuple[str, str]]:
    """Each instruction of a Dockerfile with its argument, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.strip().partition(" ") for line in joined) if word]


def stages(text: str) -> list[Stage]:
    """The stages in order; what stands before the first FROM belongs to none."""
    found: list[Stage] = []
    for word, rest in instructions(text):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
        elif found:
            found[-1].steps.append((word, rest))
    return found


def build(stage: Stage, folder: Path, *, linked: bool) -> Path:
    """Run the COPY and RUN steps of a stage in an empty folder; its `/app`.

    With `linked`, the dependencies are those of this environment instead of a download. Raises `CalledProcessError`.
    """
    app = folder / "app"
    app.mkdir()
    for word, rest in stage.steps:
        if word == "COPY":
            *names, target = shlex.split(rest)
            for name in names:
                _run(["cp", "-r", str(ROOT / name), str(app / target)], app, {})
        elif word == "RUN" and linked and LOCK in rest:
            _link(app)
        elif word == "RUN" and not rest.startswith(PRIVILEGED):
            _run(["/bin/sh", "-euc", _placed(rest, folder)], app, stage.environment)
    return app


def started(stage: Stage, folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of the image's process, its folders below the given one."""
    environment = {name: _placed(value, folder) for name, value in stage.environment.items()}
    environment["PATH"] = environment["PATH"].replace("$PATH", "/usr/bin:/bin")
    return json.loads(stage.told("CMD")[0]), environment


def healthcheck(stage: Stage) -> list[str]:
    """The command that says whether the process is well."""
    found: list[str] = json.loads(stage.told("HEALTHCHECK")[0].partition("CMD ")[2])
    return found


def _link(app: Path) -> None:
    """Let the stage's environment see what is installed in this one, the project itself left out."""
    site = next((app / ".venv").glob("lib/python*/site-packages"))
    (site / "linked.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")


def _placed(text: str, folder: Path) -> str:
    return re.sub(r"(?<![\w.])/(app|data)\b", lambda found: f"{folder}/{found[1]}", text)


def _run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
    python = str(Path(sys.base_prefix) / "bin")
    env = {"PATH": f"{python}:/usr/bin:/bin", "HOME": str(folder), **environment}
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, timeout=STEP_S)  # noqa: S603
